"""``mcai erase``: a plan first, then the erasure and a report that is kept."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mcai_pipelines.lakehouse.lake import Lake
from tests.cli.conftest import SALES, Mcai
from tests.lakehouse import decoder

PERSON = 7_340_219_455_123
SUBJECT = f"person={PERSON}"


@pytest.fixture
def people(shop: Lake) -> Lake:
    """The shop, and one more table whose rows are of people."""
    table = shop.declare(("shop", "people"), "aws-us-east-1", None)
    version = table.write(pl.DataFrame({"person": [PERSON, 12], "n": [1, 2]})).version.id
    shop.register(table, "aws-us-east-1", None)
    sums = shop.declare(("shop", "sums"), "azure-westeurope", None)
    sums.write(pl.DataFrame({"total": [3]}), inputs={"shop/people": version})
    shop.register(sums, "azure-westeurope", None)
    return shop


def test_the_plan_changes_nothing(mcai: Mcai, people: Lake) -> None:
    before = people.table("shop/people").head().version
    done = mcai("erase", "--subject", SUBJECT, "--dry-run")
    assert done.code == 0
    assert "shop/people  aws-us-east-1  person     1" in done.out
    assert "shop/sums: 1 rows made from shop/people (1 versions); run it again" in done.err
    assert str(PERSON) not in done.out + done.err
    plan = mcai("erase", "--subject", SUBJECT, "--dry-run", "--json").json
    assert plan["tables"][0]["rows"] == 1
    assert people.table("shop/people").head().version == before


def test_nobody_confirms(mcai: Mcai, people: Lake) -> None:
    done = mcai("erase", "--subject", SUBJECT)
    assert (done.code, done.err.splitlines()[-1]) == (
        2,
        "mcai erase: nobody is there to confirm the plan; add --yes",
    )
    assert people.table("shop/people").scan().collect().height == 2


def test_it_is_erased_and_the_report_is_kept(mcai: Mcai, people: Lake, home: Path) -> None:
    version = people.table("shop/people").head().version
    done = mcai("erase", "--subject", SUBJECT, "--yes", "--reason", "ticket 42")
    assert done.code == 0
    assert "shop/people     1                1  iceberg 2" in done.out
    [report] = (home / "erasures").iterdir()
    assert f"Erased; the report is {report}." in done.err
    assert "ticket 42" in report.read_text()
    assert decoder.find(home, PERSON) == []
    read = mcai("table", "read", "shop/people", "--version", str(version))
    assert read.code == 2
    assert "was erased on" in read.err
    assert "(ticket 42)" in read.err
    early = mcai("table", "read", "shop/people", "--as-of", "2020-01-01")
    assert (early.code, "was erased on" in early.err) == (2, True)
    back = mcai("table", "rollback", "shop/people", "--to", str(version), "--yes")
    assert (back.code, "was erased on" in back.err) == (2, True)
    history = mcai("table", "history", "shop/people", "--json").json
    assert [row["operation"] for row in history] == ["expire", "erase"]


def test_it_is_nowhere_any_more(mcai: Mcai, people: Lake) -> None:
    answer = mcai("erase", "--subject", SUBJECT, "--yes", "--json").json
    assert answer["complete"]
    assert Path(answer["file"]).is_file()
    again = mcai("erase", "--subject", SUBJECT, "--yes")
    assert (again.code, again.out) == (0, "")
    assert "Nothing of ours holds the subject (1 tables searched)." in again.err


def test_a_table_that_cannot_be_searched(mcai: Mcai, people: Lake, home: Path) -> None:
    folder = home / "sites" / "azure-westeurope" / "local" / "shop" / "sales" / "_delta_log"
    folder.rename(folder.with_name("away"))
    done = mcai("erase", "--subject", SUBJECT, "--dry-run")
    assert (done.code, f"{SALES} was not searched" in done.err) == (1, True)
    done = mcai("erase", "--subject", SUBJECT, "--yes")
    assert done.code == 1
    assert f"{SALES}: not erased: " in done.err
    assert "Not complete (mcai erase … --continue 2" in done.err
    assert decoder.find(home, PERSON) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--subject", "person"], "COLUMN=VALUE"),
        (["--subject", "persom=1"], "did you mean person?"),
        (["--subject", "person=x"], "no such value"),
        (["--subject", SUBJECT, "--table", "shop/peple"], "did you mean shop/people?"),
        (["--subject", SUBJECT, "--reason", f"for {PERSON}"], "the reason has the subject's key"),
    ],
)
def test_bad_input(mcai: Mcai, people: Lake, arguments: list[str], said: str) -> None:
    done = mcai("erase", "--yes", *arguments)
    assert (done.code, said in done.err) == (2, True)
    assert str(PERSON) not in done.err
