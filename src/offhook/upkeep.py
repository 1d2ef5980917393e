"""Upkeep: what must be done now and then, by whichever process gets the turn."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from offhook.db import Database, EngineTx
from offhook.errors import Unavailable
from offhook.events.store import read_epoch
from offhook.log import get

EVERY_S = 3600
STATISTICS_EVERY_S = 2
PARTITIONS_AHEAD_DAYS = 14

Chore = Callable[[EngineTx], Awaitable[object]]


class Upkeep:
    """Makes the coming days' partitions and forgets what has served its time."""

    def __init__(self, database: Database, chores: Sequence[Chore]) -> None:
        """`chores` are done every hour: each forgets, in a few statements, what its room need not keep."""
        self._database = database
        self._chores = chores

    async def run(self) -> None:
        """Upkeep every hour, statistics of young tables every other second, until cancelled."""
        rounds = 0
        while True:
            await asyncio.sleep(STATISTICS_EVERY_S)
            rounds += 1
            try:
                await self._refresh_statistics()
                if rounds % (EVERY_S // STATISTICS_EVERY_S) == 0:
                    await self.once()
            except Unavailable:
                get("upkeep").warning("upkeep_put_off")

    async def once(self) -> None:
        """Do what is due. Idempotent; another process doing it at the same time is waited for."""
        async with self._database.engine() as tx:
            await tx.run("select make_partitions(%(days)s)", {"days": PARTITIONS_AHEAD_DAYS})
            for chore in self._chores:
                await chore(tx)

    async def _refresh_statistics(self) -> None:
        async with self._database.engine() as tx:
            await tx.run("select refresh_statistics()")

    async def epoch(self) -> int:
        """The epoch of this database's log: raised when it was restored from a dump."""
        async with self._database.engine() as tx:
            return await read_epoch(tx)
