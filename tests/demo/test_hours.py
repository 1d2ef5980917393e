"""The demo's own reading of the law never finds a dial legal that the rule packs forbid, nor the other way round."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from offhook.compliance import Location, locate, may_dial, packaged
from offhook.compliance.hours import CLOSING_MARGIN, RING
from offhook.compliance.verdict import Allowed
from offhook.demo.hours import was_legal
from offhook.phone import Phone, parse

RULES = packaged()
START = datetime(2026, 11, 1, tzinfo=UTC)
minutes = st.integers(0, 60 * 24 * 60).map(lambda minute: START + timedelta(minutes=minute, seconds=1))
places = st.sampled_from(
    [
        ("312", "IL"),
        ("205", "AL"),
        ("850", "FL"),
        ("504", "LA"),
        ("215", "PA"),
        ("915", "TX"),
        ("219", "IN"),
        ("808", "HI"),
        ("212", "FL"),
    ]
)


@given(minutes, places)
def test_what_the_gate_allows_is_legal_by_the_plain_reading(at: datetime, place: tuple[str, str]) -> None:
    area_code, state = place
    phone = parse(f"+1{area_code}5550123")
    assert isinstance(phone, Phone)
    location = locate(phone, state=state)
    assert isinstance(location, Location)

    allowed = isinstance(may_dial(location, at, RULES), Allowed)
    legal = was_legal(at, area_code, state)
    closing = not was_legal(at + CLOSING_MARGIN + RING, area_code, state)

    assert legal or not allowed
    assert allowed or closing or not legal
