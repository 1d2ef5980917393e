"""The connections to NATS: one for each account, made anew when it is lost, gone when they are closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import pytest

from offhook.outbound.jetstream import Account, JetStreams, NotStored, Server, Stored


@dataclass
class Played:
    """A NATS server of a few lines that confirms everything, until it is told otherwise."""

    port: int = 0
    connected: list[str] = field(default_factory=list)
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    hangs_up: bool = False
    ack: bytes = b'{"stream": "s", "seq": 1}'
    tells_of: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        info = {"max_payload": 1000, "headers": True, "connect_urls": self.tells_of}
        writer.write(b"INFO " + orjson.dumps(info) + b"\r\n")
        try:
            while line := await reader.readline():
                await self._hear(line, reader, writer)
        except ConnectionError:
            pass
        finally:
            self.open.discard(writer)
            if not self.open:
                self.left.set()
            writer.close()

    async def _hear(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, *words = line.split()
        if verb == b"CONNECT":
            self.connected.append(orjson.loads(line.partition(b" ")[2]).get("user", ""))
        elif verb == b"PING":
            writer.write(b"PONG\r\n")
        elif verb == b"HPUB":
            await reader.readexactly(int(words[-1]) + 2)
            if self.hangs_up:
                raise ConnectionError
            writer.write(b"MSG %b 1 %d\r\n%b\r\n" % (words[1], len(self.ack), self.ack))


@asynccontextmanager
async def playing(**how: object) -> AsyncIterator[Played]:
    played = Played(**how)  # type: ignore[arg-type]
    async with await asyncio.start_server(played.serve, "127.0.0.1", 0) as server:
        played.port = server.sockets[0].getsockname()[1]
        yield played
        for writer in list(played.open):
            writer.close()


@pytest.fixture
async def streams() -> AsyncIterator[JetStreams]:
    streams = JetStreams(kept=2)
    yield streams
    await streams.close()


async def publish(streams: JetStreams, played: Played, user: str = "") -> Stored | NotStored:
    server = Server(played.address, False, Account(user, "pass") if user else Account())
    return await streams.publish(server, "events.call.ended", b"{}", {"webhook-id": "evt_1"}, 5)


async def test_one_connection_serves_all_who_need_it_at_once(streams: JetStreams) -> None:
    async with playing() as played:
        told = await asyncio.gather(*(publish(streams, played) for _ in range(20)))

        assert told == [Stored(False)] * 20
        assert len(played.connected) == 1


async def test_two_accounts_never_share_a_connection(streams: JetStreams) -> None:
    async with playing() as played:
        for user in ("ann", "bob", "ann"):
            await publish(streams, played, user)

        assert played.connected == ["ann", "bob"]


async def test_of_many_accounts_the_longest_unused_is_let_go(streams: JetStreams) -> None:
    async with playing() as played:
        for user in ("ann", "bob", "cy", "bob", "ann"):
            assert await publish(streams, played, user) == Stored(False)

        assert played.connected == ["ann", "bob", "cy", "ann"]


async def test_a_connection_that_breaks_is_told_at_once_and_made_anew(streams: JetStreams) -> None:
    async with playing(hangs_up=True) as played:
        broken = await publish(streams, played)
        played.hangs_up = False
        again = await publish(streams, played)

        assert isinstance(broken, NotStored)
        assert broken.code == "nats_connection_lost"
        assert again == Stored(False)


async def test_where_a_server_sends_us_we_do_not_go(streams: JetStreams) -> None:
    async with playing() as elsewhere, playing(hangs_up=True, tells_of=(elsewhere.address,)) as played:
        for _ in range(5):
            await publish(streams, played)

        assert len(played.connected) == 5
        assert elsewhere.connected == []


async def test_what_is_no_jetstream_is_told_so(streams: JetStreams) -> None:
    async with playing(ack=b"pardon?") as played:
        told = await publish(streams, played)

        assert isinstance(told, NotStored)
        assert told.code == "nats_protocol"


async def test_a_server_with_too_much_to_do_is_given_time(streams: JetStreams) -> None:
    async with playing(ack=b'{"error": {"code": 503, "err_code": 10023, "description": "x"}}') as played:
        told = await publish(streams, played)

        assert isinstance(told, NotStored)
        assert (told.code, told.busy) == ("nats_not_stored", True)


async def test_closing_leaves_no_connection(streams: JetStreams) -> None:
    async with playing() as played:
        await publish(streams, played)
        await streams.close()
        async with asyncio.timeout(5):
            assert await played.left.wait(), "a connection was left"
