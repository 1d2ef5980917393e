import random

from hypothesis import given
from hypothesis import strategies as st

from offhook.jobs.outcome import backoff

FAILURES = st.integers(min_value=1, max_value=10_000)
DICE = st.integers().map(random.Random)


@given(FAILURES, DICE)
def test_a_failed_job_waits_between_five_seconds_and_an_hour_lengthened_by_a_fifth_at_most(
    failures: int, dice: random.Random
) -> None:
    gap = min(3600, 5 * 2 ** (min(failures, 20) - 1))

    waits = backoff(failures, dice).total_seconds()

    assert gap <= waits <= gap * 1.2


@given(st.integers(min_value=1, max_value=9), DICE)
def test_every_further_failure_waits_longer_until_the_hour_is_reached(failures: int, dice: random.Random) -> None:
    assert backoff(failures, dice) < backoff(failures + 1, dice)
