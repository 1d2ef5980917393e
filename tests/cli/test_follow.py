"""How the stream is read, and what becomes of it when it is cut: nothing lost, nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.cli.follow import follow, pause_s
from offhook.cli.messages import Message, Messages
from offhook.errors import Unavailable

AWAY = Unavailable("server_away", "It is away.")
LINE_END = st.sampled_from([b"\n", b"\r\n", b"\r"])


def spelt(n: int, end: bytes = b"\n") -> bytes:
    return end.join([f"id: {n}".encode(), b"event: call.ended", b'data: {"n":%d}' % n, b"", b""])


@given(st.lists(st.integers(1, 10**6), max_size=8), LINE_END, st.data())
def test_messages_are_the_same_however_their_bytes_come_in(numbers: list[int], end: bytes, data: st.DataObject) -> None:
    whole = b": still here" + end + end + b"".join(spelt(n, end) for n in numbers)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)))))
    messages = Messages()

    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    found = [message for piece in [*pieces, b":\n"] for message in messages.feed(piece)]

    assert found == [Message(str(n), b'{"n":%d}' % n) for n in numbers]


def test_an_id_alone_is_a_place_to_go_on_from() -> None:
    assert Messages().feed(b"id: abc\n\n") == [Message("abc", b"")]


class Log:
    """Tells the numbers from 1 on, and is cut after so many bytes, one connection after the other."""

    def __init__(self, length: int, cuts: list[int]) -> None:
        self.length = length
        self.cuts = cuts
        self.connections = 0

    @asynccontextmanager
    async def stream(self, after: str | None) -> AsyncIterator[AsyncIterator[bytes]]:
        self.connections += 1
        yield self._pieces(int(after or 0))

    async def _pieces(self, after: int) -> AsyncIterator[bytes]:
        whole = f"id: {after}\n\n".encode() + b"".join(spelt(n) for n in range(after + 1, self.length + 1))
        if self.cuts and self.connections > 1:
            yield whole[: self.cuts.pop()]
            raise AWAY
        yield whole if self.connections > 1 else whole[:8]


@given(st.integers(1, 8), st.lists(st.integers(0, 300), max_size=8))
def test_every_event_comes_once_and_in_order_wherever_the_stream_is_cut(length: int, cuts: list[int]) -> None:
    log, notes, pauses = Log(length, list(cuts)), list[str](), list[float]()

    async def rest(pause: float) -> None:
        pauses.append(pause)

    async def followed() -> list[bytes]:
        found: list[bytes] = []
        async with aclosing(follow(log.stream, notes.append, rest)) as messages:
            async for message in messages:
                found += [message.data] if message.data else []
                if len(found) == length:
                    break
        return found

    assert asyncio.run(followed()) == [b'{"n":%d}' % n for n in range(1, length + 1)]
    assert len(pauses) == log.connections - 1


async def test_where_nobody_was_there_at_first_nobody_is_waited_for() -> None:
    @asynccontextmanager
    async def stream(after: str | None) -> AsyncIterator[AsyncIterator[bytes]]:
        raise AWAY
        yield

    with pytest.raises(Unavailable):
        await anext(follow(stream, print))


@given(st.integers(0, 10_000))
def test_pauses_grow_and_stay_bounded(cuts: int) -> None:
    assert 0 < pause_s(cuts) <= pause_s(cuts + 1) <= 8
