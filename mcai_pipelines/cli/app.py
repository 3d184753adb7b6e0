"""The commands put together, and what becomes of the errors they raise.

Exit codes: 0 done, 1 failed, 2 the input is wrong, 3 refused, 130 interrupted.
"""

import contextlib
import errno
import os
import sys
import warnings
from typing import Annotated

import typer

from mcai_pipelines import __version__
from mcai_pipelines.cli import (
    check,
    compact,
    demo,
    doctor,
    emulators,
    erase,
    expire,
    read,
    replicate,
    tables,
    ui,
)
from mcai_pipelines.errors import McaiError

DEBUG = "MCAI_DEBUG"
"""Environment variable: show the trace of every error."""

app = typer.Typer(
    name="mcai",
    help="Governed lake tables on every cloud, in one Dagster asset graph.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.add_typer(tables.app, name="table")
tables.app.command("read")(read.read)
tables.app.command("compact")(compact.compact)
app.command("compact")(compact.compact)
tables.app.command("expire")(expire.expire)
app.command("erase")(erase.erase)
app.command("replicate")(replicate.replicate)
app.add_typer(demo.app, name="demo")
app.command("ui")(ui.ui)
app.add_typer(emulators.app, name="emulators")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mcai {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    if context.invoked_subcommand != "emulators":
        emulators.load_env()


def main() -> None:
    """Run the command line and exit.

    Raises:
        SystemExit: Always, with the exit code.
    """
    if not sys.warnoptions and not _debug():
        warnings.simplefilter("ignore")  # what libraries say to their developers
    code = 0
    try:
        try:
            app(prog_name="mcai")
        finally:
            _flush()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except McaiError as error:
        code = _report(str(error), error.exit_code)
    except OSError as error:
        _silence_stdout()
        code = 1 if error.errno == errno.EPIPE else _report(_unexpected(error))
    except Exception as error:
        code = _report(_unexpected(error))
    sys.exit(code)


def _flush() -> None:
    """Write what is left now: a closed pipe shows here, and not while Python shuts down."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence_stdout()
        raise McaiError(f"the output cannot be written: {error.strerror}") from error


def _report(message: str, code: int = 1) -> int:
    typer.echo(message, err=True)
    if _debug():
        import traceback

        traceback.print_exc()
    return code


def _unexpected(error: Exception) -> str:
    said = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
    return f"mcai failed unexpectedly: {what} (set {DEBUG}=1 to see where)"


def _debug() -> bool:
    return os.environ.get(DEBUG, "") not in ("", "0")


def _silence_stdout() -> None:
    """Let Python flush what is left to nowhere: its reader is gone, or the disk is full."""
    with contextlib.suppress(OSError, ValueError):  # in tests it is no real file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
