"""What the ledger says of a story that is known."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from offhook.demo.export import Person
from offhook.demo.ledger import after_stop, never_reached, peak
from offhook.demo.store import Journal, Processed

NINE = datetime(2026, 11, 23, 14, tzinfo=UTC)


def event(
    type: str, minute: float, subject: str = "lead_1", sequence: int = 1, lead: str = "A", **data: Any
) -> Processed:
    at = (NINE + timedelta(minutes=minute)).isoformat()
    return Processed(f"evt_{type}_{subject}_{sequence}", type, subject, sequence, at, lead, data)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "receiver.sqlite")


def test_transfers_that_touch_are_not_at_once() -> None:
    first = [event("transfer.bridged", 0, transfer_id="1"), event("transfer.ended", 5, transfer_id="1")]
    second = [event("transfer.bridged", 5, transfer_id="2"), event("transfer.ended", 9, transfer_id="2")]

    assert peak([*first, *second]) == 1


def test_transfers_that_overlap_count_together() -> None:
    begun = [event("transfer.bridged", minute, transfer_id=str(minute)) for minute in range(3)]
    ended = [event("transfer.ended", 10, transfer_id=str(minute)) for minute in range(3)]

    assert peak([*begun, *ended]) == 3


def test_a_dial_of_the_same_number_after_an_opt_out_is_found_whatever_the_lead() -> None:
    people = {"A": Person("3125550199", "IL"), "B": Person("3125550199", "IL"), "C": Person("3125550198", "IL")}
    dials = [event("call.started", 1, lead="A"), *(event("call.started", 9, lead=lead) for lead in "ABC")]

    assert after_stop(dials, [event("lead.opted_out", 5, lead="A")], people) == 2


def test_a_missing_sequence_number_is_a_gap_and_a_second_telling_is_not_processed(journal: Journal) -> None:
    first = event("lead.accepted", 0, sequence=1)

    assert journal.process([first, first, event("lead.scheduled", 0, sequence=4)]) == [
        first, event("lead.scheduled", 0, sequence=4)
    ]  # fmt: skip

    assert journal.gaps() == 2
    assert journal.count() == (2, 1)


def test_leads_nobody_spoke_to_are_counted_with_the_reason_of_their_last_attempt(journal: Journal) -> None:
    journal.process(
        [
            *(event("lead.accepted", 0, f"lead_{lead}", 1, lead) for lead in "ABC"),
            event("lead.attempted", 1, "lead_A", 2, "A", outcome="busy"),
            event("lead.attempted", 9, "lead_A", 3, "A", outcome="no_answer"),
            event("lead.attempted", 9, "lead_B", 2, "B", outcome="transferred"),
            event("call.voice_detected", 8, "call_B", 3, "B"),
        ]
    )

    assert never_reached(journal) == {"no_answer": 1, "not_dialed": 1}


def test_a_call_with_two_ends_is_told_wrongly(journal: Journal) -> None:
    started = event("call.started", 0, "call_1", 1)

    journal.process([started, event("call.ended", 1, "call_1", 2), event("call.ended", 2, "call_1", 3)])

    assert journal.calls_told_wrongly() == 1
