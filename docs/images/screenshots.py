"""Make the pictures of the documentation anew: ``python -m docs.images.screenshots``.

Run it in the root of the checkout, with the ``dev`` extra and Chromium installed. It computes all
tables in a temporary folder, which takes as long as ``mcai demo``, and looks at them in the web UI.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from assets.retail.weeks import FIRST_WEEK, LAST_WEEK
from tests.e2e.browser import page
from tests.e2e.home import Home
from tests.e2e.server import Server
from tests.retail import SITES, Retail

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

IMAGES = Path(__file__).parent
WIDTH = 1600
ASSET = "azure_westeurope/weekly_sales"
EXPANDED = (*SITES, "reference", "global")


def main() -> None:
    """Write ``lineage.png`` and ``asset.png``."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        compute_everything(home)
        with Server(home) as server:
            lineage(server)
            asset(server)


def compute_everything(home: Home) -> None:
    """Materialize every table and week."""
    os.environ["MCAI_HOME"] = str(home.root)
    with home.instance() as instance:
        retail = Retail(instance)
        tables = [key.to_user_string() for key in retail.defs.resolve_all_asset_keys()]
        reference = {f"global/{t}" for t in ("products", "promotions", "coupons", "campaigns")}
        weekly = [t for t in tables if not t.startswith("completejourney/") and t not in reference]
        retail.materialize(*sorted(reference))
        retail.materialize(*weekly, weeks=(FIRST_WEEK, LAST_WEEK))


def lineage(server: Server) -> None:
    """The whole graph; the groups of our tables are expanded, the source files are one box."""
    groups = ",".join(f"global@global:{group}" for group in EXPANDED)
    with page(1200, 1450, scale=WIDTH / 1200) as browser:
        facets = json.dumps(json.dumps(["status"]))
        browser.add_init_script(f"localStorage.setItem('asset-node-facets', {facets})")
        browser.goto(f"{server.url}/asset-groups?expanded={groups}")
        browser.get_by_text("Hide navigation").click()
        button(browser, "panel_show_right").click()
        browser.get_by_text("private_frankfurt", exact=True).first.wait_for()
        browser.mouse.dblclick(1000, 1420)  # on nothing: centers the graph
        for _ in range(3):
            browser.wait_for_timeout(1000)
            button(browser, "zoom_out").click()
        browser.mouse.move(700, 60)
        browser.wait_for_timeout(3000)
        browser.screenshot(path=IMAGES / "lineage.png")


def asset(server: Server) -> None:
    """The page of one table: columns, metadata, owners, lineage."""
    with page(1440, 1560, scale=WIDTH / 1440) as browser:
        browser.goto(f"{server.url}/assets/{ASSET}")
        browser.get_by_text("mcai/input_versions").wait_for()
        browser.wait_for_timeout(3000)
        browser.screenshot(path=IMAGES / "asset.png")


def button(browser: Page, icon: str) -> Locator:
    """The button with an icon."""
    return browser.locator(f"button:has([aria-label='{icon}'])").last


if __name__ == "__main__":
    main()
