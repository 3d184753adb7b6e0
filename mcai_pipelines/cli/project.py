"""The lake and the definitions of the project, opened for a command."""

import sys
from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    import dagster as dg

    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.state import TableRecord


def open_lake() -> "Lake":
    """The lake of the platform in force.

    Raises:
        BadInput: The platform file is wrong, or a variable that it needs is not set.
    """
    from mcai_pipelines.config import unresolved
    from mcai_pipelines.lakehouse.lake import Lake

    lake = Lake.open()
    if problems := unresolved(lake.platform):
        raise BadInput(problems)
    return lake


def find_table(lake: "Lake", key: str) -> "tuple[Table, TableRecord]":
    """A table by its key, and its entry in the registry.

    Raises:
        BadInput: No table has this key.
    """
    from mcai_pipelines.config.wording import did_you_mean, quoted
    from mcai_pipelines.lakehouse.errors import TableNotFound

    try:
        return lake.table(key), lake.record(key)
    except TableNotFound:
        keys = [record.key for record in lake.records()]
        what = f"no table {quoted(key)} has been written in the namespace {lake.namespace}"
        fix = did_you_mean(key, keys) if keys else "write some tables first: mcai demo"
        raise BadInput.at("KEY", what, fix) from None


def load_definitions() -> "dg.Definitions":
    """The project's definitions.

    Raises:
        BadInput: This is not a project, or one of its files is wrong.
    """
    from mcai_pipelines.config import project_root

    root = project_root()
    if str(root) not in sys.path:  # the console script puts its own folder there instead
        sys.path.insert(0, str(root))
    try:
        from mcai_pipelines.definitions import defs
    except ModuleNotFoundError as error:
        if error.name not in ("assets", "sensors", "resources"):
            raise
        what = f"{root} has no package {error.name!r}"
        raise BadInput.at("working directory", what, "run mcai in the project's root") from None
    return defs
