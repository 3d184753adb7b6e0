"""New weeks are requested as they arrive: once, and together."""

from __future__ import annotations

import dagster as dg
import pytest

from sensors.arrivals import SOURCE
from tests.retail import (
    SITES,
    Retail,
    expected_households,
    expected_transactions,
    key,
    keys,
    same_rows,
    week_dates,
)


def arrive(retail: Retail, through: int) -> None:
    """What ``mcai demo advance`` does."""
    retail.lake.state.set_arrived_through(retail.lake.namespace, SOURCE, through)


class Sensor:
    """The sensor as the daemon evaluates it: it gets back the cursor that it left."""

    def __init__(self, retail: Retail) -> None:
        self.retail = retail
        self.definition = retail.defs.resolve_sensor_def("retail_arrivals")
        self.cursor: str | None = None
        self.skipped: str | None = None

    def look(self) -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            instance=self.retail.instance,
            cursor=self.cursor,
            resources=dict(self.retail.defs.resources or {}),
        ) as context:
            tick = self.definition.evaluate_tick(context)
        self.cursor, self.skipped = tick.cursor, tick.skip_message
        return list(tick.run_requests or [])

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        return self.retail.execute(str(self.definition.job_name), request)


@pytest.fixture
def sensor(retail: Retail) -> Sensor:
    return Sensor(retail)


def test_nothing_is_requested_before_the_first_week_arrives(sensor: Sensor) -> None:
    assert sensor.look() == []
    assert sensor.skipped == (
        "No week has arrived yet. `mcai demo` makes weeks available, `mcai demo advance` the"
        " next one."
    )
    assert sensor.cursor is None


def test_the_weeks_that_arrived_are_one_run_and_one_commit_per_table(sensor: Sensor) -> None:
    retail = sensor.retail
    arrive(retail, through=4)

    (request,) = sensor.look()
    result = sensor.run(request)

    assert request.run_key == "local:retail:2017-01-02...2017-01-16"
    assert request.tags["mcai/weeks"] == "2-4"
    assert result.success
    ingested = {f"{site}/{table}" for site in SITES for table in ("transactions", "households")}
    assert {record.key for record in retail.lake.records()} == ingested
    for table in ingested:
        assert retail.weeks(table) == keys(2, 4), table
        assert retail.commits(table) == 1, table


def test_every_site_gets_the_rows_of_its_stores(sensor: Sensor) -> None:
    retail = sensor.retail
    arrive(retail, through=3)
    (request,) = sensor.look()
    sensor.run(request)

    expected = {
        "retail/transactions": expected_transactions,
        "retail/households": expected_households,
    }
    for record in retail.lake.records():
        rows = expected[str(record.contract)](record.site, week_dates(2, 3))
        assert same_rows(retail.rows(record.key), rows), record.key


def test_what_was_requested_is_not_requested_again(sensor: Sensor) -> None:
    arrive(sensor.retail, through=4)
    sensor.look()

    assert sensor.look() == []
    assert sensor.skipped == (
        "Nothing new: week 4 (2017-01-16) is the latest, and is there or requested."
    )
    assert sensor.cursor == "local:4"


def test_arrival_goes_on_from_where_the_sensor_stopped(sensor: Sensor) -> None:
    retail = sensor.retail
    arrive(retail, through=3)
    (first,) = sensor.look()
    sensor.run(first)

    arrive(retail, through=5)
    (second,) = sensor.look()
    sensor.run(second)

    assert second.run_key == "local:retail:2017-01-16...2017-01-23"
    assert retail.weeks("gcp_asia_southeast1/transactions") == keys(2, 5)
    assert retail.commits("gcp_asia_southeast1/transactions") == 2


def test_weeks_that_somebody_ingested_by_hand_are_not_requested(sensor: Sensor) -> None:
    retail = sensor.retail
    ingested = [f"{site}/{table}" for site in SITES for table in ("transactions", "households")]
    retail.materialize(*ingested, weeks=(2, 3))
    retail.materialize(ingested[0], weeks=(4, 5))

    arrive(retail, through=3)
    assert sensor.look() == []

    arrive(retail, through=5)
    (request,) = sensor.look()
    assert request.tags["mcai/weeks"] == "4-5", "they are not there at every site"


def test_a_single_week_is_a_range_of_one(sensor: Sensor) -> None:
    arrive(sensor.retail, through=2)
    (request,) = sensor.look()

    sensor.run(request)

    assert sensor.retail.weeks("private_frankfurt/households") == [key(2)]


def test_the_year_ends_with_its_last_full_week(sensor: Sensor) -> None:
    arrive(sensor.retail, through=51)
    sensor.look()

    arrive(sensor.retail, through=60)
    (request,) = sensor.look()

    assert request.tags["mcai/weeks"] == "52-52"
    assert sensor.look() == []
    assert sensor.cursor == "local:52"


def test_moving_arrival_back_requests_nothing(sensor: Sensor) -> None:
    arrive(sensor.retail, through=5)
    sensor.look()

    arrive(sensor.retail, through=3)

    assert sensor.look() == []
    assert sensor.cursor == "local:5"


def test_a_namespace_has_arrivals_and_tables_of_its_own(
    sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(sensor.retail, through=4)
    (request,) = sensor.look()
    sensor.run(request)
    monkeypatch.setenv("MCAI_NAMESPACE", "branch")

    assert sensor.look() == []
    assert str(sensor.skipped).startswith("No week has arrived yet.")

    arrive(Retail(sensor.retail.instance), through=3)
    (request,) = sensor.look()
    assert request.run_key == "branch:retail:2017-01-02...2017-01-09"
