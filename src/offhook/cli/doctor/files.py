"""What lies on the disk: the data directory, the key ring, the first keys."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from offhook.cli import credentials
from offhook.cli.doctor.finding import Finding, fail, ok, warn
from offhook.privacy import KeyRing
from offhook.settings import Settings


def data_directory(settings: Settings) -> Iterator[Finding]:
    path = settings.data_dir.absolute()
    if not path.exists():
        yield ok("data", f"{path} is not there; the first start makes it.")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    says = f"{path} has mode {mode:04o}."
    if not os.access(path, os.W_OK | os.X_OK):
        yield fail("data", f"{path} cannot be written.", f"Give it to user {os.geteuid()}, or set OFFHOOK_DATA_DIR.")
    elif mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield fail("data", f"{says} Others may write in it.", f"Mend: chmod 700 {path}")
    elif mode & (stat.S_IRGRP | stat.S_IROTH):
        yield warn("data", f"{says} Others may see what is in it.", f"Mend: chmod 711 {path}")
    else:
        yield ok("data", says)


def key_ring(settings: Settings) -> Iterator[Finding]:
    path = settings.key_ring_file.absolute()
    if not path.exists() and not _was_used(settings):
        yield ok("key ring", f"{path} is not there; the first start makes it.")
        return
    ring = KeyRing.open(path)
    if path.is_relative_to(settings.data_dir.absolute() / "postgres"):
        cure = "Whoever copies the one has the other. Move it, and set OFFHOOK_KEY_RING."
        yield fail("key ring", f"{path} lies inside the database's directory.", cure)
    else:
        yield ok("key ring", f"{path} has mode {stat.S_IMODE(path.stat().st_mode):04o} and opens: {ring!r}.")


def first_keys(settings: Settings) -> Iterator[Finding]:
    path = credentials.file_in(settings.data_dir)
    if path.exists() and path.stat().st_mode & 0o077:
        yield fail("credentials", f"Others may read {path}.", f"Mend: chmod 600 {path}, and revoke its keys.")
    elif path.exists():
        yield ok("credentials", f"{path} is for its owner only.")


def _was_used(settings: Settings) -> bool:
    """Whether there is data that the ring's keys would be needed for, as far as the disk tells."""
    made: list[Path] = [settings.data_dir / "postgres", credentials.file_in(settings.data_dir)]
    return any(path.exists() for path in made)
