"""How the kit gets at your database: a function that opens a transaction.

It commits when the block ends and rolls back when the block raises. With psycopg these are at hand already:
`partial(psycopg.connect, "postgresql://…")`, or `pool.connection` of a psycopg_pool.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol


class Connection(Protocol):
    """What the kit asks of a connection: psycopg 3 and 2, sqlite3 and Django's have it."""

    def cursor(self) -> Any:
        """A cursor of DB-API 2.0."""
        ...


Begin = Callable[[], AbstractContextManager[Connection]]


def sqlite(path: str | Path, timeout_s: float = 5.0) -> Callable[[], AbstractContextManager[sqlite3.Connection]]:
    """Transactions on a SQLite file, each on a connection of its own; a writer waits `timeout_s` for another."""

    @contextmanager
    def begin() -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(path, timeout=timeout_s, isolation_level=None)) as connection:
            # Who first reads and then writes may be refused at once; who says that it will write waits its turn.
            connection.execute("begin immediate")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    return begin


def django(using: str = "default") -> Begin:
    """Transactions on one of Django's databases, with its own connection."""
    from django.db import connections, transaction

    @contextmanager
    def begin() -> Iterator[Any]:
        with transaction.atomic(using=using):
            yield connections[using]

    return begin
