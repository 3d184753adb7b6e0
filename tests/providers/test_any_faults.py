"""Whatever goes wrong on the wire: no commit is lost, doubled or half visible.

A few appends meet faults at arbitrary requests. Each append either succeeds or says why not; what
is visible then is whole batches, among them every one that was acknowledged; and once the wire is
sound again, repeating the appends completes the table, each batch once, in both formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from mcai_pipelines.emulators import Clouds
from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.write import AppendKey
from mcai_pipelines.providers import manners
from tests.harness.faults import (
    Fault,
    LoseAnswer,
    Reset,
    ResetRequest,
    ResetResponse,
    Slow,
    expired_token,
    internal_error,
    too_many_requests,
    unavailable,
)
from tests.harness.proxy import Proxy
from tests.providers.conftest import MakeTable

BATCHES = range(2)
FAULTS = (
    LoseAnswer(),
    Reset(),
    ResetRequest(after=10),
    ResetResponse(after=10),
    Slow(delay=0.05),
    expired_token(),
    internal_error(),
    too_many_requests(),
    unavailable(retry_after=0),
)

Planned = tuple[Fault, str | None, int, int]
"""A fault, the method it hits, how many such requests pass first, and how many are hit."""

plans: st.SearchStrategy[list[Planned]] = st.lists(
    st.tuples(
        st.sampled_from(FAULTS),
        st.sampled_from(("GET", "PUT", None)),
        st.integers(0, 20),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after two retries that follow one another at once."""
    monkeypatch.setattr(manners, "RETRIES", 2)
    monkeypatch.setattr(manners, "FIRST_BACKOFF_MS", 1)


@pytest.fixture
def proxy(clouds: Clouds, cloud: str) -> Iterator[Proxy]:
    """A proxy in front of the cloud."""
    with Proxy(clouds[cloud].url) as between:
        yield between


def append(table: Table, batch: int) -> None:
    frame = pl.DataFrame({"batch": [batch] * 3, "row": [0, 1, 2]})
    table.write(frame, key=AppendKey(f"batch {batch}"))


def rows_of_batches(table: Table, format: str | None = None) -> dict[int, list[int]]:
    rows = table.scan(format=format).sort("batch", "row").collect()
    return {
        batch: rows.filter(pl.col("batch") == batch).get_column("row").to_list()
        for batch in rows.get_column("batch").unique()
    }


@pytest.mark.parametrize(
    ("cloud", "primary", "mirror"),
    [("aws", "iceberg", "delta"), ("azure", "delta", "iceberg"), ("gcp", "iceberg", "delta")],
    indirect=["cloud"],
)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans)
def test_no_commit_is_lost_doubled_or_half_visible(
    proxy: Proxy, make_table: MakeTable, cloud: str, primary: str, mirror: str, plan: list[Planned]
) -> None:
    key = ("retail", f"sales_{uuid4().hex[:8]}")
    table = make_table(cloud, primary, mirror, key=key, site={"endpoint": proxy.url})
    proxy.clear()
    for fault, method, skip, times in plan:
        proxy.inject(fault, method=method, path=key[1], skip=skip, times=times)

    acknowledged, refusals = [], []
    for batch in BATCHES:
        try:
            append(table, batch)
        except McaiError as error:
            refusals.append(str(error))
        else:
            acknowledged.append(batch)
    event(f"faults: {len(proxy.injected())}, failed: {len(refusals)}")
    assert all(key[1] in refusal for refusal in refusals)
    proxy.clear()

    reader = make_table(cloud, primary, mirror, key=key)
    if acknowledged:
        visible = rows_of_batches(reader)
        assert set(acknowledged) <= set(visible)
        assert all(rows == [0, 1, 2] for rows in visible.values())

    for batch in BATCHES:
        append(table, batch)
    for format in (primary, mirror):
        assert rows_of_batches(reader, format) == {batch: [0, 1, 2] for batch in BATCHES}
