"""A database that goes away."""

import psycopg
import pytest

from offhook.db import Database


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
