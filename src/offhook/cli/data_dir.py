"""The data directory: the embedded database, the key ring and the first keys. Nobody else may write there."""

import os
import stat
import tempfile
from pathlib import Path

from offhook.errors import CannotStart


def prepare(data_dir: Path) -> None:
    """Make it when it is absent. Raises CannotStart when we may not write in it, or others may.

    The permissions of a directory that is there are never changed.
    """
    try:
        # As root the embedded PostgreSQL may have to run as another user, who passes through here and may do no more.
        data_dir.mkdir(mode=0o700 if os.geteuid() else 0o711, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as failure:
        raise CannotStart(
            "data_dir_not_writable",
            f"The data directory {data_dir.absolute()} cannot be written: {os.strerror(failure.errno or 0)}."
            " Mend that, or name another by --data-dir.",
        ) from None
    if data_dir.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CannotStart(
            "open_data_dir",
            f"Others may write in the data directory {data_dir.absolute()}. Mend: chmod 700 {data_dir.absolute()}",
        )
