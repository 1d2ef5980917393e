import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from offhook.db import Database, GroupCommit, Tenant, Tx
from offhook.errors import Conflict, Slow, Unavailable


class Notes:
    """Writes names as workspaces' names are written, refusing some; keeps the batches that it was given."""

    def __init__(self) -> None:
        self.batches: list[tuple[Tenant, list[str]]] = []

    async def write(self, tx: Tx, names: Sequence[str]) -> list[str]:
        self.batches.append((tx.tenant, list(names)))
        for name in names:
            await tx.run(
                "insert into import_chunk (workspace_id, environment, job_id, n, rows, written_at)"
                " values (%(ws)s, %(env)s, gen_random_uuid(), 0, %(name)s, now())",
                {**tx.keys, "name": name.encode()},
            )
            if name == "refused":
                raise Conflict("refused", "This one is refused.")
            if name == "broken":
                await tx.run("select 1 / 0")
            if name.startswith("slow"):
                await tx.run("set local statement_timeout = '20ms'")
                await tx.run("select pg_sleep(10)")
        return [f"wrote {name}" for name in names]


@pytest.fixture
def notes() -> Notes:
    return Notes()


async def written(database: Database, tenant: Tenant) -> set[str]:
    async with database.transaction(tenant) as tx:
        return {row[0].decode() for row in await tx.rows("select rows from import_chunk")}


async def test_requests_that_arrive_together_share_a_commit_and_each_gets_its_own_answer(
    database: Database, tenant: Tenant, notes: Notes
) -> None:
    group = GroupCommit(database, notes.write)
    names = [f"{n}" for n in range(50)]

    answers = await asyncio.gather(*(group.submit(tenant, name) for name in names))

    assert answers == [f"wrote {name}" for name in names]
    assert await written(database, tenant) == set(names)
    assert len(notes.batches) < len(names)


@pytest.mark.parametrize(
    ("name", "error"), [("refused", Conflict), ("broken", psycopg.errors.DivisionByZero), ("slow", Slow)]
)
async def test_a_refused_request_never_rolls_back_its_neighbours(
    database: Database, tenant: Tenant, notes: Notes, name: str, error: type[Exception]
) -> None:
    group = GroupCommit(database, notes.write, writers=1)
    names = ["a", "b", name, "c"]

    answers = await asyncio.gather(*(group.submit(tenant, one) for one in names), return_exceptions=True)

    assert [answer for answer in answers if isinstance(answer, str)] == ["wrote a", "wrote b", "wrote c"]
    assert isinstance(answers[2], error)
    assert await written(database, tenant) == {"a", "b", "c"}


async def test_where_everything_takes_too_long_the_last_of_a_batch_does_not_wait_for_each_before_it(
    database: Database, tenant: Tenant, notes: Notes
) -> None:
    group = GroupCommit(database, notes.write, writers=1)
    names = [f"slow {n}" for n in range(20)]

    answers = await asyncio.gather(*(group.submit(tenant, one) for one in names), return_exceptions=True)

    assert [type(answer) for answer in answers] == [Slow] * 20
    assert len(notes.batches) == 4


async def test_a_batch_belongs_to_one_tenant(
    database: Database, tenant: Tenant, stranger: Tenant, notes: Notes
) -> None:
    group = GroupCommit(database, notes.write, writers=1)

    await asyncio.gather(*(group.submit(who, f"{n}") for n in range(10) for who in (tenant, stranger)))

    assert {len(batch) for _, batch in notes.batches} != {1}
    assert await written(database, tenant) == await written(database, stranger) == {f"{n}" for n in range(10)}


async def test_a_tenants_batches_follow_one_another_and_strangers_do_not_wait(
    database: Database, tenant: Tenant, stranger: Tenant
) -> None:
    under_way: list[Tenant] = []
    let_go = asyncio.Event()

    async def work(tx: Tx, names: Sequence[str]) -> list[str]:
        assert tx.tenant not in under_way
        under_way.append(tx.tenant)
        await asyncio.wait_for(let_go.wait() if tx.tenant == tenant else asyncio.sleep(0), 10)
        under_way.remove(tx.tenant)
        return list(names)

    group = GroupCommit(database, work)
    first = asyncio.ensure_future(group.submit(tenant, "first"))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(group.submit(tenant, "second"))

    assert await group.submit(stranger, "other") == "other"
    assert not first.done()
    let_go.set()
    assert [await first, await second] == ["first", "second"]


