"""The retail contracts say what the tables are."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from assets.retail import reference, sales, source
from assets.retail.households import DEMOGRAPHICS
from mcai_pipelines.contracts import Contract, ContractStore

STORE = ContractStore(Path(__file__).parents[2] / "contracts")
NAMES = [name for name in STORE.names() if name.startswith("retail/")]
TYPES = {
    "long": pl.Int64,
    "double": pl.Float64,
    "string": pl.String,
    "date": pl.Date,
    "timestamptz": pl.Datetime("us", "UTC"),
}


@pytest.fixture(scope="session")
def tables(
    purchases: Mapping[str, pl.LazyFrame],
    households: Mapping[str, pl.LazyFrame],
    weekly_sales: Mapping[str, pl.LazyFrame],
) -> Mapping[str, pl.LazyFrame]:
    site = "gcp-asia-southeast1"  # the one with the most rows
    return {
        "retail/transactions": purchases[site],
        "retail/households": households[site],
        "retail/weekly_sales": weekly_sales[site],
        "retail/global_weekly_sales": sales.global_weekly_sales(weekly_sales),
        "retail/products": reference.products(source.products()),
        "retail/promotions": reference.promotions(source.promotions()),
        "retail/coupons": reference.coupons(source.coupons()),
        "retail/campaigns": reference.campaigns(source.campaigns(), source.campaign_descriptions()),
    }


@pytest.fixture(params=NAMES)
def contract(request: pytest.FixtureRequest) -> Contract:
    return STORE.get(request.param)


@pytest.fixture
def table(contract: Contract, tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    return tables[contract.id.replace(".", "/")]


def test_every_table_has_a_contract(tables: Mapping[str, pl.LazyFrame]) -> None:
    assert sorted(tables) == NAMES


def test_columns_and_types_are_those_of_the_contract(
    contract: Contract, table: pl.LazyFrame
) -> None:
    promised = [(column.name, TYPES[str(column.type)]) for column in contract.columns]
    assert list(table.collect_schema().items()) == promised


def test_required_columns_have_no_nulls_and_the_others_do(
    contract: Contract, table: pl.LazyFrame
) -> None:
    nulls = table.null_count().collect(engine="streaming").row(0, named=True)
    required = {column.name for column in contract.columns if column.required}
    assert {column for column, count in nulls.items() if count == 0} == required


def test_primary_keys_are_unique(contract: Contract, table: pl.LazyFrame) -> None:
    if not contract.primary_key:
        assert contract.id == "retail.coupons"  # repeats rows, and says so
        return
    # Two keys of 21 million have the same 64-bit hash once in 100,000 such tables.
    keys = table.select(pl.struct(contract.primary_key).hash())
    rows, distinct = keys.select(pl.len(), pl.all().n_unique()).collect(engine="streaming").row(0)
    assert rows == distinct


def test_weekly_tables_are_partitioned_by_week(contract: Contract) -> None:
    weekly = "weekly" in contract.tags
    assert contract.partition_by == (("week",) if weekly else ())


def test_listed_values_are_those_of_the_data(contract: Contract, table: pl.LazyFrame) -> None:
    for column in contract.columns:
        for rule in column.quality:
            if rule.get("metric") == "invalidValues":
                values = table.select(pl.col(column.name).drop_nulls().unique())
                found = set(values.collect(engine="streaming").to_series())
                assert found == set(rule["arguments"]["validValues"])


def test_household_ids_and_demographics_are_personal_and_nothing_else_is(
    contract: Contract,
) -> None:
    personal = {column.name for column in contract.columns if column.classification == "personal"}
    names = {column.name for column in contract.columns}
    assert personal == names & {"household_id", *DEMOGRAPHICS}


def test_everything_is_described_and_owned(contract: Contract) -> None:
    assert contract.description
    assert contract.owners == ("team:retail-data", "retail-data@example.com")
    assert all(column.description for column in contract.columns)


def test_only_promotions_asks_for_a_format() -> None:
    asked = {name: (STORE.get(name).format, STORE.get(name).mirror) for name in NAMES}
    formats = asked.pop("retail/promotions")
    assert formats == ("iceberg", "delta")
    assert set(asked.values()) == {(None, None)}
