"""Numbered SQL, run once each in order by yoyo. Two processes that migrate at once take turns."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
import yoyo
from psycopg.conninfo import conninfo_to_dict
from yoyo.backends import DatabaseBackend
from yoyo.migrations import MigrationList

_FOLDER = Path(__file__).parent / "migrations"


def migrate(url: str) -> list[str]:
    """Bring the database up to date as its owner; the names of what was applied. Idempotent."""
    with _turn(url):
        backend, migrations = _open(url)
        try:
            missing = backend.to_apply(migrations)
            backend.apply_migrations(missing)
            return [migration.id for migration in missing]
        finally:
            backend.connection.close()


def missing_migrations(url: str) -> list[str]:
    """The names of the migrations that this version of Offhook needs and the database lacks."""
    backend, migrations = _open(url)
    try:
        return [migration.id for migration in backend.to_apply(migrations)]
    finally:
        backend.connection.close()


@contextmanager
def _turn(url: str) -> Iterator[None]:
    # An advisory lock ends with its connection; yoyo's own lock is a row that a killed migration leaves behind.
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext('offhook.migrate'))")
        yield


def _open(url: str) -> tuple[DatabaseBackend, MigrationList]:
    return yoyo.get_backend(_for_yoyo(url)), yoyo.read_migrations(str(_FOLDER))


def _for_yoyo(url: str) -> str:
    """yoyo wants a URL with the driver's name, and reads what is not host, port or database from its query."""
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    host, database = parts.pop("host", ""), parts.pop("dbname", "")
    query = {**parts, **({"host": host} if host else {})}
    return f"postgresql+psycopg:///{quote(database)}?{urlencode(query)}"
