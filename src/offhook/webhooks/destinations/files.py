"""Files in a directory: `file:///srv/warehouse?format=ndjson|parquet&gzip=true`, where OFFHOOK_FILE_DIRS lists it.

    <directory>/workspace=ws_…/environment=live/date=2026-11-22/hour=00/bat_….ndjson

A file is written under a passing name, synced, and renamed, and its directory is synced: who lists the directory sees
whole files only, and what was delivered outlives a power cut. A repeated consignment takes its own file's place; a write
that was given up, since its mount hung, takes the place of nothing when the mount comes back.
"""

import asyncio
import errno
import os
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from offhook import ids
from offhook.errors import Fault
from offhook.webhooks.credentials import Credentials, NoCredentials
from offhook.webhooks.destinations.contract import (
    Capability,
    Clock,
    Consignment,
    Destination,
    Parts,
    Told,
    delivered,
    try_again,
)
from offhook.webhooks.destinations.objects import Form, NotAForm, content_of, form_of, name_of
from offhook.webhooks.endpoint_settings import EndpointSettings

_THREADS = 4
_NOT_LISTED = "this directory is listed in OFFHOOK_FILE_DIRS no more, or a link leads out of it"
_LOCKS = 64
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL names."""

    directory: Path
    form: Form


class Files:
    """Directories of this machine, or of one that is mounted."""

    kinds = frozenset({"file"})
    capabilities = frozenset({Capability.BATCHES, Capability.LARGE_BATCHES, Capability.ONCE})

    def __init__(self, roots: Sequence[Path]) -> None:
        """`roots` are the directories in and below which files may be written."""
        # A mount that hangs holds its own threads, and nobody else's.
        self._pools = {root: ThreadPoolExecutor(_THREADS, thread_name_prefix="files") for root in roots}
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def check(self, url: str, settings: EndpointSettings, credentials: Credentials) -> Fault | None:
        """Of the operator: the directory. Of the owner: the URL, and no credentials, which a file has no use for."""
        place = place_of(url)
        if isinstance(place, Fault):
            return place
        if not self._listed(place.directory):
            return Fault(
                "url", "directory_not_listed", "The operator lists the directories for files in OFFHOOK_FILE_DIRS."
            )
        if not isinstance(credentials, NoCredentials):
            return Fault("authentication", "bad_authentication", "A file takes no authentication; leave it out.")
        return None

    async def send(self, consignment: Consignment) -> Told:
        """Write its file, until it would outlive a power cut."""
        clock = Clock()
        place = place_of(consignment.url)
        if isinstance(place, Fault):
            return try_again(place.code, place.detail, clock.timing_ms)
        root = self._listed(place.directory)
        if root is None:
            return try_again("directory_not_listed", _NOT_LISTED, clock.timing_ms)
        given_up = threading.Event()
        write = partial(self._write, root, place, consignment, given_up)
        try:
            async with asyncio.timeout(consignment.timeout_s):
                await asyncio.get_running_loop().run_in_executor(self._pools[root], write)
        except TimeoutError:
            return try_again("timeout", "the file was not written in time", clock.timing_ms)
        except _LeadsOut:
            return try_again("directory_not_listed", _NOT_LISTED, clock.timing_ms)
        except OSError as failure:
            return _told(failure, clock)
        finally:
            given_up.set()  # the thread may live on
        return delivered(clock.timing_ms)

    async def close(self) -> None:
        """Let go of the threads; one that hangs ends when its disk does."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _write(self, root: Path, place: Place, consignment: Consignment, given_up: threading.Event) -> None:
        if not place.directory.resolve().is_relative_to(root.resolve()):
            raise _LeadsOut
        path, content = _path(place, consignment), content_of(consignment, place.form)
        _make_directories(root, path.parent)
        passing = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        try:
            _write_through(passing, content)
            # The next try may have other bytes: a tombstone, when the person was erased since. Whoever was given up
            # before here leaves its file to that try; whoever is at it, is waited for by that try.
            with self._locks[hash(path) % _LOCKS]:
                if given_up.is_set():
                    raise _GivenUp
                os.replace(passing, path)
        except BaseException:
            passing.unlink(missing_ok=True)
            raise
        _sync(path.parent)

    def _listed(self, directory: Path) -> Path | None:
        """The listed directory that holds this one by its name; where links lead, a thread finds out."""
        return next((root for root in self._pools if directory.is_relative_to(root)), None)


class _LeadsOut(Exception):
    """A link leads out of the listed directory."""


class _GivenUp(Exception):
    """Nobody waits for this write any more."""


def opened(parts: Parts) -> Destination:
    """The destination of this file."""
    return Files(parts.settings.file_dirs)


def place_of(url: str) -> Place | Fault:
    """Where a URL points, or what is wrong with it. Pure."""
    try:
        parts = urlsplit(url)
        directory = Path(unquote(parts.path, errors="strict"))
        form, _ = form_of(parts.query)
    except NotAForm as why:
        return Fault("url", "bad_url", str(why))
    except ValueError:
        return _bad("This is no URL")
    if parts.netloc not in ("", "localhost") or parts.fragment:
        return _bad("A file has no host, so three slashes follow the colon")
    if not directory.is_absolute() or ".." in directory.parts or not str(directory).isprintable():
        return _bad("The path must be absolute and without `..`")
    return Place(directory, form)


def _bad(why: str) -> Fault:
    return Fault("url", "bad_url", f"{why}; write it as file:///srv/warehouse?format=ndjson.")


def _path(place: Place, consignment: Consignment) -> Path:
    tenant = consignment.tenant
    own = f"workspace={ids.show('ws', tenant.workspace)}/environment={tenant.environment}"
    return place.directory / own / name_of(consignment, place.form)


def _write_through(path: Path, content: bytes) -> None:
    """A new file with that content, which would outlive a power cut under this name once its directory is synced."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    with open(file, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(file)


def _make_directories(root: Path, wanted: Path) -> None:
    """Those below the root, each synced into its parent. The root is the operator's to make: it may be a mount."""
    missing = []
    at = wanted
    while at != root and not at.is_dir():
        missing.append(at)
        at = at.parent
    for directory in reversed(missing):
        directory.mkdir(mode=0o750, exist_ok=True)
        _sync(directory.parent)


def _sync(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _told(failure: OSError, clock: Clock) -> Told:
    match failure:
        case FileNotFoundError() | NotADirectoryError():
            text = "the directory is not there; its operator makes it, or mounts it"
            return try_again("file_no_directory", text, clock.timing_ms)
        case PermissionError():
            return try_again("file_denied", "the process may not write in this directory", clock.timing_ms)
        case OSError(errno=number) if number in _FULL:
            return try_again("file_no_room", "there is no room left for the file", clock.timing_ms, busy=True)
        case _:
            return try_again("file_not_written", "the system could not write the file", clock.timing_ms)
