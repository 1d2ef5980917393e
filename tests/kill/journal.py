"""A journal: lines of JSON that are on the disk before anybody acts upon them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson


class Journal:
    """Written by one process."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")

    def write(self, lines: Iterable[object]) -> None:
        """Return once all lines are on the disk."""
        self._file.write(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a journal; none where there is no file. A line cut off by a crash is left out."""
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield orjson.loads(line)
