"""The database that Offhook brings along: what it promises to whoever starts it, kills it, or may not read it."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest

import offhook
from offhook.db import embedded
from offhook.db.embedded import EmbeddedPostgres
from offhook.errors import CannotStart

NOBODY = 65_534
NAMELESS = 61_018
SECRET = "maria@example.com"

# Another process, which starts a server and then either stops it or is killed, or tells why it could not start one.
STRANGER = """
import asyncio, os, signal, sys
from pathlib import Path
from offhook.db.embedded import EmbeddedPostgres
from offhook.errors import CannotStart

async def main(data_dir, end):
    server = EmbeddedPostgres(Path(data_dir), durable=False)
    await server.start()
    print("started", flush=True)
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    await server.stop()

try:
    asyncio.run(main(*sys.argv[1:]))
except CannotStart as refusal:
    print(refusal)
"""


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data_dir, durable=False)
    yield server
    await server.stop()


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        psutil.Process(postmaster(tmp_path / "data")).kill()


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that every user may pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="offhook-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


async def test_what_was_stored_is_there_after_the_next_start(server: EmbeddedPostgres) -> None:
    await server.start()
    await ask(server.url, "CREATE TABLE lead AS SELECT 42 AS id")
    await server.stop()

    await server.start()

    assert await ask(server.url, "SELECT id FROM lead") == 42


async def test_offhook_owns_its_database_and_makes_roles_but_is_no_superuser(server: EmbeddedPostgres) -> None:
    await server.start()

    await ask(server.url, "CREATE ROLE offhook_app; CREATE SCHEMA rooms AUTHORIZATION offhook")

    assert await ask(server.url, "SELECT current_database()") == "offhook"
    assert await ask(server.url, "SHOW is_superuser") == "off"
    assert await ask(server.admin_url, "SHOW is_superuser") == "on"


async def test_starting_and_stopping_twice_is_the_same_as_once(server: EmbeddedPostgres, data_dir: Path) -> None:
    await server.stop()
    await server.start()
    first = postmaster(data_dir)
    await server.start()
    assert postmaster(data_dir) == first

    await server.stop()
    await server.stop()

    assert not lives(first)
    with pytest.raises(CannotStart, match="postgres_not_running"):
        _ = server.url


async def test_a_killed_server_is_raised_again_with_all_that_was_stored(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    await server.start()
    await ask(server.url, "CREATE TABLE lead AS SELECT 42 AS id")
    watch = asyncio.create_task(server.supervise())

    os.kill(postmaster(data_dir), signal.SIGKILL)

    assert await ask_until_answered(server, "SELECT id FROM lead") == 42
    await cancelled(watch)
    await server.stop()


async def test_a_stopped_server_is_left_in_peace(server: EmbeddedPostgres) -> None:
    await server.start()
    watch = asyncio.create_task(server.supervise())
    await server.stop()

    await asyncio.wait([watch], timeout=0.5)

    assert not watch.done()
    with pytest.raises(CannotStart, match="postgres_not_running"):
        _ = server.url
    await cancelled(watch)


async def test_a_server_that_outlived_its_process_is_adopted(server: EmbeddedPostgres, data_dir: Path) -> None:
    stranger(data_dir, "killed")
    orphan = postmaster(data_dir)
    assert lives(orphan)

    await server.start()

    assert postmaster(data_dir) == orphan
    assert await ask(server.url, "SELECT 1") == 1
    await server.stop()
    assert not lives(orphan)


async def test_an_orphan_whose_socket_was_swept_away_is_started_anew(server: EmbeddedPostgres, data_dir: Path) -> None:
    stranger(data_dir, "killed")
    shutil.rmtree(socket_dir(data_dir))

    await server.start()

    assert await ask(server.url, "SELECT 1") == 1


async def test_a_stale_pid_file_hurts_neither_the_start_nor_who_bears_the_pid(
    server: EmbeddedPostgres, data_dir: Path
) -> None:
    stranger(data_dir, "killed")
    os.kill(postmaster(data_dir), signal.SIGKILL)
    with subprocess.Popen(["sleep", "60"]) as innocent:
        give_pid_to(innocent.pid, data_dir)

        await server.start()

        assert await ask(server.url, "SELECT 1") == 1
        assert innocent.poll() is None
        innocent.kill()


async def test_a_start_that_was_killed_half_way_is_no_hindrance(server: EmbeddedPostgres, data_dir: Path) -> None:
    (data_dir / "postgres.new" / "base").mkdir(parents=True)

    await server.start()

    assert await ask(server.url, "SELECT 1") == 1


async def test_a_cancelled_start_leaves_nothing_running(server: EmbeddedPostgres, data_dir: Path) -> None:
    starting = asyncio.create_task(server.start())
    async with asyncio.timeout(10):
        while not (data_dir / "postgres" / "postmaster.pid").exists():
            await asyncio.sleep(0)

    starting.cancel()
    await asyncio.wait([starting])

    assert starting.cancelled()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


async def test_a_second_process_is_told_who_holds_the_directory(server: EmbeddedPostgres, data_dir: Path) -> None:
    await server.start()

    told = stranger(data_dir, "stopped")

    assert "data_dir_in_use" in told
    assert f"process {os.getpid()}" in told
    assert await ask(server.url, "SELECT 1") == 1


async def test_a_refused_second_start_harms_nothing_when_stopped(server: EmbeddedPostgres, data_dir: Path) -> None:
    await server.start()
    second = EmbeddedPostgres(data_dir)
    with pytest.raises(CannotStart, match="data_dir_in_use"):
        await second.start()

    await second.stop()

    assert await ask(server.url, "SELECT 1") == 1


async def test_no_directory_that_was_there_changes_its_permissions(server: EmbeddedPostgres, data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    there = [data_dir, *data_dir.parents, Path(embedded.__file__).parent, Path(sysconfig.get_path("purelib"))]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in there]

    await server.start()

    assert [(path.stat().st_mode, path.stat().st_uid) for path in there] == before


async def test_only_the_owner_may_come_near_the_server(server: EmbeddedPostgres, data_dir: Path) -> None:
    await server.start()

    assert stat.S_IMODE(socket_dir(data_dir).stat().st_mode) == 0o700
    assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700
    assert not psutil.Process(postmaster(data_dir)).net_connections("inet")


async def test_somebody_elses_directory_in_the_sockets_place_is_not_trusted(
    server: EmbeddedPostgres, data_dir: Path, open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_dir))
    data_dir.mkdir()
    (open_dir / "elsewhere").mkdir()
    found = data_dir.stat()
    (open_dir / f"offhook-{found.st_dev:x}-{found.st_ino:x}").symlink_to(open_dir / "elsewhere")

    with pytest.raises(CannotStart, match="socket_dir_taken"):
        await server.start()


async def test_a_place_too_deep_for_a_socket_is_told_with_the_cure(
    server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("deep" * 25)))

    with pytest.raises(CannotStart, match=r"no_socket_dir.*TMPDIR"):
        await server.start()


async def test_no_personal_value_reaches_the_log(server: EmbeddedPostgres, data_dir: Path) -> None:
    await server.start()
    await ask(server.url, "CREATE TABLE lead (email text UNIQUE); INSERT INTO lead VALUES (%s)", SECRET)

    for statement in ("INSERT INTO lead VALUES (%s)", "SELECT CAST(%s AS int)", "DO $$ BEGIN RAISE '%%', %s; END $$"):
        with pytest.raises(psycopg.DatabaseError, match=SECRET):
            await ask(server.url, statement, SECRET)
    with pytest.raises(psycopg.OperationalError):
        await ask(server.url, "SELECT pg_sleep(60), %s", SECRET, crash=True)

    await ask_until_answered(server, "SELECT 1")
    log = (data_dir / "postgres.log").read_text()
    assert "was terminated by signal" in log
    assert SECRET not in log


async def test_a_cluster_of_another_version_is_refused_with_the_cure(server: EmbeddedPostgres, data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(CannotStart, match=r"other_postgres_version.*made by PostgreSQL 17.*[Dd]ump"):
        await server.start()


def test_a_normal_user_needs_no_privileges(open_dir: Path) -> None:
    told = stranger(open_dir / "data", "stopped", a_normal_user(open_dir))

    assert told.strip() == "started"
    assert (open_dir / "data" / "postgres" / "PG_VERSION").stat().st_uid == (os.geteuid() or NOBODY)


def test_a_user_without_a_name_needs_none(open_dir: Path) -> None:
    told = stranger(open_dir / "data", "stopped", a_normal_user(open_dir, uid=NAMELESS))

    assert told.strip() == "started"


def test_a_directory_that_may_not_be_written_is_named_with_the_cure(open_dir: Path) -> None:
    normal_user = a_normal_user(open_dir)
    open_dir.chmod(0o555)

    told = stranger(open_dir / "data", "stopped", normal_user)

    assert f"data_dir_not_writable: {open_dir / 'data'} cannot be written: Permission denied" in told
    assert "OFFHOOK_DATA_DIR" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
class TestRootWithoutNamespaces:
    @pytest.fixture(autouse=True)
    def _without_namespaces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded, "_NAMESPACE", ("false",))

    async def test_the_server_runs_as_nobody(self, open_dir: Path) -> None:
        server = EmbeddedPostgres(open_dir / "data", durable=False)
        await server.start()

        assert await ask(server.url, "SELECT 1") == 1
        assert psutil.Process(postmaster(open_dir / "data")).uids().real == NOBODY
        await server.stop()

    async def test_a_cluster_of_roots_is_handed_over(self, open_dir: Path) -> None:
        stranger(open_dir / "data", "stopped")  # it knows nothing of this test's patch
        server = EmbeddedPostgres(open_dir / "data", durable=False)
        await server.start()

        assert {path.stat().st_uid for path in (open_dir / "data" / "postgres").rglob("*")} == {NOBODY}
        await server.stop()

    async def test_in_somebodys_closed_home_the_server_runs_as_that_somebody(self, open_dir: Path) -> None:
        open_dir.chmod(0o700)
        os.chown(open_dir, NOBODY, NOBODY)
        server = EmbeddedPostgres(open_dir / "data", durable=False)
        await server.start()

        assert psutil.Process(postmaster(open_dir / "data")).uids().real == NOBODY
        await server.stop()

    async def test_a_directory_closed_to_everybody_is_named_with_the_cure(self, server: EmbeddedPostgres) -> None:
        with pytest.raises(CannotStart, match=r"no_user_for_postgres.*chmod o\+x.*OFFHOOK_DATABASE_URL"):
            await server.start()


async def ask(url: str, statement: str, *values: str, crash: bool = False) -> object:
    """The first value of the answer; with `crash`, the session's process is killed while it works."""
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, cursor_factory=psycopg.AsyncClientCursor
    ) as session:
        if crash:
            asyncio.get_running_loop().call_later(0.2, os.kill, session.info.backend_pid, signal.SIGKILL)
        cursor = await session.execute(statement.encode(), values or None)
        row = await cursor.fetchone() if cursor.description else None
        return row[0] if row else None


