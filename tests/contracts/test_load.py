"""What a contract says, and finding it."""

from pathlib import Path

import pytest

from mcai_pipelines.config import EnvString
from mcai_pipelines.contracts import (
    ContractStore,
    Decimal,
    External,
    ListType,
    Primitive,
    StructField,
    StructType,
    load_contract,
)
from mcai_pipelines.errors import BadInput

ROOT = Path(__file__).parents[2]
GOOD = Path(__file__).parent / "good"


@pytest.fixture
def store() -> ContractStore:
    return ContractStore(GOOD)


def test_a_contract_is_read_whole(store: ContractStore) -> None:
    contract = store.get("retail/weekly_sales")
    assert contract.id == "retail.weekly_sales"
    assert (contract.version, contract.status, contract.name) == ("1.0.0", "active", "Weekly sales")
    assert contract.domain == "retail"
    assert contract.description == "One row per store and week."
    assert contract.owners == ("team:retail", "ann@example.com", "team:analytics")
    assert contract.tags == ("gold", "retail", "weekly")
    assert contract.table_name == "sales_by_week"
    assert (contract.format, contract.mirror, contract.external) == ("iceberg", "delta", None)
    assert contract.primary_key == ("week", "store_id")
    assert contract.partition_by == ("week",)
    assert contract.quality == ({"type": "library", "metric": "rowCount", "mustBeGreaterThan": 0},)
    assert contract.sla == ({"property": "latency", "value": 4, "unit": "d"},)
    assert contract.source == GOOD / "retail" / "weekly_sales.yaml"
    assert contract.raw["customProperties"][2] == {"property": "costCenter", "value": 4711}


def test_a_column_is_read_whole(store: ContractStore, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = store.get("retail/weekly_sales")
    sales = contract.column("sales")
    assert sales.type == Decimal(12, 2)
    assert not sales.required
    assert (sales.primary_key, sales.partition) == (None, None)
    assert (sales.business_name, sales.description) == ("Net sales", "In US dollars.")
    assert (sales.classification, sales.tags) == ("confidential", ("money",))
    assert sales.quality[0]["engine"] == "greatExpectations"
    assert sales.relationships == ({"to": "ledger.amount"},)
    week = contract.column("week")
    assert (week.type, week.required, week.primary_key, week.partition) == (
        Primitive("date"),
        True,
        1,
        1,
    )
    monkeypatch.chdir(ROOT)
    assert contract.where(sales) == "tests/contracts/good/retail/weekly_sales.yaml:41"


def test_nested_columns(store: ContractStore) -> None:
    assert store.get("retail/weekly_sales").column("baskets").type == ListType(
        StructType(
            (
                StructField("id", Primitive("long"), required=True),
                StructField("at", Primitive("timestamp_ntz")),
            )
        ),
        element_required=True,
    )


def test_a_column_that_is_not_there_is_named(store: ContractStore) -> None:
    with pytest.raises(BadInput, match="no column 'sale'; did you mean sales"):
        store.get("retail/weekly_sales").column("sale")


def test_a_team_of_the_older_standard_and_an_external_table(store: ContractStore) -> None:
    contract = store.get("retail/rates")
    assert contract.owners == ("ann@example.com",)
    assert contract.description == "Exchange rates of the bank."
    assert contract.name == contract.table_name == "rates"
    assert contract.format == "delta"
    assert contract.external == External(
        "aws-us-east-1", "delta", EnvString("s3://${BANK_BUCKET}/rates")
    )
    assert contract.external.uri is not None
    assert contract.external.uri.where == f"{contract.where(contract.columns[0])[:-3]}:15"
    with pytest.raises(BadInput, match=r"rates\.yaml:15: the environment variable BANK_BUCKET"):
        contract.external.uri.resolve({})


def test_an_external_table_of_a_catalog(store: ContractStore) -> None:
    contract = store.get("events")
    assert contract.external == External("hq", "iceberg", catalog_table="raw.events")
    assert contract.domain is None
    assert contract.description == ""
    assert contract.owners == ()
    assert contract.partition_by == ("day", "hour")


def test_a_format_chosen_later_is_checked_later(store: ContractStore) -> None:
    (problem,) = store.get("events").unsupported("delta")
    assert problem.where.endswith("events.yaml:14")
    assert "the column at is time" in problem.what
    assert store.get("events").unsupported("iceberg") == []


def test_all_contracts(store: ContractStore) -> None:
    assert store.names() == ["events", "retail/rates", "retail/weekly_sales"]
    assert [contract.id for contract in store.all()] == [
        "events",
        "retail.rates",
        "retail.weekly_sales",
    ]
    assert ContractStore(GOOD / "absent").all() == []


def test_the_contracts_of_the_project_load() -> None:
    for contract in ContractStore(ROOT / "contracts").all():
        assert contract.owners
        assert contract.description


def test_a_contract_that_is_not_there_is_named(
    store: ContractStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(
        BadInput,
        match=r"retail/weekly_sale\.yaml: there is no contract .*did you mean retail/weekly_sales",
    ):
        store.get("retail/weekly_sale")
    with pytest.raises(BadInput, match="write the file"):
        ContractStore(GOOD / "absent").get("x")


@pytest.mark.parametrize("name", ["../good/events", "/etc/passwd", "", "retail/", "a\0b", "a.b"])
def test_a_name_cannot_leave_the_folder(store: ContractStore, name: str) -> None:
    with pytest.raises(BadInput, match="contract: there is no contract"):
        store.get(name)


def test_the_problems_of_all_files_come_together(tmp_path: Path) -> None:
    good = (GOOD / "events.yaml").read_text()
    (tmp_path / "events.yaml").write_text(good)
    (tmp_path / "copy.yaml").write_text(good)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "events.yaml").write_text(good)
    with pytest.raises(BadInput) as caught:
        ContractStore(tmp_path).all()
    assert [problem.fix for problem in caught.value.problems] == [
        "write 'id: copy', or move the file",
        "write 'id: deeper.events', or move the file",
    ]


def test_a_contract_outside_the_root_is_refused_not_crashed_on(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not match the path"):
        load_contract(GOOD / "events.yaml", tmp_path)


def test_a_repeated_alias_is_a_repeated_column(tmp_path: Path) -> None:
    text = (GOOD / "events.yaml").read_text()
    text = text.replace("- {name: at,", "- &at {name: at,") + "      - *at\n"
    (tmp_path / "events.yaml").write_text(text)
    with pytest.raises(BadInput, match="two columns are called 'at'"):
        load_contract(tmp_path / "events.yaml")
