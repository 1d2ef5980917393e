"""Who is told: every endpoint that listens at the event's commit, held or sent, and nobody else."""

import asyncio

from tests.webhooks.conftest import Receiver, Room, Says, a_fact

from offhook.db import Tenant
from offhook.webhooks.wire import EndpointIn


async def test_a_new_endpoint_misses_no_event_from_its_creation_on(
    room: Room, worker: Room, receiver: Receiver
) -> None:
    await worker.happens()  # this process has read that there are no endpoints

    await room.endpoint(receiver.url)
    await worker.happens()
    await worker.drain()

    assert len(receiver.received) == 1


async def test_an_endpoint_whose_creation_rolled_back_is_told_nothing(room: Room, receiver: Receiver) -> None:
    try:
        async with room.database.transaction(room.tenant) as tx:
            body = EndpointIn.model_validate({"url": receiver.url, "events": ["*"]})
            await room.webhooks.endpoints.create(tx, body)
            raise ConnectionError
    except ConnectionError:
        pass

    await room.happens()

    assert not await room.drain()
    assert receiver.received == []


async def test_globs_decide_who_is_told(room: Room, receiver: Receiver, neighbour: Receiver) -> None:
    await room.endpoint(receiver.url, ["lead.cadence_paused"])
    await room.endpoint(neighbour.url, ["call.*"])

    await room.happens()
    await room.drain()

    assert (len(receiver.received), len(neighbour.received)) == (1, 0)


async def test_another_tenants_events_are_told_to_nobody_here(room: Room, receiver: Receiver, stranger: Tenant) -> None:
    await room.endpoint(receiver.url, ["*"])

    await room.happens(tenant=stranger)
    await room.drain()
    await room.webhooks.sender.drain(stranger)

    assert receiver.received == []


async def test_events_for_a_paused_endpoint_are_held_and_sent_when_it_is_enabled(
    room: Room, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url)
    await room.do(room.webhooks.endpoints.pause, told.id)
    await room.happens(3)
    assert not await room.drain()
    assert [one["status"] for one in await room.deliveries()] == ["held"] * 3

    await room.do(room.webhooks.endpoints.enable, told.id, "send")
    await room.drain()

    assert len(receiver.received) == 3


async def test_what_is_being_held_while_its_endpoint_is_enabled_is_sent(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    await room.do(room.webhooks.endpoints.pause, told.id)

    async with room.database.transaction(room.tenant) as tx:
        await room.log.append(tx, [a_fact()])
        enabling = asyncio.create_task(room.do(room.webhooks.endpoints.enable, told.id, "send"))
        await asyncio.wait([enabling], timeout=0.3)
    await enabling
    await room.drain()

    assert len(receiver.received) == 1


async def test_events_for_a_disabled_endpoint_can_be_discarded_when_it_is_enabled(
    room: Room, receiver: Receiver
) -> None:
    told = await room.endpoint(receiver.url)
    await room.do(room.webhooks.endpoints.disable, told.id)
    await room.happens(2)

    await room.do(room.webhooks.endpoints.enable, told.id, "discard")
    await room.drain()

    assert receiver.received == []
    assert [one["status"] for one in await room.deliveries()] == ["discarded"] * 2


async def test_what_waits_for_its_next_try_is_held_when_the_endpoint_is_paused(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()

    await room.do(room.webhooks.endpoints.pause, told.id)

    assert await room.next_due() is None
    assert [one["status"] for one in await room.deliveries()] == ["held"]


async def test_a_dead_endpoint_does_not_hold_up_its_neighbour(
    room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    receiver.says = [Says(hangs=True)]
    await room.endpoint(receiver.url)
    await room.endpoint(neighbour.url)

    await room.happens(200)
    await neighbour.has(200)

    assert len(receiver.received) < 16


async def test_deliveries_of_a_deleted_endpoint_end_as_discarded(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()

    await room.do(room.webhooks.endpoints.delete, told.id)

    (delivery,) = await room.deliveries()
    assert (delivery["status"], delivery["reason"]) == ("discarded", "endpoint_deleted")


async def test_a_backlog_of_one_endpoint_does_not_hide_the_single_delivery_of_another(
    room: Room, worker: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    receiver.says = [Says(after_s=0.02)]
    await room.endpoint(receiver.url, ["lead.*"])
    await worker.happens(3000)
    await room.endpoint(neighbour.url, ["lead.*"])
    await worker.happens(1)
    loop = asyncio.create_task(worker.webhooks.sender.run())

    await neighbour.has(1)

    assert len(receiver.received) < 1000
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
