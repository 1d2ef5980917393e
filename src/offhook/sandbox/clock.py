"""The virtual clock: an offset per environment, moved from one due instant to the next and never past work that is due.

`advance` settles what is due now (tries in flight included, wherever they run), steps to the earliest due instant,
and goes on until it has reached its goal. Real time goes on underneath, so leases and time-outs stay true.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from offhook import access
from offhook.db import Database, Tenant, Tx

BUDGET_S = 60.0
_LOOK_S = 0.005


class Timed(Protocol):
    """Whatever holds work that falls due: jobs, attempts, deliveries."""

    async def drain(self, tenant: Tenant) -> bool:
        """Do everything that is due for this tenant now; whether there was anything."""
        ...

    async def next_due(self, tx: Tx) -> datetime | None:
        """When the next waiting work of the tenant falls due, past or future; None when nothing waits for time."""
        ...

    async def busy(self, tx: Tx) -> bool:
        """Whether some process is at work for this tenant right now."""
        ...


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the clock stands after an advance. `settled` is False when the time to do it in was up before its goal."""

    now: datetime
    steps: int
    settled: bool


class VirtualClock:
    """Moves the sandbox's time. One per process, built in wiring."""

    def __init__(self, database: Database, timed: Sequence[Timed]) -> None:
        self._database = database
        self._timed = timed
        self._turns: dict[Tenant, asyncio.Lock] = {}

    async def advance(self, tenant: Tenant, to: datetime, *, budget_s: float = BUDGET_S) -> Reached:
        """Run the environment until its clock shows `to`; at most `budget_s` of real time, then where it got to."""
        async with self._turns.setdefault(tenant, asyncio.Lock()):
            deadline = time.monotonic() + budget_s
            steps = 0
            while time.monotonic() < deadline:
                await self.settle(tenant)
                now, arrived = await self._step(tenant, to)
                if arrived:
                    await self.settle(tenant)
                    return Reached(now, steps, settled=True)
                steps += 1
            return Reached(now, steps, settled=False)

    async def settle(self, tenant: Tenant) -> None:
        """Do what is due, and wait until no process is at work for this tenant."""
        while True:
            while any([await timed.drain(tenant) for timed in self._timed]):
                pass
            if not await self._anyone_busy(tenant):
                return
            await asyncio.sleep(_LOOK_S)

    async def next_due(self, tx: Tx) -> datetime | None:
        """The earliest due instant of all that waits for time."""
        return min([at for timed in self._timed if (at := await timed.next_due(tx))], default=None)

    async def _step(self, tenant: Tenant, to: datetime) -> tuple[datetime, bool]:
        async with self._database.transaction(tenant) as tx:
            due = await self.next_due(tx)
            if due is not None and due <= tx.now:
                return tx.now, False
            goal = to if due is None or due > to else due
            if goal > tx.now:
                await access.set_clock(tx, goal - tx.wall)
            return max(goal, tx.now), goal == to

    async def _anyone_busy(self, tenant: Tenant) -> bool:
        async with self._database.transaction(tenant) as tx:
            return any([await timed.busy(tx) for timed in self._timed])
