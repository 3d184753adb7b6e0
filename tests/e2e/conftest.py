"""Fixtures of tests that start processes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from tests.e2e.home import Home
from tests.retail import SITES, Retail


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Home:
    """Weeks 2 to 4 at all sites and the global tables, made by whichever worker comes first."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with only_one_at_a_time(shared / "small-run.lock"):
        home = Home(shared / "small-run")
        done = home.root / "done"
        if not done.exists():
            make_small_run(home)
            done.touch()
    return home


@contextmanager
def only_one_at_a_time(lock: Path) -> Iterator[None]:
    """Let one of several processes in."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def make_small_run(home: Home) -> None:
    """Two runs in this process: the reference tables, and everything of three weeks."""
    per_site = [f"{site}/{t}" for site in SITES for t in ("transactions", "households")]
    per_site += [f"{site}/weekly_sales" for site in SITES]
    names = ("products", "promotions", "coupons", "campaigns")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("MCAI_HOME", str(home.root))
        retail = Retail(instance)
        replicas = [f"{site}/products" for site in SITES[1:]]
        retail.materialize(*(f"global/{name}" for name in names), *replicas)
        retail.materialize(*per_site, "global/weekly_sales", weeks=(2, 4))
