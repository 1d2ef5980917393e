"""An endpoint that is down is left alone within seconds, and asked again a little at a time."""

from hypothesis import given
from hypothesis import strategies as st

from offhook.webhooks.breaker import CLOSED, FAILURES, FIRST_S, LONGEST_S, PROBES, Breaker

Step = tuple[int, bool, int]
steps = st.lists(st.tuples(st.integers(0, 100), st.booleans(), st.integers(0, 200)), max_size=60)


def after(breaker: Breaker, *outcomes: bool, now: float = 0.0) -> Breaker:
    for works in outcomes:
        breaker = breaker.after(works=works, now=now)
    return breaker


def opened(times: int = 1) -> tuple[Breaker, float]:
    """A breaker that has just opened for the nth time in a row, and when."""
    breaker, now = after(CLOSED, *[False] * FAILURES), 0.0
    for _ in range(times - 1):
        now += breaker.closed_for_s(now)
        breaker = after(breaker, False, now=now)
    return breaker, now


@given(st.lists(st.booleans(), max_size=40))
def test_it_opens_after_so_many_failures_in_a_row_and_never_before(outcomes: list[bool]) -> None:
    breaker, in_row = CLOSED, 0
    for works in outcomes:
        breaker = after(breaker, works)
        in_row = 0 if works else in_row + 1

        assert (breaker.open_until is not None) == (in_row >= FAILURES)
        if in_row >= FAILURES:
            return


@given(steps)
def test_while_it_is_not_closed_it_lets_no_more_through_than_probes(some: list[Step]) -> None:
    breaker, now = CLOSED, 0.0
    for later, works, asked in some:
        now += later
        breaker = breaker.after(works=works, now=now, asked_s=asked)

        permitted = breaker.permits(now)
        assert (permitted is None) == (breaker.open_until is None)
        assert permitted in (None, 0, PROBES)
        assert (permitted == 0) == (breaker.closed_for_s(now) > 0)


@given(steps)
def test_it_is_never_open_for_longer_than_a_minute(some: list[Step]) -> None:
    breaker, now = CLOSED, 0.0
    for later, works, asked in some:
        now += later
        breaker = breaker.after(works=works, now=now, asked_s=asked)

        assert breaker.closed_for_s(now) <= LONGEST_S


def test_each_failed_probe_doubles_the_wait_up_to_a_minute() -> None:
    waits = []
    for times in range(1, 12):
        breaker, now = opened(times)
        waits.append(breaker.closed_for_s(now))

    assert waits == [min(FIRST_S * 2**n, LONGEST_S) for n in range(11)]


def test_it_stays_closed_to_who_asked_to_be_left_alone_for_as_long() -> None:
    breaker = after(CLOSED, *[False] * (FAILURES - 1))

    assert breaker.after(works=False, now=0, asked_s=20).closed_for_s(0) == 20
    assert breaker.after(works=False, now=0, asked_s=7200).closed_for_s(0) == LONGEST_S


def test_failures_of_what_was_under_way_when_it_opened_change_nothing() -> None:
    breaker, now = opened()

    assert after(breaker, *[False] * 20, now=now) == breaker


def test_so_many_probes_that_succeed_close_it_and_everything_is_forgotten() -> None:
    breaker, now = opened(times=5)
    now += breaker.closed_for_s(now)

    almost = after(breaker, *[True] * (PROBES - 1), now=now)

    assert almost.permits(now) == PROBES
    assert after(almost, True, now=now) == CLOSED


def test_a_probe_that_fails_opens_it_again_and_the_successes_before_it_do_not_count() -> None:
    breaker, now = opened()
    now += breaker.closed_for_s(now)

    again = after(breaker, *[True] * (PROBES - 1), False, now=now)
    later = now + again.closed_for_s(now)

    assert again.permits(now) == 0
    assert after(again, *[True] * (PROBES - 1), now=later).permits(later) == PROBES