async def test_a_batch_holds_no_more_than_the_most_that_was_agreed(
    database: Database, tenant: Tenant, notes: Notes
) -> None:
    group = GroupCommit(database, notes.write, writers=1, most=4)

    await asyncio.gather(*(group.submit(tenant, f"{n}") for n in range(10)))

    assert max(len(batch) for _, batch in notes.batches) == 4
    assert await written(database, tenant) == {f"{n}" for n in range(10)}


async def test_a_request_that_comes_just_when_the_last_writer_ends_is_written_too(
    database: Database, tenant: Tenant, notes: Notes
) -> None:
    group = GroupCommit(database, notes.write, writers=1)

    async with asyncio.timeout(10):
        await group.submit(tenant, "first")
        answer = await group.submit(tenant, "second")

    assert answer == "wrote second"


async def test_an_answered_request_is_durable(database: Database, tenant: Tenant, notes: Notes) -> None:
    await GroupCommit(database, notes.write).submit(tenant, "a")

    assert await written(database, tenant) == {"a"}


async def test_a_request_whose_sender_went_away_does_not_fail_its_neighbours(
    database: Database, tenant: Tenant, notes: Notes
) -> None:
    group = GroupCommit(database, notes.write, writers=1)
    gone, stays = (asyncio.ensure_future(group.submit(tenant, name)) for name in ("gone", "stays"))
    await asyncio.sleep(0)

    gone.cancel()

    assert await stays == "wrote stays"


async def test_without_a_database_every_request_of_the_batch_is_told_so(
    database: Database, tenant: Tenant, notes: Notes, lose_database: None
) -> None:
    group = GroupCommit(database, notes.write, writers=1)

    answers = await asyncio.gather(*(group.submit(tenant, f"{n}") for n in range(3)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert notes.batches == []


async def test_a_good_batch_goes_beside_the_one_under_way_and_no_third(database: Database, tenant: Tenant) -> None:
    sizes: list[int] = []
    under_way: list[int] = []
    let_go = asyncio.Event()

    async def work(tx: Tx, names: Sequence[str]) -> list[str]:
        sizes.append(len(names))
        under_way.append(len(names))
        assert len(under_way) <= 2
        await asyncio.wait_for(let_go.wait(), 10)
        under_way.remove(len(names))
        return list(names)

    group = GroupCommit(database, work)
    answers: list[asyncio.Task[str]] = []

    async def submit(count: int) -> None:
        answers.extend(asyncio.create_task(group.submit(tenant, f"{n}")) for n in range(count))
        async with database.transaction(tenant):  # by then, whatever was let go has begun
            await asyncio.sleep(0.05)

    await submit(1)
    await submit(15)
    assert sizes == [1]
    await submit(1)
    assert sizes == [1, 16]
    await submit(32)
    assert sizes == [1, 16]
    let_go.set()
    await asyncio.gather(*answers)

    assert sizes == [1, 16, 32]


class Lost(Exception):
    """Another transaction was first."""


async def test_a_batch_that_lost_a_race_runs_again_whole(database: Database, tenant: Tenant) -> None:
    batches: list[list[str]] = []

    async def work(tx: Tx, names: Sequence[str]) -> list[str]:
        batches.append(list(names))
        if len(batches) == 1:
            raise Lost
        return list(names)

    group = GroupCommit(database, work, races=(Lost,))
    names = ["a", "b", "c"]

    assert await asyncio.gather(*(group.submit(tenant, name) for name in names)) == names
    assert batches == [names, names]


async def test_one_tenants_second_batch_leaves_a_writer_to_the_others(
    database: Database, tenant: Tenant, stranger: Tenant
) -> None:
    let_go = asyncio.Event()

    async def work(tx: Tx, names: Sequence[str]) -> list[str]:
        if tx.tenant == tenant:
            await asyncio.wait_for(let_go.wait(), 10)
        return list(names)

    group = GroupCommit(database, work, writers=2)
    waiting = [asyncio.create_task(group.submit(tenant, f"{n}")) for n in range(1)]
    await asyncio.sleep(0)
    waiting += [asyncio.create_task(group.submit(tenant, f"{n}")) for n in range(40)]
    await asyncio.sleep(0)

    assert await asyncio.wait_for(group.submit(stranger, "other"), 10) == "other"
    let_go.set()
    await asyncio.gather(*waiting)
