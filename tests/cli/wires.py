"""The two ends of `offhook listen`: a program that events are forwarded to, and a line to Offhook that can be cut."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.cli.conftest import COMMAND, PATIENCE_S, Running, surroundings

from offhook.demo import Api, Exchange, Listener, free_port


class Target:
    """A program of the developer's, on a port of its own, which may be away."""

    def __init__(self) -> None:
        self.port = free_port()
        self.got: list[Exchange] = []
        self.statuses: list[int] = []
        """What it answers, one after the other; 204 when there is none left."""
        self._listener = Listener(self.port, self._take)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def types(self) -> list[str]:
        return [json.loads(exchange.body)["type"] for exchange in self.got]

    async def come(self) -> None:
        await self._listener.open()

    async def go(self) -> None:
        await self._listener.close()

    def _take(self, exchange: Exchange) -> None:
        self.got.append(exchange)
        exchange.answer(self.statuses.pop(0) if self.statuses else 204)


@asynccontextmanager
async def a_target() -> AsyncIterator[Target]:
    """A program that answers."""
    target = Target()
    await target.come()
    try:
        yield target
    finally:
        await target.go()


class Line:
    """Carries bytes to that port, until it is cut; a cut line refuses connections until it is mended."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*self._carrying)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {writer, ours}
        self._open |= ends
        with suppress(ConnectionError):
            await asyncio.gather(_pipe(reader, ours), _pipe(theirs, writer))
        self._open -= ends


@asynccontextmanager
async def a_line(house: Running) -> AsyncIterator[Line]:
    """A line to that house, which stands."""
    line = Line(int(house.port))
    await line.mend()
    try:
        yield line
    finally:
        await line.cut()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.close()


@dataclass
class Ears:
    """A running `offhook listen --json`."""

    process: asyncio.subprocess.Process
    begun: dict[str, Any]

    async def hears(self) -> dict[str, Any]:
        """The next event."""
        return await _line(self.process)

    async def notes(self, text: str) -> None:
        """Return when it has said that on its standard error."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while text not in (await self.process.stderr.readline()).decode():
                assert not self.process.stderr.at_eof(), f"never said: {text}"

    async def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)


@asynccontextmanager
async def listening(house: Running, *arguments: str, port: int | None = None) -> AsyncIterator[Ears]:
    """It listens to the house, on the line of that port or straight."""
    url = f"http://127.0.0.1:{port or house.port}"
    command = [COMMAND, "listen", "--json", "--url", url, "--data-dir", str(house.data_dir), *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=surroundings({}))
    try:
        yield Ears(process, await _line(process))
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def trigger(house: Running, type: str, count: int = 1) -> list[dict[str, Any]]:
    """What `offhook trigger` does at the house, without a process for it; the events that were made."""
    async with Api(f"http://127.0.0.1:{house.port}", house.credentials["test_key"]) as api:
        return [(await api.post("/v1/sandbox/events", {"type": type}))["event"] for _ in range(count)]


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        line = await process.stdout.readline()
    assert line, (await process.communicate())[1].decode()
    told: dict[str, Any] = json.loads(line)
    return told
