"""DATA_DIR/credentials.json: the keys of the first workspace, written once, for nobody else to read."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from offhook.db.connection import Environment
from offhook.errors import CannotStart

_NAME = "credentials.json"
_FIELD: Mapping[Environment, str] = {"live": "live_key", "sandbox": "test_key"}


def file_in(data_dir: Path) -> Path:
    """Where they are."""
    return data_dir.absolute() / _NAME


def write(data_dir: Path, credentials: Mapping[str, str]) -> None:
    """Write the file whole or not at all, mode 0600. Raises CannotStart when that fails: the keys are lost then."""
    path = file_in(data_dir)
    try:
        _write(path, json.dumps(credentials, indent=2) + "\n")
    except OSError as failure:
        raise CannotStart(
            "credentials_not_written",
            f"{path} cannot be written: {os.strerror(failure.errno or 0)}. Mend that, and start again; the workspace"
            " is there, and `offhook keys create` makes keys for it.",
        ) from None


def key_in(data_dir: Path, environment: Environment) -> str | None:
    """That half's key; None when the file is gone, which is its owner's right. Raises CannotStart for a spoiled one."""
    path = file_in(data_dir)
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))[_FIELD[environment]])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError):
        told = f"{path} cannot be read. Move it away; `offhook keys create` makes new keys."
        raise CannotStart("bad_credentials_file", told) from None


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)  # of a start that was killed; its mode is not to be trusted
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
