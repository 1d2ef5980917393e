"""The state machine of a call: whatever platforms say, in whatever order and how often, the story told is one story."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook import ids
from offhook.calls import Call, handover, state
from offhook.calls.call import NOTHING_TOLD, RANK, About, End, Stop, Told
from offhook.calls.reasons import END_REASONS
from offhook.events import Actor, Fact
from offhook.events.catalogue import calls as told
from offhook.events.catalogue import transfers
from offhook.providers import CallReport
from offhook.providers.contract import Cause, Kind, Qualification
from offhook.routing import Placement

START = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
TERMINAL = (Kind.NO_ANSWER, Kind.BUSY, Kind.ERROR, Kind.ENDED, Kind.NOT_FOUND)
_CAUSES = (None, Cause(sip=486), Cause(q850=16, party="consumer"), Cause(reason="made_up", code="X-99"))


def a_call(**changes: Any) -> Call:
    about = About(
        id=ids.call_of_attempt(UUID(int=1)),
        direction="outbound",
        person_id=UUID(int=2),
        lead_id=UUID(int=2),
        campaign_id=UUID(int=3),
        attempt_id=UUID(int=1),
        account_id=UUID(int=4),
        number_tag=b"tag",
        provider="fake",
        attempt_n=1,
        ring_timeout_s=25,
        max_duration_s=1800,
        started_at=START,
    )
    call = Call(about=about, told=Told(phone="+13125550199"), mode="ai_first", status="requested")
    return replace(call, **changes)


def said(kind: Kind, after_s: int = 0, **more: Any) -> CallReport:
    return CallReport(key=f"{kind}{after_s}", kind=kind, at=START + timedelta(seconds=after_s), **more)


def told_of(call: Call, *reports: CallReport) -> tuple[Call, list[Any]]:
    facts: list[Any] = []
    for report in reports:
        call, new = state.advance(call, report)
        facts += new
    return call, facts


def end_of(call: Call) -> End:
    assert call.end is not None
    return call.end


def types(facts: Sequence[Fact]) -> list[str]:
    return [fact.type for fact in facts]


def being_transferred(call: Call) -> Call:
    placement = Placement(UUID(int=9), "did", "+12025550111", 30, UUID(int=8))
    at = START + timedelta(seconds=40)
    return handover.begin(call, UUID(int=7), placement, "qualified", at, at)[0]


ANSWERED = a_call(status="answered", answered_at=START + timedelta(seconds=10))


@st.composite
def reports(draw: st.DrawFn) -> CallReport:
    kind = draw(st.sampled_from(list(Kind)))
    return said(
        kind,
        draw(st.integers(0, 400)),
        cause=draw(st.sampled_from(_CAUSES)),
        answered_by=draw(st.sampled_from((None, "human", "voicemail", "unknown", "fax"))),
        qualification=Qualification(draw(st.integers(0, 100)), 70),
        text=draw(st.sampled_from(("", "NQ", "QUAL"))),
        confidence=draw(st.sampled_from(("observed", "inferred"))),
    )


histories = st.lists(reports(), max_size=12)
beginnings = st.sampled_from((a_call(), ANSWERED, being_transferred(ANSWERED)))


@given(beginnings, histories, st.randoms())
def test_whatever_a_platform_says_in_whatever_order_a_call_ends_at_most_once(
    start: Call, history: list[CallReport], rng: random.Random
) -> None:
    shuffled = [*history, *history]
    rng.shuffle(shuffled)

    call, facts = told_of(start, *shuffled)

    ended = types(facts).count("call.ended")
    assert ended == (1 if any(report.kind in TERMINAL for report in history) else 0)
    assert types(facts).count("call.finalized") == ended
    assert call.over == bool(ended)


@given(beginnings, histories)
def test_what_is_told_first_is_made_first_so_the_log_tells_it_in_its_sequence(
    start: Call, history: list[CallReport]
) -> None:
    _, facts = told_of(start, *history)

    made = [fact.id for fact in facts]
    assert made == sorted(made)


def test_a_machine_that_answers_has_answered_before_it_is_recognised() -> None:
    _, (answered, recognised) = told_of(a_call(), said(Kind.ANSWERED, 9, answered_by="voicemail"))

    assert types([answered, recognised]) == ["call.answered", "call.voicemail_detected"]
    assert answered.id < recognised.id


@given(beginnings, histories)
def test_a_call_only_climbs(start: Call, history: list[CallReport]) -> None:
    ranks = [RANK[start.status]]
    call = start
    for report in history:
        call, _ = state.advance(call, report)
        ranks.append(RANK[call.status])

    assert ranks == sorted(ranks)


@given(beginnings, histories)
def test_hearing_everything_again_changes_nothing(start: Call, history: list[CallReport]) -> None:
    once, _ = told_of(start, *history)

    again, facts = told_of(once, *history)

    late = {"call.updated", "call.disposition_set", "call.opt_out_detected"}
    if once.over:
        assert set(types(facts)) <= late
        assert told_of(again, *history)[0].status == "ended"
    else:
        assert set(types(facts)) <= {"call.disposition_set"}


@given(beginnings, histories, reports())
def test_the_same_report_twice_in_a_row_is_told_once(
    start: Call, history: list[CallReport], report: CallReport
) -> None:
    call, _ = told_of(start, *history)
    once, _ = state.advance(call, report)

    twice, facts = state.advance(once, report)

    assert (twice, facts) == (once, [])


@given(beginnings, histories)
def test_the_same_history_always_tells_the_same_story(start: Call, history: list[CallReport]) -> None:
    assert told_of(start, *history) == told_of(start, *history)


@given(beginnings, histories)
def test_every_end_has_one_of_the_24_reasons(start: Call, history: list[CallReport]) -> None:
    _, facts = told_of(start, *history)

    assert all(fact.end_reason in END_REASONS for fact in facts if isinstance(fact, told.CallEnded))


@given(beginnings, histories)
def test_a_transfer_is_over_when_its_call_is(start: Call, history: list[CallReport]) -> None:
    call, facts = told_of(start, *history)

    assert not (call.over and call.open_transfer)
    assert types(facts).count("transfer.released") <= 1


@given(st.permutations([Kind.PLACED, Kind.RINGING, Kind.ANSWERED, Kind.ENDED]))
def test_reports_that_come_together_are_heard_in_order(order: list[Kind]) -> None:
    together = state.in_order([said(kind) for kind in order])

    _, facts = told_of(a_call(), *together)

    assert types(facts) == [
        "call.placed", "call.ringing", "call.answered", "call.ended", "call.finalized",
    ]  # fmt: skip


def test_a_ring_that_was_never_reported_is_not_made_up() -> None:
    _, facts = told_of(a_call(), said(Kind.PLACED), said(Kind.ANSWERED, 9))

    assert types(facts) == ["call.placed", "call.answered"]


def test_a_ring_reported_after_the_answer_only_fills_in_its_time() -> None:
    call, facts = told_of(ANSWERED, said(Kind.RINGING, 3))

    assert facts == []
    assert (call.status, call.ringing_at) == ("answered", START + timedelta(seconds=3))


@pytest.mark.parametrize(("kind", "word"), [(Kind.NO_ANSWER, "no_answer"), (Kind.BUSY, "busy"), (Kind.ERROR, "error")])
def test_why_nobody_was_reached_is_told_just_before_the_end(kind: Kind, word: str) -> None:
    _, facts = told_of(a_call(), said(Kind.PLACED), said(kind, 20))

    assert types(facts) == ["call.placed", f"call.{word}", "call.ended", "call.finalized"]


def test_busy_after_an_answer_is_an_ordinary_end_that_keeps_the_code() -> None:
    _, facts = told_of(ANSWERED, said(Kind.BUSY, 30, cause=Cause(sip=486)))

    assert types(facts) == ["call.ended", "call.finalized"]
    assert (facts[0].end_reason, facts[0].end_detail) == ("unknown", "sip:486")


def test_a_machine_that_picks_up_moves_nothing() -> None:
    call, facts = told_of(ANSWERED, said(Kind.ANSWERED_BY, 14, answered_by="voicemail"))

    assert types(facts) == ["call.voicemail_detected"]
    assert (call.status, call.answered_by, call.over) == ("answered", "voicemail", False)


def test_a_human_who_turns_out_to_be_a_machine_does_not_turn_back() -> None:
    call, _ = told_of(
        ANSWERED,
        said(Kind.ANSWERED_BY, 11, answered_by="human"),
        said(Kind.ANSWERED_BY, 14, answered_by="voicemail"),
        said(Kind.ANSWERED_BY, 15, answered_by="human"),
    )

    assert call.answered_by == "voicemail"


def test_a_human_of_ours_bridged_to_a_machine_is_an_alarm_and_no_hang_up() -> None:
    bridged, _ = told_of(being_transferred(ANSWERED), said(Kind.TARGET_BRIDGED, 50))

    call, facts = told_of(bridged, said(Kind.ANSWERED_BY, 55, answered_by="voicemail"))

    assert (facts[0].human_bridged, call.over) == (True, False)


def test_a_machine_recognised_after_the_hang_up_is_an_update_for_five_minutes() -> None:
    ended, _ = told_of(ANSWERED, said(Kind.ENDED, 30))

    soon, facts = told_of(ended, said(Kind.ANSWERED_BY, 90, answered_by="voicemail"))
    late, nothing = told_of(ended, said(Kind.ANSWERED_BY, 400, answered_by="voicemail"))

    assert (types(facts), soon.answered_by) == (["call.updated"], "voicemail")
    assert (nothing, late) == ([], ended)


def test_a_late_answer_raises_an_alarm_and_asks_for_a_hang_up_and_reopens_nothing() -> None:
    ended, _ = told_of(a_call(), said(Kind.PLACED), said(Kind.NO_ANSWER, 25))

    call, facts = told_of(ended, said(Kind.ANSWERED, 26))

    assert (types(facts), facts[0].alert) == (["call.updated"], True)
    assert (call.status, state.hung_up_wanted(ended, call)) == ("ended", True)


def test_a_second_end_only_explains_an_end_that_was_inferred() -> None:
    given_up, _ = told_of(ANSWERED, said(Kind.ENDED, 60, cause=Cause(reason="watchdog"), confidence="inferred"))

    call, facts = told_of(given_up, said(Kind.ENDED, 70, cause=Cause(code="normal_clearing", party="consumer")))

    assert types(facts) == ["call.updated"]
    assert (end_of(call).reason, end_of(call).detail) == ("watchdog", "normal_clearing")


def test_an_error_that_the_call_survives_is_told_once() -> None:
    call, facts = told_of(ANSWERED, *[said(Kind.TROUBLE, 20, cause=Cause(reason="media"))] * 2)

    assert (types(facts), facts[0].fatal, call.over) == (["call.error"], False, False)


def test_after_a_blind_transfer_the_platforms_hang_up_is_the_transfer() -> None:
    call, facts = told_of(
        being_transferred(ANSWERED), said(Kind.TRANSFERRED, 50), said(Kind.ENDED, 52, cause=Cause(party="platform"))
    )

    assert "transfer.completed" in types(facts)
    assert end_of(call).reason == "transferred"


def test_a_hang_up_long_after_a_blind_transfer_is_a_hang_up() -> None:
    call, _ = told_of(
        being_transferred(ANSWERED), said(Kind.TRANSFERRED, 50), said(Kind.ENDED, 90, cause=Cause(party="consumer"))
    )

    assert end_of(call).reason == "consumer_hangup"


def test_the_humans_leg_is_told_from_ring_to_hang_up() -> None:
    call, facts = told_of(
        being_transferred(ANSWERED),
        said(Kind.TARGET_RINGING, 41),
        said(Kind.TARGET_BRIDGED, 47),
        said(Kind.TRANSFERRED, 48),
        said(Kind.TARGET_ENDED, 227, cause=Cause(party="human")),
    )

    assert types(facts) == [
        "transfer.ringing", "transfer.bridged", "transfer.completed", "transfer.ended", "transfer.released",
    ]  # fmt: skip
    ended = next(fact for fact in facts if isinstance(fact, transfers.TransferEnded))
    assert (ended.talk_s, ended.ended_by, call.transferred) == (180, "human", True)


def test_a_consumer_who_leaves_while_the_target_rings_fails_the_transfer_before_the_end() -> None:
    _, facts = told_of(being_transferred(ANSWERED), said(Kind.TARGET_RINGING, 41), said(Kind.ENDED, 43))

    assert types(facts) == [
        "transfer.ringing", "transfer.failed", "transfer.released", "call.ended", "call.finalized",
    ]  # fmt: skip


def test_a_target_that_declines_leaves_the_consumer_on_the_line() -> None:
    call, facts = told_of(being_transferred(ANSWERED), said(Kind.TARGET_DECLINED, 44, cause=Cause(sip=603)))

    assert types(facts) == ["transfer.declined", "transfer.released"]
    assert (call.over, call.open_transfer, call.transferred) == (False, None, False)


def test_the_threshold_is_crossed_once() -> None:
    _, facts = told_of(
        ANSWERED,
        said(Kind.QUALIFICATION, 20, qualification=Qualification(69, 70)),
        said(Kind.QUALIFICATION, 21, qualification=Qualification(70, 70)),
        said(Kind.QUALIFICATION, 22, qualification=Qualification(95, 70)),
    )

    assert [(fact.type, fact.score) for fact in facts] == [("call.qualification_threshold_met", 70)]


def test_an_opt_out_heard_after_the_hang_up_binds_all_the_same() -> None:
    ended, _ = told_of(ANSWERED, said(Kind.ENDED, 30))

    call, facts = told_of(ended, said(Kind.OPT_OUT_PHRASE, 31, text="stop calling"))

    assert (types(facts), call.opt_out) == (["call.opt_out_detected"], True)


HUNG_UP = Stop("hang_up", Actor("api_key", "key_01k"))


def test_numbers_in_the_story_show_their_last_four_digits() -> None:
    _, facts = told_of(a_call(), said(Kind.PLACED))

    assert b"+13125550199" not in facts[0].story.call
    assert b"***0199" in facts[0].story.call
    assert list(facts[0].story.hidden) == ["call.caller_id", "call.dialed_number"]


def test_a_call_without_its_person_shows_nulls() -> None:
    shown = a_call(told=NOTHING_TOLD).shown(personal=True)

    assert (shown["dialed_number"], shown["client_ref_id"]) == (None, None)
