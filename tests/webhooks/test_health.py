"""An endpoint's health follows from its tries alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.webhooks import health
from offhook.webhooks.health import Health

START = datetime(2026, 11, 21, tzinfo=UTC)
WELL = Health("active", None, 0, None, None)
DAYS = timedelta(days=5)
TRIES = st.lists(st.booleans(), max_size=40)


def after(before: Health, tries: Sequence[tuple[datetime, bool]], patience: timedelta = DAYS) -> Health:
    return health.after(before, tries, patience)


def failures(count: int, apart: timedelta = timedelta(seconds=1)) -> list[tuple[datetime, bool]]:
    return [(START + n * apart, False) for n in range(count)]


def test_ten_failures_in_a_row_make_it_fail_and_nine_do_not() -> None:
    assert after(WELL, failures(9)).status == "active"
    assert after(WELL, failures(10)).status == "failing"


@given(st.integers(min_value=1, max_value=30))
def test_as_many_days_without_success_as_its_owner_grants_disable_it(days: int) -> None:
    patience, instant = timedelta(days=days), timedelta(microseconds=1)

    almost, long = (after(WELL, failures(2, wait), patience) for wait in (patience - instant, patience))

    assert (almost.status, long.status, long.reason) == ("active", "disabled", "no_success")


@pytest.mark.parametrize("status", ["paused", "disabled"])
def test_what_somebody_stopped_stays_stopped(status: str) -> None:
    stopped = replace(WELL, status=status)

    assert after(stopped, [*failures(20), (START, True)]).status == status


@given(TRIES)
def test_one_success_always_heals(tries: list[bool]) -> None:
    told = [(START + timedelta(seconds=n), succeeded) for n, succeeded in enumerate(tries)]

    healed = after(WELL, [*told, (START + timedelta(hours=1), True)])

    assert (healed.status, healed.failures_in_row, healed.troubled) == ("active", 0, False)


@given(TRIES, st.integers(min_value=0, max_value=40))
def test_it_does_not_matter_how_tries_are_batched(tries: list[bool], cut: int) -> None:
    told = [(START + timedelta(seconds=n), succeeded) for n, succeeded in enumerate(tries)]

    assert after(after(WELL, told[:cut]), told[cut:]) == after(WELL, told)
