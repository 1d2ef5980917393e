"""The count finds what it is there to find."""

from typing import Any
from uuid import UUID

import pytest

from offhook import ids

from .count import judge
from .hooks import ORDERED, WHOLE

CALL = UUID(int=7)
CLIENT = [{"ref": "A", "lead": "lead_a", "repeated": False}]
PLATFORM = [{"call_id": CALL.hex, "to": "+13125550199"}]


def told(type: str, subject: str, sequence: int, **also: Any) -> dict[str, Any]:
    id = f"evt_{subject}_{sequence}"
    return {
        "endpoint": WHOLE,
        "id": id,
        "message": id,
        "bytes": "same",
        "taken": True,
        "out_of_order": False,
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
    verdict = judge(CLIENT, PLATFORM, RECEIVER, RECEIVER)

    assert verdict.held
    assert (verdict.leads_acknowledged, verdict.calls_placed, verdict.events) == (1, 1, 4)


@pytest.mark.parametrize("missing", range(len(RECEIVER)))
@pytest.mark.parametrize("found", ["sequence_gaps", "untold"])
def test_an_event_that_never_arrived_is_found_the_last_of_its_subject_too(missing: int, found: str) -> None:
    verdict = judge(CLIENT, PLATFORM, without(missing), RECEIVER)

    assert getattr(verdict, found) == 1
    assert not verdict.held


@pytest.mark.parametrize(("missing", "found"), [(0, "leads_lost"), (2, "calls_lost"), (3, "calls_lost")])
def test_a_lead_or_a_call_that_nobody_heard_of_is_lost(missing: int, found: str) -> None:
    assert getattr(judge(CLIENT, PLATFORM, without(missing)), found) == 1


def test_a_refused_telling_is_none() -> None:
    refused = [*without(1), {**RECEIVER[1], "taken": False}]

    verdict = judge(CLIENT, PLATFORM, refused, RECEIVER)

    assert (verdict.refused, verdict.untold, verdict.held) == (1, 1, False)


def without(missing: int) -> list[dict[str, Any]]:
    return [line for n, line in enumerate(RECEIVER) if n != missing]


@pytest.mark.parametrize(
    ("arrived", "flagged", "found"),
    [((1, 2, 3), (), 0), ((1, 3, 2), (), 1), ((1, 3, 2), (3,), 0), ((1, 2, 1, 3), (), 0), ((2, 3, 1), (), 2)],
)
def test_what_overtook_an_earlier_event_of_its_subject_is_found(
    arrived: tuple[int, ...], flagged: tuple[int, ...], found: int
) -> None:
    def line(n: int) -> dict[str, Any]:
        return told("lead.paused", "lead_b", n, endpoint=ORDERED, out_of_order=n in flagged)

    verdict = judge([], [], [line(n) for n in arrived], [line(n) for n in (1, 2, 3)])

    assert verdict.out_of_order == found


def test_what_is_refused_does_not_let_the_next_one_go() -> None:
    lines = [told("lead.paused", "lead_b", n, endpoint=ORDERED, taken=n > 1) for n in (1, 2)]

    assert judge([], [], lines, lines).out_of_order == 1


@pytest.mark.parametrize("change", [{"bytes": "other"}, {"message": "evt_another"}])
def test_a_message_told_again_with_other_bytes_or_under_another_id_is_found(change: dict[str, str]) -> None:
    verdict = judge(CLIENT, PLATFORM, [*RECEIVER, {**RECEIVER[0], **change}])

    assert (verdict.told_otherwise, verdict.held) == (1, False)


def test_an_event_may_come_in_one_batch_and_then_in_another() -> None:
    batched = [{**RECEIVER[0], "message": f"bat_{n}", "bytes": str(n)} for n in (1, 2)]

    assert judge(CLIENT, PLATFORM, [*RECEIVER, *batched]).held


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
