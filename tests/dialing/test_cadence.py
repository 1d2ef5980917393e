"""The cadence's decisions, over made-up plans and outcomes."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journeys.invariants import DAY, within_a_day

from offhook.dialing.cadence import Next, Outcome, Over, Plan, Rule, after_attempt, day_has_room, outcome_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OUTCOMES = st.sampled_from(get_args(Outcome))
GAPS = st.integers(0, 72 * 60).map(lambda minutes: timedelta(minutes=minutes))
RULES = st.builds(Rule, st.sampled_from(["retry", "stop"]), st.none() | GAPS)
PLANS = st.builds(
    Plan,
    gaps=st.lists(GAPS, min_size=1, max_size=5).map(tuple),
    attempts_per_day=st.integers(1, 3),
    attempts_in_all=st.integers(1, 30),
    rules=st.dictionaries(OUTCOMES, RULES),
)
STORIES = st.lists(st.tuples(OUTCOMES, GAPS), min_size=40, max_size=40)


def lived(plan: Plan, story: list[tuple[Outcome, timedelta]]) -> list[datetime]:
    """When a lead is dialed that lives this story: each attempt's outcome, and how long after its time it is dialed."""
    dialed = [NOON]
    for served, (outcome, late) in enumerate(story, start=1):
        following = after_attempt(plan, served, outcome, dialed[-1], dialed)
        if isinstance(following, Over):
            break
        dialed.append(following.due_at + late)
    return dialed


@given(PLANS, STORIES)
def test_a_cadence_never_makes_more_attempts_than_it_may(plan: Plan, story: list[tuple[Outcome, timedelta]]) -> None:
    assert len(lived(plan, story)) <= plan.attempts_in_all


@given(PLANS, STORIES)
def test_no_24_hours_hold_more_attempts_than_a_day_may(plan: Plan, story: list[tuple[Outcome, timedelta]]) -> None:
    assert not within_a_day(lived(plan, story), plan.attempts_per_day)


@given(PLANS, st.integers(1, 30), OUTCOMES)
def test_the_next_attempt_waits_for_the_gap_of_its_outcome_or_of_its_number(
    plan: Plan, served: int, outcome: Outcome
) -> None:
    following = after_attempt(plan, served, outcome, NOON, [])

    gap = plan.rule(outcome).after
    if isinstance(following, Next):
        assert following.due_at == NOON + (plan.gap_before(served + 1) if gap is None else gap)


@given(PLANS, st.integers(1, 30), st.lists(GAPS, max_size=5))
def test_nobody_who_asked_to_stop_is_tried_again_whatever_the_rules_say(
    plan: Plan, served: int, ago: list[timedelta]
) -> None:
    assert after_attempt(plan, served, "opt_out", NOON, [NOON - gap for gap in ago]) == Over("stopped")


@given(PLANS, st.integers(1, 30), OUTCOMES, st.lists(GAPS, max_size=5), st.randoms())
def test_deciding_again_decides_the_same(
    plan: Plan, served: int, outcome: Outcome, ago: list[timedelta], dice: Any
) -> None:
    dialed = [NOON - gap for gap in ago]
    decided = after_attempt(plan, served, outcome, NOON, dialed)

    dice.shuffle(dialed)

    assert after_attempt(plan, served, outcome, NOON, dialed) == decided


@given(st.integers(1, 3), st.lists(GAPS, max_size=8))
def test_a_full_day_is_waited_for_and_not_a_moment_longer(per_day: int, ago: list[timedelta]) -> None:
    dialed = [NOON - gap for gap in ago]

    room_at = day_has_room(per_day, dialed, NOON)

    recent = [one for one in dialed if one > room_at - DAY]
    just_before = [one for one in dialed if one > room_at - DAY - timedelta.resolution]
    assert len(recent) < per_day
    assert room_at == NOON or len(just_before) >= per_day


def test_the_last_gap_repeats() -> None:
    plan = Plan(gaps=(timedelta(0), timedelta(hours=2)))

    assert [plan.gap_before(n) for n in (1, 2, 3, 9)] == [timedelta(0), *[timedelta(hours=2)] * 3]


def ended(**changes: Any) -> Outcome:
    quiet: dict[str, Any] = dict.fromkeys(("answered", "voicemail", "transferred", "qualified", "opted_out"), False)
    return outcome_of(**{"end_reason": "consumer_hangup", "talk_s": 0, **quiet, **changes})


@pytest.mark.parametrize(
    ("call", "outcome"),
    [
        ({"end_reason": "no_answer"}, "no_answer"),
        ({"end_reason": "busy"}, "busy"),
        ({"end_reason": "invalid_number"}, "invalid_number"),
        ({"end_reason": "cancelled"}, "failed"),
        ({"end_reason": "carrier_error"}, "failed"),
        ({"answered": True, "talk_s": 9}, "hung_up"),
        ({"answered": True, "talk_s": 10}, "not_qualified"),
        ({"answered": True, "talk_s": 600, "end_reason": "engine_error"}, "hung_up"),
        ({"answered": True, "voicemail": True, "talk_s": 30}, "voicemail"),
        ({"answered": True, "qualified": True, "talk_s": 60}, "qualified"),
        ({"answered": True, "qualified": True, "transferred": True}, "transferred"),
        ({"answered": True, "transferred": True, "opted_out": True}, "opt_out"),
        ({"end_reason": "no_answer", "opted_out": True}, "opt_out"),
    ],
)
def test_what_a_call_came_to_is_one_word(call: dict[str, Any], outcome: str) -> None:
    assert ended(**call) == outcome


def test_a_call_that_the_house_itself_cut_is_not_held_against_the_number() -> None:
    for reason in ("watchdog", "provider_error", "capacity", "unknown", "blocked", "rejected", "unreachable"):
        assert ended(end_reason=reason) == "failed"
