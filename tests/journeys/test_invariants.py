"""The judge judged: each invariant finds what it is there to find."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journeys import invariants

NOON = datetime(2026, 11, 23, 17, tzinfo=UTC)
MINUTES = st.integers(0, 600)


def told(type: str, subject: str, sequence: int = 1, *, minute: int = 0, lead: str = "lead_1", **data: Any) -> Any:
    at = (NOON + timedelta(minutes=minute)).isoformat()
    call = {"mode": "ai_first"}
    event = {"type": type, "subject": {"id": subject}, "sequence": sequence, "occurred_at": at, "call": call}
    return {**event, "correlation_id": lead, "data": data}


STARTED, ENDED = told("call.started", "call_1"), told("call.ended", "call_1", 2, minute=5)
BRIDGED = [told("transfer.bridged", f"call_{n}", 3, transfer_id=f"trf_{n}") for n in (1, 2)]
DAWN = told("call.started", "call_1", minute=-300)
OPTED_OUT = told("lead.opted_out", "lead_1", 1)
PHONES = {"lead_1": "+12125550190"}


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("calls not told once", [STARTED]),
        ("calls not told once", [STARTED, ENDED, {**ENDED, "sequence": 3}]),
        ("sequences with gaps", [STARTED, {**ENDED, "sequence": 3}]),
        ("sequences with gaps", [{**STARTED, "sequence": 2}, {**ENDED, "sequence": 1}]),
        ("contacts after a stop", [OPTED_OUT, STARTED, ENDED]),
        ("dials outside hours", [DAWN, ENDED]),
        ("dials above the day's cap", [told("call.started", f"call_{n}", minute=n) for n in range(4)]),
        ("two calls to one lead", [STARTED, told("call.started", "call_2", minute=1), ENDED]),
        ("leases above the slots", [STARTED, told("call.started", "call_2", lead="lead_2")]),
        ("live transfers above the cap", BRIDGED),
    ],
)
def test_a_log_that_breaks_a_promise_is_found_out(name: str, events: list[Any]) -> None:
    phones = {**PHONES, "lead_2": "+12125550191"}

    assert name in invariants.broken(events, phones, slots=1, cap=1)


def test_a_log_that_keeps_every_promise_is_not_blamed() -> None:
    later = [told("call.started", "call_2", minute=5), told("call.ended", "call_2", 2, minute=9)]

    assert invariants.broken([STARTED, ENDED, *later, OPTED_OUT], PHONES, slots=1, cap=1) == {}


@given(st.lists(st.tuples(MINUTES, st.integers(1, 60)), max_size=12))
def test_the_most_at_once_is_what_counting_minute_by_minute_finds(spans: list[tuple[int, int]]) -> None:
    made = [(NOON + timedelta(minutes=at), NOON + timedelta(minutes=at + long)) for at, long in spans]

    by_minute = [sum(at <= minute < at + long for at, long in spans) for minute in range(700)]
    assert invariants.most_at_once(made) == max(by_minute)
