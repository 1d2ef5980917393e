"""Transactions that lose: to a deadlock, or to another one that was first. Undone whole, they are run again."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from psycopg.errors import DeadlockDetected

T = TypeVar("T")


async def unraced(act: Callable[[], Awaitable[T]], *races: type[Exception], again: int = 3) -> T:
    """What `act` comes to; run again, `again` times at most, when a deadlock undid it or it raised one of `races`.

    `act` opens its transaction itself, so each run is whole and sees what the winner committed. Raises what the last
    run raised, and anything else at once.
    """
    for _ in range(again):
        with suppress(DeadlockDetected, *races):
            return await act()
        # Two transactions waited for each other, or wanted the same; the other one is through by now.
    return await act()
