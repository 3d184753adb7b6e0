"""Compaction and expiry as assets: one table after the other, none hidden by another's failure."""

# No `from __future__ import annotations`: Dagster reads the parameters' types.

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg
from pydantic import Field

from mcai_pipelines.errors import McaiError
from resources.lake import LakeResource

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.table import Table

GROUP = "maintenance"
_MIB = 1 << 20

Numbers: TypeAlias = Mapping[str, float]
"""What was done to one table, or to all: name to number."""


class Tables(dg.Config):
    """Which tables.

    Attributes:
        tables: Keys such as ``global/products``; every table of the namespace unless given.
        dry_run: Change nothing, and report what would be done.
    """

    tables: list[str] = Field(default=[], description="Keys of tables; all unless given.")
    dry_run: bool = Field(default=False, description="Change nothing and report what would be.")


class CompactionConfig(Tables):
    """How small files are put together; see ``Table.compact``."""

    target_mib: int = Field(default=256, gt=0, description="Size of a file in MiB.")
    min_files: int = Field(
        default=4, gt=1, description="How many small files are worth rewriting as one."
    )


class ExpiryConfig(Tables):
    """Which versions are forgotten; see ``Table.expire``."""

    keep: int | None = Field(
        default=None, gt=0, description="Versions kept however old they are; else the contract's."
    )
    older_than_days: float | None = Field(
        default=None,
        ge=0,
        description="Versions that were current within so many days are kept; else the contract's.",
    )


@dg.asset(
    key_prefix=GROUP,
    group_name=GROUP,
    kinds={"iceberg", "deltalake"},
    owners=["team:data-platform"],
)
def compaction(
    context: dg.AssetExecutionContext, config: CompactionConfig, lake: LakeResource
) -> dg.MaterializeResult[None]:
    """Small files of every table, rewritten as few of a good size; no row changes."""

    def compact(table: "Table") -> Numbers:
        done = table.compact(
            target_size=config.target_mib * _MIB,
            min_files=config.min_files,
            dry_run=config.dry_run,
        )
        return {
            "files_before": done.files_before,
            "files_after": done.files_after,
            "bytes_before": done.bytes_before,
            "bytes_after": done.bytes_after,
            "rows_rewritten": done.rows,
            "seconds": round(done.seconds, 3),
        }

    def is_ours(table: "Table") -> bool:
        return not table.read_only and table.replica_of is None  # a replica follows its original

    return _every_table(context, lake, config, compact, is_ours)


@dg.asset(
    key_prefix=GROUP,
    group_name=GROUP,
    deps=[compaction],
    kinds={"iceberg", "deltalake"},
    owners=["team:data-platform"],
)
def expiry(
    context: dg.AssetExecutionContext, config: ExpiryConfig, lake: LakeResource
) -> dg.MaterializeResult[None]:
    """Old versions of every table, forgotten, and the files that only they showed, deleted."""

    def expire(table: "Table") -> Numbers:
        keep, older_than = _retention(lake.lake, table.key)
        if config.older_than_days is not None:
            older_than = dt.timedelta(days=config.older_than_days)
        done = table.expire(keep=config.keep or keep, older_than=older_than, dry_run=config.dry_run)
        return {
            "versions_expired": sum(done.expired.values()),
            "versions_retained": sum(done.retained.values()),
            "files_deleted": sum(done.files.values()),
            "bytes_reclaimed": done.reclaimed,
        }

    return _every_table(context, lake, config, expire, lambda table: not table.read_only)


def _retention(lake: "Lake", key: str) -> tuple[int, dt.timedelta]:
    from mcai_pipelines.lakehouse.retention import policy

    contract = lake.record(key).contract
    return policy(lake.contracts.get(contract) if contract else None)


def _every_table(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    config: Tables,
    work: "Callable[[Table], Numbers]",
    is_ours: "Callable[[Table], bool]",
) -> dg.MaterializeResult[None]:
    """Do the work on each table, and add up.

    Raises:
        Failure: It failed on some tables; the others are done, and the report tells both.
    """
    opened = lake.lake
    keys = config.tables or [record.key for record in opened.records()]
    done: dict[str, Numbers] = {}
    failed: dict[str, str] = {}
    for number, key in enumerate(keys, start=1):
        try:
            table = opened.table(key)
            if not is_ours(table):
                continue
            done[key] = work(table)
            context.log.info(f"{number}/{len(keys)} {key}: {_words(done[key])}")
        except Exception as error:  # whatever it is, the other tables are served
            why = str(error).partition("\n")[0] or type(error).__name__
            failed[key] = why.removeprefix(f"table {key}: ")
            known = isinstance(error, McaiError)
            context.log.error(f"{number}/{len(keys)} {key}: {error}", exc_info=not known)
    metadata = {
        "tables": dg.MetadataValue.int(len(done)),
        "failed": dg.MetadataValue.int(len(failed)),
        **{name: _number(value) for name, value in _totals(done.values()).items()},
        "report": dg.MetadataValue.md(_report(done, failed)),
    }
    if failed:
        raise dg.Failure(
            f"{len(failed)} of {len(done) + len(failed)} tables failed:"
            f" {'; '.join(f'{key}: {why}' for key, why in failed.items())}",
            metadata=metadata,
        )
    return dg.MaterializeResult(metadata=metadata)


def _totals(done: Iterable[Numbers]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for numbers in done:
        for name, value in numbers.items():
            totals[name] = totals.get(name, 0) + value
    return totals


def _number(value: float) -> dg.IntMetadataValue | dg.FloatMetadataValue:
    return dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(value)


def _words(numbers: Numbers) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in numbers.items())


def _report(done: Mapping[str, Numbers], failed: Mapping[str, str]) -> str:
    names = list(next(iter(done.values()), {}))
    lines = [
        "| table | " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "| --- |" + " ---: |" * len(names),
        *(
            f"| {key} | " + " | ".join(f"{value:,}" for value in numbers.values()) + " |"
            for key, numbers in done.items()
        ),
    ]
    lines += ["", *(f"- **{key}** failed: {why}" for key, why in failed.items())]
    return "\n".join(lines)
