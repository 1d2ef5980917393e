"""What every model on the wire takes, whatever its room."""

from datetime import datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import Invalid
from offhook.http import Wire
from offhook.http.wire import EARLIEST, LATEST, Instant, Metadata

DAYS = timedelta(days=2)


def _naive(at: datetime) -> datetime:
    return at.replace(tzinfo=None)


class Told(Wire):
    at: Instant


class Noted(Wire):
    notes: Metadata


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@pytest.mark.parametrize(
    "sent",
    [
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "1999-12-31T23:59:59Z",
        "2100-01-01T00:00:00Z",
        "2026-11-24T15:00:00",
        1e300,
    ],
)
def test_an_instant_of_another_century_or_without_an_offset_is_refused_by_its_place(sent: object) -> None:
    with pytest.raises(Invalid) as refusal:
        Told.read({"at": sent})

    assert [fault.param for fault in refusal.value.faults] == ["at"]


@given(st.datetimes(_naive(EARLIEST) - DAYS, _naive(LATEST) + DAYS, timezones=st.timezones()))
def test_an_instant_of_this_century_is_taken_in_any_zone(at: datetime) -> None:
    try:
        taken = Told.read({"at": at.isoformat()}).at
    except Invalid:
        assert not EARLIEST <= at < LATEST
    else:
        assert EARLIEST <= taken < LATEST


@given(st.dictionaries(st.text(min_size=1, max_size=3), anything, max_size=3), st.sampled_from([0, 28, 40, 300]))
def test_notes_are_refused_or_can_be_told_again_as_they_came(notes: dict[str, object], depth: int) -> None:
    for _ in range(depth):
        notes = {"in": notes}

    try:
        taken = Noted.read({"notes": notes}).notes
    except Invalid:
        return

    assert orjson.loads(orjson.dumps(taken)) == taken
