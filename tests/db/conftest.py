"""A session past every policy, and a database that goes away."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from offhook.db import Database


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as owner:
        yield owner


@pytest.fixture
def lose_database(database: Database, database_url: str) -> None:
    """From now on the database ends every session and takes no new one."""
    with psycopg.connect(database_url, autocommit=True) as owner:
        name = psycopg.sql.Identifier(owner.info.dbname)
        owner.execute(psycopg.sql.SQL("alter database {} connection limit 0").format(name))
        owner.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
