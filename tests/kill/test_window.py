"""The moment that no process survives knowingly: the receiver has been asked, and nothing is recorded yet."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from offhook import ids
from offhook.db import Tenant
from offhook.demo import Exchange, Listener, Part, free_port, offhook
from offhook.events.catalogue.leads import LeadCadencePaused
from offhook.webhooks.wire import EndpointIn
from offhook.wiring import House

WITHIN_S = 20


class Held:
    """A receiver that answers what it likes, when it likes."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.holding = False
        self._came = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, exchange: Exchange) -> None:
        self.told.append(orjson.loads(exchange.body)["event_id"])
        if not self.holding:
            exchange.answer(204)
        task = asyncio.ensure_future(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def has(self, count: int) -> None:
        async with asyncio.timeout(WITHIN_S), self._came:
            await self._came.wait_for(lambda: len(self.told) >= count)

    async def _tell(self) -> None:
        async with self._came:
            self._came.notify_all()


class Shop:
    """A house that sends nothing by itself, a worker beside it that does, and an endpoint."""

    def __init__(self, house: House, tenant: Tenant, receiver: Held, worker: Part) -> None:
        self.house, self.tenant, self.receiver, self.worker = house, tenant, receiver, worker

    async def happens(self, count: int) -> set[str]:
        async with self.house.database.transaction(self.tenant) as tx:
            facts = [LeadCadencePaused(subject_id=ids.new(), reason="api_key") for _ in range(count)]
            return {ids.show("evt", event.id) for event in await self.house.log.append(tx, facts)}

    async def all_recorded(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            while await self._open():  # noqa: ASYNC110 - another process's table tells nobody
                await asyncio.sleep(0.01)

    async def leases_end(self) -> None:
        async with self.house.database.engine() as tx:
            await tx.run("update due set leased_until = now() - interval '1 second'")

    async def _open(self) -> int:
        async with self.house.database.engine() as tx:
            row = await tx.row("select count(*) from due")
        return int(row[0]) if row else 0


@pytest.fixture
async def shop(house: House, sandbox: Tenant, tmp_path: Path) -> AsyncIterator[Shop]:
    receiver, port = Held(), free_port()
    listener = Listener(port, receiver.take)
    await listener.open()
    body = EndpointIn.model_validate({"url": f"http://127.0.0.1:{port}/hook", "events": ["lead.*"]})
    async with house.database.transaction(sandbox) as tx:
        await house.webhooks.endpoints.create(tx, body)
    environment = {"OFFHOOK_DATABASE_URL": house.url, "OFFHOOK_DATA_DIR": str(tmp_path)}
    worker = Part("worker", offhook("worker"), tmp_path / "worker.log", environment)
    await worker.start()
    yield Shop(house, sandbox, receiver, worker)
    await worker.kill()
    await listener.close()


async def test_what_was_asked_and_not_recorded_is_sent_again_by_another_process_and_nothing_else(shop: Shop) -> None:
    recorded = await shop.happens(5)
    await shop.receiver.has(5)
    await shop.all_recorded()
    shop.receiver.holding = True
    on_the_wire = await shop.happens(3)
    await shop.receiver.has(8)

    await shop.worker.kill()
    shop.receiver.holding = False
    await shop.leases_end()
    await shop.house.webhooks.sender.drain(shop.tenant)

    assert set(shop.receiver.told[:5]) == recorded
    assert set(shop.receiver.told[5:8]) == on_the_wire
    assert sorted(shop.receiver.told[8:]) == sorted(on_the_wire)