async def ask_until_answered(server: EmbeddedPostgres, statement: str) -> object:
    async with asyncio.timeout(10):
        while True:
            with suppress(psycopg.OperationalError, CannotStart):
                return await ask(server.url, statement)
            await asyncio.sleep(0.02)


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split("\n")[0])


def socket_dir(data_dir: Path) -> Path:
    return Path((data_dir / "postgres" / "postmaster.pid").read_text().split("\n")[4])


def give_pid_to(pid: int, data_dir: Path) -> None:
    path = data_dir / "postgres" / "postmaster.pid"
    path.write_text("\n".join([str(pid), *path.read_text().split("\n")[1:]]))


def lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@dataclass(frozen=True)
class Person:
    """Whom to be, and by which Python."""

    user: int | None = None
    python: str = sys.executable

    def runs(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [self.python, "-c", *arguments]
        return subprocess.run(
            command, env=ENVIRONMENT, cwd="/", user=self.user, group=self.user, capture_output=True, text=True
        )


def stranger(data_dir: Path, end: str, person: Person = Person()) -> str:
    """What another process says that starts a server on the same directory, and ends so."""
    done = person.runs(STRANGER, str(data_dir), end)
    assert done.stderr == ""
    return done.stdout


def a_normal_user(home: Path, uid: int = NOBODY) -> Person:
    """Somebody whose home is `home`; skips where every Python is closed to normal users."""
    if os.geteuid() != 0:
        return Person()
    os.chown(home, uid, uid)
    for python in filter(None, (sys.executable, shutil.which("python3", path=os.defpath))):
        with suppress(PermissionError):
            person = Person(uid, python)
            if person.runs("import offhook.db.embedded").returncode == 0:
                return person
    pytest.skip(f"user {uid} may use no Python here that has Offhook's dependencies")


ENVIRONMENT = {
    "PATH": os.defpath,
    "PYTHONPATH": os.pathsep.join([str(Path(offhook.__file__).parent.parent), sysconfig.get_path("platlib")]),
}
