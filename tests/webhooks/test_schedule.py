"""The retry schedule: what every customer's delivery goes through, whatever the dice and the receiver say."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.outbound import Answer, NoAnswer
from offhook.outbound.answer import Timing
from offhook.webhooks.schedule import (
    DEFAULT,
    LONGEST_LIFE,
    LONGEST_RETRY_AFTER,
    Delivered,
    Progress,
    Refused,
    Schedule,
    Spent,
    TryAgain,
    disabling,
    judge,
    next_try,
    read_retry_after,
)

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
DAY, HOUR, MINUTE, SECOND, NOTHING = (timedelta(seconds=seconds) for seconds in (86_400, 3_600, 60, 1, 0))
TIMING = Timing(0.0, 0.0, 0.0, None, 1.0)

dice = st.integers().map(random.Random)
waits = st.timedeltas(NOTHING, timedelta(days=3))
schedules = st.builds(
    Schedule,
    gaps=st.lists(st.timedeltas(NOTHING, timedelta(days=2)), min_size=1, max_size=12).map(tuple),
    tries=st.integers(1, 50),
)


def answer(status: int, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"", False, TIMING)


def all_tries(roll: random.Random, schedule: Schedule = DEFAULT, takes: timedelta = NOTHING) -> list[datetime]:
    """When each try of a delivery begins that always fails after `takes`."""
    begun = [START]
    while isinstance(due := next_try(Progress(len(begun), START, begun[-1] + takes), roll, schedule), datetime):
        begun.append(due)
    return begun


@given(dice, st.timedeltas(NOTHING, 30 * SECOND))
def test_a_failing_delivery_is_tried_eight_times_the_last_at_least_a_day_after_the_first(
    roll: random.Random, takes: timedelta
) -> None:
    begun = all_tries(roll, takes=takes)

    assert len(begun) == 8
    assert DAY <= begun[-1] - begun[0] <= 1.1 * DAY + 8 * takes


@given(dice)
def test_jitter_lengthens_a_gap_by_a_tenth_at_most_and_never_shortens_it(roll: random.Random) -> None:
    begun = all_tries(roll)

    for gap, before, after in zip(DEFAULT.gaps[1:], begun, begun[1:], strict=False):
        assert gap <= after - before <= gap * 1.1


def test_the_dice_do_spread_the_tries() -> None:
    assert len({all_tries(random.Random(seed))[1] for seed in range(100)}) > 90


@given(dice, schedules)
def test_no_schedule_goes_back_in_time_beyond_its_tries_or_past_48_hours(
    roll: random.Random, schedule: Schedule
) -> None:
    begun = all_tries(roll, schedule)

    assert begun == sorted(begun)
    assert len(begun) <= schedule.tries
    assert begun[-1] - START <= LONGEST_LIFE


@given(dice, st.integers(8, 50))
def test_more_tries_than_gaps_repeat_the_last_gap(roll: random.Random, made: int) -> None:
    schedule = Schedule((NOTHING, MINUTE, HOUR), tries=50)

    due = next_try(Progress(made, START, START), roll, schedule)

    assert (
        due == Spent("tries_used_up") if made == 50 else HOUR <= (due - START if isinstance(due, datetime) else NOTHING)
    )


@given(dice, st.integers(1, 7), waits)
def test_retry_after_only_lengthens_a_gap_and_to_one_day_at_most(
    roll: random.Random, made: int, asked: timedelta
) -> None:
    due = next_try(Progress(made, START, START), roll, retry_after=asked)

    assert isinstance(due, datetime)
    heard = min(asked, LONGEST_RETRY_AFTER)
    assert max(DEFAULT.gaps[made], heard) <= due - START <= max(DEFAULT.gaps[made] * 1.1, heard)


@given(dice, schedules, st.integers(0, 49), st.timedeltas(LONGEST_LIFE, timedelta(days=900)), waits)
def test_a_delivery_is_dead_48_hours_after_its_first_try(
    roll: random.Random, schedule: Schedule, made: int, age: timedelta, asked: timedelta
) -> None:
    verdict = next_try(Progress(made, START, START + age + SECOND), roll, schedule, asked)

    assert isinstance(verdict, Spent)


def test_a_try_that_would_come_too_late_is_not_waited_for() -> None:
    so_far = Progress(4, START, START + 30 * HOUR)

    assert next_try(so_far, random.Random(1), retry_after=DAY) == Spent("too_old")


@pytest.mark.parametrize(("gaps", "tries"), [((), 8), ((-SECOND,), 8), ((SECOND,), 0), ((SECOND,), 51)])
def test_a_schedule_that_makes_no_sense_cannot_be_made(gaps: tuple[timedelta, ...], tries: int) -> None:
    with pytest.raises(ValueError, match="must|needs"):
        Schedule(gaps, tries)


@given(st.integers(200, 299))
def test_any_2xx_is_delivered(status: int) -> None:
    assert judge(answer(status), START) == Delivered()


@given(st.one_of(st.integers(100, 199), st.integers(300, 409), st.integers(411, 599)))
def test_everything_else_but_410_is_tried_again_a_redirect_too(status: int) -> None:
    assert judge(answer(status), START) == TryAgain(f"http_{status}")


def test_410_is_final_and_disables_the_endpoint() -> None:
    assert disabling(answer(410)) == "gone"
    assert judge(answer(410), START, final=[400, 410]) == Refused("http_410")


def test_a_4xx_that_the_endpoint_lists_is_final_and_disables_nothing() -> None:
    assert disabling(answer(422)) is None
    assert judge(answer(422), START, final=[422]) == Refused("http_422")
    assert judge(answer(500), START, final=[500]) == TryAgain("http_500")


def test_no_answer_is_tried_again_with_its_code() -> None:
    assert judge(NoAnswer("timeout", "the answer was not complete in time", TIMING), START) == TryAgain("timeout")


@pytest.mark.parametrize(("status", "heard"), [(429, 90 * SECOND), (503, 90 * SECOND), (500, NOTHING), (404, NOTHING)])
def test_retry_after_is_heard_when_the_receiver_is_busy(status: int, heard: timedelta) -> None:
    assert judge(answer(status, retry_after="90"), START) == TryAgain(f"http_{status}", heard)


@given(st.integers(0, 10**12))
def test_seconds_are_read_up_to_a_day(seconds: int) -> None:
    assert read_retry_after(str(seconds), START) == timedelta(seconds=min(seconds, 86_400))
    assert read_retry_after(f" 000{seconds} ", START) == timedelta(seconds=min(seconds, 86_400))


@given(st.integers(-(10**6), 10**6))
def test_a_date_is_read_up_to_a_day_and_a_past_one_asks_for_nothing(seconds: int) -> None:
    date = format_datetime(START + timedelta(seconds=seconds), usegmt=True)

    assert read_retry_after(date, START) == timedelta(seconds=min(max(seconds, 0), 86_400))


@pytest.mark.parametrize(
    "date", ["Saturday, 21-Nov-26 09:01:00 GMT", "Sat Nov 21 09:01:00 2026", "Sat, 21 Nov 2026 09:01:00 -0000"]
)
def test_old_ways_to_write_a_date_are_read_too(date: str) -> None:
    assert read_retry_after(date, START) == MINUTE


@given(
    st.one_of(st.text(), st.from_regex(r"[A-Z][a-z]{2}, \d{1,9} [A-Z][a-z]{2} \d{1,9} \d+:\d+:\d+ [A-Z+\-0-9]{0,9}"))
)
def test_no_text_breaks_the_reading_or_asks_for_more_than_a_day(text: str) -> None:
    assert NOTHING <= read_retry_after(text, START) <= LONGEST_RETRY_AFTER


def test_a_number_too_long_to_read_is_a_day() -> None:
    assert read_retry_after("9" * 8_000, START) == DAY
