"""A room of webhooks over a real database, and receivers on loopback that do what the test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from offhook import ids
from offhook.db import Database, Tenant, Wakeups
from offhook.events import Fact, Log, Story
from offhook.events.catalogue.leads import LeadCadencePaused
from offhook.events.reactions import Within
from offhook.outbound import Outbound
from offhook.privacy import Vault
from offhook.sandbox.store import ahead as look_ahead
from offhook.settings import Settings
from offhook.webhooks import Webhooks, delivery_store
from offhook.webhooks.wire import EndpointIn


@dataclass(frozen=True)
class Received:
    """One request as a receiver saw it."""

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Says:
    """What a receiver answers; `after_s` it waits first, `hangs` it never does."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_s: float = 0.0
    hangs: bool = False


class Receiver:
    """An HTTP server of a few lines. `says` are its next answers in turn; the last one stays."""

    def __init__(self) -> None:
        self.says: list[Says] = [Says()]
        self.received: list[Received] = []
        self.url = ""
        self.under_way = self.most_under_way = 0
        self._came = asyncio.Condition()

    async def has(self, count: int) -> None:
        """Wait until so many requests have come, five seconds at most."""
        async with asyncio.timeout(5), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)

    def ids(self, header: str = "webhook-id") -> list[str]:
        return [one.headers[header] for one in self.received]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Receiver"]:
        tasks: set[asyncio.Task[Any]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            tasks.add(task)
            try:
                while await self._answer(reader, writer):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        yield self
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        async with self._came:
            self.received.append(Received(headers, body))
            self._came.notify_all()
        says = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        if says.hangs:
            await asyncio.Event().wait()
        if says.after_s:
            await asyncio.sleep(says.after_s)
        self.under_way -= 1
        lines = [f"HTTP/1.1 {says.status} X", f"content-length: {len(says.body)}"]
        lines += [f"{name}: {value}" for name, value in says.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + says.body)
        await writer.drain()
        return True


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().running() as receiver:
        yield receiver


@pytest.fixture
async def neighbour() -> AsyncIterator[Receiver]:
    """The receiver of somebody else."""
    async with Receiver().running() as receiver:
        yield receiver


@dataclass(frozen=True)
class Told:
    """An endpoint as its owner knows it."""

    id: UUID
    secret: str
    shown: dict[str, Any]


class Room:
    """The webhooks of one process, and short words for what the tests do with them."""

    def __init__(self, webhooks: Webhooks, database: Database, vault: Vault, log: Log, tenant: Tenant) -> None:
        self.webhooks = webhooks
        self.database = database
        self.vault = vault
        self.log = log
        self.tenant = tenant

    async def endpoint(
        self, url: str, events: Sequence[str] = ("lead.*",), tenant: Tenant | None = None, **more: Any
    ) -> Told:
        body = EndpointIn.model_validate({"url": url, "events": list(events), **more})
        async with self.database.transaction(tenant or self.tenant) as tx:
            shown = await self.webhooks.endpoints.create(tx, body)
        return Told(ids.read("whe", shown["id"]), shown["secret"], shown)

    async def person(self) -> UUID:
        person = ids.new()
        async with self.database.transaction(self.tenant) as tx:
            await self.vault.create(tx, [person])
        return person

    async def happens(self, count: int = 1, *, person: UUID | None = None, tenant: Tenant | None = None) -> None:
        """So many events about new leads, in one transaction."""
        async with self.database.transaction(tenant or self.tenant) as tx:
            await self.log.append(tx, [a_fact(person) for _ in range(count)])

    async def drain(self) -> bool:
        return await self.webhooks.sender.drain(self.tenant)

    async def do(self, verb: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """One verb of the room, in a transaction of its own."""
        async with self.database.transaction(self.tenant) as tx:
            return await verb(tx, *args)

    async def row(self, query: str, *args: Any) -> tuple[Any, ...]:
        """What the database holds, past every policy but the engine's."""
        async with self.database.engine() as tx:
            found = await tx.row(query, args)
        assert found is not None
        return found

    async def next_due(self) -> datetime | None:
        async with self.database.transaction(self.tenant) as tx:
            (ahead,) = await look_ahead(tx, [self.webhooks.sender.ahead])
            return ahead.due_at

    async def deliveries(self, **wanted: Any) -> list[dict[str, Any]]:
        """All deliveries of the tenant, the newest first, each with its tries."""
        async with self.database.transaction(self.tenant) as tx:
            rows = await delivery_store.page(tx, delivery_store.Wanted(**wanted), None, 1000)
            return [await self.webhooks.deliveries.find(tx, row.id) for row in rows]

    async def status_of(self, endpoint: UUID) -> str:
        return str((await self.do(self.webhooks.endpoints.find, endpoint))["status"])


def a_fact(person: UUID | None = None) -> Fact:
    return LeadCadencePaused(subject_id=ids.new(), story=Story(person=person), reason="api_key")


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    outbound = Outbound()
    yield outbound
    await outbound.close()


def build(
    database: Database, vault: Vault, log: Log, wakeups: Wakeups, outbound: Outbound, *, sending: bool = True
) -> Webhooks:
    return Webhooks(Settings.model_validate({}), database, vault, log, wakeups, outbound, sending=sending)


@pytest.fixture
async def room(
    database: Database, vault: Vault, log: Log, wakeups: Wakeups, outbound: Outbound, tenant: Tenant
) -> Room:
    """A process that sends."""
    webhooks = build(database, vault, log, wakeups, outbound)
    log.react([Within(Fact, webhooks.fan_out, tells=True)])
    return Room(webhooks, database, vault, log, tenant)


@pytest.fixture
async def worker(room: Room, vault: Vault, wakeups: Wakeups, outbound: Outbound) -> Room:
    """A second process over the same database. It hears of events only by claiming their deliveries."""
    log = Log(vault)
    webhooks = build(room.database, vault, log, wakeups, outbound, sending=False)
    log.react([Within(Fact, webhooks.fan_out, tells=True)])
    return Room(webhooks, room.database, vault, log, room.tenant)
