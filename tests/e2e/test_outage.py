"""A cloud that goes down in the middle of a run, and comes back."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
import pytest

from mcai_pipelines.emulators import Clouds
from tests.harness.faults import Outage
from tests.harness.proxy import Proxy
from tests.retail import Retail, expected_transactions, same_rows, week_dates

WEEKS = (2, 3)
AT = {
    # The cloud, its site, and the request with which the outage begins.
    "azure": ("azure-westeurope", r"/_delta_log/0+\.json"),  # the commit of a staged batch
    "gcp": ("gcp-asia-southeast1", r"/_data/.*\.parquet"),  # the first data file
}
UNAFFECTED = "private-frankfurt"


@pytest.mark.parametrize("cloud", AT)
def test_the_run_fails_clearly_and_the_rerun_completes(
    cloud: str, clouds: Clouds, emulated: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, request = AT[cloud]
    tables = [f"{name.replace('-', '_')}/transactions" for name in (site, UNAFFECTED)]
    expected = {
        table: expected_transactions(name, week_dates(*WEEKS))
        for table, name in zip(tables, (site, UNAFFECTED), strict=True)
    }
    with Proxy(clouds[cloud].url) as proxy, dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv(f"MCAI_EMULATED_{cloud.upper()}_URL", proxy.url)
        retail = Retail(instance)

        proxy.inject(Outage(), method="PUT", path=request)
        run = retail.materialize(*tables, weeks=WEEKS, raise_on_error=False)
        assert proxy.injected()
        assert not run.success
        (failed,) = run.get_step_failure_events()
        reason = str(failed.step_failure_data.error)
        assert all(word in reason for word in (tables[0], site, "writing"))
        assert same_rows(retail.rows(tables[1]), expected[tables[1]])

        proxy.accept()
        assert retail.materialize(*tables, weeks=WEEKS).success
        for table in tables:
            assert same_rows(retail.rows(table), expected[table])
        assert retail.commits(tables[0]) == 1
