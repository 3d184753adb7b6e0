"""Where this checkout and its local state live on disk."""

import os
from collections.abc import Mapping
from pathlib import Path

_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


def project_root() -> Path:
    """The folder that holds ``platforms/`` and ``contracts/``.

    The working directory when it has both, else the folder beside the installed package when
    that has both (an editable install run from elsewhere), else the working directory.
    """
    cwd = Path.cwd()
    for folder in (cwd, _PACKAGE_PARENT):
        if (folder / "platforms").is_dir() and (folder / "contracts").is_dir():
            return folder
    return cwd


def home(env: Mapping[str, str] = os.environ) -> Path:
    """The folder of all local state, absolute; not created here.

    Args:
        env: ``MCAI_HOME`` names it (``~`` and relative paths are allowed); the default is
            ``.mcai`` in the project root.
    """
    named = env.get("MCAI_HOME")
    folder = Path(named).expanduser() if named else project_root() / ".mcai"
    return Path(os.path.abspath(folder))


def dagster_home(env: Mapping[str, str] = os.environ) -> Path:
    """The folder to use as ``DAGSTER_HOME``: ``dagster`` in ``home(env)``; not created here."""
    return home(env) / "dagster"
