"""Upkeep: what must be done now and then, by whichever process gets the turn.

The coming days' partitions come first, in a transaction of their own, for the house cannot write without them. Whatever
else fails is told in the log, type and place, and done at the next turn; it keeps nothing else from being done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from offhook.db import Database, EngineTx
from offhook.errors import Slow, Unavailable
from offhook.events.store import read_epoch
from offhook.log import get, place_of

EVERY_S = 3600
STATISTICS_EVERY_S = 2
PARTITIONS_AHEAD_DAYS = 14
MOST_ROUNDS = 1000

Purge = Callable[[EngineTx], Awaitable[int]]
"""Forgets some of what its room need not keep, in one short statement; how much that was, 0 when nothing is left to do."""
Chore = Callable[[], Awaitable[object]]
"""Does its own work in its own transactions."""


class Upkeep:
    """Makes the coming days' partitions and forgets what has served its time."""

    def __init__(self, database: Database, purges: Sequence[Purge], chores: Sequence[Chore] = ()) -> None:
        """All of them are done every hour: each purge until it finds nothing, every time in a transaction of its own."""
        self._database = database
        self._purges = purges
        self._chores = chores

    async def run(self) -> None:
        """Upkeep now and every hour, statistics of young tables every other second, until cancelled."""
        await asyncio.gather(
            _every(EVERY_S, self.once),
            _every(STATISTICS_EVERY_S, lambda: _survived(self._refresh_statistics, "statistics")),
        )

    async def once(self) -> None:
        """Do what is due. Idempotent; another process may do it at the same time. Failures are logged and not raised."""
        await _survived(self._make_partitions, "partitions")
        for purge in self._purges:
            await _survived(partial(self._purge, purge), _name(purge))
        for chore in self._chores:
            await _survived(chore, _name(chore))

    async def prepare(self) -> None:
        """Make the coming days' partitions, before anything is written.

        Raises Unavailable when the database is away. A lock in their way is logged: two weeks of them are there, as a
        rule, and the loop tries again.
        """
        try:
            await self._make_partitions()
        except Slow as failure:
            get("upkeep").warning("upkeep_put_off", what="partitions", why=failure.code)

    async def _make_partitions(self) -> None:
        # Nothing else in this transaction: a new partition shuts its table until the commit.
        async with self._database.engine() as tx:
            await tx.run("select make_partitions(%(days)s)", {"days": PARTITIONS_AHEAD_DAYS})

    async def _purge(self, purge: Purge) -> None:
        for _ in range(MOST_ROUNDS):
            async with self._database.engine() as tx:
                gone = await purge(tx)
            if not gone:
                return

    async def _refresh_statistics(self) -> None:
        async with self._database.engine() as tx:
            await tx.run("select refresh_statistics()")

    async def epoch(self) -> int:
        """The epoch of this database's log: raised when it was restored from a dump."""
        async with self._database.engine() as tx:
            return await read_epoch(tx)


def _name(act: Callable[..., object]) -> str:
    return getattr(act, "__name__", "unnamed")


async def _every(seconds: float, act: Chore) -> None:
    while True:
        await act()
        await asyncio.sleep(seconds)


async def _survived(act: Chore, what: str) -> None:
    try:
        await act()
    except Unavailable as failure:
        get("upkeep").warning("upkeep_put_off", what=what, why=failure.code)
    except Exception as failure:
        get("upkeep").error("upkeep_failed", what=what, error=type(failure).__name__, at=place_of(failure))
