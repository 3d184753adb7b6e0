"""What people who write assets use: `table`, partitions, replicas, and adopted tables."""

from mcai_pipelines.authoring.automation import keep_current
from mcai_pipelines.authoring.context import TableContext
from mcai_pipelines.authoring.external import external_table
from mcai_pipelines.authoring.partitions import daily, hourly, multi, static, weekly
from mcai_pipelines.authoring.replica import replica, replicas_of
from mcai_pipelines.authoring.table import table

__all__ = [
    "TableContext",
    "daily",
    "external_table",
    "hourly",
    "keep_current",
    "multi",
    "replica",
    "replicas_of",
    "static",
    "table",
    "weekly",
]
