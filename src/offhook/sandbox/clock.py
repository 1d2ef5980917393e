"""The virtual clock: an offset per environment, moved from one due instant to the next and never past work that is due.

`advance` settles what is due now (tries in flight included, wherever they run), steps to the earliest due instant,
and goes on until it has reached its goal, or its time is up: what is under way then goes on without it. Real time goes on
underneath, so leases and time-outs stay true.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString, Protocol

from offhook import access
from offhook.db import Database, Tenant, Tx
from offhook.sandbox import store
from offhook.sandbox.store import Ahead

BUDGET_S = 60.0
_SETTLE_S = 600.0
"""How long `settle` waits for what is under way here before it looks again."""
_LOOK_S = 0.005


class Timed(Protocol):
    """Whatever holds work that falls due: jobs, attempts, deliveries. Its own loop leaves the `driven` tenants alone."""

    driven: set[Tenant]

    async def work(self, tenant: Tenant) -> bool:
        """Do or begin what is due for this tenant now; whether there was anything."""
        ...

    async def finish(self, tenant: Tenant, within_s: float) -> None:
        """Wait at most so long until nothing of this tenant is under way in this process. Nothing is cancelled."""
        ...

    @property
    def ahead(self) -> LiteralString:
        """What lies before the tenant of a transaction, as a select of one row by `ws`, `env`, `now` and `wall`: when its next
        work falls due, past or future (null: none waits for time), and whether some process is at work right now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the clock stands after an advance. `settled` is False when the time to do it in was up before its goal."""

    now: datetime
    steps: int
    settled: bool


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look found: who has work to do, and where the clock stands after it."""

    now: datetime
    stepped: bool
    at_work: Sequence[Timed]


class VirtualClock:
    """Moves the sandbox's time. One per process, built in wiring."""

    def __init__(self, database: Database, timed: Sequence[Timed], *, budget_s: float = BUDGET_S) -> None:
        self._database = database
        self._timed = timed
        self.budget_s = budget_s
        self._turns: dict[Tenant, asyncio.Lock] = {}

    async def advance(self, tenant: Tenant, to: datetime, *, budget_s: float | None = None) -> Reached:
        """Run the environment until its clock shows `to`; at most `budget_s` of real time, then where it got to."""
        async with self._turns.setdefault(tenant, asyncio.Lock()), self._driving(tenant):
            deadline = time.monotonic() + (self.budget_s if budget_s is None else budget_s)
            steps = 0
            while True:
                look = await self._look(tenant, to)
                steps += look.stepped
                if not look.at_work and look.now >= to:
                    return Reached(look.now, steps, settled=True)
                await self._work(tenant, look.at_work, deadline)
                if time.monotonic() > deadline:
                    return Reached(look.now, steps, settled=False)

    @asynccontextmanager
    async def _driving(self, tenant: Tenant) -> AsyncIterator[None]:
        # The loops of this process would reach for the same rows, and each would wait for the other.
        for timed in self._timed:
            timed.driven.add(tenant)
        try:
            yield
        finally:
            for timed in self._timed:
                timed.driven.discard(tenant)

    async def settle(self, tenant: Tenant) -> None:
        """Do what is due, and wait until no process is at work for this tenant."""
        while at_work := (await self._look(tenant, None)).at_work:
            await self._work(tenant, at_work, time.monotonic() + _SETTLE_S)

    async def next_due(self, tx: Tx) -> datetime | None:
        """The earliest due instant of all that waits for time."""
        return min([ahead.due_at for _, ahead in await self._lying(tx) if ahead.due_at], default=None)

    async def _lying(self, tx: Tx) -> list[tuple[Timed, Ahead]]:
        return list(zip(self._timed, await store.ahead(tx, [timed.ahead for timed in self._timed]), strict=True))

    async def _look(self, tenant: Tenant, to: datetime | None) -> _Look:
        """Who has work now; and when nobody has, step the clock to the next due instant, at most to `to`."""
        async with self._database.transaction(tenant) as tx:
            lying = await self._lying(tx)
            if ready := [timed for timed, ahead in lying if ahead.due_at is not None and ahead.due_at <= tx.now]:
                return _Look(tx.now, False, ready)
            if busy := [timed for timed, ahead in lying if ahead.busy]:
                return _Look(tx.now, False, busy)
            if to is None or tx.now >= to:
                return _Look(tx.now, False, [])
            goal = min([to, *(ahead.due_at for _, ahead in lying if ahead.due_at is not None)])
            await access.set_clock(tx, goal - tx.wall)
            return _Look(goal, goal < to, [timed for timed, ahead in lying if ahead.due_at == goal])

    async def _work(self, tenant: Tenant, at_work: Sequence[Timed], deadline: float) -> None:
        worked = []
        for timed in at_work:
            worked.append(await timed.work(tenant))
            await _finish(timed, tenant, deadline)
        # Before the next look, lest it find nothing but what is under way right here.
        for timed in self._timed:
            await _finish(timed, tenant, deadline)
        if at_work and not any(worked):
            # Another process has it in hand.
            await asyncio.sleep(_LOOK_S)


async def _finish(timed: Timed, tenant: Tenant, deadline: float) -> None:
    await timed.finish(tenant, max(0.0, deadline - time.monotonic()))
