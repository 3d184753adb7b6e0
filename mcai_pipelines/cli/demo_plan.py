"""What the demo still has to compute: tables that are missing, weeks that have arrived since.

A table counts as there when Dagster knows of it *and* the lake has it, so that a deleted folder,
a rollback or a new instance is made good.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from mcai_pipelines.errors import McaiError

if TYPE_CHECKING:
    import dagster as dg

    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.versions import Head, Version

DOMAIN = "retail/"
"""Prefix of the contracts of the demo's tables."""


@dataclass(frozen=True)
class Work:
    """One run.

    Attributes:
        keys: The tables, as Dagster's keys.
        weeks: First and last week of a run of weekly tables; None for tables without partitions.
    """

    keys: "tuple[dg.AssetKey, ...]"
    weeks: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Found:
    """A table as it is in the lake: nothing when it is not there."""

    head: "Head | None" = None
    commit: "Version | None" = None


def demo_specs(defs: "dg.Definitions") -> "list[dg.AssetSpec]":
    """The demo's tables, each after those that it reads."""
    from mcai_pipelines.authoring.replica import REPLICA_OF
    from mcai_pipelines.authoring.table import FUNCTION
    from resources.lake import CONTRACT

    specs = {
        spec.key: spec
        for spec in defs.resolve_all_asset_specs()
        if {FUNCTION, REPLICA_OF} & spec.metadata.keys()
        and str(spec.metadata[CONTRACT]).startswith(DOMAIN)
    }
    parents = {key: [d.asset_key for d in spec.deps] for key, spec in sorted(specs.items())}
    return [specs[key] for key in TopologicalSorter(parents).static_order() if key in specs]


def plan(
    specs: "Sequence[dg.AssetSpec]",
    instance: "dg.DagsterInstance",
    lake: "Lake",
    through: int,
    *,
    fresh: bool = False,
) -> list[Work]:
    """The runs that bring the demo's tables up to a week, in order.

    Args:
        specs: From `demo_specs`.
        instance: Where materializations are recorded.
        lake: Where the tables are.
        through: The last week that has arrived.
        fresh: Compute what is up to date, too.
    """
    from assets.retail.partitions import WEEKS

    whole: list[dg.AssetKey] = []
    for spec in (spec for spec in specs if spec.partitions_def is None):
        follows = any(dep.asset_key in whole for dep in spec.deps)
        if fresh or follows or _is_missing(spec, instance, lake) or _is_outdated(spec, lake):
            whole.append(spec.key)
    weekly = [spec for spec in specs if spec.partitions_def == WEEKS]
    weeks = _weeks_to_compute(weekly, whole, instance, lake, through, fresh=fresh)
    work = [Work(tuple(whole))] if whole else []
    if weeks:
        wanted = set().union(*weeks.values())
        work.append(Work(tuple(weeks), (min(wanted), max(wanted))))
    return work


def _weeks_to_compute(
    weekly: "Iterable[dg.AssetSpec]",
    whole: "Sequence[dg.AssetKey]",
    instance: "dg.DagsterInstance",
    lake: "Lake",
    through: int,
    *,
    fresh: bool,
) -> "Mapping[dg.AssetKey, set[int]]":
    """The weeks that each weekly table lacks, or has to follow its inputs in."""
    from assets.retail.weeks import FIRST_WEEK

    arrived = set(range(FIRST_WEEK, through + 1))
    weeks: dict[dg.AssetKey, set[int]] = {}
    for spec in weekly:
        inputs = [dep.asset_key for dep in spec.deps]
        if fresh or any(key in whole for key in inputs) or _has_older_inputs(spec, lake):
            missing = arrived
        else:
            missing = arrived - _weeks_there(spec, instance, lake)
        missing = missing.union(*(weeks.get(key, set()) for key in inputs))
        if missing:
            weeks[spec.key] = missing
    return weeks


def _find(key: "dg.AssetKey", lake: "Lake") -> _Found:
    try:
        table = lake.table(key.to_user_string())
        head = table.head()
    except McaiError:
        return _Found()
    assert head.version is not None
    return _Found(head, table.primary.version(head.version))


def _is_missing(spec: "dg.AssetSpec", instance: "dg.DagsterInstance", lake: "Lake") -> bool:
    unknown = instance.get_latest_materialization_event(spec.key) is None
    return unknown or _find(spec.key, lake).head is None


def _is_outdated(spec: "dg.AssetSpec", lake: "Lake") -> bool:
    """Whether the newest commit was made by other code than today's, or of an older source."""
    from mcai_pipelines.authoring.code import code_version_of_module
    from mcai_pipelines.authoring.replica import REPLICA_OF
    from mcai_pipelines.authoring.table import FUNCTION

    commit = _find(spec.key, lake).commit
    if REPLICA_OF in spec.metadata:
        return not _shows_its_source(spec, lake)
    module = str(spec.metadata[FUNCTION]).partition(":")[0]
    today = spec.code_version or code_version_of_module(module)
    return commit is None or commit.properties.get("mcai.code-version") != today


def _shows_its_source(spec: "dg.AssetSpec", lake: "Lake") -> bool:
    from mcai_pipelines.lakehouse.versions import REPLICA_VERSION

    [source] = [dep.asset_key for dep in spec.deps]
    original, commit = _find(source, lake).head, _find(spec.key, lake).commit
    if original is None or commit is None:
        return False
    return commit.properties.get(REPLICA_VERSION) == str(original.version)


def _has_older_inputs(spec: "dg.AssetSpec", lake: "Lake") -> bool:
    """Whether an unpartitioned input has changed since the table's newest commit."""
    from json import loads

    from mcai_pipelines.lakehouse.versions import INPUTS

    commit = _find(spec.key, lake).commit
    if commit is None:
        return False  # it is missing, which is found out elsewhere
    for key, version in loads(commit.properties.get(INPUTS, "{}")).items():
        found = _find(type(spec.key)(key.split("/")), lake)
        if found.head is None or found.commit is None or found.head.partition_by:
            continue
        if found.commit.content != version:  # a compaction is no change
            return True
    return False


def _weeks_there(spec: "dg.AssetSpec", instance: "dg.DagsterInstance", lake: "Lake") -> set[int]:
    """The weeks that Dagster knows of and the table has rows of."""
    import datetime as dt

    from assets.retail.weeks import week_number

    head = _find(spec.key, lake).head
    if head is None:
        return set()
    days = {file.partition[0] for file in head.files.values()}
    written = {week_number(day) for day in days if isinstance(day, dt.date)}
    known = instance.get_materialized_partitions(spec.key)
    return written & {week_number(dt.date.fromisoformat(key)) for key in known}
