"""Databases for tests: each test gets one of its own, copied from a template that is migrated once per test process.

The server is the one that OFFHOOK_TEST_DATABASE_URL names (by a role that may make roles and databases), or an embedded
one per process. The databases belong to the role `offhook`, as an installation's do, and no test runs as a superuser.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from offhook.db.embedded import EmbeddedPostgres
from offhook.db.migrating import migrate

_OWNER = "offhook"
_MEMORY, _ROOM = Path("/dev/shm"), 4 * 2**30  # noqa: S108  # a directory of a random name is made in it
# A test needs today and, at midnight, tomorrow. A copy is one of files, and the other days are half of all files.
_FEW_DAYS: LiteralString = """
do $$ declare day regclass; begin
  for day in select inhrelid from pg_inherits join pg_class on oid = inhrelid
    where relkind = 'r' and right(relname, 8) > to_char(now() at time zone 'UTC' + interval '1 day', 'YYYYMMDD')
  loop execute format('drop table %s', day); end loop;
end $$"""


@contextmanager
def running_server(scratch: Path) -> Iterator[str]:
    """The admin URL of a PostgreSQL for this test process; an embedded one lives in `scratch` and ends with the block."""
    if named := os.environ.get("OFFHOOK_TEST_DATABASE_URL"):
        yield named
        return
    with _quick_directory(scratch) as directory:
        server = EmbeddedPostgres(directory, shared_buffers="64MB", durable=False)
        asyncio.run(server.start())
        try:
            yield server.admin_url
        finally:
            asyncio.run(server.stop())


@contextmanager
def _quick_directory(scratch: Path) -> Iterator[Path]:
    """In memory where there is room: to a disk, a suite's thousands of copies are a load that it stalls under."""
    if not (_MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM and os.access(_MEMORY, os.W_OK)):
        yield scratch
        return
    with tempfile.TemporaryDirectory(prefix="offhook-test-", dir=_MEMORY, ignore_cleanup_errors=True) as directory:
        yield Path(directory, "data")


class Template:
    """A migrated, empty database, and copies of it. A copy takes some 20 ms."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        self._admin = psycopg.connect(admin_url, autocommit=True)
        self._name = f"offhook_template_{secrets.token_hex(4)}"
        # Roles belong to the whole server: test processes that make them at once would trip over each other.
        self._admin.execute("select pg_advisory_lock(hashtext('offhook.testing'))")
        try:
            self._make_owner()
            self._execute("create database {name} owner {owner}", self._name)
            migrate(self._url(self._name))
            with psycopg.connect(self._url(self._name), autocommit=True) as owner:
                owner.execute(_FEW_DAYS)
        finally:
            self._admin.execute("select pg_advisory_unlock(hashtext('offhook.testing'))")

    @contextmanager
    def copied(self) -> Iterator[str]:
        """The owner's URL of a fresh copy, which is dropped afterwards with whoever is still connected."""
        name = f"offhook_test_{secrets.token_hex(6)}"
        # Copying files takes a checkpoint, which costs nothing where nothing is flushed; else every page goes through the log.
        if os.environ.get("OFFHOOK_TEST_DATABASE_URL"):
            self._execute("create database {name} template {template} owner {owner}", name)
        else:
            self._execute("create database {name} template {template} owner {owner} strategy file_copy", name)
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    def admin_of(self, url: str) -> psycopg.Connection[TupleRow]:
        """The server's admin within that database: for a test that must see past every policy."""
        return psycopg.connect(self._admin_url, dbname=conninfo_to_dict(url)["dbname"], autocommit=True)

    @property
    def data_directory(self) -> Path | None:
        """Where the server keeps its files; None when this process may not read them there."""
        row = self._admin.execute("show data_directory").fetchone()
        folder = Path(row[0]) if row else None
        return folder if folder and os.access(folder, os.R_OK | os.X_OK) else None

    def drop(self) -> None:
        self._drop(self._name)
        self._admin.close()

    def _make_owner(self) -> None:
        if self._admin.execute("select from pg_roles where rolname = %s", [_OWNER]).fetchone() is None:
            password = self._admin.info.password or None
            statement = sql.SQL("create role {owner} login createrole password {password}")
            self._admin.execute(statement.format(owner=sql.Identifier(_OWNER), password=sql.Literal(password)))

    def _drop(self, name: str) -> None:
        self._execute("drop database if exists {name} with (force)", name)

    def _execute(self, statement: LiteralString, name: str) -> None:
        names = {"name": name, "template": self._name, "owner": _OWNER}
        self._admin.execute(sql.SQL(statement).format(**{key: sql.Identifier(value) for key, value in names.items()}))

    def _url(self, name: str) -> str:
        server = self._admin.info
        return make_conninfo(
            "", host=server.host, port=server.port, user=_OWNER, dbname=name, password=server.password or None
        )
