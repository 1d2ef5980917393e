"""What is judged: every try, in its order, once; and no tenant's judgement waits for another's."""

import asyncio

import psycopg
import pytest
from tests.conftest import a_workspace
from tests.webhooks.conftest import Receiver, Room, Says

from offhook.db import Database, Tenant
from offhook.errors import OffhookError
from offhook.webhooks.directory import Book


async def test_failures_between_successes_are_not_in_a_row(room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url)
    receiver.says = [Says(200 if n % 3 else 500) for n in range(60)]

    await room.happens(60)
    await room.drain()

    assert await room.status_of(endpoint.id) == "active"
    (failures,) = await room.row("select failures_in_row from endpoint where id = %s", endpoint.id)
    assert failures < 10


async def test_a_success_in_a_later_batch_ends_the_row(room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url)
    receiver.says = [*[Says(500)] * 4, Says(200)]

    for _ in range(5):
        await room.happens()
        await room.drain()

    assert await room.row("select failures_in_row from endpoint where id = %s", endpoint.id) == (0,)


async def test_one_failure_now_and_then_has_no_process_read_its_endpoints_anew(room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url)
    before = await room.row("select generation from endpoint_generation where workspace_id = %s", room.tenant.workspace)
    receiver.says = [Says(500), Says(200), Says(500), Says(200)]

    for _ in range(4):
        await room.happens()
        await room.drain()

    after = await room.row("select generation from endpoint_generation where workspace_id = %s", room.tenant.workspace)
    assert after == before
    assert await room.status_of(endpoint.id) == "active"


async def test_a_tenant_whose_endpoint_is_locked_holds_up_nobody_elses_results(
    room: Room, receiver: Receiver, database: Database, database_url: str
) -> None:
    other = await a_workspace(database, "sandbox")
    locked = await room.endpoint(receiver.url)
    await room.endpoint(receiver.url, tenant=other)
    receiver.says = [Says(500)]
    with psycopg.connect(database_url) as owner:
        owner.execute("select from endpoint where id = %s for update", [locked.id])
        await room.happens()
        await receiver.has(1)
        receiver.says = [Says(500), Says(200)]

        await room.happens(tenant=other)

        await asyncio.wait_for(room.webhooks.sender.drain(other), 10)

    await room.drain()
    assert await room.row("select failures_in_row from endpoint where id = %s", locked.id) == (1,)


async def test_a_receiver_that_refuses_single_messages_is_not_in_trouble(room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url, retry={"final_statuses": [422]})
    receiver.says = [Says(422)]

    await room.happens(20)
    await room.drain()

    assert {one["reason"] for one in await room.deliveries()} == {"http_422"}
    assert await room.status_of(endpoint.id) == "active"
    assert await room.row("select failures_in_row from endpoint where id = %s", endpoint.id) == (0,)


async def test_a_tenant_whose_endpoints_cannot_be_read_harms_nobody_else(
    worker: Room, receiver: Receiver, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, latest = await a_workspace(database, "sandbox"), worker.webhooks.directory.latest
    for tenant in (worker.tenant, other):
        await worker.endpoint(receiver.url, tenant=tenant)
        await worker.happens(tenant=tenant)

    async def unreadable(tenant: Tenant) -> Book:
        if tenant == worker.tenant:
            raise OffhookError("no_epoch_key", "The key ring lacks an epoch.")
        return await latest(tenant)

    monkeypatch.setattr(worker.webhooks.directory, "latest", unreadable)
    loop = asyncio.create_task(worker.webhooks.sender.run())
    await receiver.has(1)
    assert not loop.done()
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)

    assert len(receiver.received) == 1
