"""The state database: SQLite by default, PostgreSQL when the platform file says so.

What belongs here: facts that outlive a run and that no table holds. Nothing here knows Dagster,
which keeps its own storage, and nothing here reads a table's data.
"""

from mcai_pipelines.state.database import StateUnavailable
from mcai_pipelines.state.store import ErasureRecord, State, TableRecord

__all__ = ["ErasureRecord", "State", "StateUnavailable", "TableRecord"]
