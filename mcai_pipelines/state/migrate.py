"""Brings a state database to the revision that this code needs, once, whoever comes first.

Any number of processes may open the same empty database at the same moment. The first to take
the lock creates the tables in one transaction; the others wait and find them there.
"""

import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from mcai_pipelines.state.database import StateUnavailable, reading, shown, writing
from mcai_pipelines.state.schema import VERSION_TABLE

REVISION = "0003"
"""The newest file in ``migrations/versions``: comparing it spares the import of Alembic."""

_SCRIPTS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x6D636169  # "mcai": the key of PostgreSQL's lock, the same in every release
_one_at_a_time = threading.Lock()  # Alembic's context is global to the process


def migrate(engine: Engine) -> None:
    """Create or upgrade the tables; cheap when there is nothing to do.

    Raises:
        StateUnavailable: If a newer release wrote the database.
    """
    with reading(engine) as connection:
        found = _revision(connection)
    if found == REVISION:
        return
    with _one_at_a_time, writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        found = _revision(connection)
        if found != REVISION:
            _upgrade(connection, found)


def _revision(connection: Connection) -> str | None:
    """The revision that the database is at; None if it has none of our tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StateUnavailable(
            f"state database {shown(connection.engine.url)}: it is at revision {found}, which this "
            f"release does not know (its own is {REVISION}); upgrade mcai-pipelines, or name "
            "another state database in the platform file"
        )
    command.upgrade(config, REVISION)
