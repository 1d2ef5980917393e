"""A server whose owner set it up for something else: what it spells and isolates by default is not what we rely on."""

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from offhook.cli import store
from offhook.db import Database

HABITS = {
    "default_transaction_isolation": "serializable",
    "timezone": "Asia/Kolkata",
    "datestyle": "SQL, DMY",
    "intervalstyle": "iso_8601",
}


@pytest.fixture
async def strange(database_url: str) -> AsyncIterator[Database]:
    with psycopg.connect(database_url, autocommit=True) as owner:
        ours = sql.Identifier(owner.info.dbname)
        for name, habit in HABITS.items():
            owner.execute(
                sql.SQL("alter database {} set {} = {}").format(ours, sql.Identifier(name), sql.Literal(habit))
            )
    database = Database(database_url, pool_size=2)
    await database.open()
    yield database
    await database.close()


async def test_a_transaction_sees_what_others_committed_since_it_began(strange: Database) -> None:
    async with strange.engine() as tx:
        assert await tx.row("show transaction_isolation") == ("read committed",)


async def test_instants_and_spans_are_read_as_they_are_meant(strange: Database) -> None:
    async with strange.engine() as tx:
        # Without `binary`, as its beginning is read.
        answer = await tx.connection.execute("select now(), '90 minutes'::interval")

        assert await answer.fetchone() == (tx.wall, timedelta(minutes=90))
        assert tx.wall.utcoffset() == timedelta(0)


def test_the_doctor_reads_its_clock(strange: Database) -> None:
    with psycopg.connect(strange.url, autocommit=True) as connection:
        assert abs(store.clock_skew_s(connection)) < 60
