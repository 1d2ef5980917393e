"""A runner over a real database, and a handler that notes what ran."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from offhook import jobs
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.jobs import Inside, Job, Outside, Runner
from offhook.jobs.outcome import Done, Outcome

Act = Callable[[Job], Awaitable[Outcome]]


class Shop:
    """Runners of one installation, the jobs they are given, and the keys of those that ran, in order."""

    def __init__(self, database: Database, wakeups: Wakeups, tenant: Tenant) -> None:
        self.database, self.wakeups, self.tenant = database, wakeups, tenant
        self.ran: list[str] = []
        self._something_ran = asyncio.Event()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Let the runners work until it is so; a test that waits in vain fails after ten seconds."""
        async with asyncio.timeout(10):
            while not reached():
                self._something_ran.clear()
                await self._something_ran.wait()

    async def enqueue(
        self, kind: str, key: str | None = None, *, at: datetime | None = None, tenant: Tenant | None = None
    ) -> UUID:
        async with self.database.transaction(tenant or self.tenant) as tx:
            return await jobs.enqueue(tx, kind, {}, key=key, run_at=at)

    def runner(self, **acts: Act) -> Runner:
        """A process. Its inside jobs are of the kind `inside` or `endless`; each named act handles outside jobs of that kind."""
        outside = {kind: Outside(self._noting(act)) for kind, act in acts.items()}
        inside = {"inside": Inside(self._all_done), "endless": Inside(self._all_done, endless=True)}
        return Runner(self.database, self.wakeups, {**inside, **outside})

    async def now(self) -> datetime:
        async with self.database.transaction(self.tenant) as tx:
            return tx.now

    async def waiting(self) -> list[dict[str, Any]]:
        """The jobs that are left, the earliest first."""
        async with self.database.transaction(self.tenant) as tx:
            rows = await tx.rows("select key, run_at, failures, fence from job order by run_at")
        return [dict(zip(("key", "run_at", "failures", "fence"), row, strict=True)) for row in rows]

    async def has_failed(self, times: int) -> None:
        """As if every job had failed so often in a row."""
        async with self.database.transaction(self.tenant) as tx:
            await tx.run("update job set failures = %(times)s", {"times": times})

    async def let_the_leases_run_out(self) -> None:
        """As if their workers had been dead for a minute."""
        async with self.database.transaction(self.tenant) as tx:
            await tx.run("update job set leased_until = %(wall)s - interval '1 second'", {"wall": tx.wall})

    async def _all_done(self, tx: Tx, taken: Sequence[Job]) -> list[Outcome]:
        if any(job.key == "bad" for job in taken):
            raise RuntimeError("a bad job")
        if any(job.key == "slow" for job in taken):
            await tx.run("set local statement_timeout = '20ms'")
            await tx.row("select pg_sleep(10)")
        self._note(taken)
        return [Done() for _ in taken]

    def _noting(self, act: Act) -> Act:
        async def noted(job: Job) -> Outcome:
            self._note([job])
            return await act(job)

        return noted

    def _note(self, ran: Sequence[Job]) -> None:
        self.ran += [job.key for job in ran]
        self._something_ran.set()
