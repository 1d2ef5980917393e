"""What became of parcels, written in batches: whatever is ready after 20 ms, or 500, or at once when none is under way any more.

Deliveries and retries of all tenants go in one statement. What changes more than a delivery's own row (a dead letter, a
held delivery, the health of an endpoint) goes in a transaction of its tenant: see `endings`. Writing a batch twice
does no harm, so when a commit is lost on the way it is simply written again. A batch that fails is written one by one;
what cannot be written alone either, or takes too long, is left to its lease: the delivery is sent again.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from uuid import UUID

from offhook.db import Database, EngineTx, Tenant
from offhook.errors import is_away
from offhook.log import get, place_of
from offhook.privacy import Vault
from offhook.webhooks import outcome_store
from offhook.webhooks.directory import Directory
from offhook.webhooks.endings import Endings, sealed
from offhook.webhooks.outcome_store import Written
from offhook.webhooks.parcel import Again, Closed, Dead, Left, Result, Try
from offhook.webhooks.schedule import Delivered

BATCH = 500
GATHER_S = 0.02
"""The price of waiting: a process that dies sends what came in meanwhile a second time."""
_AWAY_S = 0.5
_OWN_ROW = Delivered | Again | Left
_SINGLY_S = 30.0
"""How long the members of a batch that failed are written one by one, each its slow statement; the rest is a batch again."""


class Recorder:
    """Takes results and writes them, then tells `recorded` of each batch."""

    def __init__(self, database: Database, vault: Vault, directory: Directory, endings: Endings) -> None:
        self._database = database
        self._vault = vault
        self._directory = directory
        self._endings = endings
        self._waiting: list[Result] = []
        self._task: asyncio.Task[None] | None = None
        self._all_in = asyncio.Event()
        self.recorded: Callable[[Sequence[Result]], None] = lambda _: None
        self.observed: Callable[[Sequence[Result]], None] = lambda _: None
        """Told each batch that was written, once."""
        self.followed: Callable[[], None] = lambda: None
        """Told when what waited for an earlier event may be claimed."""
        self.expecting: Callable[[], bool] = lambda: True
        """Whether more results are under way, so that it is worth waiting for company."""

    def take(self, result: Result) -> None:
        """Have it written soon. Returns at once."""
        self._waiting.append(result)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all())

    def all_in(self) -> None:
        """Nothing more is under way: what waits for company is written now."""
        self._all_in.set()

    async def _write_all(self) -> None:
        while self._waiting:
            # A carrier that has just given its result ends in this turn of the loop; the others will soon give theirs.
            await asyncio.sleep(0)
            if len(self._waiting) < BATCH and self.expecting():
                self._all_in.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_S):
                        await self._all_in.wait()
            cut = _cut(self._waiting)
            batch, self._waiting = self._waiting[:cut], self._waiting[cut:]
            await self._write(batch)

    async def _write(self, batch: Sequence[Result], *, singly: bool = False) -> None:
        try:
            await self._record(batch)
        except Exception as failure:
            if is_away(failure):
                get("webhooks").warning("database_away", results_waiting=len(self._waiting) + len(batch))
                await asyncio.sleep(_AWAY_S)
                self._waiting[:0] = batch
                return
            if len(batch) > 1 and not singly:
                await self._write_singly(batch)
                return
            # Its lease runs out, and it is sent again.
            get("webhooks").error("result_lost", error=type(failure).__name__, at=place_of(failure))
        self.recorded(batch)

    async def _write_singly(self, batch: Sequence[Result]) -> None:
        """One that cannot be written must not take its neighbours with it, nor hold them up for ever."""
        until = time.monotonic() + _SINGLY_S
        for together in _of_one_request(batch):
            if time.monotonic() > until:
                self._waiting.extend(together)
            else:
                await self._write(together, singly=True)

    async def _record(self, batch: Sequence[Result]) -> None:
        await self._settle([result for result in batch if isinstance(result.outcome, _OWN_ROW)])
        for tenant, results in _by_tenant(self._changing_more(batch)).items():
            async with self._database.transaction(tenant) as tx:
                await self._endings.conclude(tx, results)
        await self._let_follow(batch)
        self.observed(batch)

    async def _settle(self, results: Sequence[Result]) -> None:
        fences: dict[int, list[Result]] = defaultdict(list)
        for result in results:
            fences[result.parcel.fence].append(result)
        if not fences:
            return
        # Writing a result twice changes nothing, so its statements need no transaction around them.
        async with self._database.engine_each() as tx:
            for fence, group in fences.items():
                tried = [self._row(tx, result, result.tried) for result in group if result.tried]
                left = [result.parcel.delivery for result in group if not result.tried]
                if tried:
                    await outcome_store.settle(tx, fence, tried)
                if left:
                    await outcome_store.give_back(tx, fence, left)

    def _row(self, tx: EngineTx, result: Result, tried: Try) -> tuple[Written, Again | None]:
        later = result.outcome if isinstance(result.outcome, Again) else None
        return sealed(self._vault, tx, tried), later

    async def _let_follow(self, results: Sequence[Result]) -> None:
        """What was sent in order has ended: the next event of its subject may go."""
        ended = {
            (result.parcel.endpoint, result.parcel.ordered)
            for result in results
            if result.parcel.ordered and isinstance(result.outcome, Delivered | Dead | Closed)
        }
        if ended:
            async with self._database.engine_each() as tx:
                await outcome_store.let_follow(tx, sorted(ended))
            self.followed()

    def _changing_more(self, batch: Sequence[Result]) -> list[Result]:
        # In the order in which they came, for that is what the health of an endpoint is judged by.
        told = {one.parcel.endpoint: one.parcel.tenant for one in batch if isinstance(one.outcome, Delivered)}
        troubled = {endpoint for endpoint, tenant in told.items() if self._is_troubled(tenant, endpoint)}
        return [one for one in batch if _is_more(one, troubled)]

    def _is_troubled(self, tenant: Tenant, endpoint: UUID) -> bool:
        book = self._directory.known(tenant)
        known = book.endpoints.get(endpoint) if book else None
        # Not known means that it has just changed, so it may have been in trouble.
        return known is None or known.troubled


def _cut(waiting: Sequence[Result]) -> int:
    """How many are written at once. What went in one request is written in one, or a crash would tear it."""
    cut = min(BATCH, len(waiting))
    while (
        cut < len(waiting) and waiting[cut].parcel.batch and waiting[cut].parcel.batch == waiting[cut - 1].parcel.batch
    ):
        cut += 1
    return cut


def _of_one_request(results: Sequence[Result]) -> Iterable[list[Result]]:
    return (list(some) for _, some in groupby(results, lambda one: one.parcel.batch or one.parcel.delivery))


def _is_more(result: Result, troubled: Collection[UUID]) -> bool:
    if isinstance(result.outcome, Delivered):
        return result.parcel.endpoint in troubled or result.disables is not None
    return not isinstance(result.outcome, Left)


def _by_tenant(results: Iterable[Result]) -> dict[Tenant, list[Result]]:
    tenants: dict[Tenant, list[Result]] = defaultdict(list)
    for result in results:
        tenants[result.parcel.tenant].append(result)
    return tenants
