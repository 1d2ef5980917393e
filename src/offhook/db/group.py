"""Group commit: single requests that arrive together share one transaction, and nobody waits for company.

Whatever arrived while the last commit was under way is the next batch, so a lone request commits at once and a
thousand share a few. A batch belongs to one tenant, whose batches follow one another: two at once would be smaller.
Only when so many wait that they are a good batch already does it go beside the one under way, for then the database
works while this process does, and not in turns. Should the two want the same rows, the loser runs again.

When a batch fails, its members run again one by one, so a refused request never rolls back its neighbours. Only when the
database is away, or a few of them took too long alone too, are the others not tried.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from offhook.db.connection import Database, Tenant, Tx
from offhook.db.races import unraced
from offhook.errors import Slow, is_away

Item = TypeVar("Item")
Result = TypeVar("Result")
Waiting = tuple[Item, asyncio.Future[Result]]

_GOOD_BATCH = 16
"""So many share a transaction's own cost that a second one of their tenant at the same time is worth it."""
_SLOW_ONES = 3
"""So many of a batch are each given the time of a statement alone; then it is not they that are slow."""


class GroupCommit(Generic[Item, Result]):
    """Runs `work(tx, items)` for whatever has gathered; `work` answers one result per item, in order."""

    def __init__(
        self,
        database: Database,
        work: Callable[[Tx, Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        races: tuple[type[Exception], ...] = (),
        writers: int = 4,
        most: int = 250,
    ) -> None:
        """`races` are what `work` raises when another transaction was first: its whole batch runs once more then."""
        self._database = database
        self._work = work
        self._races = races
        self._most = most
        self._writers = writers
        self._queues: OrderedDict[Tenant, list[Waiting[Item, Result]]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing: list[Tenant] = []

    async def submit(self, tenant: Tenant, item: Item) -> Result:
        """The item's own result, once its transaction is durable. Raises what `work` raises for this item alone."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, []).append((item, future))
        if self._may_write(tenant):
            self._writing.append(tenant)
            task = asyncio.create_task(self._write(tenant))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _may_write(self, tenant: Tenant) -> bool:
        """Whether a batch of this tenant may go now. A second one leaves a writer to the tenants that have none."""
        under_way, free = self._writing.count(tenant), self._writers - len(self._writing)
        return free > under_way and (under_way == 0 or (under_way == 1 and len(self._queues[tenant]) >= _GOOD_BATCH))

    async def _write(self, tenant: Tenant) -> None:
        """Commit this tenant's batch, then that of whoever waits longest, until nobody does."""
        mine: Tenant | None = tenant
        try:
            while mine:
                if batch := self._next_batch(mine):
                    await self._commit(mine, batch)
                # No await from here to the next look: whoever submits finds its tenant either taken or free.
                self._writing.remove(mine)
                if mine := next((one for one in self._queues if self._may_write(one)), None):
                    self._writing.append(mine)
        finally:
            if mine:
                self._writing.remove(mine)

    def _next_batch(self, tenant: Tenant) -> list[Waiting[Item, Result]]:
        """Who waits, the longest first; nobody when the tenant's other batch took them all."""
        waiting = self._queues.pop(tenant, [])
        if rest := waiting[self._most :]:
            self._queues[tenant] = rest
        return waiting[: self._most]

    async def _commit(self, tenant: Tenant, batch: list[Waiting[Item, Result]]) -> None:
        try:
            items = [item for item, _ in batch]
            results = await unraced(lambda: self._transact(tenant, items), *self._races, again=1)
        except Exception as failure:
            if len(batch) == 1 or is_away(failure):
                _refuse(batch, failure)
            else:
                await self._commit_singly(tenant, batch)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def _commit_singly(self, tenant: Tenant, batch: list[Waiting[Item, Result]]) -> None:
        slow = 0
        for n, single in enumerate(batch):
            await self._commit(tenant, [single])
            if failure := _slowness(single[1]):
                slow += 1
                if slow == _SLOW_ONES:
                    _refuse(batch[n + 1 :], failure)
                    return

    async def _transact(self, tenant: Tenant, items: Sequence[Item]) -> Sequence[Result]:
        async with self._database.transaction(tenant) as tx:
            return await self._work(tx, items)


def _refuse(batch: list[Waiting[Item, Result]], failure: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(failure)


def _slowness(future: "asyncio.Future[Result]") -> Slow | None:
    failure = None if future.cancelled() else future.exception()
    return failure if isinstance(failure, Slow) else None
