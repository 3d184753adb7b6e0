"""Erasing a subject from all tables of a namespace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mcai_pipelines.config import load_platform
from mcai_pipelines.contracts import ContractStore
from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse.erase import Erasure, check_reason
from mcai_pipelines.lakehouse.erase_plan import Plan, Report
from mcai_pipelines.lakehouse.erase_report import markdown, plan_data, report_data
from mcai_pipelines.lakehouse.errors import VersionErased
from mcai_pipelines.lakehouse.lake import Lake
from mcai_pipelines.lakehouse.replicas import replicate_table
from mcai_pipelines.lakehouse.subject import Subject
from tests.lakehouse import decoder

EAST, WEST, SOUTH = "aws-us-east-1", "azure-westeurope", "gcp-asia-southeast1"
PERSON = 7_340_219_455_123
OTHERS = [12, PERSON - 1000]
SUBJECT = Subject("person", str(PERSON))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def lake(tmp_path: Path, home: Path) -> Lake:
    env = {"MCAI_HOME": str(home)}
    return Lake(load_platform(env=env), ContractStore(tmp_path / "contracts"), env)


def write(
    lake: Lake,
    key: str,
    rows: dict[str, Any],
    site: str = EAST,
    inputs: dict[str, int] | None = None,
    contract: str | None = None,
    partition_by: tuple[str, ...] = (),
) -> int:
    """Append rows to a table, and register it; returns the version."""
    agreed = lake.contracts.get(contract) if contract else None
    table = lake.declare(tuple(key.split("/")), site, agreed, partition_by)
    version = table.write(pl.DataFrame(rows), inputs=inputs).version.id
    lake.register(table, site, contract)
    return version


def contract(lake: Lake, name: str, *columns: str, extra: str = "") -> None:
    path = lake.contracts.root / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    items = "\n".join(f"      - {column}" for column in columns)
    path.write_text(
        f"apiVersion: v3.1.0\nkind: DataContract\nid: {name.replace('/', '.')}\nversion: 1.0.0\n"
        f"status: active\n{extra}schema:\n"
        f"  - name: {name.split('/')[1]}\n    properties:\n{items}\n"
    )


def erase(lake: Lake, subject: Subject = SUBJECT, **options: Any) -> tuple[Plan, Report]:
    erasure = Erasure(lake, subject, options.pop("tables", ()))
    plan = erasure.plan()
    return plan, erasure.execute(plan, **options)


def rows(*persons: int, **more: Any) -> dict[str, Any]:
    return {"n": list(range(len(persons))), "person": list(persons), **more}


def test_every_table_with_the_column_on_every_site(lake: Lake, home: Path) -> None:
    bought = write(lake, "shop/buys", rows(PERSON, *OTHERS), EAST, partition_by=("person",))
    for site in (WEST, SOUTH):
        write(lake, f"{site}/buys", rows(PERSON, *OTHERS), site, {"shop/buys": bought})
    write(lake, "shop/others", rows(*OTHERS))
    sums = write(lake, "shop/sums", {"total": [3]}, WEST, {"shop/buys": bought})
    write(lake, "shop/trend", {"slope": [0.1]}, WEST, {"shop/sums": sums})
    assert decoder.find(home, PERSON)

    plan, report = erase(lake, reason="ticket 42")

    assert decoder.find(home, PERSON) == []
    assert sorted(h.table for h in plan.holdings) == [f"{WEST}/buys", f"{SOUTH}/buys", "shop/buys"]
    assert report.complete
    assert {table: removal.rows for table, removal in report.removed.items()} == dict.fromkeys(
        [f"{WEST}/buys", f"{SOUTH}/buys", "shop/buys"], 1
    )
    assert {a.table: dict(a.inputs) for a in plan.aggregates} == {
        "shop/sums": {"shop/buys": (bought,)},
        "shop/trend": {"shop/sums": (sums,)},
    }
    with pytest.raises(VersionErased, match="ticket 42"):
        lake.table("shop/buys").scan(version=bought)
    [kept] = lake.state.erasures(lake.namespace)
    assert (kept.id, kept.reason, kept.column_name) == (report.id, "ticket 42", "person")
    assert kept.ended_at == report.ended
    assert json.loads(kept.report)["complete"]
    for text in (
        markdown(report),
        str(report_data(report)),
        repr(report),
        repr(plan),
        repr(SUBJECT),
    ):
        assert str(PERSON) not in text
    assert "| shop/sums |" in markdown(report)


def test_a_subject_that_is_nowhere(lake: Lake, home: Path) -> None:
    write(lake, "shop/buys", rows(*OTHERS))
    files = {path for path in home.rglob("*") if path.is_file() and "buys" in str(path)}
    plan = Erasure(lake, SUBJECT).plan()
    assert not plan.found
    assert plan_data(plan) | {"aggregates": []} == {
        "column": "person",
        "found": False,
        "searched": ["shop/buys"],
        "tables": [],
        "external": [],
        "quarantined": {},
        "aggregates": [],
        "failed": {},
    }
    assert files == {path for path in home.rglob("*") if path.is_file() and "buys" in str(path)}


@pytest.mark.parametrize("site", [WEST, EAST])
def test_replicas_follow_their_original(lake: Lake, home: Path, site: str) -> None:
    """And a replica of the replica; receipts name folders, and with them the subject."""
    write(lake, "shop/buys", rows(PERSON, *OTHERS), EAST, partition_by=("person",))
    replicate_table(lake, "shop/buys", site, replica="copy/one")
    replicate_table(lake, "copy/one", SOUTH, replica="a/second")
    assert decoder.find(home, PERSON)

    plan, report = erase(lake)

    assert len(plan.holdings) == 3
    assert report.complete, report.failed
    assert [removal.rows for removal in report.removed.values()] == [1, 1, 1]
    assert decoder.find(home, PERSON) == []
    _, done = replicate_table(lake, "shop/buys", site, replica="copy/one")
    assert done.files_copied == 0
    for key in ("copy/one", "a/second"):
        assert lake.table(key).scan().collect()["person"].sort().to_list() == OTHERS


def test_relationships_lead_to_the_key_under_another_name(lake: Lake, home: Path) -> None:
    number = "logicalType: integer, logicalTypeOptions: {format: i64}"
    contract(lake, "shop/people", f"{{name: person, {number}}}")
    contract(
        lake,
        "shop/visits",
        f"{{name: visitor, {number}, relationships: [{{type: foreignKey, to: people.person}}]}}",
        "{name: n, logicalType: integer}",
    )
    write(lake, "shop/people", {"person": [PERSON, 12]}, contract="shop/people")
    write(lake, "shop/visits", {"visitor": [PERSON, 12], "n": [1, 2]}, contract="shop/visits")
    write(lake, "shop/unrelated", {"visitor": [12, 13]})

    plan, report = erase(lake)

    assert {(h.table, h.column) for h in plan.holdings} == {
        ("shop/people", "person"),
        ("shop/visits", "visitor"),
    }
    assert plan.searched == ["shop/people", "shop/visits"]
    assert report.complete
    assert decoder.find(home, PERSON) == []
    # From the other end of the relationship, it is the same.
    write(lake, "shop/people", {"person": [PERSON]}, contract="shop/people")
    plan = Erasure(lake, SUBJECT.under("visitor"), ["shop/visits"]).plan()
    assert [h.table for h in plan.holdings] == ["shop/people"]


def test_two_columns_of_one_table(lake: Lake, home: Path) -> None:
    """Who bought, and for whom: both are of the same people."""
    number = "logicalType: integer, logicalTypeOptions: {format: i64}"
    relation = "relationships: [{to: people.person}]"
    contract(lake, "shop/people", f"{{name: person, {number}}}")
    contract(
        lake,
        "shop/gifts",
        f"{{name: giver, {number}, {relation}}}",
        f"{{name: taker, {number}, {relation}}}",
    )
    write(lake, "shop/people", {"person": [12]}, contract="shop/people")
    gifts = {"giver": [PERSON, 12, 13], "taker": [12, PERSON, 14]}
    write(lake, "shop/gifts", gifts, contract="shop/gifts")

    _, report = erase(lake)

    assert report.removed["shop/gifts"].rows == 2
    assert lake.table("shop/gifts").scan().collect().rows() == [(13, 14)]
    assert decoder.find(home, PERSON) == []


def test_from_one_table_downstream(lake: Lake) -> None:
    """A column of the same name means somebody else where nothing leads there."""
    made = write(lake, "shop/buys", rows(PERSON, 12))
    write(lake, "shop/clean", rows(PERSON), WEST, {"shop/buys": made})
    write(lake, "zoo/visits", rows(PERSON))

    plan, report = erase(lake, tables=["shop/buys"])

    assert sorted(report.removed) == ["shop/buys", "shop/clean"]
    assert plan.searched == ["shop/buys", "shop/clean"]
    assert lake.table("zoo/visits").scan().collect().height == 1


def test_an_adopted_table_is_told_of(lake: Lake, tmp_path: Path) -> None:
    pl.DataFrame(rows(PERSON, 12)).write_delta(tmp_path / "theirs")
    place = f"{{site: {WEST}, format: delta, uri: '{tmp_path}/theirs'}}"
    contract(
        lake,
        "theirs/people",
        "{name: person, logicalType: integer, logicalTypeOptions: {format: i64}}",
        extra=f"customProperties: [{{property: external, value: {place}}}]\n",
    )
    write(lake, "shop/buys", rows(PERSON, 12))

    plan, report = erase(lake)

    assert [(f.table, f.rows) for f in plan.foreign] == [("theirs/people", 1)]
    assert sorted(report.removed) == ["shop/buys"]
    assert "its owner has to erase it" in markdown(report)


def test_a_site_that_is_down_is_told_of_and_the_rerun_completes(lake: Lake, home: Path) -> None:
    write(lake, "shop/buys", rows(PERSON, 12), EAST)
    write(lake, "shop/west", rows(PERSON, 12), WEST)
    log = home / "sites" / WEST / "local" / "shop" / "west" / "_delta_log"
    log.rename(log.with_name("away"))

    plan, report = erase(lake, reason="r")

    assert list(plan.failed) == list(report.failed) == ["shop/west"]
    assert not report.complete
    assert report.removed["shop/buys"].rows == 1
    assert lake.state.erasures(lake.namespace)[0].ended_at is None
    log.with_name("away").rename(log)
    plan, again = erase(lake, reason="r", id=report.id)
    assert again.complete
    assert sorted(again.removed) == ["shop/west"]
    assert decoder.find(home, PERSON) == []
    [kept] = lake.state.erasures(lake.namespace)
    assert kept.ended_at is not None


def test_a_failure_in_the_middle_does_not_keep_the_rest(
    lake: Lake, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        write(lake, f"shop/{name}", rows(PERSON, 12), partition_by=("person",))
    erasure = Erasure(lake, SUBJECT)
    plan = erasure.plan()
    table = erasure._known["shop/a"].table
    assert table is not None

    def failing() -> None:
        raise OSError(f"disk error at /x/person={PERSON}/y.parquet")

    monkeypatch.setattr(table, "repair_mirror", failing)
    report = erasure.execute(plan)

    assert sorted(report.removed) == ["shop/b"]
    assert "disk error at /x/person=…/y" in report.failed["shop/a"]
    assert str(PERSON) not in json.dumps(report_data(report), default=str)
    _, again = erase(lake)
    assert again.complete
    assert decoder.find(home, PERSON) == []


def test_quarantined_batches(lake: Lake, home: Path) -> None:
    write(lake, "shop/buys", rows(12), WEST)
    folder = home / "sites" / WEST / "local" / "_quarantine" / "shop" / "buys"
    folder.mkdir(parents=True)
    pl.DataFrame(rows(PERSON, 12)).write_parquet(folder / "bad.parquet")
    pl.DataFrame(rows(12)).write_parquet(folder / "other.parquet")
    pl.DataFrame({"n": [1]}).write_parquet(folder / "without.parquet")
    Path(folder, "bad.json").write_text(json.dumps({"sample": PERSON}))
    Path(folder, "broken.parquet").write_bytes(b"PAR1")

    plan, report = erase(lake)

    assert plan.found
    assert report.quarantined == {WEST: 3}
    assert sorted(path.name for path in folder.iterdir()) == ["other.parquet", "without.parquet"]


def test_what_cannot_be_asked(lake: Lake) -> None:
    with pytest.raises(BadInput, match="write some tables first"):
        Erasure(lake, SUBJECT)
    write(lake, "shop/buys", rows(12))
    with pytest.raises(BadInput, match="column 'persom'; did you mean person"):
        Erasure(lake, Subject.parse("persom=1"))
    with pytest.raises(BadInput, match=r"no table 'shop/bys'.*did you mean shop/buys"):
        Erasure(lake, SUBJECT, ["shop/bys"])
    with pytest.raises(BadInput, match="shop/buys has no column 'persom'; did you mean person"):
        Erasure(lake, Subject.parse("persom=1"), ["shop/buys"])
    with pytest.raises(BadInput, match="person is long, and the value given is no such value"):
        Erasure(lake, Subject.parse("person=x"))
    with pytest.raises(BadInput, match="no such value"):
        Erasure(lake, Subject.parse(f"person={2**63}"))
    for bad in ("person", "=1", "person="):
        with pytest.raises(BadInput, match="COLUMN=VALUE"):
            Subject.parse(bad)
    check_reason("ticket 12", Subject("person", "1"))
    with pytest.raises(BadInput, match="is kept"):
        check_reason("person 12 asked", Subject("person", "12"))


def test_the_same_column_in_other_types(lake: Lake, home: Path) -> None:
    write(lake, "shop/buys", rows(PERSON, 12))
    write(lake, "shop/texts", {"person": [str(PERSON), "twelve"]}, WEST)
    write(lake, "shop/flags", {"person": [True, False]}, WEST)

    _, report = erase(lake)

    assert sorted(report.removed) == ["shop/buys", "shop/texts"]
    assert decoder.find(home, PERSON) == []
    _, report = erase(lake, Subject("person", "twelve"))
    assert sorted(report.removed) == ["shop/texts"]
