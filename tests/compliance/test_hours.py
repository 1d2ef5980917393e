import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from offhook.compliance import tz, zones
from offhook.compliance.hours import may_dial
from offhook.compliance.rulebook import RuleBook, load, packaged
from offhook.compliance.verdict import Allowed, Never, Wait
from offhook.compliance.zones import Location
from offhook.phone import Phone, parse

BOOK = packaged()
SECOND = timedelta(seconds=1)
MARGIN = timedelta(seconds=90)

INSTANTS = st.integers(0, 707 * 24 * 3600).map(lambda after_s: datetime(2026, 1, 2, tzinfo=UTC) + after_s * SECOND)
STATES = st.sampled_from(["AL", "AK", "CA", "FL", "GU", "HI", "ID", "IL", "LA", "NY", "PA", "PR", "TX"])
AREA_CODES = st.sampled_from(
    ["205", "212", "215", "305", "312", "504", "512", "605", "671", "787", "808", "850", "907", "915"]
)


def place(area_code: str, state: str | None = None) -> Location:
    phone = parse(f"+1{area_code}5550199")
    assert isinstance(phone, Phone)
    found = zones.locate(phone, state=state)
    assert isinstance(found, Location)
    return found


PLACES = st.builds(place, AREA_CODES, st.none() | STATES)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def book(**days: str) -> RuleBook:
    """Made-up law: hours by jurisdiction."""
    federal = files("offhook.compliance").joinpath("packs/US.yaml").read_text(encoding="utf-8")
    texts = {}
    for name, hours in days.items():
        iso = name.replace("_", "-")
        pack = federal.replace('["08:00", "21:00"]', hours).replace("jurisdiction: US", f"jurisdiction: {iso}")
        texts[f"{iso}.yaml"] = pack.replace("US.hours.voice", f"{iso}.hours.voice").encode()
    return load(texts)


# A second writing of the same law, as plainly as can be: hours by weekday, no cache, no search.
Week = Sequence[tuple[int, int] | None]
HOURS: dict[str, Week] = {
    "US-FL": [(8, 20)] * 7,
    "US-TX": [(9, 21)] * 6 + [(12, 21)],
    "US-AL": [(8, 20)] * 6 + [None],
    "US-LA": [(8, 20)] * 6 + [None],
    "US-PA": [(9, 19)] * 6 + [None],
}


