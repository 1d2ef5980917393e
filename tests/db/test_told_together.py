"""Statements that nobody waits for: done in their place, and failing with the transaction that told them."""

import gc
import weakref
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any, LiteralString

import psycopg
import pytest

from offhook.db import Database, Tenant, Tx
from offhook.errors import NotFound

CHUNK: LiteralString = (
    "insert into import_chunk (workspace_id, environment, job_id, n, rows, written_at) select w.workspace_id, 'sandbox',"
    " gen_random_uuid(), 0, %(name)s::text::bytea, now() from (select current_setting('offhook.workspace')::uuid workspace_id) w"
)


async def chunks(database: Database, tenant: Tenant) -> list[str]:
    async with database.transaction(tenant) as tx:
        return [row[0].decode() for row in await tx.rows("select rows from import_chunk order by rows")]


@pytest.mark.parametrize("works", [True, False])
async def test_a_transaction_that_is_over_leaves_nothing_to_the_garbage_collector(
    database: Database, tenant: Tenant, works: bool
) -> None:
    left: list[weakref.ref[Tx]] = []

    async def over() -> None:
        async with database.transaction(tenant) as tx:
            left.append(weakref.ref(tx))
            tx.on_commit(lambda: tx.notes.clear())
            await tx.row("select 1" if works else "select 1 / 0")

    gc.disable()
    try:
        with nullcontext() if works else pytest.raises(psycopg.errors.DivisionByZero):
            await over()
        assert [ref() for ref in left] == [None]
    finally:
        gc.enable()


async def test_what_nobody_waits_for_is_done_in_its_place(database: Database, tenant: Tenant) -> None:
    async with database.transaction(tenant) as tx:
        await tx.run("select set_config('offhook.test', 'first', true)")
        first = await tx.row("select current_setting('offhook.test')")
        await tx.run("select set_config('offhook.test', 'second', true)")
        await tx.run("select set_config('offhook.test', current_setting('offhook.test') || ', third', true)")
        then = await tx.row("select current_setting('offhook.test')")
        await tx.run(CHUNK, {"name": "by the commit"})

    assert (first, then) == (("first",), ("second, third",))
    assert await chunks(database, tenant) == ["by the commit"]


@pytest.mark.parametrize("raised_by", ["the next statement", "the commit", "the end of a savepoint"])
async def test_what_nobody_waited_for_fails_the_transaction_with_its_own_error(
    database: Database, tenant: Tenant, raised_by: str
) -> None:
    async def fails() -> None:
        async with database.transaction(tenant) as tx:
            await tx.run(CHUNK, {"name": "before"})
            if raised_by == "the end of a savepoint":
                async with tx.savepoint():
                    await tx.run("select 1 / 0")
            await tx.run("select 1 / 0")
            await tx.run(CHUNK, {"name": "after"})
            if raised_by == "the next statement":
                await tx.row("select 1")
                pytest.fail("the next statement did not raise")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await fails()

    assert await chunks(database, tenant) == []


async def test_a_connection_serves_on_after_statements_that_were_sent_together_and_failed(
    database_url: str, tenant: Tenant
) -> None:
    database = Database(database_url, pool_size=1)
    await database.open()

    async def refused() -> None:
        async with database.transaction(tenant):
            raise NotFound("no_such_thing", "It is not there.")

    async def failing(statements: int) -> None:
        async with database.transaction(tenant) as tx:
            for _ in range(statements):
                await tx.run(CHUNK, {"name": "failed"})
            await tx.run("select 1 / 0")
            await tx.run(CHUNK, {"name": "failed"})

    async def working(name: str) -> None:
        async with database.transaction(tenant) as tx:
            await tx.run(CHUNK, {"name": name})

    try:
        for n in range(6):
            with pytest.raises(NotFound):
                await refused()
            with pytest.raises(psycopg.errors.DivisionByZero):
                await failing(n % 3)
            await working(str(n))
            await working(f"{n} again")
        assert await chunks(database, tenant) == [name for n in range(6) for name in (str(n), f"{n} again")]
    finally:
        await database.close()


async def test_a_connection_serves_on_after_a_failure_in_the_other_environment(
    database_url: str, tenant: Tenant
) -> None:
    database = Database(database_url, pool_size=1)
    await database.open()

    async def asks(*, behind_a_failure: bool = False, refused: bool = False) -> None:
        async with database.transaction(tenant) as tx, tx.in_environment("live") as other:
            if refused:
                raise NotFound("no_such_thing", "It is not there.")
            if behind_a_failure:
                await other.run("select 1 / 0")
            await other.row("select current_setting('offhook.environment')")

    try:
        for _ in range(3):
            with pytest.raises(NotFound):
                await asks(refused=True)
        await asks()
        with pytest.raises(psycopg.errors.DivisionByZero):
            await asks(behind_a_failure=True)
        await asks()
    finally:
        await database.close()


async def test_a_failure_that_was_swallowed_is_not_committed(database: Database, tenant: Tenant) -> None:
    async def swallows(tx: Tx, act: Callable[[], Awaitable[Any]]) -> None:
        with suppress(psycopg.Error):
            await act()
        await tx.run(CHUNK, {"name": "after"})

    async def alone() -> None:
        async with database.transaction(tenant) as tx:
            await swallows(tx, lambda: tx.row("select 1 / 0"))

    async def together() -> None:
        async with database.transaction(tenant) as tx:
            await tx.run("select 1 / 0")
            await swallows(tx, lambda: tx.row("select 1"))

    for lost in (alone, together):
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            await lost()
    assert await chunks(database, tenant) == []


async def test_over_tenants_each_statement_can_stand_alone(database: Database, owner: psycopg.Connection[Any]) -> None:
    owner.execute("create table mark (n int primary key); grant all on mark to offhook_engine")

    async def mark() -> None:
        async with database.engine_each() as tx:
            await tx.run("insert into mark values (1)")
            await tx.run("select 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await mark()

    assert owner.execute("select n from mark").fetchall() == [(1,)]


async def test_what_nobody_waited_for_goes_with_its_savepoint(database: Database, tenant: Tenant) -> None:
    async def undone(tx: Tx) -> None:
        async with tx.savepoint():
            await tx.run(CHUNK, {"name": "inside"})
            raise RuntimeError

    async with database.transaction(tenant) as tx:
        await tx.run(CHUNK, {"name": "before"})
        with pytest.raises(RuntimeError):
            await undone(tx)
        await tx.run(CHUNK, {"name": "after"})

    assert await chunks(database, tenant) == ["after", "before"]
