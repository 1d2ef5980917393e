"""What the command line asks PostgreSQL itself: who is in it, and whether the server is fit."""

from datetime import UTC, datetime
from uuid import UUID

import psycopg
from psycopg import sql

from offhook.db import EngineTx

Connection = psycopg.Connection[tuple[object, ...]]


async def workspaces(tx: EngineTx) -> list[tuple[UUID, str]]:
    """Id and name of every workspace, the oldest first."""
    return [(id, name) for id, name in await tx.rows("select id, name from workspace order by id")]


def has_workspace(connection: Connection) -> bool:
    """Whether anybody lives there. The owner sees no rows, so it is asked as the engine."""
    with connection.transaction():
        connection.execute("set local role offhook_engine")
        row = connection.execute("select exists (select from workspace)").fetchone()
    return bool(row and row[0])


def may_become(connection: Connection, role: str) -> bool:
    """Whether this session's user may take on the role, by trying."""
    try:
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        connection.execute("reset role")
    except psycopg.Error:
        return False
    return True


def setting(connection: Connection, name: str) -> str | None:
    """The value of a setting of the server; None when it knows none of that name."""
    row = connection.execute("select current_setting(%s, true)", [name]).fetchone()
    return str(row[0]) if row and row[0] is not None else None


def clock_skew_s(connection: Connection) -> float:
    """How many seconds the database's clock is ahead of ours, the way there and back halved."""
    before = datetime.now(UTC)
    row = connection.execute("select clock_timestamp()", binary=True).fetchone()  # in no date style
    after = datetime.now(UTC)
    assert row is not None
    theirs = row[0]
    assert isinstance(theirs, datetime)
    return (theirs - (before + (after - before) / 2)).total_seconds()
