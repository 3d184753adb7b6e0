"""``mcai table expire``: old versions and their files go."""

from __future__ import annotations

import pytest

from mcai_pipelines.lakehouse.lake import Lake
from tests.cli.conftest import SALES, Mcai


def test_a_rehearsal_then_the_expiry(mcai: Mcai, shop: Lake) -> None:
    told = mcai("table", "expire", SALES, "--keep", "1", "--older-than", "0s", "--dry-run")
    assert told.code == 0
    assert f"{SALES}: would expire 2 of delta; kept 1 versions." in told.err
    assert len(shop.table(SALES).history()) == 3

    done = mcai("table", "expire", SALES, "--keep", "1", "--older-than", "0s")
    assert done.code == 0
    assert [line.split()[:2] for line in done.out.splitlines()[1:]] == [
        ["data", "2"],
        ["log", "entry"],
    ]
    assert "Reclaimed: " in done.err
    history = mcai("table", "history", SALES, "--json").json
    assert [row["operation"] for row in history] == ["expire", "write"]
    assert shop.table(SALES).scan().collect().height == 3


def test_json_tells_all(mcai: Mcai, shop: Lake) -> None:
    answer = mcai("table", "expire", SALES, "--json").json
    assert answer == {
        "key": SALES,
        "expired": {"delta": 0},
        "retained": {"delta": 3},
        "files": {},
        "bytes": {},
        "kept": {},
        "dry_run": False,
        "reclaimed": 0,
    }


@pytest.mark.parametrize("age", ["7", "d", "seven days", "-1d", "99999999999999w"])
def test_an_age_is_a_number_and_a_unit(mcai: Mcai, shop: Lake, age: str) -> None:
    done = mcai("table", "expire", SALES, f"--older-than={age}")
    assert (done.code, "is not an age" in done.err) == (2, True)


def test_an_unknown_table(mcai: Mcai, shop: Lake) -> None:
    done = mcai("table", "expire", "shop/sale")
    assert (done.code, "did you mean shop/sales?" in done.err) == (2, True)
