"""For data that arrives by the clock: each Monday morning, the week that has just ended."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator  # what the daemon uses
from hypothesis import given
from hypothesis import strategies as st

from assets.retail import retail_assets
from assets.retail.weeks import FIRST_WEEK, LAST_WEEK, week_start
from sensors.arrivals import ingested_weekly, weekly_schedule
from tests.retail import Retail, expected_transactions, key, same_rows

NEW_YORK = ZoneInfo("America/New_York")
SCHEDULE = weekly_schedule(ingested_weekly(retail_assets()))
MONDAYS_OF_2017 = [dt.date(2017, 1, 2) + dt.timedelta(weeks=n) for n in range(52)]


def due(monday: dt.date, zone: dt.tzinfo = NEW_YORK) -> dt.datetime:
    """The schedule's moment of a Monday, written down in some zone."""
    return dt.datetime.combine(monday, dt.time(6), NEW_YORK).astimezone(zone)


def evaluate(moment: dt.datetime) -> dg.RunRequest | dg.SkipReason:
    with dg.build_schedule_context(scheduled_execution_time=moment) as context:
        answer = SCHEDULE(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


@given(
    st.sampled_from(MONDAYS_OF_2017),
    st.sampled_from(["America/New_York", "UTC", "Europe/Berlin", "Asia/Singapore"]),
)
def test_every_monday_of_2017_requests_the_week_before(monday: dt.date, zone: str) -> None:
    answer = evaluate(due(monday, ZoneInfo(zone)))

    before = monday - dt.timedelta(days=7)
    if before < week_start(FIRST_WEEK):
        assert isinstance(answer, dg.SkipReason)
    else:
        assert isinstance(answer, dg.RunRequest)
        assert answer.partition_key == str(before)
        assert answer.run_key == str(before)


@pytest.mark.parametrize(
    ("monday", "hours_from_utc"),
    [
        ("2017-03-06", 5),
        ("2017-03-13", 4),  # clocks went forward the day before
        ("2017-10-30", 4),
        ("2017-11-06", 5),  # and back
    ],
)
def test_when_the_clocks_change_it_is_still_six_in_new_york(
    monday: str, hours_from_utc: int
) -> None:
    moment = dt.datetime.fromisoformat(f"{monday}T{6 + hours_from_utc:02}:00+00:00")
    assert moment.astimezone(NEW_YORK).hour == 6

    answer = evaluate(moment)

    assert isinstance(answer, dg.RunRequest)
    assert answer.partition_key == str(dt.date.fromisoformat(monday) - dt.timedelta(days=7))


def test_dagster_ticks_at_six_in_new_york_every_monday() -> None:
    ticks = schedule_execution_time_iterator(
        due(MONDAYS_OF_2017[0]).timestamp(), SCHEDULE.cron_schedule, SCHEDULE.execution_timezone
    )

    moments = [next(ticks) for _ in MONDAYS_OF_2017]

    assert moments == [due(monday) for monday in MONDAYS_OF_2017]


def test_the_year_ends_with_its_last_full_week() -> None:
    last = evaluate(due(week_start(LAST_WEEK + 1)))
    after = evaluate(due(week_start(LAST_WEEK + 2)))

    assert isinstance(last, dg.RunRequest)
    assert last.partition_key == key(LAST_WEEK) == "2017-12-18"
    assert isinstance(after, dg.SkipReason)


def test_today_it_says_why_it_requests_nothing() -> None:
    today = dt.datetime.now(dt.UTC).date()
    monday = today - dt.timedelta(days=today.weekday())

    answer = evaluate(due(monday))

    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == (
        f"The week that has just ended, of {monday - dt.timedelta(days=7)}, is not in the data:"
        " it has 2017-01-02 to 2017-12-18."
    )


def test_the_run_ingests_that_week_at_every_site(retail: Retail) -> None:
    request = evaluate(due(dt.date(2017, 7, 10)))
    assert isinstance(request, dg.RunRequest)

    job = retail.defs.resolve_schedule_def("retail_weekly").job_name
    assert retail.execute(job, request).success

    records = retail.lake.records()
    assert len(records) == 8
    for record in records:
        assert retail.weeks(record.key) == ["2017-07-03"], record.key
        if record.contract == "retail/transactions":
            expected = expected_transactions(record.site, [dt.date(2017, 7, 3)])
            assert same_rows(retail.rows(record.key), expected), record.key
