"""Replays of many: what fits is opened once, whatever interrupts it, and everything can be seen beforehand."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.webhooks.bulk import LONG_AGO, Bulk, Crash, crashing, dead_of, small_pages
from tests.webhooks.conftest import Receiver, Room, Says, Told

from offhook import ids
from offhook.db import Wakeups
from offhook.errors import Conflict, Invalid, NotFound
from offhook.jobs import Runner
from offhook.jobs.outcome import Done, RetryAt

INTERRUPTIONS = st.lists(st.sampled_from(["page", "crash", "pause", "resume", "send", "twice"]), max_size=12)


@pytest.fixture
def bulk(room: Room) -> Bulk:
    return Bulk(room)


@given(count=st.integers(0, 7), happens=INTERRUPTIONS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_interrupts_a_replay_each_delivery_is_opened_exactly_once(
    bulk: Bulk, receiver: Receiver, count: int, happens: list[str]
) -> None:
    told = await bulk.delivered(receiver, count)

    with small_pages():
        begun = await bulk.start(endpoint=told.id, status="delivered")
        for what in happens:
            await befall(bulk, begun, what)
        with suppress(Conflict):
            await bulk.do("resume", begun)
        ended = await bulk.through(begun)
    await bulk.room.drain()

    assert (ended["status"], ended["total"], ended["done"], ended["opened"]) == ("done", count, count, count)
    assert len(receiver.received) == len(set(receiver.ids())) == count
    await bulk.gone(told)


async def befall(bulk: Bulk, begun: dict[str, Any], what: str) -> None:
    match what:
        case "page":
            await bulk.page(begun)
        case "twice":
            await bulk.page(begun)
            await bulk.page(begun)
        case "crash":
            with crashing(), suppress(Crash):
                await bulk.page(begun)
        case "send":
            await bulk.room.drain()
        case _:
            with suppress(Conflict):
                await bulk.do(what, begun)


@given(before=st.integers(0, 3))
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_cancelled_replay_opens_nothing_more_and_tells_what_it_did(
    bulk: Bulk, receiver: Receiver, neighbour: Receiver, before: int
) -> None:
    told = await bulk.delivered(receiver, 7)
    witness = await bulk.room.endpoint(neighbour.url, ["webhook.replayed"])
    neighbour.received.clear()

    with small_pages():
        begun = await bulk.start(endpoint=told.id, status="delivered")
        for _ in range(before):
            await bulk.page(begun)
        ended = await bulk.do("cancel", begun)
        assert isinstance(await bulk.page(begun), Done)
    await bulk.room.drain()

    assert (ended["status"], ended["opened"]) == ("cancelled", 2 * before)
    assert len(receiver.received) == 2 * before
    assert [orjson.loads(one.body)["data"]["deliveries"] for one in neighbour.received] == [2 * before][: before > 0]
    for one in (told, witness):
        await bulk.gone(one)


FILTERS = st.fixed_dictionaries(
    {"status": st.sampled_from(["dead", "delivered", "discarded", "any_ended"]), "at": st.integers(0, 1)},
    optional={
        "type": st.sampled_from(["*", "lead.*", "call.*"]),
        "cause": st.sampled_from(["http_503", "http_500"]),
    },
)
ANSWERS = st.lists(st.sampled_from([200, 500, 503]), min_size=1, max_size=4)


@pytest.fixture
async def endpoints(bulk: Bulk, receiver: Receiver, neighbour: Receiver) -> list[Told]:
    """Two endpoints, each with deliveries of every ending."""
    says = [Says(status) for status in (503, 500, 200, 503)]
    told = [await dead_of(bulk.room, one, 4, says) for one in (receiver, neighbour)]
    dead = await bulk.room.deliveries(status="dead")
    await bulk.room.do(bulk.room.webhooks.deliveries.discard, ids.read("dlv", dead[0]["id"]))
    return told


@given(wanted=FILTERS, answers=ANSWERS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_count_of_a_filter_is_what_its_replay_opens(
    bulk: Bulk, receiver: Receiver, endpoints: list[Told], wanted: dict[str, Any], answers: list[int]
) -> None:
    wanted = {**wanted, "endpoint": endpoints[wanted["at"]].id}
    del wanted["at"]
    counted = await bulk.preview(**wanted)

    with small_pages():
        ended = await bulk.all(**wanted)
    opened = await bulk.room.row("select count(*)::int from due")
    receiver.says = [Says(status) for status in answers]
    await bulk.room.drain()

    assert counted["count"] == counted["count_at_least"] == ended["total"] == ended["opened"] == opened[0]


async def test_a_preview_tells_how_many_where_and_from_when_to_when(
    bulk: Bulk, receiver: Receiver, neighbour: Receiver
) -> None:
    here = await bulk.room.endpoint(receiver.url)
    there = await bulk.room.endpoint(neighbour.url)
    for _ in range(2):
        await bulk.room.happens()
        await bulk.room.drain()
    newest, *_, oldest = [one["created_at"] for one in await bulk.room.deliveries()]

    told = await bulk.preview(status="delivered", told_from=LONG_AGO)

    assert (told["count"], told["count_at_least"]) == (4, 4)
    assert {one["webhook_endpoint_id"]: one["count"] for one in told["endpoints"]} == {
        here.shown["id"]: 2,
        there.shown["id"]: 2,
    }
    assert (told["oldest_at"], told["newest_at"]) == (oldest, newest)
    assert await bulk.room.row("select count(*)::int from due") == (0,)


async def test_what_is_too_many_to_be_counted_in_a_moment_is_said_to_be_more(
    bulk: Bulk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await bulk.delivered(receiver, 3)
    monkeypatch.setattr("offhook.webhooks.replays.COUNTED", 2)

    counted = await bulk.preview(endpoint=told.id, status="delivered")
    ended = await bulk.all(endpoint=told.id, status="delivered")

    assert (counted["count"], counted["count_at_least"], counted["newest_at"]) == (None, 2, None)
    assert (ended["total"], ended["total_at_least"], ended["opened"]) == (None, 2, 3)


async def test_a_rate_lets_a_second_see_no_more_and_is_kept_over_a_restart(
    bulk: Bulk, receiver: Receiver, wakeups: Wakeups, clock: Any
) -> None:
    told = await bulk.delivered(receiver, 5)
    begun = await bulk.start(endpoint=told.id, status="delivered", rate=2)
    opened = []

    for _ in range(4):
        # A process of its own each time, which knows nothing but what is written.
        runner = Runner(bulk.room.database, wakeups, bulk.room.webhooks.handlers)
        await runner.drain(bulk.room.tenant)
        opened.append((await bulk.now(begun))["opened"])
        assert isinstance(await bulk.page(begun), RetryAt | Done)
        await clock.forward(timedelta(seconds=1))

    assert opened == [2, 4, 5, 5]
    assert (await bulk.now(begun))["status"] == "done"


async def test_what_died_again_meanwhile_is_not_opened_twice(bulk: Bulk, receiver: Receiver) -> None:
    told = await dead_of(bulk.room, receiver, 5, [Says(500)])

    with small_pages():
        begun = await bulk.start(endpoint=told.id, status="dead")
        while not isinstance(await bulk.page(begun), Done):
            await bulk.room.drain()
    await bulk.room.drain()

    assert len(receiver.received) == 5
    assert len(await bulk.room.deliveries(status="dead")) == 5


async def test_what_is_on_its_way_or_has_no_endpoint_is_passed_over_with_the_reason(
    bulk: Bulk, receiver: Receiver, neighbour: Receiver
) -> None:
    await bulk.delivered(receiver, 2)
    gone = await bulk.delivered(neighbour, 1)
    begun = await bulk.start(status="delivered", told_from=LONG_AGO)
    await bulk.gone(gone)

    ended = await bulk.through(begun)

    assert (ended["done"], ended["opened"]) == (4, 3)
    assert ended["passed_over"] == {"endpoint_gone": 1}


async def test_the_events_time_bounds_what_is_replayed(bulk: Bulk, receiver: Receiver, clock: Any) -> None:
    told = await bulk.delivered(receiver, 1)
    async with bulk.room.database.transaction(bulk.room.tenant) as tx:
        between = tx.now + timedelta(hours=1)
    await clock.forward(timedelta(hours=2))
    await bulk.room.happens(2)
    await bulk.room.drain()

    counts = [
        (await bulk.preview(endpoint=told.id, status="delivered", told_from=begin, told_to=end))["count"]
        for begin, end in ((None, between), (between, None), (None, None))
    ]

    assert counts == [1, 2, 3]


async def test_a_failed_replay_says_so_and_goes_on_when_it_is_resumed(
    bulk: Bulk, receiver: Receiver, wakeups: Wakeups, clock: Any
) -> None:
    told = await bulk.delivered(receiver, 3)
    begun = await bulk.start(endpoint=told.id, status="delivered")
    runner = Runner(bulk.room.database, wakeups, bulk.room.webhooks.handlers)
    with crashing():
        for _ in range(5):
            await runner.drain(bulk.room.tenant)
            await clock.forward(timedelta(hours=2))

    failed = await bulk.now(begun)
    await bulk.do("resume", begun)
    await runner.drain(bulk.room.tenant)

    assert (failed["status"], failed["error"], failed["opened"]) == ("failed", "unexpected", 0)
    assert ((await bulk.now(begun))["status"], (await bulk.now(begun))["opened"]) == ("done", 3)


async def test_a_replay_that_is_over_can_be_neither_paused_nor_resumed(bulk: Bulk, receiver: Receiver) -> None:
    told = await bulk.delivered(receiver, 1)
    ended = await bulk.all(endpoint=told.id, status="delivered")

    for verb in ("pause", "resume", "cancel"):
        with pytest.raises(Conflict, match="replay_ended"):
            await bulk.do(verb, ended)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"status": "delivered"}, "unbounded_filter"),
        ({"status": "delivered", "told_from": LONG_AGO, "told_to": LONG_AGO}, "empty_range"),
        ({"status": "delivered", "endpoint": ids.new(), "died_from": LONG_AGO}, "never_died"),
        ({"status": "dead", "subject": "somebody"}, "bad_id"),
    ],
)
async def test_a_filter_that_can_mean_nothing_or_everything_is_refused(
    bulk: Bulk, wanted: dict[str, Any], code: str
) -> None:
    with pytest.raises(Invalid, match=code):
        await bulk.start(**wanted)


async def test_a_stranger_finds_no_replay(bulk: Bulk, receiver: Receiver, stranger: Any) -> None:
    told = await bulk.delivered(receiver, 1)
    begun = await bulk.start(endpoint=told.id, status="delivered")

    async with bulk.room.database.transaction(stranger) as tx:
        with pytest.raises(NotFound):
            await bulk.room.webhooks.replays.find(tx, "replay", ids.read("rpl", begun["id"]))
