"""The kit's two tables, in your database and in your transactions. SQL for PostgreSQL 9.5 and SQLite 3.35 or newer.

A row of the inbox without a body is done: it stays to tell a repetition from news, until `forget`. The first tombstone of
an event is news whatever was done before: it opens the row again. Of a subject stands the last sequence that was done, and
up to which one nothing is missing.
"""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString

from offhook_receiver.envelope import Event
from offhook_receiver.transactions import Connection

TABLES: tuple[LiteralString, ...] = (
    "create table if not exists offhook_inbox (event_id text primary key, subject text not null, sequence bigint not null,"
    " body text, received_at double precision not null, due_at double precision not null, tries integer not null default 0,"
    " failure text, done_at double precision, erased boolean not null default false)",
    "create index if not exists offhook_inbox_due on offhook_inbox (due_at) where body is not null",
    "create index if not exists offhook_inbox_open on offhook_inbox (subject, sequence) where body is not null",
    "create table if not exists offhook_subject (subject text primary key, done bigint not null default 0,"
    " complete bigint not null default 0)",
)
"""For your migrations, if you would rather not call `create_tables`."""
_FIRST_TOMBSTONE: LiteralString = " where excluded.erased and not offhook_inbox.erased"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits in the inbox; `text` is its envelope."""

    id: str
    subject: str
    sequence: int
    text: str
    received_at: float
    tries: int
    erased: bool


@dataclass(frozen=True, slots=True)
class Known:
    """Of a subject: the last sequence that was done, and up to which one the inbox has had all that it should get."""

    done: int
    complete: int


def create_tables(connection: Connection) -> None:
    """Create `offhook_inbox` and `offhook_subject`. Does nothing where they are."""
    for statement in TABLES:
        _run(connection, statement)


def first_time(connection: Connection, event: Event) -> bool:
    """Whether this event was not seen before; from now on it was, if and when your transaction commits.

    The first tombstone of an event is new once, also when the event itself was seen. In PostgreSQL it waits for a
    transaction that does the same event at this moment. Raises RuntimeError outside of a transaction, where it would be
    remembered even if what you do about it fails. Not for what goes through an inbox.
    """
    _check_transaction(connection)
    now = time.time()
    cursor = _run(
        connection,
        "insert into offhook_inbox (event_id, subject, sequence, received_at, due_at, done_at, erased)"
        " values (?, ?, ?, ?, ?, ?, ?) on conflict (event_id) do update set done_at = excluded.done_at, erased = excluded.erased"
        + _FIRST_TOMBSTONE,
        event.id, event.subject, event.sequence, now, now, now, event.erased,
    )  # fmt: skip
    return bool(cursor.rowcount == 1)


def newer(connection: Connection, event: Event) -> bool:
    """Whether it is newer than all that was done of its subject; from now on it is what was done last.

    For state: each event carries the whole context, so of two the newer tells all; but a tombstone, which asks to delete
    what you hold, is never too old. Raises RuntimeError outside of a transaction.
    """
    _check_transaction(connection)
    cursor = _run(
        connection,
        "insert into offhook_subject (subject, done) values (?, ?) on conflict (subject) do update set done = excluded.done"
        " where offhook_subject.done < excluded.done",
        event.subject, event.sequence,
    )  # fmt: skip
    return event.erased or bool(cursor.rowcount == 1)


def keep(connection: Connection, events: Sequence[Event], now: float) -> None:
    """Put events into the inbox. One that is there stays as it is, but its first tombstone takes its place.

    So also when it was done already: the 2xx for it was lost, its person was erased, and it came again as a tombstone.
    """
    # In the order of their ids, so that two transactions with the same events wait for each other in one direction.
    for event in sorted(events, key=lambda event: event.id):
        _run(
            connection,
            "insert into offhook_inbox (event_id, subject, sequence, body, received_at, due_at, erased)"
            " values (?, ?, ?, ?, ?, ?, ?) on conflict (event_id) do update set body = excluded.body, erased = excluded.erased,"
            " due_at = excluded.due_at, tries = 0, failure = null, done_at = null" + _FIRST_TOMBSTONE,
            event.id, event.subject, event.sequence, event.text, now, now, event.erased,
        )  # fmt: skip


def claim(connection: Connection, now: float, *, lowest: bool) -> Waiting | None:
    """The next event that is due, held by this transaction; `lowest`: only if none of its subject waits before it."""
    # It writes, so that SQLite takes its one lock at once instead of refusing to take it later.
    found = _rows(
        connection,
        "update offhook_inbox set tries = tries where event_id = (select event_id from offhook_inbox i"
        " where body is not null and due_at <= ?"
        + (_LOWEST if lowest else "")
        + " order by due_at, sequence limit 1"
        + ("" if _is_sqlite(connection) else " for update skip locked")
        + ") returning event_id, subject, sequence, body, received_at, tries, erased",
        now,
    )
    if not found:
        return None
    id, subject, sequence, text, received_at, tries, erased = found[0]
    return Waiting(id, subject, sequence, text, received_at, tries, bool(erased))  # a number, in SQLite


_LOWEST: LiteralString = (
    " and not exists (select 1 from offhook_inbox e"
    " where e.subject = i.subject and e.sequence < i.sequence and e.body is not null)"
)


def known(connection: Connection, subject: str) -> Known:
    """How far we are with a subject."""
    found = _rows(connection, "select done, complete from offhook_subject where subject = ?", subject)
    return Known(*found[0]) if found else Known(0, 0)


def finish(connection: Connection, event_id: str, now: float) -> None:
    """It is done; what it said is kept no longer."""
    _run(
        connection,
        "update offhook_inbox set body = null, failure = null, done_at = ? where event_id = ?",
        now, event_id,
    )  # fmt: skip


def postpone(
    connection: Connection, event_id: str, until: float, failure: str | None = None, *, tried: bool = False
) -> None:
    """Not before `until`, and why; `tried`: it was handed over and your code failed."""
    _run(
        connection,
        "update offhook_inbox set due_at = ?, failure = ?, tries = tries + ? where event_id = ? and body is not null",
        until, failure, int(tried), event_id,
    )  # fmt: skip


def hurry(connection: Connection, subject: str, now: float) -> None:
    """Whatever waited for an event of this subject is due."""
    _run(
        connection,
        "update offhook_inbox set due_at = ? where subject = ? and body is not null and due_at > ?",
        now, subject, now,
    )  # fmt: skip


def complete(connection: Connection, subject: str, until: int) -> None:
    """Up to this sequence nothing of the subject is missing."""
    _run(
        connection,
        "insert into offhook_subject (subject, complete) values (?, ?) on conflict (subject) do update"
        " set complete = excluded.complete where offhook_subject.complete < excluded.complete",
        subject, until,
    )  # fmt: skip


def forget(connection: Connection, older_than: timedelta) -> int:
    """Delete what was done before that; how many rows. An event that is sent again later would be done again.

    Offhook sends for 48 hours on its own, and at any time when somebody replays. Thirty days are a good choice. Subjects
    are kept: with `newer`, or a worker that goes by sequence, not even a replay of last year is done twice, but for
    tombstones.
    """
    cursor = _run(
        connection,
        "delete from offhook_inbox where body is null and done_at < ?",
        time.time() - older_than.total_seconds(),
    )
    return int(cursor.rowcount)


def _run(connection: Connection, statement: LiteralString, *values: Any) -> Any:
    cursor = connection.cursor()
    # sqlite3 itself marks parameters by `?`, all others by `%s`, Django's SQLite among them.
    cursor.execute(
        statement if isinstance(connection, sqlite3.Connection) else statement.replace("?", "%s"), values or ()
    )
    return cursor


def _rows(connection: Connection, statement: LiteralString, *values: Any) -> list[Any]:
    return list(_run(connection, statement, *values).fetchall())


def _is_sqlite(connection: Connection) -> bool:
    return isinstance(connection, sqlite3.Connection) or getattr(connection, "vendor", None) == "sqlite"


def _check_transaction(connection: Connection) -> None:
    if not _in_transaction(connection):
        raise RuntimeError(
            "this needs a transaction: turn autocommit off or begin one, and do your own writes in it too"
        )


def _in_transaction(connection: Connection) -> bool:
    """Whether a statement would be undone by a rollback."""
    if isinstance(connection, sqlite3.Connection):
        by_itself = connection.isolation_level is None or getattr(connection, "autocommit", False) is True
        return connection.in_transaction or not by_itself
    if hasattr(connection, "in_atomic_block"):  # Django
        return bool(connection.in_atomic_block)
    if getattr(connection, "autocommit", False):  # psycopg
        return bool(connection.info.transaction_status != 0)  # type: ignore[attr-defined]
    return True
