import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from psycopg.errors import QueryCanceled
from tests.jobs.shop import Shop

from offhook import jobs
from offhook.db import Database, Tenant, Tx
from offhook.errors import Slow, Unavailable
from offhook.jobs import Job, queue
from offhook.jobs.outcome import Done, GiveUp, Outcome, RetryAt
from offhook.jobs.runner import BATCH, FAILURES

HOUR = timedelta(hours=1)


async def done(job: Job) -> Outcome:
    return Done()


async def test_a_key_that_is_enqueued_twice_runs_once(shop: Shop) -> None:
    first = await shop.enqueue("inside", "k")
    second = await shop.enqueue("inside", "k")

    await shop.runner().drain(shop.tenant)

    assert shop.ran == ["k"]
    assert first == second


async def test_enqueuing_a_key_again_moves_its_job_earlier_and_never_later(shop: Shop) -> None:
    now = await shop.now()
    await shop.enqueue("inside", "k", at=now + 2 * HOUR)

    await shop.enqueue("inside", "k", at=now + HOUR)
    await shop.enqueue("inside", "k", at=now + 3 * HOUR)

    assert [job["run_at"] for job in await shop.waiting()] == [now + HOUR]


async def test_a_key_that_is_enqueued_while_it_runs_runs_once_more(shop: Shop) -> None:
    async def enqueued_meanwhile(job: Job) -> Outcome:
        if len(shop.ran) == 1:
            await shop.enqueue("outside", "k")
            await shop.enqueue("outside", "k")
        return Done()

    await shop.enqueue("outside", "k")

    await shop.runner(outside=enqueued_meanwhile).drain(shop.tenant)

    assert shop.ran == ["k", "k"]
    assert await shop.waiting() == []


async def test_a_job_whose_transaction_rolled_back_never_runs(shop: Shop, database: Database, tenant: Tenant) -> None:
    async def enqueued_in_vain() -> None:
        async with database.transaction(tenant) as tx:
            await jobs.enqueue(tx, "inside", {}, key="k")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await enqueued_in_vain()

    await shop.runner().drain(tenant)

    assert shop.ran == []


async def test_a_dead_workers_job_is_taken_over_and_its_late_settling_does_nothing(shop: Shop) -> None:
    dead_man_wakes, taken_over = asyncio.Event(), asyncio.Event()

    async def hangs(job: Job) -> Outcome:
        await dead_man_wakes.wait()
        return Done()

    async def takes_over(job: Job) -> Outcome:
        taken_over.set()
        return RetryAt(job.run_at + HOUR, "not yet")

    await shop.enqueue("outside", "k")
    dead = asyncio.create_task(shop.runner(outside=hangs).drain_once(shop.tenant))
    await shop.until(lambda: shop.ran == ["k"])
    await shop.let_the_leases_run_out()
    await shop.runner(outside=takes_over).drain_once(shop.tenant)

    dead_man_wakes.set()
    await dead

    assert taken_over.is_set()
    assert [(job["key"], job["fence"]) for job in await shop.waiting()] == [("k", 2)]


async def test_a_job_whose_statement_takes_too_long_is_put_back_and_its_batch_is_done(shop: Shop) -> None:
    now = await shop.now()
    for key in ("a", "slow", "b"):
        await shop.enqueue("inside", key)

    await shop.runner().drain(shop.tenant)

    assert shop.ran == ["a", "b"]
    (left,) = await shop.waiting()
    assert (left["key"], left["failures"]) == ("slow", 1)
    assert left["run_at"] - now >= timedelta(seconds=5)


