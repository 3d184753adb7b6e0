"""Derived tables follow their inputs: every week of them, once per change, and never in a loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.retail import regions
from tests.retail import SITES, Retail, expected_weekly_sales, key, keys, same_rows, week_dates

SALES = [f"{site}/weekly_sales" for site in SITES]
TRANSACTIONS = [f"{site}/transactions" for site in SITES]
PRODUCTS = "global/products"
REPLICAS = [f"{site}/products" for site in SITES[1:]]
AT_EVERY_SITE = (PRODUCTS, *REPLICAS)
GLOBAL = "global/weekly_sales"

Requests = Mapping[str, list[str]]
NOTHING: Requests = {}


@contextmanager
def out_of_order(retail: Retail, table: str) -> Iterator[None]:
    """Nothing can be read or written meanwhile: a file is where the table's folder should be."""
    folder = Path(retail.lake.table(table).storage.uri)
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    folder.touch()
    yield
    folder.unlink()
    elsewhere.rename(folder)


class Automation:
    """Ticks of the daemon, each with the memory of the one before, and the runs they ask for."""

    def __init__(self, retail: Retail) -> None:
        self.retail = retail
        self.memory: Any = None

    def tick(self) -> Requests:
        """The weeks that are requested now, by table."""
        result = dg.evaluate_automation_conditions(
            self.retail.defs, self.retail.instance, cursor=self.memory
        )
        self.memory = result.cursor
        return {
            found.key.to_user_string(): sorted(map(str, result.get_requested_partitions(found.key)))
            for found in result.results
            if isinstance(found.key, dg.AssetKey) and not found.true_subset.is_empty
        }

    def run(self, *tables: str, weeks: tuple[int, int] | None = None, fails: bool = False) -> None:
        """A run that the daemon started for a request."""
        tags = {"dagster/from_automation_condition": "true"}
        result = self.retail.materialize(*tables, weeks=weeks, tags=tags, raise_on_error=not fails)
        assert result.success is not fails

    def settle(self, *, weeks: tuple[int, int]) -> None:
        """Tick and run until nothing is left to do."""
        assert set(self.tick()) == set(SALES)
        self.run(*SALES, weeks=weeks)
        assert set(self.tick()) == {GLOBAL}
        self.run(GLOBAL, weeks=weeks)
        assert self.tick() == NOTHING


@pytest.fixture
def automation(retail: Retail) -> Automation:
    """Automation that has been on since before there was any table."""
    automation = Automation(retail)
    assert automation.tick() == NOTHING
    return automation


@pytest.fixture
def settled(automation: Automation) -> Automation:
    """Weeks 2 and 3 are ingested, and everything was derived from them."""
    automation.retail.materialize(*AT_EVERY_SITE)
    automation.retail.materialize(*TRANSACTIONS, weeks=(2, 3))
    automation.settle(weeks=(2, 3))
    return automation


def test_sales_follow_what_was_ingested_and_then_the_global_table(automation: Automation) -> None:
    retail = automation.retail
    retail.materialize(*AT_EVERY_SITE)
    assert automation.tick() == NOTHING
    retail.materialize(*TRANSACTIONS, weeks=(2, 3))

    assert automation.tick() == dict.fromkeys(SALES, keys(2, 3))
    automation.run(*SALES, weeks=(2, 3))
    assert automation.tick() == {GLOBAL: keys(2, 3)}
    automation.run(GLOBAL, weeks=(2, 3))
    assert automation.tick() == NOTHING

    for site, table in zip(regions.SITES, SALES, strict=True):
        assert same_rows(retail.rows(table), expected_weekly_sales(site, week_dates(2, 3))), site
    assert retail.weeks(GLOBAL) == keys(2, 3)


def test_a_week_waits_for_all_of_its_inputs(automation: Automation) -> None:
    retail = automation.retail
    retail.materialize(*TRANSACTIONS[:3], weeks=(2, 2))
    assert automation.tick() == NOTHING, "there are no products yet"
    retail.materialize(*AT_EVERY_SITE)

    assert automation.tick() == dict.fromkeys(SALES[:3], keys(2, 2))
    automation.run(*SALES[:3], weeks=(2, 2))
    assert automation.tick() == NOTHING, "one site is missing in the global table"

    retail.materialize(TRANSACTIONS[3], weeks=(2, 2))
    assert automation.tick() == {SALES[3]: [key(2)]}
    automation.run(SALES[3], weeks=(2, 2))
    assert automation.tick() == {GLOBAL: [key(2)]}


