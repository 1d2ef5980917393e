"""The loop that runs due jobs, each tenant by itself, so that no tenant's backlog or lock holds up another's job."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import LiteralString

from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.errors import Unavailable, is_away
from offhook.jobs import queue
from offhook.jobs.outcome import Done, GiveUp, Outcome, RetryAt, backoff
from offhook.jobs.queue import LEASE, Job
from offhook.log import get, place_of

BATCH = 200
"""Jobs of one tenant taken at once; and the outside jobs of one kind from which on no more of it are begun."""
LOOK_S = 1.0
FAILURES = 20
ALONE_S = 60.0
"""How long the jobs of a batch that failed are run one by one; what is left is due at the next look."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A handler that needs only the database: one outcome per job, in the transaction that settles them.

    A job that is to run again answers RetryAt; enqueuing its own key would be settled along with it. One that fails
    FAILURES times in a row is dropped, or, `endless`, tried again every hour.
    """

    run: Callable[[Tx, Sequence[Job]], Awaitable[Sequence[Outcome]]]
    endless: bool = False


@dataclass(frozen=True, slots=True)
class Outside:
    """A handler that talks to the network or takes long, outside any transaction of the runner: at least once."""

    run: Callable[[Job], Awaitable[Outcome]]


class Runner:
    """Runs every kind it knows. Any number of processes may run one; leases and row locks keep them apart."""

    def __init__(self, database: Database, wakeups: Wakeups, handlers: Mapping[str, Inside | Outside]) -> None:
        self._database = database
        self._inside = {kind: handler for kind, handler in handlers.items() if isinstance(handler, Inside)}
        self._outside = {kind: handler for kind, handler in handlers.items() if isinstance(handler, Outside)}
        self._kinds = list(handlers)
        self._awake = asyncio.Event()
        self._rng = random.Random()  # noqa: S311  # jitter, not a secret
        self._under_way: dict[asyncio.Task[None], Job] = {}
        self._open: Counter[tuple[Tenant, str]] = Counter()
        self._looks: dict[Tenant, asyncio.Task[None]] = {}
        self._passed_over: set[Tenant] = set()
        self.driven: set[Tenant] = set()
        """Tenants whose due work somebody else in this process sees to (the virtual clock); the loop leaves them alone."""
        wakeups.hear("jobs", self._hear)

    def wake(self) -> None:
        """Look now instead of at the next look."""
        self._awake.set()

    def _hear(self, tenant: str) -> None:
        if all(driven.word != tenant for driven in self.driven):
            self._awake.set()

    async def run(self) -> None:
        """Run due jobs until cancelled. A database that is away is waited for; a slow job or tenant is not."""
        try:
            while True:
                self._awake.clear()
                wait: float = LOOK_S
                try:
                    async with self._database.engine() as tx:
                        waits = [(tenant, s) for tenant, s in await queue.next_of_each(tx) if tenant not in self.driven]
                    for tenant in [tenant for tenant, s in waits if s <= 0]:
                        self._look(tenant)
                    wait = min([LOOK_S, *(max(s, 0.01) for _, s in waits if s > 0)])
                except Unavailable as failure:
                    get("jobs").warning("look_put_off", why=failure.code)
                await self._sleep(wait)
        finally:
            tasks = [*self._looks.values(), *self._under_way]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def ahead(self) -> LiteralString:
        """Leased jobs are busy, those that wait are due."""
        return queue.AHEAD

    async def drain(self, tenant: Tenant) -> bool:
        """Run what is due for this tenant until nothing is; whether anything ran."""
        any_ran = False
        while await self.drain_once(tenant):
            any_ran = True
        return any_ran

    async def work(self, tenant: Tenant) -> bool:
        """Run or start one batch of what is due for this tenant; whether there was anything. `finish` sees it through."""
        ran, _ = await self._begin(tenant, BATCH)
        return ran > 0

    async def finish(self, tenant: Tenant, within_s: float) -> None:
        """Wait for this tenant's jobs that are under way here, so long at most; none is cancelled."""
        if mine := [task for task, job in self._under_way.items() if job.tenant == tenant]:
            await asyncio.wait(mine, timeout=within_s)

    async def drain_once(self, tenant: Tenant, most: int = BATCH) -> int:
        """One batch of what is due for this tenant, seen through; how many jobs that were."""
        ran, tasks = await self._begin(tenant, most)
        await asyncio.gather(*tasks)
        return ran

    def _look(self, tenant: Tenant) -> None:
        """Have this tenant looked at, unless it is; then it is looked at again."""
        if tenant in self._looks:
            self._passed_over.add(tenant)
        else:
            self._looks[tenant] = asyncio.create_task(self._look_at(tenant))

    async def _look_at(self, tenant: Tenant) -> None:
        """Run what is due for this tenant, batch by batch."""
        try:
            while tenant not in self.driven and (await self._begin(tenant, BATCH))[0]:
                pass
        except Unavailable as failure:
            # Its rows may be locked; the others' jobs are none the later for it.
            get("jobs").warning("look_put_off", why=failure.code)
        except Exception as failure:
            get("jobs").error("look_failed", error=type(failure).__name__, at=place_of(failure))
        finally:
            del self._looks[tenant]
            if tenant in self._passed_over:
                # What it was passed over for may have come after the last batch was taken.
                self._passed_over.remove(tenant)
                self._awake.set()

    async def _begin(self, tenant: Tenant, most: int) -> tuple[int, list[asyncio.Task[None]]]:
        """Run a batch's inside jobs and start its outside ones; how many jobs, and the tasks of those started."""
        # With a whole batch of one kind under way (a platform hangs) more of that kind wait, and nothing else does.
        kinds = [kind for kind in self._kinds if self._open[tenant, kind] < BATCH]
        taken: list[Job] = []
        try:
            async with self._database.transaction(tenant) as tx:
                taken = await queue.take(tx, kinds, most)
                inside = [job for job in taken if job.kind in self._inside]
                outside = [job for job in taken if job.kind in self._outside]
                leased = await queue.lease(tx, outside) if outside else []
                for kind, batch in _by_kind(inside).items():
                    outcomes = await self._inside[kind].run(tx, batch)
                    await _settle(tx, list(zip(batch, outcomes, strict=True)))
        except Exception as failure:
            if is_away(failure) or not taken:
                raise
            if most > 1:
                return await self._begin_each(tenant, len(taken))
            for job in taken:
                await self._failed(job, failure)
            return len(taken), []
        return len(taken), [self._start(job) for job in leased]

    async def _begin_each(self, tenant: Tenant, jobs: int) -> tuple[int, list[asyncio.Task[None]]]:
        """One bad or slow job must not fail its neighbours: so many run, each alone."""
        until = time.monotonic() + ALONE_S
        ran = 0
        tasks: list[asyncio.Task[None]] = []
        for _ in range(jobs):
            if time.monotonic() > until:
                break
            one, its_tasks = await self._begin(tenant, 1)
            ran, tasks = ran + one, tasks + its_tasks
        return ran, tasks

    def _start(self, job: Job) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run_one(job))
        self._under_way[task] = job
        self._open[job.tenant, job.kind] += 1
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._under_way.pop(task)
        self._open -= Counter([(job.tenant, job.kind)])
        self._hear(job.tenant.word)
        if not task.cancelled() and (failure := task.exception()):
            # Nothing is lost: the lease runs out and the job runs again.
            get("jobs").error("job_not_settled", error=type(failure).__name__)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._awake.wait(), seconds)
        except TimeoutError:
            return

    async def _run_one(self, job: Job) -> None:
        keeping = asyncio.create_task(self._keep_lease(job))
        try:
            outcome = await self._outside[job.kind].run(job)
        except Exception as failure:
            if is_away(failure):
                await self._put_off(job)
            else:
                await self._failed(job, failure)
        else:
            async with self._database.transaction(job.tenant) as tx:
                await _settle(tx, [(job, outcome)])
        finally:
            keeping.cancel()

    async def _keep_lease(self, job: Job) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            with suppress(Unavailable):
                async with self._database.transaction(job.tenant) as tx:
                    await queue.extend(tx, job)

    async def _put_off(self, job: Job) -> None:
        """What it needs is away. That is not its failure, and forgives none that it had."""
        get("jobs").warning("job_put_off", kind=job.kind, job=job.id.hex)
        # Is the database away still, then nothing is written, and it runs again when its lease has run out.
        async with self._database.transaction(job.tenant) as tx:
            later = RetryAt(tx.now + backoff(job.failures + 1, self._rng), "Unavailable")
            await queue.put_back(tx, job, later, failures=job.failures)

    async def _failed(self, job: Job, failure: Exception) -> None:
        # The exception's text may hold a personal value; its type and place do not.
        get("jobs").error(
            "job_failed",
            kind=job.kind,
            job=job.id.hex,
            failures=job.failures + 1,
            error=type(failure).__name__,
            at=place_of(failure),
        )
        inside = self._inside.get(job.kind)
        async with self._database.transaction(job.tenant) as tx:
            if job.failures + 1 >= FAILURES and not (inside and inside.endless):
                get("jobs").error("job_dropped", kind=job.kind, job=job.id.hex, key=job.key, failures=FAILURES)
                await queue.finish(tx, [job])
            else:
                later = RetryAt(tx.now + backoff(job.failures + 1, self._rng), type(failure).__name__)
                await queue.put_back(tx, job, later, failures=job.failures + 1)


def _by_kind(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    kinds: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        kinds[job.kind].append(job)
    return kinds


async def _settle(tx: Tx, results: Sequence[tuple[Job, Outcome]]) -> None:
    over = []
    for job, outcome in results:
        match outcome:
            case Done():
                over.append(job)
            case GiveUp(why):
                get("jobs").warning("job_given_up", kind=job.kind, job=job.id.hex, why=why)
                over.append(job)
            case RetryAt():
                await queue.put_back(tx, job, outcome, failures=0)
    if over:
        await queue.finish(tx, over)
