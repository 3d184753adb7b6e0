"""``mcai emulators``: the clouds' wire protocols on this machine, in the background."""

import datetime as dt
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcai_pipelines.cli.output import Json, moment, print_json, print_table, say
from mcai_pipelines.errors import McaiError

if TYPE_CHECKING:
    from mcai_pipelines.emulators import Clouds, Entry

app = typer.Typer(
    help="Emulated clouds on this machine, for the platform `emulated`.", no_args_is_help=True
)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="aws, azure, gcp, private, postgres; all unless given.", show_default=False
    ),
]

PLATFORM = "emulated"
"""The platform file that these emulators are for."""

CACHE = "MCAI_EMULATORS_CACHE"
"""Environment variable: where Azurite is installed, ``MCAI_HOME/cache`` unless set."""


@app.command()
def up(names: Names = None, json: Json = False) -> None:
    """Start the emulators that do not run yet, in the background."""
    from mcai_pipelines.cli.progress import Progress
    from mcai_pipelines.emulators import EMULATORS, known

    clouds, began = _clouds(), time.monotonic()
    wanted = known(names or None)
    missing = [name for name in wanted if name not in clouds or not clouds[name].is_up]
    if missing:
        with Progress(len(missing), "emulators") as progress:
            for name in missing:
                if first := EMULATORS[name].to_install(clouds.cache):
                    progress.say(f"{name}: installing {first} once, into {clouds.cache}")
            progress.say(f"starting {', '.join(missing)}")

            def ready(name: str, entry: "Entry") -> None:
                progress.finish(f"{name}  {entry.url}", time.monotonic() - began)

            clouds.start(wanted, ready)
    _show(clouds, json=json)
    if not json:
        say()
        say("  export MCAI_PLATFORM=emulated             put the sites on these clouds")
        say("  mcai demo --through 4                     the demo's tables, on them")
        say('  eval "$(mcai emulators env)"              the variables, for other programs')
        say("  mcai emulators down                       stop them, and delete what they hold")


@app.command()
def down(json: Json = False) -> None:
    """Stop the emulators and delete what they hold."""
    stopped = _clouds().remove()
    if json:
        print_json({"stopped": stopped})
    elif stopped:
        say(f"Stopped {', '.join(stopped)}; what they held is deleted.")
    else:
        say("No emulators run.")


@app.command()
def status(json: Json = False) -> None:
    """Show what runs and where."""
    _show(_clouds(), json=json)


@app.command()
def env() -> None:
    """Print the variables that platforms/emulated.yaml reads: eval "$(mcai emulators env)"."""
    clouds = _clouds()
    if not clouds:
        raise McaiError("no emulators run; start them with mcai emulators up")
    for name, value in sorted(clouds.env.items()):
        typer.echo(f"export {name}={shlex.quote(value)}")


def load_env() -> None:
    """Give this process what ``mcai emulators env`` prints, if it works on ``emulated``.

    Variables that are set already are left alone.
    """
    if Path(os.environ.get("MCAI_PLATFORM", "")).stem != PLATFORM:  # a name or a path
        return
    found = _clouds().env
    others = [name for name, value in found.items() if os.environ.get(name, value) != value]
    if others:
        say(f"{', '.join(others)}: not of the emulators that run here. To use these instead:")
        say('  eval "$(mcai emulators env)"')
    for name, value in found.items():
        os.environ.setdefault(name, value)
    if not any(name.startswith("MCAI_EMULATED_") for name in os.environ):
        say(f"No emulators run for the platform {PLATFORM}. Start them with: mcai emulators up")


def _clouds() -> "Clouds":
    from mcai_pipelines.config import home
    from mcai_pipelines.emulators import Clouds

    cache = os.environ.get(CACHE)
    return Clouds(home() / "emulators", Path(cache) if cache else home() / "cache")


def _show(clouds: "Clouds", *, json: bool) -> None:
    from mcai_pipelines.emulators import EMULATORS

    rows = [_row(clouds, name) for name in EMULATORS if name in clouds]
    if json:
        print_json({"emulators": rows})
    elif not rows:
        say("No emulators run. Start them with: mcai emulators up")
    else:
        print_table(
            ["name", "emulator", "url", "pid", "state", "since"],
            [
                (
                    row["name"],
                    row["emulator"],
                    row["url"],
                    ", ".join(str(pid) for pid in row["pids"]) or None,
                    "up" if row["up"] else "down",
                    moment(dt.datetime.fromisoformat(row["since"])),
                )
                for row in rows
            ],
        )


def _row(clouds: "Clouds", name: str) -> dict[str, Any]:
    from mcai_pipelines.emulators import EMULATORS

    entry = clouds[name]
    return {
        "name": name,
        "emulator": EMULATORS[name].what,
        "url": entry.url,
        "pids": [process.pid for process in entry.processes],
        "up": entry.is_up,
        "since": entry.since,
    }
