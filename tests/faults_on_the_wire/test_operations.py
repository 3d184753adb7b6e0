"""Every operation, under every fault: it succeeds after retries, or says why and changes nothing.

Not every combination is tried: clouds, formats, operations and faults take turns, so that each of
them meets all of the others.
"""

from __future__ import annotations

import pytest

from tests.faults_on_the_wire.conftest import MakeScene
from tests.faults_on_the_wire.scene import OPERATIONS, Scene, rows_of
from tests.harness.faults import (
    Fault,
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
from tests.providers.conftest import CLOUDS

TRANSIENT = (
    Reset(),
    ResetRequest(after=100),
    ResetResponse(after=100),
    internal_error(),
    unavailable(retry_after=0),
    too_many_requests(retry_after=0),
    Slow(delay=0.1),
)
"""What a retry mends; each hits one request, and never two in a row."""

LASTING: dict[str, tuple[Fault, str]] = {
    "refused": (Outage(), "nothing listens there"),
    "reset": (Reset(), "the connection was lost or is too slow"),
    "reset in mid-body": (ResetRequest(after=10), "the connection was lost or is too slow"),
    "500": (internal_error(), "the service failed: run again later"),
    "503": (unavailable(retry_after=0), "the service is busy"),
    "429": (too_many_requests(), "the service is busy"),
    "expired": (expired_token(), "credentials have expired: renew them"),
    "denied": (access_denied(), "credentials do not permit it"),
}
"""What lasts, and what the error advises."""

FORMATS = ("iceberg", "delta")
CASES = [
    pytest.param(
        CLOUDS[(first + second) // 2 % len(CLOUDS)],
        FORMATS[(first // 2 + second // 2 + second // len(CLOUDS)) % 2],
        name,
        fault,
        OPERATIONS[name].stages[second // 2 % len(OPERATIONS[name].stages)],
        id=f"{name}-{fault}",
    )
    for first, name in enumerate(OPERATIONS)
    for second, fault in enumerate(LASTING)
    if (first + second) % 2 == 0
]


def assert_copied(scene: Scene) -> None:
    assert rows_of(scene.copy_reader) == sorted(scene.rows)


@pytest.mark.parametrize(
    ("cloud", "primary", "name"),
    [
        (CLOUDS[(first + 2 * turn) % len(CLOUDS)], FORMATS[(first // 4 + turn) % 2], name)
        for first, name in enumerate(OPERATIONS)
        for turn in range(2)
    ],
)
def test_passing_faults_are_outlived(
    make_scene: MakeScene, cloud: str, primary: str, name: str
) -> None:
    scene = make_scene(cloud, primary, mirrored=name != "mirror")
    operation = OPERATIONS[name]
    for number, fault in enumerate(TRANSIENT):
        scene.proxy.inject(fault, skip=2 * number)

    operation.run(scene)

    assert len(scene.proxy.injected()) >= 3
    scene.rows = operation.rows(scene.rows)
    scene.assert_sound()
    scene.assert_nothing_is_staged()
    if name == "replicate":
        assert_copied(scene)


@pytest.mark.parametrize(("cloud", "primary", "name", "fault", "stage"), CASES)
def test_lasting_faults_are_told_and_change_nothing(
    make_scene: MakeScene, cloud: str, primary: str, name: str, fault: str, stage: str
) -> None:
    scene = make_scene(cloud, primary, mirrored=name != "mirror")
    operation, (injected, advice) = OPERATIONS[name], LASTING[fault]
    method = "GET" if name == "scan" else "PUT"
    scene.proxy.inject(injected, method=method, path=stage, times=None)

    message = scene.fails(operation)

    assert advice in message
    scene.assert_next_write_works()
    if name == "replicate":
        operation.run(scene)
        assert_copied(scene)
