"""The lines of a file between its reading and its storing: on disk, in chunks of which each fits into memory."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from tempfile import SpooledTemporaryFile

import orjson

from offhook.leads.files import Line

CHUNK = 500
CHUNK_BYTES = 4 * 2**20
_IN_MEMORY = 2**20


class Chunks(AbstractContextManager["Chunks"]):
    """Lines in JSON, CHUNK of them or so many as make CHUNK_BYTES. Gone with its `with`; may be read again before."""

    def __init__(self, lines: Iterable[Line]) -> None:
        """Takes the lines in, and holds a chunk of them at a time. Raises what reading them raises."""
        self.rows = 0
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # closed by `__exit__`
        try:
            for chunk in _chunked(lines):
                self.rows += len(chunk)
                self._file.write(b"[" + b",".join(chunk) + b"]\n")  # JSON holds no line break of its own
        except BaseException:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        return iter(self._file)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _chunked(lines: Iterable[Line]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(orjson.dumps((line.number, line.body, line.fault)))
        size += len(chunk[-1])
        if len(chunk) == CHUNK or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
