"""The database: reachable, new enough, up to date, open to our roles, durable, and of one mind about the time."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from offhook.cli import store
from offhook.cli.database import OLDEST, found, lacking, told_in_words
from offhook.cli.doctor.finding import Finding, fail, ok, warn
from offhook.errors import CannotStart
from offhook.settings import Settings

Connection = psycopg.Connection[tuple[object, ...]]

_ROLES = ("offhook_app", "offhook_engine")
_SKEW_S = 1.0
_NOT_DURABLE = "A power cut loses what was accepted. Mend: ALTER SYSTEM SET {} = on; SELECT pg_reload_conf()"


def server(settings: Settings) -> Iterator[Finding]:
    """Whether it runs, and then everything else about it."""
    try:
        url = found(settings)
    except CannotStart:
        yield warn("database", "The embedded PostgreSQL does not run, and could not be examined.", "Run `offhook up`.")
        return
    with _connected(url) as connection:
        version = _version(connection)
        yield version
        if version.grade == "fail":
            return  # what else we would ask, an old one may not understand
        yield from _durability(connection)
        yield from _clock(connection)
        behind = lacking(url)
        yield from _migrations(behind)
        if not behind:
            yield from _roles(connection)
            yield from _ring_of_its_data(connection, settings)


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    with told_in_words(url), psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        yield connection


def _version(connection: Connection) -> Finding:
    version = connection.info.server_version // 10_000
    if version < OLDEST:
        return fail("database", f"PostgreSQL {version} is too old.", f"Offhook needs {OLDEST} or newer.")
    return ok("database", f"PostgreSQL {version} answers.")


def _migrations(behind: list[str]) -> Iterator[Finding]:
    if behind:
        yield fail("migrations", f"The database lacks {', '.join(behind)}.", "Mend: offhook migrate")
    else:
        yield ok("migrations", "The database is up to date.")


def _roles(connection: Connection) -> Iterator[Finding]:
    closed = [role for role in _ROLES if not store.may_become(connection, role)]
    if closed:
        cure = f"Mend: offhook migrate, or as a superuser: GRANT {', '.join(_ROLES)} TO {connection.info.user}"
        yield fail("roles", f"The database's user may not become {' and '.join(closed)}.", cure)
    else:
        yield ok("roles", f"{' and '.join(_ROLES)} are open to us.")


def _ring_of_its_data(connection: Connection, settings: Settings) -> Iterator[Finding]:
    ring = settings.key_ring_file.absolute()
    if not ring.exists() and store.may_become(connection, "offhook_engine") and store.has_workspace(connection):
        says = f"The database holds a workspace, and the key ring {ring} is missing: nothing in it can be opened."
        yield fail("sealed data", says, "Restore the ring from where you keep it apart, or set OFFHOOK_KEY_RING.")


def _durability(connection: Connection) -> Iterator[Finding]:
    off = [
        name for name in ("fsync", "synchronous_commit", "full_page_writes") if store.setting(connection, name) == "off"
    ]
    for name in off:
        yield fail("durability", f"{name} is off.", _NOT_DURABLE.format(name))
    if not off:
        yield ok("durability", "What is committed is on the disk.")


def _clock(connection: Connection) -> Iterator[Finding]:
    skew_s = store.clock_skew_s(connection)
    says = f"The database's clock and this machine's are {abs(skew_s):.2f} s apart."
    if abs(skew_s) > _SKEW_S:
        yield warn("clock", says, "Let NTP set both.")
    else:
        yield ok("clock", says)