async def test_a_tenant_whose_jobs_cannot_be_looked_at_neither_ends_the_loop_nor_holds_up_another(
    shop: Shop, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = queue.take

    async def cannot(tx: Tx, kinds: Sequence[str], most: int) -> list[Job]:
        if tx.tenant == shop.tenant:
            raise QueryCanceled
        return await take(tx, kinds, most)

    monkeypatch.setattr(queue, "take", cannot)
    await shop.enqueue("inside", "mine")
    await shop.enqueue("inside", "theirs", tenant=stranger)

    running = asyncio.create_task(shop.runner().run())
    await shop.until(lambda: shop.ran == ["theirs"])

    assert not running.done()
    await cancelled(running)


@pytest.mark.parametrize(("kind", "left"), [("inside", []), ("endless", [FAILURES])])
async def test_a_job_that_fails_again_and_again_is_dropped_unless_its_kind_is_endless(
    shop: Shop, kind: str, left: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    id = await shop.enqueue(kind, "bad")
    await shop.has_failed(FAILURES - 1)

    await shop.runner().drain(shop.tenant)

    assert [job["failures"] for job in await shop.waiting()] == left
    dropped = [line for line in capsys.readouterr().out.splitlines() if "job_dropped" in line]
    assert [("error" in line, id.hex in line) for line in dropped] == ([] if left else [(True, True)])


@pytest.mark.parametrize("kind", ["inside", "outside"])
async def test_a_job_that_fails_is_put_back_and_its_batch_is_done(shop: Shop, kind: str) -> None:
    async def fails_when_bad(job: Job) -> Outcome:
        if job.key == "bad":
            raise RuntimeError("a bad job")
        return Done()

    now = await shop.now()
    for key in ("a", "bad", "b"):
        await shop.enqueue(kind, key)

    await shop.runner(outside=fails_when_bad).drain(shop.tenant)

    assert {"a", "b"} <= set(shop.ran)
    (left,) = await shop.waiting()
    assert (left["key"], left["failures"]) == ("bad", 1)
    assert left["run_at"] - now >= timedelta(seconds=5)


async def test_a_failed_jobs_message_is_nowhere_stored(shop: Shop, database: Database, tenant: Tenant) -> None:
    await shop.enqueue("inside", "bad")

    await shop.runner().drain(tenant)

    async with database.transaction(tenant) as tx:
        assert await tx.row("select last_error from job") == ("RuntimeError",)


async def test_waiting_for_its_time_does_not_count_as_a_failure(shop: Shop) -> None:
    now = await shop.now()

    async def not_yet(job: Job) -> Outcome:
        return RetryAt(now + HOUR, "not yet")

    await shop.enqueue("outside", "k")
    await shop.runner(outside=not_yet).drain(shop.tenant)

    assert [(job["run_at"], job["failures"]) for job in await shop.waiting()] == [(now + HOUR, 0)]


@pytest.mark.parametrize(
    ("failure", "failures"),
    [(Unavailable("database_away", "It is away."), 1), (Slow("database_slow", "It took too long."), 2)],
)
async def test_a_database_that_is_away_is_no_failure_of_the_job_and_forgives_none_it_had(
    shop: Shop, clock: Any, failure: Unavailable, failures: int
) -> None:
    now = await shop.now()
    raises = [RuntimeError("a failure of its own"), failure]

    async def fails(job: Job) -> Outcome:
        raise raises.pop(0)

    await shop.enqueue("outside", "k")
    runner = shop.runner(outside=fails)
    await runner.drain(shop.tenant)
    await clock.to(now + HOUR)
    await runner.drain(shop.tenant)

    (left,) = await shop.waiting()
    assert (shop.ran, left["failures"]) == (["k", "k"], failures)
    assert left["run_at"] > now + HOUR


async def test_a_job_that_is_given_up_is_gone(shop: Shop) -> None:
    async def never(job: Job) -> Outcome:
        return GiveUp("it cannot be done")

    await shop.enqueue("outside", "k")
    await shop.runner(outside=never).drain(shop.tenant)

    assert await shop.waiting() == []


async def test_two_runners_run_every_job_once(shop: Shop) -> None:
    for n in range(60):
        await shop.enqueue("inside" if n % 2 else "outside", f"{n}")
    runners = [shop.runner(outside=done), shop.runner(outside=done)]

    await asyncio.gather(*(runner.drain_once(shop.tenant, most=7) for _ in range(12) for runner in runners))
    await runners[0].drain(shop.tenant)

    assert sorted(shop.ran, key=int) == [f"{n}" for n in range(60)]


async def test_a_slow_job_of_one_tenant_holds_up_no_other(shop: Shop, stranger: Tenant) -> None:
    async def hangs(job: Job) -> Outcome:
        await asyncio.Event().wait()
        return Done()

    await shop.enqueue("outside", "slow")
    runner = shop.runner(outside=hangs)
    running = asyncio.create_task(runner.run())
    await shop.until(lambda: shop.ran == ["slow"])

    await shop.enqueue("inside", "quick", tenant=stranger)
    runner.wake()
    await shop.until(lambda: len(shop.ran) == 2)

    assert shop.ran == ["slow", "quick"]
    assert not running.done()
    await cancelled(running)


async def test_a_tenant_whose_rows_are_locked_holds_up_no_other(
    shop: Shop, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, waits = queue.take, asyncio.Event()

    async def waits_for_a_lock(tx: Tx, kinds: Sequence[str], most: int) -> list[Job]:
        if tx.tenant == shop.tenant:
            waits.set()
            await asyncio.Event().wait()
        return await take(tx, kinds, most)

    monkeypatch.setattr(queue, "take", waits_for_a_lock)
    await shop.enqueue("inside", "mine")
    runner = shop.runner()
    running = asyncio.create_task(runner.run())
    await waits.wait()

    await shop.enqueue("inside", "theirs", tenant=stranger)
    runner.wake()
    await shop.until(lambda: bool(shop.ran))

    assert shop.ran == ["theirs"]
    assert not running.done()
    await cancelled(running)


async def test_what_comes_while_its_tenant_is_looked_at_is_not_left_for_the_next_second(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.jobs.runner.LOOK_S", 60.0)
    take, late = queue.take, ["late"]
    runner = shop.runner()

    async def takes_and_waits(tx: Tx, kinds: Sequence[str], most: int) -> list[Job]:
        taken = await take(tx, kinds, most)
        if not taken and late:
            await shop.enqueue("inside", late.pop())
            runner.wake()
            await asyncio.sleep(0.2)
        return taken

    monkeypatch.setattr(queue, "take", takes_and_waits)
    await shop.enqueue("inside", "first")
    running = asyncio.create_task(runner.run())

    await shop.until(lambda: len(shop.ran) == 2)

    assert shop.ran == ["first", "late"]
    await cancelled(running)


async def test_a_whole_batch_of_one_kind_that_hangs_holds_up_no_other_kind(shop: Shop) -> None:
    async def hangs(job: Job) -> Outcome:
        await asyncio.Event().wait()
        return Done()

    for n in range(BATCH):
        await shop.enqueue("ask", f"{n}")
    runner = shop.runner(ask=hangs, hang_up=done)
    running = asyncio.create_task(runner.run())
    await shop.until(lambda: len(shop.ran) == BATCH)

    await shop.enqueue("ask", "one too many")
    await shop.enqueue("hang_up", "hang up")
    runner.wake()
    await shop.until(lambda: len(shop.ran) > BATCH)

    assert shop.ran[BATCH:] == ["hang up"]
    await cancelled(running)


async def test_a_backlog_of_one_tenant_does_not_hide_anothers_job(shop: Shop, stranger: Tenant) -> None:
    for n in range(BATCH + 50):
        await shop.enqueue("inside", f"{n}")
    await shop.enqueue("inside", "lonely", tenant=stranger)

    running = asyncio.create_task(shop.runner().run())
    await shop.until(lambda: len(shop.ran) == BATCH + 51)

    assert shop.ran.index("lonely") <= BATCH
    await cancelled(running)


async def cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
