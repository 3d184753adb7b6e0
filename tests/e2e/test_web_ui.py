"""The web UI of ``dagster dev`` in a real browser, with the daemon that runs what is clicked.

One server and one story: each test goes on where the one before it stopped. Screenshots are in
the server's folder, which pytest keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.browser import chromium, page
from tests.e2e.home import Home
from tests.e2e.server import Server, wait_for
from tests.retail import (
    SITES,
    expected_transactions,
    expected_weekly_sales,
    key,
    same_rows,
    week_dates,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

SITE = "azure-westeurope"
TRANSACTIONS = "azure_westeurope/transactions"
SALES = "azure_westeurope/weekly_sales"
EXPECTED_NOTICES = (
    "SupersessionWarning",  # Dagster would rather have `dg dev` used
    "in the current folder",  # there is a dagster.yaml in the project, for another purpose
)

pytestmark = pytest.mark.skipif(chromium() is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(Home(tmp_path_factory.mktemp("web-ui"))) as server:
        yield server


@pytest.fixture
def browser(server: Server) -> Iterator[Page]:
    with page(1600, 1200) as browser:
        errors: list[str] = []
        browser.on("pageerror", lambda error: errors.append(str(error)))
        yield browser
        assert errors == [], "scripts of the page failed"


def runs(server: Server) -> list[dict[str, Any]]:
    """All runs, newest first."""
    query = "{ runsOrError { ... on Runs { results { status tags { key value } } } } }"
    found: list[dict[str, Any]] = server.graphql(query)["runsOrError"]["results"]
    return found


def sensor_status(server: Server, name: str) -> str:
    query = """query ($selector: SensorSelector!) {
        sensorOrError(sensorSelector: $selector) { ... on Sensor { sensorState { status } } }
    }"""
    selector = {
        "repositoryLocationName": "mcai_pipelines",
        "repositoryName": "__repository__",
        "sensorName": name,
    }
    found = server.graphql(query, selector=selector)
    return str(found["sensorOrError"]["sensorState"]["status"])


def wait_for_runs(server: Server, count: int) -> None:
    """Wait until so many runs have ended, and insist that they ended well."""
    ended = {"SUCCESS", "FAILURE", "CANCELED"}

    def done() -> bool:
        states = [run["status"] for run in runs(server)]
        return len(states) >= count and set(states) <= ended

    wait_for(f"{count} runs", done)
    assert [run["status"] for run in runs(server)] == ["SUCCESS"] * count, server.log()


def test_the_lineage_page_shows_every_group(server: Server, browser: Page) -> None:
    browser.goto(f"{server.url}/asset-groups")

    for group in (*SITES, "completejourney", "reference", "global"):
        browser.get_by_text(group, exact=True).first.wait_for()
    browser.screenshot(path=server.home.root / "lineage.png")


def test_a_table_without_partitions_is_one_click(server: Server, browser: Page) -> None:
    browser.goto(f"{server.url}/assets/global/products")
    browser.get_by_role("button", name="Materialize").first.click()

    browser.get_by_text("Launched run").first.wait_for()


def test_a_backfill_of_a_range_is_one_run_and_one_commit(server: Server, browser: Page) -> None:
    shots = server.home.root
    browser.goto(f"{server.url}/assets/{TRANSACTIONS}")
    browser.get_by_role("button", name="Materialize").first.click()
    dialog = browser.get_by_role("dialog")
    weeks = dialog.get_by_placeholder("ex: ")
    weeks.fill(f"[{key(2)}...{key(4)}]")
    weeks.press("Enter")
    dialog.get_by_text("3 partitions").wait_for()
    browser.screenshot(path=shots / "choose-partitions.png")
    dialog.get_by_role("button", name="Launch backfill").click()

    wait_for_runs(server, 2)

    table = server.home.lake.table(TRANSACTIONS)
    assert same_rows(table.scan(), expected_transactions(SITE, week_dates(2, 4)))
    assert len(table.history()) == 1
    browser.goto(f"{server.url}/assets/{TRANSACTIONS}?view=partitions")
    browser.get_by_text("Materialized (3)").wait_for()
    browser.get_by_text("Missing (48)").wait_for()
    browser.screenshot(path=shots / "partitions.png")


def test_automation_is_turned_on_with_a_switch(server: Server, browser: Page) -> None:
    browser.goto(f"{server.url}/automation")
    row = browser.locator("[class*=ListItem]:has([class*=ListItem_right])")
    switch = row.filter(has_text="keep_tables_current").last.locator("[class*=right] input:enabled")
    switch.locator("..").click()

    wait_for("turning it on", lambda: sensor_status(server, "keep_tables_current") == "RUNNING")
    browser.screenshot(path=server.home.root / "automation-is-on.png")


def test_the_materialization_says_what_was_committed(server: Server, browser: Page) -> None:
    table = server.home.lake.table(TRANSACTIONS)
    browser.goto(f"{server.url}/assets/{TRANSACTIONS}?view=partitions&partition={key(4)}")

    rows = browser.locator("table").filter(has_text="mcai/version").locator("tr")
    rows.first.wait_for()
    said = {}
    for row in rows.all():
        name, value = row.locator("td").all_inner_texts()[:2]
        said[name.strip()] = value.strip()
    browser.screenshot(path=server.home.root / "materialization.png")

    info = table.info()
    last_week = expected_transactions(SITE, week_dates(4, 4)).collect().height
    assert said["dagster/row_count"] == said["mcai/rows_written"] == str(info.rows)
    assert said["dagster/partition_row_count"] == str(last_week)
    assert said["mcai/version"] == str(info.version)
    assert said["mcai/format"] == "delta"
    assert said["mcai/files"] == str(info.files) == "3"
    assert said["dagster/uri"] == table.storage.uri


def test_the_asset_page_says_what_the_contract_says(server: Server, browser: Page) -> None:
    browser.set_viewport_size({"width": 1600, "height": 1700})
    browser.goto(f"{server.url}/assets/{TRANSACTIONS}")

    household = browser.locator("tr").filter(has_text="household_id")
    household.get_by_text("The household that holds the loyalty card.").wait_for()
    assert "classification: personal" in household.inner_text()
    assert "non-nullable" in household.inner_text()
    browser.get_by_text("retail-data@example.com").first.wait_for()
    browser.get_by_text("Delta Lake").first.wait_for()
    browser.screenshot(path=server.home.root / "asset.png")


def test_automation_derives_what_was_backfilled(server: Server, browser: Page) -> None:
    wait_for_runs(server, 4)  # the replicas of the products, then what reads one of them

    sales = server.home.lake.table(SALES)
    assert same_rows(sales.scan(), expected_weekly_sales(SITE, week_dates(2, 4)))
    assert len(sales.history()) == 1, "three weeks are one backfill and one commit"
    tags = {tag["key"]: tag["value"] for tag in runs(server)[0]["tags"]}
    assert tags["dagster/from_automation_condition"] == "true"
    browser.goto(f"{server.url}/assets/{SALES}?view=automation")
    browser.get_by_text("3 requested").wait_for()
    browser.screenshot(path=server.home.root / "automation.png")


def test_the_log_holds_no_error_and_no_warning(server: Server) -> None:
    bad = [
        line
        for line in server.log().splitlines()
        if any(word in line for word in ("ERROR", "WARNING", "Warning", "Traceback"))
        and not any(notice in line for notice in EXPECTED_NOTICES)
    ]
    assert bad == []
