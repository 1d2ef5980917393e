"""The virtual clock: it never jumps over what is due, and real time goes on underneath."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import pytest

from offhook.db import Database, Tenant, Wakeups
from offhook.jobs import Job, Outside, Runner, enqueue
from offhook.jobs.outcome import Done, Outcome
from offhook.sandbox.clock import VirtualClock

SECOND = timedelta(seconds=1)
LATER = timedelta(days=3)


class Chores:
    """Work that falls due at given instants; some of it makes more. `done` tells each due instant and when it was done."""

    def __init__(
        self, database: Database, dues: list[datetime], follow: dict[datetime, datetime] | None = None
    ) -> None:
        self.database = database
        self.driven: set[Tenant] = set()
        self.dues = sorted(dues)
        self.follow = follow or {}
        self.done: list[tuple[datetime, datetime]] = []
        self.elsewhere = 0
        self.finished = 0

    async def work(self, tenant: Tenant) -> bool:
        async with self.database.transaction(tenant) as tx:
            now = [due for due in self.dues if due <= tx.now]
            self.dues = sorted({*self.dues, *(self.follow[due] for due in now if due in self.follow)} - {*now})
            self.done += [(due, tx.now) for due in now]
        return bool(now)

    async def finish(self, tenant: Tenant, within_s: float) -> None:
        self.finished += 1

    @property
    def ahead(self) -> LiteralString:
        self.elsewhere = max(0, self.elsewhere - 1)
        due = f"'{self.dues[0].isoformat()}'" if self.dues else "null"
        return f"select {due}::timestamptz, {self.elsewhere > 0}"


async def now_of(database: Database, tenant: Tenant) -> datetime:
    async with database.transaction(tenant) as tx:
        return tx.now


@pytest.mark.parametrize("seed", range(8))
async def test_everything_is_done_at_its_time_and_in_its_order(database: Database, tenant: Tenant, seed: int) -> None:
    dice, start = random.Random(seed), await now_of(database, tenant)
    dues = [[start + n * SECOND for n in dice.sample(range(10, 200_000), dice.randint(1, 9))] for _ in range(3)]
    chores = [Chores(database, some) for some in dues]

    reached = await VirtualClock(database, chores).advance(tenant, start + LATER)

    done = [one for some in chores for one in some.done]
    assert sorted(due for due, _ in done) == sorted(due for some in dues for due in some)
    assert all(timedelta(0) <= at - due < 5 * SECOND for due, at in done)
    assert (reached.settled, reached.now) == (True, start + LATER)


async def test_work_that_makes_work_is_done_on_the_way(database: Database, tenant: Tenant) -> None:
    start = await now_of(database, tenant)
    instants = [start + timedelta(hours=n) for n in (1, 2, 3)]
    chores = Chores(database, instants[:1], {instants[0]: instants[1], instants[1]: instants[2]})

    reached = await VirtualClock(database, [chores]).advance(tenant, start + LATER)

    assert [due for due, _ in chores.done] == instants
    assert reached.steps == 3


async def test_what_is_due_after_the_goal_stays_undone(database: Database, tenant: Tenant) -> None:
    start = await now_of(database, tenant)
    chores = Chores(database, [start + LATER + SECOND])

    await VirtualClock(database, [chores]).advance(tenant, start + LATER)

    assert chores.done == []


async def test_the_clock_stands_at_its_goal_and_goes_on_from_there(database: Database, tenant: Tenant) -> None:
    goal = datetime(2031, 5, 1, 12, tzinfo=UTC)

    reached = await VirtualClock(database, []).advance(tenant, goal)

    assert reached.now == goal
    assert timedelta(0) <= await now_of(database, tenant) - goal < 5 * SECOND


async def test_the_clock_waits_for_work_that_another_process_has_in_hand(database: Database, tenant: Tenant) -> None:
    start = await now_of(database, tenant)
    chores = Chores(database, [])
    chores.elsewhere = 4

    reached = await VirtualClock(database, [chores]).advance(tenant, start + LATER)

    assert (chores.elsewhere, reached.now) == (0, start + LATER)


async def test_an_advance_whose_time_is_up_says_how_far_it_got(database: Database, tenant: Tenant) -> None:
    start = await now_of(database, tenant)
    chores = Chores(database, [start + timedelta(hours=n) for n in range(1, 9)])
    clock = VirtualClock(database, [chores], budget_s=0)

    reached = await clock.advance(tenant, start + LATER)
    rest = await clock.advance(tenant, start + LATER, budget_s=60)

    assert (reached.settled, rest.settled) == (False, True)
    assert start < reached.now < start + LATER
    assert len(chores.done) == 8


async def test_an_advance_does_not_outlast_its_time_for_a_long_job_which_goes_on_without_it(
    database: Database, wakeups: Wakeups, tenant: Tenant
) -> None:
    may_end, ended = asyncio.Event(), asyncio.Event()

    async def long_import(job: Job) -> Outcome:
        await may_end.wait()
        ended.set()
        return Done()

    runner = Runner(database, wakeups, {"long": Outside(long_import)})
    clock = VirtualClock(database, [runner])
    start = await now_of(database, tenant)
    async with database.transaction(tenant) as tx:
        await enqueue(tx, "long", {})

    async with asyncio.timeout(10):
        reached = await clock.advance(tenant, start + LATER, budget_s=0.1)
        assert (reached.settled, ended.is_set()) == (False, False)
        may_end.set()
        rest = await clock.advance(tenant, start + LATER)

    assert (rest.settled, ended.is_set()) == (True, True)


async def test_two_advances_of_one_sandbox_take_turns(database: Database, tenant: Tenant) -> None:
    start = await now_of(database, tenant)
    chores = Chores(database, [start + timedelta(hours=n) for n in range(1, 20)])
    clock = VirtualClock(database, [chores])

    await asyncio.gather(*(clock.advance(tenant, start + timedelta(hours=n)) for n in (6, 19, 12)))

    assert [due for due, _ in chores.done] == sorted(due for due, _ in chores.done)
    assert all(at - due < 5 * SECOND for due, at in chores.done)


async def test_a_strangers_clock_is_not_moved(database: Database, tenant: Tenant, stranger: Tenant) -> None:
    await VirtualClock(database, []).advance(tenant, await now_of(database, tenant) + LATER)

    async with database.transaction(stranger) as tx:
        assert abs(tx.now - tx.wall) < SECOND
