"""Each event reaches each endpoint, signed, the same on every try, whatever becomes of the process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from psycopg.errors import QueryCanceled
from standardwebhooks import Webhook
from tests.webhooks.conftest import Receiver, Room, Says

from offhook.db import EngineTx, Tenant
from offhook.sandbox.store import ahead as look_ahead
from offhook.webhooks import outcome_store, post
from offhook.webhooks.tokens import NoToken, Token


async def test_an_event_is_told_and_its_signature_holds(room: Room, receiver: Receiver) -> None:
    endpoint = await room.endpoint(receiver.url)

    await room.happens()
    await room.drain()

    (request,) = receiver.received
    Webhook(endpoint.secret).verify(request.body, request.headers)
    assert request.headers["webhook-id"] == orjson.loads(request.body)["event_id"]
    assert request.headers["offhook-try"] == "0"
    assert request.headers["content-type"] == "application/json"


async def test_a_retry_bears_the_very_same_bytes_and_id(room: Room, receiver: Receiver, clock: Any) -> None:
    receiver.says = [Says(500), Says(503), Says(200)]
    await room.endpoint(receiver.url)

    await room.happens(person=await room.person())
    await room.drain()
    for _ in range(2):
        await clock.to(await room.next_due() or ...)
        await room.drain()

    first, *others = receiver.received
    assert [one.body for one in others] == [first.body] * 2
    assert set(receiver.ids()) == {first.headers["webhook-id"]}
    assert receiver.ids("offhook-try") == ["0", "1", "2"]
    assert [delivery["status"] for delivery in await room.deliveries()] == ["delivered"]


async def test_what_is_sent_from_the_database_is_what_is_sent_from_memory(
    room: Room, worker: Room, receiver: Receiver
) -> None:
    await room.endpoint(receiver.url)
    person = await room.person()
    await room.happens(person=person)
    await room.drain()

    await worker.happens(person=person)
    await worker.drain()

    here, there = receiver.received
    assert orjson.loads(here.body).keys() == orjson.loads(there.body).keys()
    assert here.headers.keys() == there.headers.keys()


async def test_events_of_one_person_claimed_for_two_endpoints_reach_both_with_the_same_bytes(
    room: Room, worker: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    await room.endpoint(receiver.url)
    await room.endpoint(neighbour.url)
    await worker.happens(2, person=await room.person())

    await worker.drain()

    here, there = ({one.headers["webhook-id"]: one.body for one in each.received} for each in (receiver, neighbour))
    assert len(here) == 2
    assert here == there


async def test_a_redirect_is_a_failure_and_nobody_follows_it(
    room: Room, receiver: Receiver, neighbour: Receiver
) -> None:
    receiver.says = [Says(302, {"location": neighbour.url})]
    await room.endpoint(receiver.url)

    await room.happens()
    await room.drain()

    assert neighbour.received == []
    (delivery,) = await room.deliveries()
    assert delivery["status"] == "retrying"
    assert delivery["tries"][0]["error"]["code"] == "http_302"


async def test_a_process_killed_between_post_and_record_sends_that_delivery_again_and_no_other(
    room: Room, worker: Room, receiver: Receiver
) -> None:
    await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    dies_before_recording(room)

    await room.happens()
    await receiver.has(2)
    await leases_run_out(room)
    await worker.drain()

    first, second, again = receiver.received
    assert again.headers["webhook-id"] == second.headers["webhook-id"] != first.headers["webhook-id"]
    assert again.body == second.body
    assert [delivery["status"] for delivery in await room.deliveries()] == ["delivered"] * 2


async def test_a_late_result_does_not_close_what_another_process_has_taken_over(
    room: Room, worker: Room, receiver: Receiver
) -> None:
    await room.endpoint(receiver.url)
    kept = dies_before_recording(room)
    await room.happens()
    await receiver.has(1)
    await leases_run_out(room)
    receiver.says = [Says(500)]
    await worker.drain()

    await room.webhooks.sender._recorder._write(kept)

    (delivery,) = await room.deliveries()
    assert delivery["status"] == "retrying"


async def test_events_go_out_while_the_loop_runs_and_it_ends_with_nothing_under_way(
    room: Room, receiver: Receiver
) -> None:
    await room.endpoint(receiver.url)
    receiver.says = [Says(after_s=0.05)]
    loop = asyncio.create_task(room.webhooks.sender.run())
    await room.happens(5)
    await receiver.has(1)

    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)

    async with room.database.transaction(room.tenant) as tx:
        (ahead,) = await look_ahead(tx, [room.webhooks.sender.ahead])
        assert not ahead.busy
    delivered = [one for one in await room.deliveries() if one["status"] == "delivered"]
    assert len(delivered) == len(receiver.received)


async def test_a_worker_elsewhere_is_woken_and_sends(room: Room, worker: Room, receiver: Receiver) -> None:
    await room.endpoint(receiver.url)
    loop = asyncio.create_task(worker.webhooks.sender.run())

    await worker.happens(3)

    await receiver.has(3)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert len(set(receiver.ids())) == len(receiver.received) == 3


async def test_one_look_claims_for_every_tenant_and_tells_each_its_own(
    worker: Room, receiver: Receiver, neighbour: Receiver, stranger: Tenant
) -> None:
    mine = await worker.endpoint(receiver.url)
    theirs = await worker.endpoint(neighbour.url, tenant=stranger)
    await worker.happens(3, person=await worker.person())
    await worker.happens(2, tenant=stranger)

    loop = asyncio.create_task(worker.webhooks.sender.run())
    await receiver.has(3)
    await neighbour.has(2)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)

    assert (len(receiver.received), len(neighbour.received)) == (3, 2)
    assert not set(receiver.ids()) & set(neighbour.ids())
    for request in receiver.received:
        Webhook(mine.secret).verify(request.body, request.headers)
    for request in neighbour.received:
        Webhook(theirs.secret).verify(request.body, request.headers)


async def test_an_erased_person_is_told_as_a_tombstone_from_memory_and_from_the_database(
    room: Room, worker: Room, receiver: Receiver, clock: Any
) -> None:
    receiver.says = [Says(500), Says(200)]
    await room.endpoint(receiver.url)
    person = await room.person()
    await room.happens(person=person)
    await room.drain()

    async with room.database.transaction(room.tenant) as tx:
        await room.vault.shred(tx, person, reason="request", kept=())
    await clock.forward(timedelta(minutes=2))
    await worker.drain()

    before, after = receiver.received
    assert after.headers["offhook-tombstone"] == "1"
    assert after.headers["webhook-id"] == before.headers["webhook-id"]
    body = orjson.loads(after.body)
    assert body["data"] == {"erased": True}
    assert body["subject"] == orjson.loads(before.body)["subject"]


async def test_what_is_in_memory_is_looked_at_anew_when_the_word_of_an_erasure_may_have_been_lost(
    room: Room, receiver: Receiver
) -> None:
    await room.endpoint(receiver.url)
    person, sender = await room.person(), room.webhooks.sender
    sender._queues._most = 0
    await room.happens(3, person=person)

    async with room.database.transaction(room.tenant) as tx:
        await tx.run("delete from person_key where person_id = %s", [person])
    sender._look_anew()
    sender._queues._most = 16
    await room.drain()

    assert [orjson.loads(one.body)["data"] for one in receiver.received] == [{"erased": True}] * 3


async def test_a_result_whose_writing_takes_too_long_keeps_no_other_from_being_written_and_is_sent_again(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, slow = outcome_store.settle, set[UUID]()

    async def too_long_for_one(tx: EngineTx, fence: int, tried: Sequence[Any]) -> None:
        deliveries = [written.tried.parcel.delivery for written, _ in tried]
        slow.update(deliveries[:1] if not slow else [])
        if slow & {*deliveries}:
            raise QueryCanceled
        await settle(tx, fence, tried)

    monkeypatch.setattr(outcome_store, "settle", too_long_for_one)
    await room.endpoint(receiver.url)
    await room.happens(3)
    async with asyncio.timeout(10):
        await room.drain()
    written = [delivery["status"] for delivery in await room.deliveries()].count("delivered")

    monkeypatch.undo()
    await leases_run_out(room)
    await room.drain()

    assert (written, len(receiver.received)) == (2, 4)
    assert [delivery["status"] for delivery in await room.deliveries()] == ["delivered"] * 3


async def test_who_waits_for_a_slow_receiver_waits_no_longer_than_agreed_and_the_delivery_goes_on(
    room: Room, receiver: Receiver
) -> None:
    receiver.says = [Says(after_s=0.3)]
    await room.endpoint(receiver.url)
    await room.happens()
    await receiver.has(1)
    before = time.monotonic()

    await room.webhooks.sender.finish(room.tenant, 0.01)
    waited = time.monotonic() - before
    await room.webhooks.sender.finish(room.tenant, 10)

    assert waited < 0.25
    assert [delivery["status"] for delivery in await room.deliveries()] == ["delivered"]


OAUTH = {"type": "oauth2", "token_url": "http://127.0.0.1:9/token", "client_id": "us", "client_secret": "hunter2"}
GOOD = Token("good")


def tokens_are(room: Room, got: Callable[[], Awaitable[Token | NoToken]]) -> None:
    async def bearer(*_: Any) -> Token | NoToken:
        return await got()

    room.webhooks._tokens.bearer = bearer  # type: ignore[method-assign, assignment]


async def test_a_lease_that_ends_while_the_access_token_is_got_sends_nothing(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasts = [3600.0, 0.0]

    async def slowly() -> Token:
        monkeypatch.setattr(post, "_WRITING_S", lasts.pop(0))
        return GOOD

    tokens_are(room, slowly)
    await room.endpoint(receiver.url, authentication=OAUTH)
    await room.happens()
    await room.webhooks.sender.finish(room.tenant, 5)
    assert receiver.received == []

    monkeypatch.setattr(post, "_WRITING_S", 0.0)
    await room.drain()
    assert len(receiver.received) == 1
    assert (await room.deliveries())[0]["tries_made"] == 1


async def test_an_endpoint_that_is_paused_while_its_access_token_is_got_gets_nothing(
    room: Room, receiver: Receiver
) -> None:
    paused = list[UUID]()

    async def meanwhile() -> Token:
        if not paused:
            paused.append(told.id)
            await room.do(room.webhooks.endpoints.pause, told.id)
        return GOOD

    tokens_are(room, meanwhile)
    told = await room.endpoint(receiver.url, authentication=OAUTH)
    await room.happens()
    await room.drain()

    assert receiver.received == []
    assert [one["status"] for one in await room.deliveries()] == ["held"]


async def test_while_no_access_token_is_to_be_had_what_is_fresh_keeps_its_tries(room: Room, receiver: Receiver) -> None:
    async def never() -> NoToken:
        return NoToken("token_refused", "no token, as its URL answered 401")

    tokens_are(room, never)
    await room.endpoint(receiver.url, authentication=OAUTH)
    await room.happens(100)
    await room.webhooks.sender.finish(room.tenant, 5)

    (burnt,) = await room.row("select count(*) from due where tries > 0")
    assert 0 < burnt < 10
    assert receiver.received == []


async def test_an_end_of_the_process_ends_the_requests_for_tokens(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(hangs=True)]
    await room.endpoint(receiver.url, authentication={**OAUTH, "token_url": receiver.url})
    await room.happens()
    await receiver.has(1)
    assert room.webhooks._tokens.under_way == 1

    await room.webhooks.close()

    assert room.webhooks._tokens.under_way == 0


def dies_before_recording(room: Room) -> list[Any]:
    """From now on results stay in the memory of a process that is as good as dead; they come to be here."""
    kept: list[Any] = []
    room.webhooks.sender._recorder.take = kept.append  # type: ignore[method-assign, assignment]
    return kept


async def leases_run_out(room: Room) -> None:
    async with room.database.engine() as tx:
        await tx.run("update due set leased_until = now() - interval '1 s' where leased_until is not null")
