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
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

import offhook
from offhook.db import embedded, server_user
from offhook.db.embedded import EmbeddedPostgres
from offhook.errors import CannotStart

NOBODY = 65_534
SOMEBODY = 1  # daemon, the first that is not root
NAMELESS = 61_018
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
SECRET = "maria@example.com"
LIBRARIES = os.pathsep.join([str(Path(offhook.__file__).parent.parent), sysconfig.get_path("platlib")])
ENVIRONMENT = {"PATH": os.defpath, "PYTHONPATH": LIBRARIES}

# Another process, which starts a server and then either stops it or is killed, or tells why it could not start one.
STRANGER = """
import asyncio, os, signal, sys
from pathlib import Path
from offhook.db.embedded import EmbeddedPostgres
from offhook.errors import CannotStart

async def main(data_dir, end):
    await (server := EmbeddedPostgres(Path(data_dir), durable=False)).start()
    print("started", flush=True)
    os.kill(os.getpid(), signal.SIGKILL) if end == "killed" else await server.stop()

try:
    asyncio.run(main(*sys.argv[1:]))
except CannotStart as refusal:
    print(refusal)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster, made once: making takes half a second, and copying does not."""
    data_dir = tmp_path_factory.mktemp("made")
    stranger(data_dir, "stopped")
    return data_dir / "postgres"


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        psutil.Process(postmaster(tmp_path / "data")).kill()


@pytest.fixture
async def new_server(data_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data_dir, durable=False)
    yield server
    await server.stop()


@pytest.fixture
def server(new_server: EmbeddedPostgres, made: Path, data_dir: Path) -> EmbeddedPostgres:
    shutil.copytree(made, data_dir / "postgres")
    return new_server


@pytest.fixture
async def watched(server: EmbeddedPostgres) -> AsyncIterator[EmbeddedPostgres]:
    await server.start()
    watch = asyncio.create_task(server.supervise())
    yield server
    assert not watch.done()
    watch.cancel()
    await asyncio.wait([watch])


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that every user may pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="offhook-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


async def test_what_was_stored_is_there_after_the_next_start(new_server: EmbeddedPostgres) -> None:
    await new_server.start()
    await ask(new_server.url, "CREATE TABLE lead AS SELECT 42 AS id")
    await new_server.stop()

    await new_server.start()

    assert await ask(new_server.url, "SELECT id FROM lead") == 42


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

    assert not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE
    with pytest.raises(CannotStart, match="postgres_not_running"):
        _ = server.url


async def test_a_killed_server_is_raised_with_what_was_stored(watched: EmbeddedPostgres, data_dir: Path) -> None:
    await ask(watched.url, "SET synchronous_commit = on; CREATE TABLE lead AS SELECT 42 AS id")

    os.kill(postmaster(data_dir), signal.SIGKILL)

    assert await ask_until_answered(watched, "SELECT id FROM lead") == 42


async def test_a_stopped_server_is_left_in_peace(watched: EmbeddedPostgres) -> None:
    await watched.stop()

    await asyncio.sleep(0.5)  # more than one look of the supervisor

    with pytest.raises(CannotStart, match="postgres_not_running"):
        _ = watched.url


async def test_a_server_that_outlived_its_process_is_adopted(server: EmbeddedPostgres, data_dir: Path) -> None:
    stranger(data_dir, "killed")
    orphan = postmaster(data_dir)

    await server.start()

    assert postmaster(data_dir) == orphan
    assert await ask(server.url, "SELECT 1") == 1


async def test_an_orphan_whose_socket_was_swept_away_is_started_anew(server: EmbeddedPostgres, data_dir: Path) -> None:
    stranger(data_dir, "killed")
    shutil.rmtree(pid_file(data_dir)[4])

    await server.start()

    assert await ask(server.url, "SELECT 1") == 1


async def test_a_stale_pid_file_is_no_hindrance_when_another_process_bears_the_pid(
    server: EmbeddedPostgres, data_dir: Path
) -> None:
    stranger(data_dir, "killed")
    os.kill(postmaster(data_dir), signal.SIGKILL)
    (data_dir / "postgres" / "postmaster.pid").write_text("\n".join(["1", *pid_file(data_dir)[1:]]))

    await server.start()

    assert await ask(server.url, "SELECT 1") == 1


async def test_a_session_that_survives_its_server_is_no_hindrance(watched: EmbeddedPostgres, data_dir: Path) -> None:
    busy = asyncio.create_task(ask(watched.url, "SELECT count(*) FROM generate_series(1, 10000000000)"))
    await asyncio.sleep(0.2)  # it is in the midst of its work now

    os.kill(postmaster(data_dir), signal.SIGKILL)

    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(busy, timeout=10)
    assert await ask_until_answered(watched, "SELECT 1") == 1


async def test_a_start_that_was_killed_half_way_is_no_hindrance(new_server: EmbeddedPostgres, data_dir: Path) -> None:
    (data_dir / "postgres.new" / "base").mkdir(parents=True)

    await new_server.start()

    assert await ask(new_server.url, "SELECT 1") == 1


async def test_a_cancelled_start_leaves_nothing_running(server: EmbeddedPostgres, data_dir: Path) -> None:
    starting = asyncio.create_task(server.start())
    async with asyncio.timeout(10):
        while not (data_dir / "postgres" / "postmaster.pid").exists():  # noqa: ASYNC110 - a file tells nobody that it came
            await asyncio.sleep(0.001)

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


async def test_no_directory_changes_its_permissions(new_server: EmbeddedPostgres, data_dir: Path) -> None:
    os.mkdir(data_dir, mode=0o700)
    there = [data_dir, *data_dir.parents, Path(embedded.__file__).parent, Path(sysconfig.get_path("purelib"))]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in there]

    await new_server.start()

    assert [(path.stat().st_mode, path.stat().st_uid) for path in there] == before


