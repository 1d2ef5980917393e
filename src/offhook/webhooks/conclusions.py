"""What changes more than a delivery's own row, concluded in transactions of its tenant: in order, and beside other tenants.

A failure counts in its endpoint's health, so nothing is concluded twice that is known to be: each transaction is tried
again by itself when the database was away. Where that cannot be known, as the answer to a commit was lost, it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from offhook.db import Database, Tenant
from offhook.errors import is_away
from offhook.log import get, place_of
from offhook.webhooks.endings import Endings
from offhook.webhooks.parcel import Result, by_request, cut

BATCH = 500
AWAY_S = 0.5

Over = Callable[..., Awaitable[None]]
"""Told of results that are done with, and whether they were `written`."""


class Conclusions:
    """Of a process. Each tenant's wait for each other and for nobody else's."""

    def __init__(self, database: Database, endings: Endings, over: Over) -> None:
        self._database = database
        self._endings = endings
        self._over = over
        self._waiting: dict[Tenant, list[Result]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def concerned(self) -> set[UUID]:
        """The endpoints of what is not yet concluded."""
        return {result.parcel.endpoint for results in self._waiting.values() for result in results}

    def take(self, results: Sequence[Result]) -> None:
        """Have these concluded, after what was taken of their tenants before. Returns at once."""
        for result in results:
            tenant = result.parcel.tenant
            if tenant in self._waiting:
                self._waiting[tenant].append(result)
                continue
            self._waiting[tenant] = [result]
            task = asyncio.create_task(self._conclude_all(tenant))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _conclude_all(self, tenant: Tenant) -> None:
        while batch := self._waiting[tenant][: cut(self._waiting[tenant], BATCH)]:
            try:
                await self._conclude(tenant, batch)
            except Exception as failure:
                if is_away(failure):
                    await asyncio.sleep(AWAY_S)
                    continue
                await self._conclude_singly(tenant, batch)
            else:
                await self._over(batch)
            del self._waiting[tenant][: len(batch)]
        del self._waiting[tenant]

    async def _conclude_singly(self, tenant: Tenant, batch: Sequence[Result]) -> None:
        """One that cannot be concluded must not take its neighbours with it: its lease runs out, and it is sent again."""
        for together in by_request(batch):
            try:
                await self._conclude(tenant, together)
            except Exception as failure:
                get("webhooks").error("result_lost", error=type(failure).__name__, at=place_of(failure))
                await self._over(together, written=False)
            else:
                await self._over(together)

    async def _conclude(self, tenant: Tenant, results: Sequence[Result]) -> None:
        async with self._database.transaction(tenant) as tx:
            await self._endings.conclude(tx, results)
