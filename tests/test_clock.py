from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from offhook import clock

_INSTANTS = st.timedeltas(timedelta(days=-10_000), timedelta(days=500_000)).map(
    lambda since: datetime(2000, 1, 1, tzinfo=UTC) + since
)


@given(_INSTANTS, st.timezones())
def test_an_instant_is_shown_in_utc_to_the_millisecond_wherever_it_is_told(at: datetime, zone: ZoneInfo) -> None:
    shown = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"

    assert [clock.show(at.astimezone(zone)), clock.show(at)] == [shown, shown]


def test_the_hour_that_comes_twice_in_autumn_is_two_instants() -> None:
    first = datetime(2026, 11, 1, 1, 30, tzinfo=ZoneInfo("America/Chicago"))

    shown = [clock.show(first), clock.show(first.replace(fold=1))]

    assert shown == ["2026-11-01T06:30:00.000Z", "2026-11-01T07:30:00.000Z"]
