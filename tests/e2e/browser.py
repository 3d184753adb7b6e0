"""The system's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

ARGUMENTS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """The browser's program, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def page(width: int, height: int, *, scale: float = 1, patience: float = 60) -> Iterator[Page]:
    """An empty page.

    Args:
        width: In CSS pixels.
        height: In CSS pixels.
        scale: Pixels of a screenshot per CSS pixel.
        patience: Seconds to wait for whatever is looked for.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        opened = browser.new_page(
            viewport={"width": width, "height": height}, device_scale_factor=scale
        )
        opened.set_default_timeout(patience * 1000)
        yield opened
        browser.close()