async def test_only_the_owner_may_come_near_the_server(server: EmbeddedPostgres, data_dir: Path) -> None:
    await server.start()

    assert stat.S_IMODE(os.stat(pid_file(data_dir)[4]).st_mode) == 0o700
    assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700
    assert not psutil.Process(postmaster(data_dir)).net_connections("inet")


async def test_a_link_in_the_place_of_the_sockets_directory_is_not_trusted(
    new_server: EmbeddedPostgres, data_dir: Path, open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_dir))
    os.mkdir(data_dir)
    found = os.stat(data_dir)
    os.symlink(data_dir, open_dir / f"offhook-{found.st_dev:x}-{found.st_ino:x}")

    with pytest.raises(CannotStart, match="socket_dir_taken"):
        await new_server.start()


async def test_a_place_too_deep_for_a_socket_is_told_with_the_cure(
    new_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/deep" * 25)

    with pytest.raises(CannotStart, match=r"no_socket_dir.*TMPDIR"):
        await new_server.start()


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
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(CannotStart, match=r"other_postgres_version.*made by PostgreSQL 17.*Dump"):
        await server.start()


@as_root
def test_a_normal_user_needs_no_privileges(open_dir: Path) -> None:
    os.chown(open_dir, NOBODY, NOBODY)

    assert stranger(open_dir / "data", "stopped", user=NOBODY) == "started\n"
    assert (open_dir / "data" / "postgres" / "PG_VERSION").stat().st_uid == NOBODY


@as_root
def test_a_user_without_a_name_needs_none(open_dir: Path) -> None:
    os.chown(open_dir, NAMELESS, NAMELESS)
    if run_as(NAMELESS, "import subprocess; subprocess.run(['unshare', '--user', 'true'], check=True)").returncode:
        pytest.skip("namespaces are closed to normal users here, and without one initdb insists on a name")

    assert stranger(open_dir / "data", "stopped", user=NAMELESS) == "started\n"


@as_root
def test_a_directory_that_may_not_be_written_is_named_with_the_cure(open_dir: Path) -> None:
    told = stranger(open_dir / "data", "stopped", user=NOBODY)

    assert f"data_dir_not_writable: {open_dir / 'data'} cannot be written: Permission denied" in told
    assert "OFFHOOK_DATA_DIR" in told


@as_root
class TestRootWithoutNamespaces:
    @pytest.fixture
    def data_dir(self, open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(server_user, "_NAMESPACE", ("false",))
        return open_dir / "data"

    async def test_the_server_runs_as_nobody(self, new_server: EmbeddedPostgres, data_dir: Path) -> None:
        await new_server.start()

        assert await ask(new_server.url, "SELECT 1") == 1
        assert psutil.Process(postmaster(data_dir)).uids().real == NOBODY

    async def test_a_cluster_of_roots_is_handed_over(self, new_server: EmbeddedPostgres, data_dir: Path) -> None:
        stranger(data_dir, "stopped")  # another process: it may have a namespace

        await new_server.start()

        assert {path.stat().st_uid for path in (data_dir / "postgres").rglob("*")} == {NOBODY}

    async def test_in_a_closed_home_it_runs_as_its_owner(self, new_server: EmbeddedPostgres, data_dir: Path) -> None:
        os.chown(data_dir.parent, SOMEBODY, SOMEBODY)
        os.chmod(data_dir.parent, 0o700)

        await new_server.start()

        assert psutil.Process(postmaster(data_dir)).uids().real == SOMEBODY

    async def test_a_closed_home_of_root_is_named_with_the_cure(
        self, new_server: EmbeddedPostgres, open_dir: Path
    ) -> None:
        os.chmod(open_dir, 0o700)

        with pytest.raises(CannotStart, match=rf"no_user_for_postgres.*chmod o\+x {open_dir}`.*OFFHOOK_DATABASE_URL"):
            await new_server.start()


async def ask(url: str, statement: str, *values: str, crash: bool = False) -> object:
    """The first value of the answer; with `crash`, the session's process is killed while it works."""
    client_side = psycopg.AsyncClientCursor  # one string may hold several statements and their values
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, cursor_factory=client_side) as session:
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


def pid_file(data_dir: Path) -> list[str]:
    return (data_dir / "postgres" / "postmaster.pid").read_text().split("\n")


def postmaster(data_dir: Path) -> int:
    return int(pid_file(data_dir)[0])


def stranger(data_dir: Path, end: str, user: int | None = None) -> str:
    """What another process says that starts a server on the same directory, and ends so."""
    done = run_as(user, STRANGER, str(data_dir), end)
    assert done.stderr == ""
    return done.stdout


def run_as(user: int | None, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    python = sys.executable if user is None else open_python()
    identity: dict[str, Any] = {"user": user, "group": user}
    command = [python, "-c", code, *arguments]
    return subprocess.run(command, env=ENVIRONMENT, cwd="/", capture_output=True, text=True, **identity)


@cache
def open_python() -> str:
    """A Python that every user may run; skips the test where there is none that finds Offhook's dependencies."""
    for python in filter(None, (sys.executable, shutil.which("python3", path=os.defpath))):
        probe = [python, "-c", "import offhook.db.embedded"]
        with suppress(PermissionError, subprocess.CalledProcessError):
            subprocess.run(probe, env=ENVIRONMENT, cwd="/", user=NOBODY, check=True, capture_output=True)
            return python
    pytest.skip("no Python here is open to every user and finds Offhook's dependencies")
