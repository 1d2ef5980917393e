"""The loop that tells endpoints: from memory when an event was born here, from the database for all that waits.

A parcel is leased to this process before it is in memory, and its row is closed only with its result. So a process that
dies loses nothing: its leases run out within 30 seconds, and exactly those deliveries that had no result are sent again,
by whoever claims them first.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import groupby
from typing import Any, LiteralString, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from offhook.db import Tenant, Wakeups
from offhook.errors import Unavailable
from offhook.log import get, place_of
from offhook.webhooks import counts, outcome_store
from offhook.webhooks.claim_store import Waiting
from offhook.webhooks.claims import Claim, Claims
from offhook.webhooks.directory import Directory, Endpoint
from offhook.webhooks.discards import Discards
from offhook.webhooks.lane import Load
from offhook.webhooks.owners import Owners
from offhook.webhooks.parcel import Left, Parcel, Result, Try
from offhook.webhooks.post import LONGEST_TIMEOUT_S, Post
from offhook.webhooks.queues import Queues, Room
from offhook.webhooks.recorder import Recorder

T = TypeVar("T")

LOOK_S = 1.0
CAPACITY = 2000
_QUICK_MS = 1000.0


class Sender:
    """Sends what it is offered and what is due. Any number of processes may run one; leases keep them apart."""

    def __init__(
        self,
        wakeups: Wakeups,
        directory: Directory,
        owners: Owners,
        claims: Claims,
        discards: Discards,
        post: Post,
        recorder: Recorder,
        *,
        in_flight: int,
    ) -> None:
        """`in_flight` bounds the requests under way at once to endpoints that answer quickly, and those to slow ones."""
        self._directory = directory
        self._owners = owners
        self._claims = claims
        self._discards = discards
        self._post = post
        self._recorder = recorder
        self._queues = Queues(CAPACITY, in_flight=in_flight, clock=time.perf_counter, later=_later)
        self._queues.on_due = self._start_carriers
        self._queues.on_half_open = self.wake
        self._carriers: set[asyncio.Task[None]] = set()
        self._open: Counter[Tenant] = Counter()
        self._recorded = asyncio.Event()
        self._awake = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._short: frozenset[UUID] = frozenset()
        self.driven: set[Tenant] = set()
        """Tenants whose due deliveries somebody else in this process sees to (the virtual clock)."""
        self._watched: WeakValueDictionary[UUID, asyncio.Future[None]] = WeakValueDictionary()
        self.on_sent: Callable[[float], None] = counts.commit_to_wire_ms.observe
        """Told the milliseconds from the commit of an event (or the claim of its delivery) to its request."""
        recorder.recorded = self._forget
        recorder.expecting = lambda: bool(self._carriers)
        recorder.followed = self.wake
        wakeups.hear("due", lambda _: self.wake())
        wakeups.hear("endpoints", lambda _: self._look_at_owners())
        wakeups.on_reconnect(self._look_anew)

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._queues.in_flight

    @property
    def held(self) -> int:
        """Parcels in memory: waiting, under way, or with a result that is not yet written."""
        return self._queues.held

    def wake(self) -> None:
        """Look for due deliveries now instead of at the next look."""
        self._awake.set()

    def room(self, endpoint: Endpoint) -> int:
        """How many more parcels for this endpoint fit into memory; none when another process alone sends to it."""
        if endpoint.settings.needs_owner and not self._owners.owns(endpoint.id):
            return 0
        return self._queues.room(endpoint.id)

    def offer(self, parcels: Sequence[Parcel]) -> None:
        """Send these, which are leased to this process and committed. Returns at once."""
        for tenant, count in _runs(parcel.tenant for parcel in parcels):
            self._open[tenant] += count
        self._follow(parcels)
        self._give_back(self._queues.put(parcels, time.perf_counter()))
        self._start_carriers()

    def _follow(self, parcels: Iterable[Parcel]) -> None:
        """Send to the endpoints of these as they want it now, as far as this process knows."""
        for endpoint, tenant in {parcel.endpoint: parcel.tenant for parcel in parcels}.items():
            book = self._directory.known(tenant)
            if book and (known := book.endpoints.get(endpoint)):
                self._queues.follow(tenant, endpoint, known.settings)

    def watch(self, delivery: UUID) -> asyncio.Future[None]:
        """Done when this process has written a result of that delivery. Ask before it is sent, and keep the future."""
        return self._watched.setdefault(delivery, asyncio.get_running_loop().create_future())

    async def run(self) -> None:
        """Claim and send until cancelled; then give back what waits, and finish what is under way."""
        try:
            while True:
                self._awake.clear()
                try:
                    self._queues.tidy()
                    await self._share()
                    claim = await _to_its_end(self._claim(None))
                except Unavailable as failure:
                    get("webhooks").warning("look_put_off", why=failure.code)
                    await self._sleep()
                    continue
                if not (claim.parcels and self._is_thirsty()):
                    await self._sleep()
        finally:
            await self._finish()

    async def drain(self, tenant: Tenant) -> bool:
        """Send everything that is due for this tenant, until all results are written; whether there was anything."""
        await self._discards.clear(tenant)
        anything = False
        while True:
            # What is under way before a look may end while it lasts, and be due again unseen.
            was_open = self._open[tenant] > 0
            if not ((await self._claim(tenant)).parcels or was_open or self._open[tenant]):
                return anything
            anything = True
            await self._until(lambda: not self._open[tenant])

    async def work(self, tenant: Tenant) -> bool:
        """Claim and send what is due for this tenant; whether there was anything."""
        await self._discards.clear(tenant)
        await self._claim(tenant)
        return self._open[tenant] > 0

    async def finish(self, tenant: Tenant, within_s: float) -> None:
        """Wait until the results of what is under way here for this tenant are written, so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._until(lambda: not self._open[tenant])

    @property
    def ahead(self) -> LiteralString:
        """Held deliveries wait for nobody's clock."""
        return outcome_store.AHEAD

    async def _claim(self, tenant: Tenant | None) -> Claim:
        # One at a time: a claim passes over rows that another has locked, and would find nothing where there is something.
        async with self._claiming:
            if tenant and await self._needs_owners(tenant):
                await self._owners.take(tenant)
            room = self._room_driven if tenant else self._room_of
            claim = await self._claims.claim(tenant, room, but=() if tenant else self.driven)
            self._short = claim.short
            unread = [one for one in {parcel.tenant for parcel in claim.parcels} if not await self._reads(one)]
            # What was claimed for those waits for the end of its lease, lest it be claimed in a loop.
            self.offer([parcel for parcel in claim.parcels if parcel.tenant not in unread])
        return claim

    async def _reads(self, tenant: Tenant) -> bool:
        """Whether the tenant's endpoints can be read. One that cannot, as the key ring lacks its epoch, harms its tenant only."""
        try:
            await self._directory.latest(tenant)
        except Unavailable:
            raise
        except Exception as failure:
            get("webhooks").error("endpoints_not_read", error=type(failure).__name__, at=place_of(failure))
            return False
        return True

    async def _needs_owners(self, tenant: Tenant) -> bool:
        endpoints = (await self._directory.latest(tenant)).endpoints.values()
        return any(endpoint.settings.needs_owner for endpoint in endpoints)

    def _room_of(self, waiting: Waiting) -> Room | None:
        if waiting.owned and not self._owners.owns(waiting.endpoint):
            return None
        return self._queues.to_claim(waiting.endpoint)

    def _room_driven(self, waiting: Waiting) -> Room | None:
        # A step of the clock is as long as any wait, so whoever steps it waits for no breaker.
        self._queues.forgive(waiting.endpoint)
        return self._room_of(waiting)

    async def _share(self) -> None:
        if self._owners.is_due:
            async with self._claiming:
                lost = await self._owners.look(lambda endpoint: self._queues.quiet_in_s(endpoint) == 0)
            for endpoint in lost:
                self._give_back(self._queues.empty_of(endpoint))

    def _look_at_owners(self) -> None:
        self._owners.look_soon()
        self.wake()

    def _give_back(self, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            self._recorder.take(Result(parcel, Left()))

    def _look_anew(self) -> None:
        # The word that a person was erased may have been missed: what is in memory goes back, and is claimed with its key.
        self._give_back(self._queues.empty())
        self.wake()

    async def _sleep(self) -> None:
        try:
            await asyncio.wait_for(self._awake.wait(), LOOK_S)
        except TimeoutError:
            return

    async def _finish(self) -> None:
        self._give_back(self._queues.empty())
        try:
            async with asyncio.timeout(LONGEST_TIMEOUT_S + LOOK_S):
                await self._until(lambda: not self._queues.held)
        except TimeoutError:
            get("webhooks").warning("stopped_before_recorded", results=self._queues.held)
        # Their next owner knows nothing of what they got from us within this second.
        await asyncio.sleep(min(1.0, max(map(self._queues.quiet_in_s, self._owners.owned), default=0.0)))
        with suppress(Unavailable):
            await self._owners.leave()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._recorded.clear()
            await self._recorded.wait()

    def _start_carriers(self) -> None:
        while load := self._queues.take():
            task = asyncio.create_task(self._carry(load))
            self._carriers.add(task)
            task.add_done_callback(self._carried)

    def _carried(self, task: asyncio.Task[None]) -> None:
        self._carriers.discard(task)
        if not self._carriers:
            self._recorder.all_in()

    async def _carry(self, load: Load | None) -> None:
        """Carry this load, then whichever's turn it is, until nothing may be sent."""
        while load:
            parcels, since = load
            try:
                carried = await self._post.carry(parcels)
            except Exception as failure:
                # Nothing was decided about it: it is sent when its lease has run out, and not at once, lest it fail in a loop.
                get("webhooks").error("carry_failed", error=type(failure).__name__, at=place_of(failure))
                self._queues.answered(parcels[0].endpoint, quickly=False)
                self._forget([Result(parcel, Left()) for parcel in parcels])
            else:
                if carried.sent_at is not None:
                    self.on_sent((carried.sent_at - since) * 1000)
                self._learn(carried.results[0], carried.asked)
                for result in carried.results:
                    self._recorder.take(result)
            if load := self._queues.take():
                self._start_carriers()

    def _learn(self, result: Result, asked: timedelta) -> None:
        """What this request says about its endpoint: nothing when it was not made."""
        endpoint, tried = result.parcel.endpoint, result.tried
        if tried is None:
            self._queues.passed(endpoint)
            return
        self._queues.answered(endpoint, quickly=_was_quick(tried))
        self._give_back(self._queues.judged(endpoint, works=result.works, asked_s=asked.total_seconds()))

    def _forget(self, results: Sequence[Result]) -> None:
        self._queues.recorded(len(results))
        for tenant, count in _runs(result.parcel.tenant for result in results):
            self._open[tenant] -= count
        for kind, count in _runs(type(result.outcome) for result in results):
            counts.results[kind].inc(count)
        self._follow([result.parcel for result in results])
        if self._watched:
            self._tell_watchers(results)
        if self._is_thirsty():
            self._short = frozenset()
            self.wake()
        self._recorded.set()

    def _is_thirsty(self) -> bool:
        return any(self._queues.thirsty(endpoint) for endpoint in self._short)

    def _tell_watchers(self, results: Sequence[Result]) -> None:
        for result in results:
            watched = self._watched.get(result.parcel.delivery)
            if watched is not None and not watched.done():
                watched.set_result(None)


def _runs(some: Iterable[T]) -> Iterator[tuple[T, int]]:
    """Each with how often it comes in a row: the same mostly come together, and to look one up costs more than to count."""
    return ((one, sum(1 for _ in row)) for one, row in groupby(some))


async def _to_its_end(claiming: Coroutine[Any, Any, Claim]) -> Claim:
    """Cut off by a stop, a claim would leave its rows to the end of their lease; so the stop waits for it."""
    task = asyncio.create_task(claiming)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def _later(seconds: float, act: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, act)


def _was_quick(tried: Try) -> bool:
    total = tried.timing_ms[-1]
    answered = tried.succeeded or tried.status_code is not None
    return answered and not tried.busy and total is not None and total < _QUICK_MS