@cache
def holidays(jurisdiction: str) -> frozenset[str]:
    table = files("offhook.compliance").joinpath(f"packs/holidays/{jurisdiction}.2026-2027.csv")
    if not table.is_file():
        return frozenset()
    lines = [line for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return frozenset(row["date"] for row in csv.DictReader(lines))


def plainly_legal(location: Location, instant: datetime) -> bool:
    return all(legal_there(j, instant.astimezone(tz.zone(z))) for j in location.jurisdictions for z in location.zones)


def legal_there(jurisdiction: str, local: datetime) -> bool:
    week = HOURS.get(jurisdiction)
    hours = week[local.weekday()] if week else (8, 21)
    if jurisdiction == "US-PA" and local.date() < date(2026, 10, 18):
        hours = (8, 21)
    if hours is None or local.date().isoformat() in holidays(jurisdiction):
        return False
    start, end = hours
    wall = local.replace(tzinfo=None)
    midnight = datetime.combine(wall, time.min)
    return midnight + timedelta(hours=start) <= wall < midnight + timedelta(hours=end) - MARGIN


@settings(max_examples=1000)
@given(PLACES, INSTANTS)
def test_a_call_is_allowed_exactly_when_every_law_and_every_clock_agree(location: Location, instant: datetime) -> None:
    verdict = may_dial(location, instant, BOOK)

    assert isinstance(verdict, Allowed) == plainly_legal(location, instant)


@settings(max_examples=500)
@given(PLACES, INSTANTS, st.floats(0, 1))
def test_waiting_ends_at_the_first_legal_second_and_not_one_later(
    location: Location, instant: datetime, part: float
) -> None:
    verdict = may_dial(location, instant, BOOK)
    assume(isinstance(verdict, Wait))
    assert isinstance(verdict, Wait)

    between = instant + (verdict.until - instant) * part

    assert verdict.until > instant
    assert isinstance(may_dial(location, verdict.until, BOOK), Allowed)
    assert not isinstance(may_dial(location, verdict.until - SECOND, BOOK), Allowed)
    assert between == verdict.until or not isinstance(may_dial(location, between, BOOK), Allowed)


@given(PLACES, INSTANTS)
def test_nobody_is_called_before_eight_or_after_nine_on_any_clock_that_may_be_theirs(
    location: Location, instant: datetime
) -> None:
    assume(isinstance(may_dial(location, instant, BOOK), Allowed))

    for zone in location.zones:
        assert time(8) <= instant.astimezone(tz.zone(zone)).time() < time(20, 58, 30)


@given(AREA_CODES, STATES, INSTANTS)
def test_knowing_one_more_place_never_allows_more(area_code: str, state: str, instant: datetime) -> None:
    assume(isinstance(may_dial(place(area_code, state), instant, BOOK), Allowed))

    assert isinstance(may_dial(place(area_code), instant, BOOK), Allowed)


@given(PLACES, INSTANTS, st.integers(0, 120))
def test_a_longer_ring_never_allows_more(location: Location, instant: datetime, ring_s: int) -> None:
    longer = may_dial(location, instant, BOOK, ring=timedelta(seconds=30 + ring_s))

    assert not isinstance(longer, Allowed) or isinstance(may_dial(location, instant, BOOK), Allowed)


def test_chicago_is_dialed_from_eight_and_not_one_second_earlier() -> None:
    eight = at("2026-11-23T14:00:00Z")

    assert may_dial(place("312", "IL"), eight, BOOK) == Allowed(("US.hours.voice",))
    assert may_dial(place("312", "IL"), eight - SECOND, BOOK) == Wait(eight, "US.hours.voice", "WINDOW_CLOSED")


def test_no_dial_begins_so_late_that_it_could_be_answered_past_the_close() -> None:
    chicago = place("312")

    assert isinstance(may_dial(chicago, at("2026-11-23T20:58:29-06:00"), BOOK), Allowed)
    late = may_dial(chicago, at("2026-11-23T20:58:30-06:00"), BOOK)
    assert late == Wait(at("2026-11-24T08:00:00-06:00").astimezone(UTC), "US.hours.voice", "WINDOW_CLOSED")


def test_a_split_area_code_is_dialed_only_when_it_is_day_on_both_of_its_clocks() -> None:
    panhandle = place("850")

    assert isinstance(may_dial(panhandle, at("2026-11-23T08:30-05:00"), BOOK), Wait)
    assert isinstance(may_dial(panhandle, at("2026-11-23T09:00-05:00"), BOOK), Allowed)
    assert isinstance(may_dial(panhandle, at("2026-11-23T20:00-05:00"), BOOK), Wait)


def test_pennsylvania_grows_quieter_on_the_day_its_new_law_begins() -> None:
    saturday, sunday = at("2026-10-17T20:00-04:00"), at("2026-10-18T15:00-04:00")

    assert may_dial(place("215"), saturday, BOOK) == Allowed(("US.hours.voice", "US-PA.hours.voice@2019"))
    monday = at("2026-10-19T09:00-04:00").astimezone(UTC)
    assert may_dial(place("215"), sunday, BOOK) == Wait(monday, "US-PA.hours.voice", "WINDOW_SUNDAY")


def test_a_holiday_is_waited_out_and_named() -> None:
    thanksgiving, next_day = at("2026-11-26T12:00-05:00"), at("2026-11-27T09:00-05:00").astimezone(UTC)

    assert may_dial(place("215"), thanksgiving, BOOK) == Wait(next_day, "US-PA.hours.voice", "WINDOW_HOLIDAY")


def test_the_reason_for_waiting_turns_into_sunday_at_the_local_midnight() -> None:
    midnight = at("2026-11-22T00:00-06:00").astimezone(UTC)

    late_on_saturday = may_dial(place("504"), midnight - SECOND, BOOK)
    early_on_sunday = may_dial(place("504"), midnight, BOOK)

    monday = at("2026-11-23T08:00-06:00").astimezone(UTC)
    assert late_on_saturday == Wait(monday, "US-LA.hours.voice", "WINDOW_CLOSED")
    assert early_on_sunday == Wait(monday, "US-LA.hours.voice", "WINDOW_SUNDAY")


def test_past_the_end_of_a_holiday_calendar_nobody_is_dialed() -> None:
    verdict = may_dial(place("215"), at("2027-12-31T12:00-05:00"), BOOK)

    assert verdict == Never("US-PA.holidays", "CALENDAR_EXPIRED")
    assert may_dial(place("215"), at("2028-03-01T12:00-05:00"), BOOK) == verdict


def test_a_country_without_rules_is_never_dialed() -> None:
    assert may_dial(place("876"), at("2026-11-23T12:00-05:00"), BOOK) == Never("JM.no_rules", "JURISDICTION_DENIED")


def test_a_place_without_a_clock_or_a_law_is_never_dialed() -> None:
    noon = at("2026-11-23T12:00-06:00")

    assert isinstance(may_dial(Location((), ("US-IL",), conflict=False), noon, BOOK), Never)
    assert isinstance(may_dial(Location(("America/Chicago",), (), conflict=False), noon, BOOK), Never)


def test_laws_that_never_agree_leave_no_legal_slot() -> None:
    quarrel = book(US='["08:00", "10:00"]', US_TX='["12:00", "14:00"]')

    verdict = may_dial(place("512"), at("2026-11-23T09:00-06:00"), quarrel)

    assert isinstance(verdict, Never)
    assert verdict.code == "NO_LEGAL_SLOT"


@pytest.mark.parametrize("zone", ["America/Chicago", "America/Denver", "America/Los_Angeles", "America/New_York"])
@pytest.mark.parametrize("day", [date(2026, 3, 8), date(2026, 11, 1), date(2027, 3, 14)])
def test_eight_is_eight_also_on_the_day_the_clocks_change(zone: str, day: date) -> None:
    somewhere = Location((zone,), ("US",), conflict=False)
    eight = datetime.combine(day, time(8), tz.zone(zone))
    last = datetime.combine(day, time(20, 58, 29), tz.zone(zone))

    assert isinstance(may_dial(somewhere, eight, BOOK), Allowed)
    assert may_dial(somewhere, eight.astimezone(UTC) - SECOND, BOOK) == Wait(
        eight.astimezone(UTC), "US.hours.voice", "WINDOW_CLOSED"
    )
    assert isinstance(may_dial(somewhere, last, BOOK), Allowed)
    assert isinstance(may_dial(somewhere, last.astimezone(UTC) + SECOND, BOOK), Wait)


@pytest.mark.parametrize(
    ("hours", "before", "opens"),
    [
        # 02:30 does not exist on 14 March 2027, so that day has no legal hour.
        ('["02:30", "05:00"]', "2027-03-14T06:00Z", "2027-03-15T07:30Z"),
        # 01:30 comes twice on 1 November 2026: the later one opens.
        ('["01:30", "05:00"]', "2026-11-01T06:31Z", "2026-11-01T07:30Z"),
        # And the earlier one closes, ring and margin before it.
        ('["00:00", "01:30"]', "2026-11-01T06:28:30Z", "2026-11-02T06:00Z"),
    ],
)
def test_a_wall_time_that_is_skipped_or_comes_twice_is_read_the_strict_way(hours: str, before: str, opens: str) -> None:
    chicago = Location(("America/Chicago",), ("US",), conflict=False)

    verdict = may_dial(chicago, at(before), book(US=hours))

    assert verdict == Wait(at(opens), "US.hours.voice", "WINDOW_CLOSED")


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        may_dial(place("312"), datetime(2026, 11, 23, 14), BOOK)  # noqa: DTZ001  that is the point


def test_a_verdict_follows_the_rule_book_it_is_asked_of() -> None:
    noon = at("2026-11-23T12:00-06:00")

    assert isinstance(may_dial(place("312"), noon, BOOK), Allowed)
    assert isinstance(may_dial(place("312"), noon, book(US='["08:00", "10:00"]')), Wait)