def test_an_old_week_that_comes_again_is_derived_again_alone(settled: Automation) -> None:
    settled.retail.materialize(TRANSACTIONS[1], weeks=(2, 2))

    assert settled.tick() == {SALES[1]: [key(2)]}
    settled.run(SALES[1], weeks=(2, 2))
    assert settled.tick() == {GLOBAL: [key(2)]}
    settled.run(GLOBAL, weeks=(2, 2))
    assert settled.tick() == NOTHING


def test_new_products_concern_every_week_there_is(settled: Automation) -> None:
    settled.retail.materialize(*AT_EVERY_SITE)

    assert settled.tick() == dict.fromkeys(SALES, keys(2, 3))
    settled.run(*SALES, weeks=(2, 3))
    assert settled.tick() == {GLOBAL: keys(2, 3)}


def test_new_products_reach_the_sites_before_their_sales(settled: Automation) -> None:
    settled.retail.materialize(PRODUCTS)

    requested = settled.tick()
    assert set(requested) == {SALES[0], *REPLICAS}, "the first site has the table itself"
    settled.run(*REPLICAS)
    settled.run(SALES[0], weeks=(2, 3))

    assert settled.tick() == dict.fromkeys(SALES[1:], keys(2, 3))
    settled.run(*SALES[1:], weeks=(2, 3))
    assert settled.tick() == {GLOBAL: keys(2, 3)}
    settled.run(GLOBAL, weeks=(2, 3))
    assert settled.tick() == NOTHING


def test_weeks_from_before_automation_was_turned_on_are_derived(retail: Retail) -> None:
    retail.materialize(*AT_EVERY_SITE)
    retail.materialize(*TRANSACTIONS, weeks=(2, 3))
    retail.materialize(SALES[0], weeks=(2, 3))

    automation = Automation(retail)

    assert automation.tick() == dict.fromkeys(SALES[1:], keys(2, 3))


def test_what_failed_is_requested_again_only_when_an_input_changes(settled: Automation) -> None:
    retail = settled.retail
    retail.materialize(TRANSACTIONS[1], weeks=(2, 4))
    assert settled.tick() == {SALES[1]: keys(2, 4)}
    with out_of_order(retail, SALES[1]):
        settled.run(SALES[1], weeks=(2, 4), fails=True)

        for _ in range(3):
            assert settled.tick() == NOTHING

    retail.materialize(TRANSACTIONS[1], weeks=(3, 4))
    assert settled.tick() == {SALES[1]: keys(3, 4)}


def test_an_input_that_changes_while_it_is_read_is_read_again(settled: Automation) -> None:
    settled.retail.materialize(TRANSACTIONS[1], weeks=(2, 2))
    assert settled.tick() == {SALES[1]: [key(2)]}

    settled.retail.materialize(TRANSACTIONS[1], weeks=(2, 2))
    settled.run(SALES[1], weeks=(2, 2))

    assert SALES[1] in settled.tick()


def test_and_also_if_a_tick_comes_between(settled: Automation) -> None:
    settled.retail.materialize(TRANSACTIONS[1], weeks=(2, 2))
    assert settled.tick() == {SALES[1]: [key(2)]}
    assert settled.tick() == NOTHING

    settled.retail.materialize(TRANSACTIONS[1], weeks=(2, 2))
    settled.run(SALES[1], weeks=(2, 2))

    assert SALES[1] in settled.tick()


def test_what_somebody_computed_by_hand_is_not_computed_again(settled: Automation) -> None:
    settled.retail.materialize(*TRANSACTIONS, *SALES, GLOBAL, weeks=(2, 4))

    assert settled.tick() == NOTHING


def test_unless_an_input_changed_after_it(settled: Automation) -> None:
    settled.retail.materialize(*TRANSACTIONS, *SALES, GLOBAL, weeks=(2, 4))
    settled.retail.materialize(TRANSACTIONS[2], weeks=(4, 4))

    assert settled.tick() == {SALES[2]: [key(4)]}
