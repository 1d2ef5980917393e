"""The SQL of a measurement: what PostgreSQL counts, and whether every try is in its table."""

from dataclasses import dataclass

import psycopg

_SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the database holds of the deliveries."""

    tries: int
    open: int


async def recorded(connection: psycopg.AsyncConnection) -> Recorded:
    """How many tries are recorded, and how many deliveries are open."""
    cursor = await connection.execute("select (select count(*) from try), (select count(*) from due)")
    row = await cursor.fetchone()
    assert row is not None
    return Recorded(*row)


async def is_open(connection: psycopg.AsyncConnection) -> bool:
    """Whether any delivery is open."""
    cursor = await connection.execute("select exists (select from due)")
    row = await cursor.fetchone()
    assert row is not None
    return bool(row[0])


async def events(connection: psycopg.AsyncConnection) -> int:
    """How many events the log holds."""
    cursor = await connection.execute("select count(*) from event")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def transactions(connection: psycopg.AsyncConnection) -> int:
    """How many transactions were committed in this database. Backends tell of theirs within a second."""
    cursor = await connection.execute("select xact_commit from pg_stat_database where datname = current_database()")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def tidy(connection: psycopg.AsyncConnection) -> None:
    """Clear away what an earlier load left, so that its vacuum and its checkpoint do not fall into the next one."""
    await connection.execute("vacuum analyze")
    await connection.execute("checkpoint")


async def settings(connection: psycopg.AsyncConnection) -> dict[str, str]:
    """The settings that durability hangs on, as the server has them."""
    cursor = await connection.execute("select name, current_setting(name) from unnest(%s::text[]) name", [[*_SETTINGS]])
    return dict(await cursor.fetchall())
