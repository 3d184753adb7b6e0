"""``mcai ui``: the Dagster web UI and daemon on the project's instance."""

import os
import sys
from typing import Annotated

import typer

from mcai_pipelines.cli.output import Json, print_json, say
from mcai_pipelines.errors import BadInput

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def ui(
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    json: Json = False,
) -> None:
    """Serve the Dagster UI, and run sensors, schedules and backfills, until Ctrl-C."""
    from mcai_pipelines.cli.instance import ensure_instance
    from mcai_pipelines.config import home, load_platform, platform_file, project_root

    file = platform_file()
    root = project_root()
    dagster_home = ensure_instance(load_platform(file))
    _check_address(host, port)
    if not (root / "workspace.yaml").exists():
        what = f"{root} has no workspace.yaml"
        raise BadInput.at("working directory", what, "run mcai in the project's root")
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if json:
        print_json({"url": url, "dagster_home": dagster_home, "mcai_home": home()})
    say(f"{url}  (Ctrl-C stops it)")
    if host not in LOOPBACK:
        say("Anyone who reaches this address can start runs: the UI asks for no password.")
    environment = {"DAGSTER_HOME": dagster_home, "MCAI_HOME": home(), "MCAI_PLATFORM": file}
    # Absolute: every process below works in the project's root.
    os.environ.update({name: os.path.abspath(path) for name, path in environment.items()})
    os.chdir(root)
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _serve("dev", "--host", host, "--port", str(port), "--workspace", "workspace.yaml")


def _check_address(host: str, port: int) -> None:
    import socket

    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise BadInput.at("--host", f"{host} is no address", "use 127.0.0.1") from None
    except OSError as error:
        what = f"cannot listen on {host}:{port}: {error.strerror}"
        raise BadInput.at(
            "--port", what, "name another with --port, or stop what uses it"
        ) from None


def _serve(*arguments: str) -> None:
    """Run ``dagster`` in this process, without two notices that would mislead here.

    They say that ``dg dev`` (of a package that is not needed here) is preferred, and that the
    ``dagster.yaml`` of the root, made for plain ``dagster`` commands, is not used.
    """
    import logging
    import runpy
    import warnings

    import dagster as dg

    warnings.filterwarnings("ignore", category=dg.SupersessionWarning)
    logging.getLogger("dagster").addFilter(lambda record: "in the current folder" not in record.msg)
    sys.argv = ["dagster", *arguments]
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)
