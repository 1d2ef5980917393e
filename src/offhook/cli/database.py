"""Which database is meant, and what is wrong with it in words: never in those of the driver, which may quote a URL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from offhook import db, log
from offhook.cli import store
from offhook.db.embedded import EmbeddedPostgres
from offhook.errors import CannotStart, Unavailable
from offhook.settings import Settings

OLDEST = 15
_PATIENCE_S = 10


@asynccontextmanager
async def kept_running(settings: Settings) -> AsyncIterator[str]:
    """The URL of the installation's database. One that is embedded is started, raised when it dies, and stopped."""
    if settings.database_url:
        yield settings.database_url
        return
    postgres = EmbeddedPostgres(settings.data_dir)
    await postgres.start()
    supervising = asyncio.create_task(postgres.supervise())
    supervising.add_done_callback(_tell_of_its_end)
    try:
        yield postgres.url
    finally:
        supervising.cancel()
        await asyncio.gather(supervising, return_exceptions=True)
        await postgres.stop()


def found(settings: Settings) -> str:
    """The URL of a database that runs already. Raises CannotStart when it is embedded and no `offhook up` runs it."""
    return settings.database_url or EmbeddedPostgres(settings.data_dir).url


def required(settings: Settings) -> str:
    """The URL that the settings name. Raises CannotStart when they name none."""
    if settings.database_url is None:
        raise CannotStart(
            "no_database_url",
            "This command needs a PostgreSQL that several processes can reach. Name it by OFFHOOK_DATABASE_URL or"
            " --database-url, or run `offhook up`, which brings one along.",
        )
    return settings.database_url


def migrated(url: str) -> list[str]:
    """Bring the database up to date; the names of what was applied. Raises CannotStart or Unavailable."""
    with told_in_words(url):
        _refuse_an_old_one(url)
        return db.migrate(url)


def lacking(url: str) -> list[str]:
    """The migrations that the database lacks. Raises CannotStart or Unavailable."""
    with told_in_words(url):
        _refuse_an_old_one(url)
        return db.missing_migrations(url)


def inhabited(url: str) -> bool:
    """Whether an up-to-date database holds a workspace. Raises CannotStart or Unavailable."""
    with told_in_words(url), psycopg.connect(url) as connection:
        return store.has_workspace(connection)


@contextmanager
def told_in_words(url: str) -> Iterator[None]:
    """Turn the driver's exceptions into ours, which say what to mend."""
    try:
        yield
    except psycopg.OperationalError:
        raise Unavailable(
            "database_away",
            f"PostgreSQL at {_place(url)} does not let us in. See that it runs, and that host, port, user, password and"
            " database in OFFHOOK_DATABASE_URL are right.",
        ) from None
    except psycopg.errors.InsufficientPrivilege:
        raise CannotStart(
            "role_may_too_little",
            "The role in OFFHOOK_DATABASE_URL must own its database and may make roles. As a superuser:"
            " ALTER ROLE … CREATEROLE; ALTER DATABASE … OWNER TO …",
        ) from None
    except psycopg.ProgrammingError as failure:
        if failure.sqlstate is not None:
            raise
        raise CannotStart(
            "bad_database_url",
            "OFFHOOK_DATABASE_URL cannot be read. It is of the form postgresql://user:password@host:5432/database",
        ) from None


def _refuse_an_old_one(url: str) -> None:
    # The first to connect: later connections have no limit of their own, and a host that drops packets would hang them.
    with psycopg.connect(url, connect_timeout=_PATIENCE_S) as connection:
        version = connection.info.server_version // 10_000
    if version < OLDEST:
        raise CannotStart(
            "old_postgres", f"PostgreSQL {version} at {_place(url)} is too old. Offhook needs {OLDEST} or newer."
        )


def _place(url: str) -> str:
    parts = conninfo_to_dict(url)
    return f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"


def _tell_of_its_end(supervising: asyncio.Task[None]) -> None:
    if not supervising.cancelled() and (failure := supervising.exception()) is not None:
        log.get("up").error("postgres_unsupervised", error=type(failure).__name__, at=log.place_of(failure))
