"""What a table's function may know about the run that computes it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class TableContext:
    """Passed to a parameter named ``context`` of a `table` function.

    Attributes:
        key: The table's key, such as ``aws_us_east_1/transactions``.
        partition_keys: Dagster's keys of the partitions to compute; empty if unpartitioned.
        partition_values: The same as values of the partition column (`datetime.date`,
            `datetime.datetime`, `str` or `int`); tuples of them for several columns.
        run_id: Of the Dagster run.
        asset: Dagster's own context: log, run tags, instance.
    """

    key: str
    partition_keys: tuple[str, ...]
    partition_values: tuple[Any, ...]
    run_id: str
    asset: dg.AssetExecutionContext

    @property
    def partition_value(self) -> Any:
        """The value of the only partition of this run.

        Raises:
            ValueError: The run computes several partitions, or none.
        """
        if len(self.partition_values) != 1:
            raise ValueError(
                f"table {self.key}: this run computes {len(self.partition_values)} partitions;"
                " use partition_values"
            )
        return self.partition_values[0]

    @property
    def time_range(self) -> tuple[dt.datetime, dt.datetime]:
        """Start (included) and end (excluded) of the run's time partitions, with their zone."""
        window = self.asset.partition_time_window
        return window.start, window.end
