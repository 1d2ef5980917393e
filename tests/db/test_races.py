"""Transactions that lose are run again, whole, and not for ever."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from psycopg.errors import DeadlockDetected

from offhook.db import Database, Tenant
from offhook.db.races import unraced


class Lost(Exception):
    """Somebody else was first."""


def failing(*failures: Exception) -> Callable[[], Awaitable[str]]:
    """Fails with these, one after the other, and then comes through."""
    left = list(failures)

    async def act() -> str:
        if left:
            raise left.pop(0)
        return "through"

    return act


async def test_what_a_deadlock_undid_is_run_again() -> None:
    assert await unraced(failing(DeadlockDetected(), DeadlockDetected())) == "through"


async def test_what_lost_a_race_is_run_again_where_that_is_known_to_help() -> None:
    assert await unraced(failing(Lost(), DeadlockDetected(), Lost()), Lost) == "through"


async def test_whoever_loses_every_time_is_told_so() -> None:
    act = failing(*(Lost(str(n)) for n in range(9)))

    with pytest.raises(Lost, match="5"):
        await unraced(act, Lost, again=5)


async def test_any_other_failure_is_no_race() -> None:
    act = failing(Lost(), DeadlockDetected())

    with pytest.raises(Lost):
        await unraced(act)


async def test_two_transactions_that_wait_for_each_other_both_come_through(database: Database, tenant: Tenant) -> None:
    each_has_one, runs = asyncio.Barrier(2), 0

    async def take(first: int, second: int) -> None:
        nonlocal runs
        runs += 1
        async with database.transaction(tenant) as tx:
            await tx.run_now("select pg_advisory_xact_lock(%(n)s)", {"n": first})
            if runs <= 2:
                await each_has_one.wait()
            await tx.run_now("select pg_advisory_xact_lock(%(n)s)", {"n": second})

    await asyncio.gather(unraced(lambda: take(1, 2)), unraced(lambda: take(2, 1)))

    assert runs == 3
