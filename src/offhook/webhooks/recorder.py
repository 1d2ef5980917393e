"""What became of parcels, written in batches: whatever is ready after 20 ms, or 500, or at once when none is under way any more.

Deliveries and retries of all tenants go in one statement. What changes more than a delivery's own row (a dead letter, the
health of an endpoint) goes on to `conclusions`, where no tenant waits for another. Settling a batch twice does no harm,
so when its answer is lost on the way it is simply written again. A batch that fails is written one by one; what cannot
be written alone either, or takes too long, is left to its lease: the delivery is sent again.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from uuid import UUID

from offhook.db import Database, EngineTx
from offhook.errors import is_away
from offhook.log import get, place_of
from offhook.privacy import Vault
from offhook.webhooks import outcome_store
from offhook.webhooks.conclusions import Conclusions
from offhook.webhooks.endings import Endings, sealed
from offhook.webhooks.outcome_store import Written
from offhook.webhooks.parcel import Again, Closed, Dead, Left, Result, Try, by_request, cut, flat
from offhook.webhooks.schedule import Delivered

BATCH = 500
GATHER_S = 0.02
"""The price of waiting: a process that dies sends what came in meanwhile a second time."""
AWAY_S = 0.5
_OWN_ROW = Delivered | Again | Left
_SINGLY_S = 30.0
"""How long the members of a batch that failed are written one by one, each its slow statement; the rest is a batch again."""


class Recorder:
    """Takes results and writes them, then tells `recorded` of them."""

    def __init__(self, database: Database, vault: Vault, endings: Endings) -> None:
        self._database = database
        self._vault = vault
        self._conclusions = Conclusions(database, endings, self._over)
        self._waiting: list[Result] = []
        self._task: asyncio.Task[None] | None = None
        self._all_in = asyncio.Event()
        self.recorded: Callable[[Sequence[Result]], None] = lambda _: None
        self.observed: Callable[[Sequence[Result]], None] = lambda _: None
        """Told of what was written, once."""
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
            end = cut(self._waiting, BATCH)
            batch, self._waiting = self._waiting[:end], self._waiting[end:]
            try:
                await self._write(batch)
            except Exception as failure:
                if is_away(failure):
                    await self._put_back(batch)
                else:
                    await self._write_singly(batch)

    async def _write(self, batch: Sequence[Result]) -> None:
        troubled = await self._settle([result for result in batch if isinstance(result.outcome, _OWN_ROW)])
        # Nor may a success be passed over behind a failure whose conclusion is still to come.
        troubled |= {one.parcel.endpoint for one in batch if isinstance(one.outcome, Again | Dead)}
        troubled |= self._conclusions.concerned
        more = [result for result in batch if _is_more(result, troubled)]
        self._conclusions.take(more)
        if len(more) < len(batch):
            await self._over([result for result in batch if not _is_more(result, troubled)] if more else batch)

    async def _write_singly(self, batch: Sequence[Result]) -> None:
        """One that cannot be written must not take its neighbours with it, nor hold them up for ever."""
        until = time.monotonic() + _SINGLY_S
        requests = by_request(batch)
        for n, together in enumerate(requests):
            if time.monotonic() > until:
                self._waiting[:0] = flat(requests[n:])
                return
            try:
                await self._write(together)
            except Exception as failure:
                if is_away(failure):
                    await self._put_back(flat(requests[n:]))
                    return
                # Its lease runs out, and it is sent again.
                get("webhooks").error("result_lost", error=type(failure).__name__, at=place_of(failure))
                self.recorded(together)

    async def _put_back(self, results: Sequence[Result]) -> None:
        self._waiting[:0] = results
        get("webhooks").warning("database_away", results_waiting=len(self._waiting))
        await asyncio.sleep(AWAY_S)

    async def _over(self, results: Sequence[Result], *, written: bool = True) -> None:
        """These are done with; `written` unless they were lost."""
        if written:
            try:
                await self._let_follow(results)
            except Exception as failure:
                # They follow when they have waited their time.
                get("webhooks").warning("not_let_follow", error=type(failure).__name__, at=place_of(failure))
            self.observed(results)
        self.recorded(results)

    async def _settle(self, results: Sequence[Result]) -> set[UUID]:
        """Write them; the endpoints among them that a success would change."""
        fences: dict[int, list[Result]] = defaultdict(list)
        for result in results:
            fences[result.parcel.fence].append(result)
        troubled: set[UUID] = set()
        if not fences:
            return troubled
        # Writing a result twice changes nothing, so its statements need no transaction around them.
        async with self._database.engine_each() as tx:
            for fence, group in fences.items():
                tried = [self._row(tx, result, result.tried) for result in group if result.tried]
                left = [result.parcel.delivery for result in group if not result.tried]
                if tried:
                    troubled |= await outcome_store.settle(tx, fence, tried)
                if left:
                    await outcome_store.give_back(tx, fence, left)
        return troubled

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


def _is_more(result: Result, troubled: Collection[UUID]) -> bool:
    if isinstance(result.outcome, Delivered):
        return result.parcel.endpoint in troubled or result.disables is not None
    return not isinstance(result.outcome, Left)
