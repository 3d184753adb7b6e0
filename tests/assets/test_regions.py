import polars as pl
import pytest

from assets.retail import regions, source
from assets.retail.derive_store_region import derive, main, measure


def test_every_store_that_sold_something_is_in_one_region() -> None:
    shipped = regions.store_region().collect()
    sold = source.transactions().select(pl.col("store_id").unique()).collect()

    assert shipped["store_id"].is_unique().all()
    assert set(shipped["store_id"]) == set(sold["store_id"])
    assert sorted(shipped["region"].unique()) == ["A", "B", "C", "D"]


def test_the_sites_share_out_the_stores() -> None:
    per_site = [regions.stores_of_site(site).collect() for site in regions.SITES]
    assert pl.concat(per_site)["store_id"].is_unique().all()
    assert sum(stores.height for stores in per_site) == 457


def test_a_site_without_a_region_is_refused() -> None:
    with pytest.raises(KeyError, match="oracle-mars"):
        regions.stores_of_site("oracle-mars")


def test_the_script_reproduces_the_shipped_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert derive().equals(regions.store_region().collect())
    assert main(["--check"]) == 0
    assert "spend in the home region 96.9%" in capsys.readouterr().out


def test_households_rarely_leave_their_home_region_and_no_region_is_small() -> None:
    quality = measure(regions.store_region().collect())
    assert quality.modularity > 0.5
    assert quality.home_share > 0.96
    assert (quality.regions["share"] > 0.1).all()


def test_the_measure_tells_bad_regions_from_good_ones() -> None:
    by_parity = regions.store_region().with_columns(
        region=pl.when(pl.col("store_id") % 2 == 0).then(pl.lit("A")).otherwise(pl.lit("B"))
    )
    quality = measure(by_parity.collect())
    assert abs(quality.modularity) < 0.1
    assert quality.home_share < 0.9
