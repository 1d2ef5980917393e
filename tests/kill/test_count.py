"""The count finds what it is there to find."""

from typing import Any
from uuid import UUID

import pytest

from offhook import ids

from .count import judge

CALL = UUID(int=7)
CLIENT = [{"ref": "A", "lead": "lead_a", "repeated": False}]
PLATFORM = [{"call_id": CALL.hex, "to": "+13125550199"}]


def told(type: str, subject: str, sequence: int, **also: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{subject}_{sequence}",
        "type": type,
        "subject": subject,
        "sequence": sequence,
        "ref": "A",
        **also,
    }


SHOWN = ids.show("call", CALL)
RECEIVER = [
    told("lead.accepted", "lead_a", 1),
    told("lead.scheduled", "lead_a", 2),
    told("call.started", SHOWN, 1),
    told("call.ended", SHOWN, 2),
]


def test_a_run_in_which_everything_arrived_holds() -> None:
    verdict = judge(CLIENT, PLATFORM, RECEIVER)

    assert verdict.held
    assert (verdict.leads_acknowledged, verdict.calls_placed, verdict.events) == (1, 1, 4)


@pytest.mark.parametrize(
    ("missing", "found"),
    [(0, "leads_lost"), (0, "sequence_gaps"), (2, "calls_lost"), (2, "sequence_gaps"), (3, "calls_lost")],
)
def test_an_event_that_never_arrived_is_found(missing: int, found: str) -> None:
    verdict = judge(CLIENT, PLATFORM, [line for n, line in enumerate(RECEIVER) if n != missing])

    assert getattr(verdict, found) == 1
    assert not verdict.held


def test_a_second_telling_is_counted_and_breaks_nothing() -> None:
    verdict = judge(CLIENT, PLATFORM, [*RECEIVER, RECEIVER[0]])

    assert verdict.duplicates_told == 1
    assert verdict.held


def test_a_person_dialed_twice_is_found_also_under_another_call() -> None:
    again = {"call_id": UUID(int=8).hex, "to": PLATFORM[0]["to"]}

    assert judge(CLIENT, [*PLATFORM, again], RECEIVER).placed_twice == 1


def test_a_reference_that_became_two_leads_is_found() -> None:
    verdict = judge(CLIENT, PLATFORM, [*RECEIVER, told("lead.accepted", "lead_b", 1)])

    assert verdict.leads_told_otherwise == 1
    assert not verdict.held
