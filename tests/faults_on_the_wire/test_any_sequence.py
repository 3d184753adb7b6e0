"""Any operations, any faults: the table holds what a model of it says, or the state before.

An operation that fails may have taken effect (its version was made, and its answer or the mirror
was lost) or not, never in part.
"""

from __future__ import annotations

from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from mcai_pipelines.errors import McaiError
from tests.faults_on_the_wire.conftest import MakeScene
from tests.faults_on_the_wire.scene import (
    ANYTHING,
    COMMITS,
    FILES,
    FIRST,
    OPERATIONS,
    Rows,
    Scene,
    rows_of,
)
from tests.harness.faults import (
    Fault,
    LoseAnswer,
    Outage,
    Reset,
    ResetRequest,
    ResetResponse,
    Slow,
    access_denied,
    expired_token,
    internal_error,
    too_many_requests,
    unavailable,
)

FAULTS = (
    LoseAnswer(),
    Outage(),
    Reset(),
    ResetRequest(after=10),
    ResetResponse(after=10),
    Slow(delay=0.02),
    access_denied(),
    expired_token(),
    internal_error(),
    too_many_requests(),
    unavailable(retry_after=0),
)

Planned: TypeAlias = tuple[Fault, str | None, str, int, int]
"""A fault, the method and path it hits, how many requests pass first, and how many are hit."""

faults: st.SearchStrategy[Planned] = st.tuples(
    st.sampled_from(FAULTS),
    st.sampled_from(("GET", "PUT", None)),
    st.sampled_from((ANYTHING, COMMITS, FILES)),
    st.integers(0, 8),
    st.integers(1, 6),
)
steps = st.tuples(
    st.sampled_from([name for name in OPERATIONS if name != "mirror"]),
    st.lists(faults, max_size=2),
)


def attempt(scene: Scene, name: str, seen: dict[int, Rows]) -> str | None:
    """Do it; afterwards the rows are those from before, or after, and after if it succeeded.

    Args:
        scene: With its faults.
        name: Of the operation.
        seen: What each version held when it was made; a rollback is to the oldest retained.
    """
    before, after = sorted(scene.rows), sorted(OPERATIONS[name].rows(scene.rows))
    if name == "rollback":
        after = seen[scene.reader.history()[-1].id]
    refusal = None
    try:
        OPERATIONS[name].run(scene)
    except McaiError as error:
        refusal = str(error)
        assert f"site {scene.cloud}: " in refusal
        assert not any(secret in refusal for secret in scene.secrets)
    scene.proxy.clear()
    scene.proxy.accept()
    found = rows_of(scene.reader)
    assert found == after if refusal is None else found in (before, after)
    scene.rows = found
    seen[scene.reader.history()[0].id] = found
    return refusal


@pytest.mark.parametrize(
    ("cloud", "primary"),
    [("aws", "iceberg"), ("azure", "delta"), ("gcp", "iceberg"), ("private", "delta")],
)
@settings(
    max_examples=2,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # an example takes seconds
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(plan=st.lists(steps, min_size=3, max_size=5))
def test_the_table_is_as_the_model(
    make_scene: MakeScene, cloud: str, primary: str, plan: list[tuple[str, list[Planned]]]
) -> None:
    scene = make_scene(cloud, primary)
    second, first = (version.id for version in scene.reader.history())
    seen = {first: sorted(FIRST), second: sorted(scene.rows)}
    for name, planned in plan:
        for fault, method, path, skip, times in planned:
            scene.proxy.inject(fault, method=method, path=path, skip=skip, times=times)
        refusal = attempt(scene, name, seen)
        event(f"{name} {'failed' if refusal else 'succeeded'}")
    scene.assert_next_write_works()
