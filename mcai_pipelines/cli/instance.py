"""The Dagster instance of the project: runs, events and ticks in ``MCAI_HOME/dagster``.

Whoever sets ``DAGSTER_HOME`` to another folder runs an instance of their own, and nothing is
written into it. The ``dagster.yaml`` in the project's root is for plain ``dagster`` commands
without ``DAGSTER_HOME``: it names the same SQLite files as the default platform.
"""

import os
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mcai_pipelines.cli.compute_logs import compute_logs
from mcai_pipelines.errors import BadInput, McaiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

    from mcai_pipelines.config import Platform

FILE = "dagster.yaml"
_OURS = "# Written by mcai; "

_SETTINGS = """\
telemetry:
  enabled: false
nux:
  enabled: false
"""


def instance_home(env: Mapping[str, str] = os.environ) -> Path:
    """The folder of the instance in force; not created here."""
    from mcai_pipelines.config import dagster_home

    named = env.get("DAGSTER_HOME")
    return Path(named).expanduser() if named else dagster_home(env)


def ensure_instance(platform: "Platform") -> Path:
    """The folder of the instance in force, made first where it is ours to make.

    Raises:
        BadInput: ``DAGSTER_HOME`` is no absolute folder, or the platform's Dagster storage
            cannot be written as Dagster needs it.
        McaiError: The folder cannot be made.
    """
    from mcai_pipelines.config import dagster_home

    home = instance_home()
    if home == dagster_home():
        _write(home, instance_yaml(platform))
    elif problem := home_problem(home):
        raise problem
    return home


def home_problem(home: Path) -> BadInput | None:
    """What is wrong with a ``DAGSTER_HOME`` that somebody set."""
    if not home.is_absolute():
        what = f"{home} is not an absolute path"
        return BadInput.at("DAGSTER_HOME", what, f"export DAGSTER_HOME={home.absolute()}")
    if not home.is_dir():
        return BadInput.at("DAGSTER_HOME", f"{home} is no folder", "create it, or unset it")
    return None


@contextmanager
def open_instance(home: Path) -> "Iterator[dg.DagsterInstance]":
    """The instance in a folder.

    Raises:
        McaiError: Its configuration is wrong or its storage cannot be reached.
    """
    import dagster as dg

    try:
        instance = dg.DagsterInstance.from_config(str(home))
    except Exception as error:  # Dagster, its storage and the driver each have their own
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise McaiError(f"Dagster instance {home}: {said}; see its {FILE}") from error
    with instance:
        yield instance


def instance_yaml(platform: "Platform") -> str:
    """The ``dagster.yaml`` of the instance; secrets stay references to the environment.

    Raises:
        BadInput: A URL or credential mixes a reference with other text, or is of a kind that
            Dagster does not take.
    """
    import yaml

    text = f"{_OURS}change platforms/{platform.name}.yaml, not this file.\n{_SETTINGS}"
    if platform.dagster.storage == "postgres":  # SQLite is Dagster's default: files beside this one
        text += f"storage:\n  postgres:\n    postgres_url: {_postgres_url(platform)}\n"
    logs = compute_logs(platform)
    if logs is not None:
        text += yaml.safe_dump({"compute_logs": logs}, sort_keys=False)
    return text


def _postgres_url(platform: "Platform") -> str:
    from json import dumps

    url = platform.dagster.url
    assert url is not None  # a rule of the platform file
    where = url.where or "dagster.url"
    if not url.resolve().startswith("postgresql+psycopg2:"):
        what = "Dagster would look for the driver psycopg 3, which dagster-postgres does not bring"
        raise BadInput.at(where, what, "begin the URL with postgresql+psycopg2://")
    if not url.variables:
        return dumps(url.template)
    (name, *others) = url.variables
    if others or url.template != f"${{{name}}}":
        what = "Dagster takes a whole URL from one variable, and nothing else in it"
        raise BadInput.at(where, what, "write the complete URL into one variable: ${DAGSTER_DB}")
    return f"{{env: {name}}}"


def _write(home: Path, text: str) -> None:
    """Write the file unless it is as it should be, or somebody made it their own."""
    file = home / FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        found = file.read_text() if file.exists() else _OURS
        if found == text or not found.startswith(_OURS):
            return
        part = home / f".{FILE}.{os.getpid()}"
        part.write_text(text)
        part.replace(file)
    except OSError as error:
        raise McaiError(
            f"{home}: the Dagster instance cannot be made: {error.strerror}; make the folder"
            " writable for this user, or name another with MCAI_HOME"
        ) from error
