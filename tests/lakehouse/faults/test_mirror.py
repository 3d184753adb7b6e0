"""A mirror that comes late: added to an old table, or overtaken by several versions."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from mcai_pipelines.lakehouse.errors import MirrorLagging
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import SOURCE, Head
from tests.lakehouse.faults.readers import everyone

MakeTable = Callable[..., Table]
MIRRORED = [("iceberg", "delta"), ("delta", "iceberg")]

FRAMES = [
    pl.DataFrame({"p": ["a", "b"], "n": pl.Series([1, 2], dtype=pl.Int32), "s": [{"x": 1}, None]}),
    pl.DataFrame({"p": ["a"], "l": [{"y": 1.5, "z": [{"q": ["deep"]}]}], "t": ["text"]}),
    pl.DataFrame({"p": ["c"], "u": [{"v": [1], "w": {"x": 2}}], "n": [2**40]}),
    pl.DataFrame({"p": ["b"], "k": [True]}),
]
"""Each adds columns, nested ones among them; the third widens ``n``."""


def all_see(table: Table) -> str:
    [seen] = set(map(repr, everyone(table).values()))
    return seen


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_added_to_a_table_that_grew_columns(
    make_table: MakeTable, primary: str, mirror: str
) -> None:
    alone = make_table(primary, partition_by=["p"])
    for frame in FRAMES[:3]:
        alone.write(frame)

    table = make_table(primary, mirror, partition_by=["p"])
    table.write(FRAMES[3])

    assert "'deep'" in all_see(table)
    assert all_see(table).count("'b'") == 2


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_overtaken_by_several_evolutions(make_table: MakeTable, primary: str, mirror: str) -> None:
    """A Delta column and an Iceberg one must come to the same field ids as the files have."""
    table = make_table(primary, mirror, partition_by=["p"])
    table.write(FRAMES[0])
    ahead = make_table(primary, partition_by=["p"])
    for frame in FRAMES[1:]:
        ahead.write(frame)
    ahead.rollback(ahead.history()[1].id)
    if mirror == "delta":  # which would misread the files that are older than the widening
        with pytest.raises(MirrorLagging, match=r"widened or renamed.* the next write"):
            all_see(table)
        table.write(FRAMES[0].clear())

    seen = all_see(table)

    assert "'deep'" in seen
    assert "True" not in seen


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_the_formats_may_not_swap_places_unnoticed(
    make_table: MakeTable, primary: str, mirror: str
) -> None:
    """Opened the other way round, the mirror's own versions are the truth: still the same rows."""
    table = make_table(primary, mirror, partition_by=["p"])
    table.write(FRAMES[0])
    before = all_see(table)

    swapped = make_table(mirror, primary, partition_by=["p"])

    assert all_see(swapped) == before
    swapped.write(FRAMES[1])
    assert all_see(swapped).count("'a'") == 2


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_whoever_was_overtaken_does_not_take_it_back(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, primary: str, mirror: str
) -> None:
    """Another writer commits and mirrors while this one has read one of the two logs."""
    table = make_table(primary, mirror, partition_by=["p"])
    table.write(FRAMES[0])
    make_table(primary, partition_by=["p"]).write(FRAMES[3])  # the mirror lags
    other = make_table(primary, mirror, partition_by=["p"])
    assert table.mirror_log is not None
    for log in (table.primary, table.mirror_log):
        original = log.head

        def overtaken(original: Callable[[], Head | None] = original) -> Head | None:
            found = original()
            monkeypatch.undo()
            other.write(FRAMES[3])
            return found

        monkeypatch.setattr(log, "head", overtaken)

    table.repair_mirror()

    order = {version.id: version.sequence for version in table.primary.versions()}
    shown = [order[int(v.properties[SOURCE])] for v in table.mirror_log.versions()]
    assert shown == sorted(shown, reverse=True)
    assert all_see(table).count("True") == 2
