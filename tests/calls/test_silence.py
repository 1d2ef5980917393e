"""When a silent call is asked about; and that every cause has a word."""

import csv
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.calls.call import NOTHING_TOLD, About, Call, Status
from offhook.calls.reasons import END_REASONS, word_of
from offhook.calls.silence import Ask, Over, Wait, look
from offhook.providers.contract import Cause

START = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
ABOUT = About(
    id=UUID(int=1),
    direction="outbound",
    person_id=UUID(int=2),
    lead_id=None,
    campaign_id=None,
    attempt_id=None,
    account_id=UUID(int=4),
    number_tag=b"tag",
    provider="fake",
    attempt_n=1,
    ring_timeout_s=25,
    max_duration_s=600,
    started_at=START,
)
CALL = Call(about=ABOUT, told=NOTHING_TOLD, mode="ai_first", status="requested")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def looked(call: Call, now_s: float, *, heard_s: float = 0, placing: bool = False) -> Wait | Ask | Over:
    placing_until = at(now_s + 1) if placing else None
    return look(call, heard_at=at(heard_s), placing_until=placing_until, now=at(now_s), wall=at(now_s))


def test_a_call_being_placed_is_left_alone() -> None:
    assert isinstance(looked(CALL, 60, placing=True), Wait)


def test_a_call_that_nobody_places_any_more_is_asked_about() -> None:
    assert looked(CALL, 60) == Ask(at(75), cut=False)


def test_a_ringing_call_is_asked_about_fifteen_seconds_after_it_should_have_stopped() -> None:
    ringing = replace(CALL, status="ringing", ringing_at=at(5))

    assert looked(ringing, 44) == Wait(at(45))
    assert looked(ringing, 45) == Ask(at(60), cut=False)


def test_a_conversation_is_asked_about_after_two_minutes_without_a_word() -> None:
    answered = replace(CALL, status="answered", answered_at=at(10))

    assert looked(answered, 60, heard_s=10) == Wait(at(130))
    assert looked(answered, 130, heard_s=10) == Ask(at(250), cut=False)


def test_a_conversation_past_its_longest_duration_is_cut() -> None:
    answered = replace(CALL, status="answered", answered_at=at(10))

    assert looked(answered, 670, heard_s=660) == Ask(at(685), cut=True)


@given(
    st.sampled_from(("requested", "placed", "ringing", "answered")),
    st.integers(0, 2000),
    st.integers(0, 2000),
    st.booleans(),
)
def test_whoever_looks_knows_when_to_look_again(status: Status, now_s: int, heard_s: int, placing: bool) -> None:
    call = replace(CALL, status=status, answered_at=at(10) if status == "answered" else None)

    seen = looked(call, now_s, heard_s=min(now_s, heard_s), placing=placing)

    assert not isinstance(seen, Over)
    assert seen.until > at(now_s)


def causes() -> list[dict[str, str]]:
    text = files("offhook.providers").joinpath("causes.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize("row", causes(), ids=lambda row: f"{row['system']}-{row['code']}")
def test_every_cause_of_the_table_has_one_of_our_words(row: dict[str, str]) -> None:
    cause = Cause(sip=int(row["code"])) if row["system"] == "sip" else Cause(q850=int(row["code"]))

    assert word_of(cause) in END_REASONS or row["reason"] == "normal"
