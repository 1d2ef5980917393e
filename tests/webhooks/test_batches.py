"""Several events in one request, which stay together on every try."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from standardwebhooks import Webhook
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.test_ordering import change, is_dead

from offhook import ids
from offhook.db import EngineTx
from offhook.events import ENGINE
from offhook.webhooks import claim_store, outcome_store, recorder

SOON: dict[str, Any] = {"batch": {"max_events": 100, "max_wait_ms": 50}}


def events_in(body: bytes) -> list[str]:
    return [one["event_id"] for one in orjson.loads(body)["events"]]


async def test_events_go_together_signed_under_an_id_of_their_own(worker: Room, receiver: Receiver) -> None:
    endpoint = await worker.endpoint(receiver.url, **SOON)
    await worker.happens(5)

    await worker.drain()

    (request,) = receiver.received
    Webhook(endpoint.secret).verify(request.body, request.headers)
    assert request.headers["webhook-id"].startswith("bat_")
    assert len(set(events_in(request.body))) == 5
    assert [one["status"] for one in await worker.deliveries()] == ["delivered"] * 5


async def test_what_is_born_here_waits_for_company_and_goes_when_the_batch_is_full(
    room: Room, receiver: Receiver
) -> None:
    await room.endpoint(receiver.url, batch={"max_events": 3, "max_wait_ms": 200})
    await room.drain()

    for _ in range(7):
        await room.happens()
    await room.drain()

    assert [len(events_in(one.body)) for one in receiver.received] == [3, 3, 1]


async def test_no_batch_is_larger_than_its_owner_wants(worker: Room, receiver: Receiver) -> None:
    await worker.endpoint(receiver.url, batch={"max_events": 10, "max_wait_ms": 0})
    await worker.happens(95)

    await worker.drain()

    events = [events_in(one.body) for one in receiver.received]
    assert max(map(len, events)) == 10
    assert len({event for some in events for event in some}) == 95


async def test_a_batch_that_fails_is_one_failure_of_its_endpoint(worker: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500)]
    told = await worker.endpoint(receiver.url, batch={"max_events": 20, "max_wait_ms": 0})
    await worker.happens(20)

    await worker.drain()

    shown = await worker.do(worker.webhooks.endpoints.find, told.id)
    assert (shown["failures_in_row"], shown["status"]) == (1, "active")


@pytest.mark.parametrize("another_process", [False, True])
async def test_a_batch_that_failed_goes_again_under_its_id_with_the_same_bytes(
    room: Room, worker: Room, receiver: Receiver, clock: Any, another_process: bool
) -> None:
    receiver.says = [Says(500), Says(503), Says(200)]
    await room.endpoint(receiver.url, **SOON)
    await worker.happens(4, person=await room.person())
    await room.drain()
    if another_process:
        await is_dead(room)

    for _ in range(2):
        await clock.to(await room.next_due() or ...)
        await (worker if another_process else room).drain()

    assert len({one.body for one in receiver.received}) == 1
    assert len(set(receiver.ids())) == 1
    assert receiver.ids("offhook-try") == ["0", "1", "2"]
    assert [len(one["tries"]) for one in await room.deliveries()] == [3] * 4


async def test_the_members_of_a_batch_fall_due_and_die_together(room: Room, receiver: Receiver, clock: Any) -> None:
    receiver.says = [Says(500)]
    await room.endpoint(receiver.url, retry={"gaps_s": [0, 60], "tries": 2}, **SOON)
    await room.happens(20)
    await room.drain()

    assert await room.row("select count(distinct due_at), count(*), count(distinct batch_id) from due") == (1, 20, 1)
    await clock.to(await room.next_due() or ...)
    await room.drain()

    assert [one["status"] for one in await room.deliveries()] == ["dead"] * 20


async def test_who_was_erased_is_a_tombstone_among_the_others_in_the_same_batch(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(200)]
    await room.endpoint(receiver.url, **SOON)
    erased = await room.person()
    await room.happens(2, person=await room.person())
    await room.happens(1, person=erased)
    await room.drain()

    async with room.database.transaction(room.tenant) as tx:
        await room.vault.shred(tx, erased, reason="request", kept=())
    await clock.forward(timedelta(minutes=2))
    await room.drain()

    before, after = receiver.received
    assert after.headers["webhook-id"] == before.headers["webhook-id"]
    assert events_in(after.body) == events_in(before.body)
    told = [one["data"] == {"erased": True} for one in orjson.loads(after.body)["events"]]
    assert sorted(told) == [False, False, True]


async def test_a_batch_whose_endpoint_is_paused_is_held_and_goes_whole_later(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(200)]
    endpoint = await room.endpoint(receiver.url, **SOON)
    await room.happens(3)
    await room.drain()

    await room.do(room.webhooks.endpoints.pause, endpoint.id)
    await clock.forward(timedelta(hours=1))
    await room.drain()
    assert len(receiver.received) == 1
    await room.do(room.webhooks.endpoints.enable, endpoint.id, "send")
    await room.drain()

    before, after = receiver.received
    assert (after.body, after.headers["webhook-id"]) == (before.body, before.headers["webhook-id"])


async def test_a_test_goes_alone(room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url, **SOON)

    await room.do(room.webhooks.endpoints.test, endpoint.id)
    await room.happens(2)
    await room.drain()

    kinds = sorted(one.headers["webhook-id"][:4] for one in receiver.received)
    assert kinds == ["bat_", "evt_"]


async def test_a_member_that_died_is_replayed_and_flagged(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(410), Says(200)]
    endpoint = await room.endpoint(receiver.url, **SOON)
    await room.happens(3)
    await room.drain()
    dead = [one["id"] for one in await room.deliveries()]
    await room.do(room.webhooks.endpoints.enable, endpoint.id, "send")

    await replay(room, dead[0])
    await room.drain()

    before, after = receiver.received
    assert after.headers["offhook-replay"] == "1"
    assert after.headers["webhook-id"] != before.headers["webhook-id"]
    assert len(events_in(after.body)) == 1
    assert set(events_in(after.body)) < set(events_in(before.body))


async def replay(room: Room, shown: str) -> None:

    await room.do(room.webhooks.deliveries.replay, ids.read("dlv", shown), ENGINE)


async def test_a_batch_stays_one_when_its_owner_wants_none_any_more(
    room: Room, worker: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(200)]
    endpoint = await room.endpoint(receiver.url, **SOON)
    await room.happens(30)
    await room.drain()

    await change(room, endpoint.id, batch=None)
    await clock.forward(timedelta(minutes=2))
    # Nobody owns it any more, so both reach for it.
    await asyncio.gather(room.drain(), worker.drain())

    before, after = receiver.received
    assert (after.body, after.headers["webhook-id"]) == (before.body, before.headers["webhook-id"])


async def test_what_went_alone_before_goes_alone_again_when_its_owner_wants_batches(
    room: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(500), Says(200)]
    endpoint = await room.endpoint(receiver.url)
    await room.happens(2)
    await room.drain()

    await change(room, endpoint.id, **SOON)
    await clock.forward(timedelta(minutes=2))
    await room.drain()

    assert {one.body for one in receiver.received[:2]} == {one.body for one in receiver.received[2:]}
    assert sorted(receiver.ids()[:2]) == sorted(receiver.ids()[2:])


async def test_a_batch_of_which_somebody_holds_a_part_waits_for_it(room: Room, receiver: Receiver, clock: Any) -> None:
    receiver.says = [Says(500), Says(200)]
    await room.endpoint(receiver.url, **SOON)
    await room.happens(3)
    await room.drain()
    await clock.forward(timedelta(minutes=2))

    async with room.database.engine() as tx:
        await tx.run_now(
            "update due set fence = fence where delivery_id = (select max(delivery_id::text)::uuid from due)"
        )
        assert not await room.drain()
    await room.drain()

    assert [len(events_in(one.body)) for one in receiver.received] == [3, 3]


async def test_what_another_process_has_taken_over_is_not_bound(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.endpoint(receiver.url, **SOON)
    bind = claim_store.bind

    async def too_late(tx: EngineTx, *batch: Any) -> set[UUID]:
        await tx.run_now(
            "update due set fence = fence + 1 where delivery_id = (select min(delivery_id::text)::uuid from due)"
        )
        return await bind(tx, *batch)

    monkeypatch.setattr(claim_store, "bind", too_late)
    await room.happens(3)
    await room.webhooks.sender.work(room.tenant)
    await room.webhooks.sender.finish(room.tenant, 5)

    (request,) = receiver.received
    assert len(events_in(request.body)) == 2
    assert await room.row("select count(*), count(batch_id) from due") == (1, 0)


async def test_a_batch_is_written_at_once_however_many_results_wait(
    worker: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "BATCH", 4)
    await worker.endpoint(receiver.url, batch={"max_events": 3, "max_wait_ms": 0})
    await worker.happens(9)
    settled, settle = list[int](), outcome_store.settle

    async def counted(tx: EngineTx, fence: int, tried: Any) -> set[UUID]:
        batches = [written.tried.parcel.batch for written, _ in tried]
        settled.extend(map(batches.count, set(batches)))
        return await settle(tx, fence, tried)

    monkeypatch.setattr(outcome_store, "settle", counted)
    await worker.drain()

    assert settled == [3, 3, 3]


async def test_what_is_answered_to_events_of_several_persons_is_kept_for_none_of_them(
    room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(500, body=b"you told me of Jane and of Michael")]
    await room.endpoint(receiver.url, batch={"max_events": 2, "max_wait_ms": 200})

    for _ in range(2):
        await room.happens(person=await room.person())
    await room.drain()

    assert [len(events_in(one.body)) for one in receiver.received] == [2]
    assert [one["tries"][0]["response_body"] for one in await room.deliveries()] == [None, None]


async def test_what_is_answered_to_events_of_one_person_is_kept_under_their_key(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(500, body=b"you told me of Jane, twice")]
    await room.endpoint(receiver.url, batch={"max_events": 2, "max_wait_ms": 200})

    await room.happens(2, person=await room.person())
    await room.drain()

    assert all("Jane, twice" in str(one["tries"][0]["response_body"]) for one in await room.deliveries())


async def test_what_gathers_goes_when_its_owner_wants_no_batches_any_more(room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url, batch={"max_events": 3, "max_wait_ms": 1000})
    await room.happens(2)
    await change(room, endpoint.id, batch=None)

    await room.happens()
    await room.drain()

    statuses = [one["status"] for one in await room.deliveries()]
    assert statuses == ["delivered"] * 3
