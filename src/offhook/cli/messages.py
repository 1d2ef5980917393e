"""Server-sent events, read from bytes as they come."""

import re
from dataclasses import dataclass, field

# A CR at the end of what has come may be half of a CRLF.
_LINE_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its id is where to go on behind it; without `data` it tells of nothing else."""

    id: str
    data: bytes = field(repr=False)


class Messages:
    """Takes a stream in pieces and gives its messages. One per connection: half a message is never mended by another."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[Message]:
        """The messages that are complete with this piece."""
        *lines, self._rest = _LINE_END.split(self._rest + piece)
        return [message for line in lines for message in self._read(line)]

    def _read(self, line: bytes) -> list[Message]:
        if not line:
            return self._told()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id":
            self._id = value.decode()
        elif name == b"data":
            self._data.append(value)
        return []

    def _told(self) -> list[Message]:
        """What a blank line completes: nothing when only comments came before it."""
        if not (self._id or self._data):
            return []
        message = Message(self._id, b"\n".join(self._data))
        self._id, self._data = "", []
        return [message]
