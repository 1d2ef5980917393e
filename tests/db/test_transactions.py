import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import offhook.db
from offhook.db import Database, Tenant
from offhook.db.embedded import _find_programs
from offhook.db.testing import Template
from offhook.errors import Unavailable
from tests.journeys.stage import Stage, stage
from tests.leads.whole_life import Person, live_through

__all__ = ["stage"]

FOLDER = Path(offhook.db.__file__).parent
ENGINE_WRITES = {
    "job": {"insert", "update", "delete"},
    "due": {"insert", "update", "delete"},
    "try": {"insert", "update", "delete"},
    "rate_bucket": {"insert", "update", "delete"},
    "endpoint": {"update"},
    "idempotency": {"delete"},
    "report_seen": {"delete"},
    "installation": {"insert", "update"},
}
"""All that the engine may change; everything else it may look at, at most."""
EMPTY_ONES = {"dead_letter", "inbox", "installation"}
"""Tables that even a long life leaves empty."""


def tables(owner: psycopg.Connection[Any]) -> list[str]:
    """Every table of ours, partitions by their parent."""
    rows = owner.execute(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
        " and not relispartition and relname not like '%yoyo%' order by 1"
    )
    return [name for (name,) in rows]


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as owner:
        yield owner


async def test_a_stranger_sees_not_one_row_of_any_table(
    stage: Stage, template: Template, database_url: str, owner: psycopg.Connection[Any]
) -> None:
    await live_through(stage, Person.new())
    with template.admin_of(database_url) as admin:
        filled = {name for name in tables(owner) if admin.execute(select(name)).fetchone()}
    stranger = Tenant((await new_workspace(stage)), "sandbox")

    async with stage.house.database.transaction(stranger) as tx:
        seen = {name: await tx.rows(counting_others(name)) for name in tables(owner) if name != "installation"}

    assert {name: rows for name, rows in seen.items() if rows} == {}
    assert set(tables(owner)) - filled <= EMPTY_ONES
