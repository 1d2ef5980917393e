"""The key ring: dated epoch keys, the tag key and the signing key, in one file of mode 0600.

Processes on one machine share the file; a new epoch is added under a lock and written whole to a new file that takes
the old one's place, so a crash leaves the old ring or the new one, never half of either.
"""

import base64
import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from offhook.errors import CannotStart

TAG_VERSION = 1


class KeyRing:
    """The installation's keys. Never logged, never in a repr."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._epochs: dict[str, AESGCM] = {}
        self._tag_key = hmac.new(base64.b64decode(content["tag_key"]), digestmod=hashlib.sha256)
        self._signing = Ed25519PrivateKey.from_private_bytes(base64.b64decode(content["signing_key"]))
        self._take(content)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._epochs)} epochs)"

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> "KeyRing":
        """The ring in that file; a new one when `create` and there is none.

        Raises CannotStart when it is missing, unreadable, or open to others. A lost ring is never replaced silently:
        without its keys every person is erased and every suppression blind.
        """
        if not path.exists():
            if not create:
                raise CannotStart(
                    "no_key_ring", f"The key ring {path} is missing. Restore it from where you keep it apart."
                )
            with _locked(path):
                if not path.exists():
                    _write(path, {"tag_key": _fresh(), "signing_key": _fresh(), "epochs": {}})
        if path.stat().st_mode & 0o077:
            raise CannotStart("open_key_ring", f"Others may read the key ring {path}. Mend: chmod 600 {path}")
        try:
            return cls(path, json.loads(path.read_text()))
        except (ValueError, KeyError, OSError):
            raise CannotStart(
                "bad_key_ring", f"The key ring {path} cannot be read; restore it from your copy."
            ) from None

    def epoch_for(self, day: date) -> str:
        """The id of the epoch of that day (one a week), made when it is the first use."""
        name = "{}-W{:02d}".format(*day.isocalendar())
        if name not in self._epochs:
            self._add(name)
        return name

    def epoch(self, name: str) -> AESGCM:
        """That epoch's key. Raises KeyError when the ring lacks it: destroyed, or made by a process elsewhere."""
        if name not in self._epochs:
            self._take(json.loads(self._path.read_text()))
        return self._epochs[name]

    def tag(self, *parts: bytes) -> bytes:
        """The keyed hash of these parts: 32 bytes, the same for the same parts, for nobody without the ring."""
        mac = self._tag_key.copy()
        for part in parts:
            mac.update(len(part).to_bytes(4, "big") + part)
        return mac.digest()

    def sign(self, document: bytes) -> bytes:
        """An Ed25519 signature; `public_key` verifies it."""
        return self._signing.sign(document)

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the Ed25519 key that verifies receipts."""
        return self._signing.public_key().public_bytes_raw()

    def _add(self, name: str) -> None:
        with _locked(self._path):
            content = json.loads(self._path.read_text())
            if name not in content["epochs"]:
                content["epochs"][name] = _fresh()
                _write(self._path, content)
        self._take(content)

    def _take(self, content: dict[str, Any]) -> None:
        self._epochs = {name: AESGCM(base64.b64decode(key)) for name, key in content["epochs"].items()}


def _fresh() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _write(path: Path, content: dict[str, Any]) -> None:
    beside = path.with_suffix(".new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path.with_suffix(".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
