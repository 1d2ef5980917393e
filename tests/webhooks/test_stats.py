"""What the owner of an endpoint is told of it in figures, which are added up and never counted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.db.explaining import Explaining
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.owner import PATH, api_of

from offhook import ids
from offhook.db import Tenant, Wakeups
from offhook.errors import Unavailable
from offhook.webhooks import aggregates_store, histogram, issue_store
from offhook.webhooks.aggregates import propagation_ms
from offhook.webhooks.aggregates_store import Figures
from offhook.webhooks.stats import SPANS, Window, series, stats, summary

NOW = datetime(2026, 11, 21, 12, 34, 56, tzinfo=UTC)


def some_figures(at: datetime, tries: int = 4, failed: int = 1) -> Figures:
    return Figures(at, tries, tries - failed, failed, 0, [0] * 40 + [tries], [0] * 10 + [tries])


async def told_of(room: Room, endpoint: Any, window: Window = "1h") -> dict[str, Any]:
    found: dict[str, Any] = await room.do(stats, endpoint, window)
    return found


async def test_figures_tell_how_the_tries_went_and_what_waits(room: Room, receiver: Receiver) -> None:
    receiver.says = [Says(200), Says(500)]
    told = await room.endpoint(receiver.url)
    await room.happens(3)
    await room.drain()
    await room.webhooks.aggregates.flush()

    found = await told_of(room, told.id)

    assert found["webhook_endpoint_id"] == ids.show("whe", told.id)
    assert (found["tries"], found["delivered"], found["failed"], found["dead"]) == (3, 1, 2, 0)
    assert found["success_rate"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["open"] == {"pending": 0, "retrying": 2, "held": 0}
    assert found["oldest_open_at"] is not None
    assert 0 < found["total_ms"]["p50"] <= found["total_ms"]["p95"] <= found["total_ms"]["p99"]


@pytest.mark.parametrize(("window", "points"), [("5m", 6), ("1h", 61), ("24h", 25), ("7d", 169)])
async def test_every_window_shows_a_point_for_each_step_and_the_tries_in_the_last(
    room: Room, receiver: Receiver, window: Window, points: int
) -> None:
    told = await room.endpoint(receiver.url)
    await room.happens(2)
    await room.drain()
    await room.webhooks.aggregates.flush()

    found = await told_of(room, told.id, window)

    assert len(found["series"]["points"]) == points
    assert sum(point["tries"] for point in found["series"]["points"]) == found["tries"] == 2
    assert found["from"] == found["series"]["points"][0]["at"]


async def test_what_two_processes_recorded_is_told_as_one(room: Room, worker: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    await worker.happens()
    await worker.drain()
    for process in (room, worker, room):
        await process.webhooks.aggregates.flush()

    assert (await told_of(room, told.id))["delivered"] == 2
    assert await room.row("select count(distinct sender_id) from endpoint_figures") == (2,)


async def test_figures_of_a_second_are_added_to_those_before(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    for _ in range(3):
        await room.happens()
        await room.drain()
        await room.webhooks.aggregates.flush()

    (total,) = await room.row("select total from endpoint_figures where grain = 'hour'")

    assert sum(total) == 3
    assert (await told_of(room, told.id, "24h"))["tries"] == 3


async def test_propagation_is_of_first_tries_alone(room: Room, receiver: Receiver, clock: Any) -> None:
    receiver.says = [Says(500), Says(200)]
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    await clock.forward(timedelta(minutes=2))
    await room.drain()
    await room.webhooks.aggregates.flush()

    (counted,) = await room.row(
        "select (select sum(n) from unnest(propagation) n) from endpoint_figures where grain = 'hour'"
    )

    assert (await told_of(room, told.id))["tries"] == 2
    assert counted == 1


async def test_the_api_tells_how_long_events_took_to_their_first_request(
    room: Room, receiver: Receiver, wakeups: Wakeups
) -> None:
    told = await room.endpoint(receiver.url)
    usual, rare = [0] * 8 + [98], [0] * 20 + [2]
    async with room.database.engine() as tx:
        at = tx.wall.replace(second=0, microsecond=0)
        for propagation in (usual, rare):
            row = aggregates_store.Row(room.tenant, told.id, "minute", at, 1, 1, 0, 0, [0] * 40 + [1], propagation)
            await aggregates_store.add(tx, ids.new(), [row])

    found = (await (await api_of(room, wakeups)).get(f"{PATH}/{told.shown['id']}/stats")).json

    assert histogram.BOUNDS[7] < found["propagation_ms"]["p50"] < histogram.BOUNDS[8]
    assert histogram.BOUNDS[7] < found["propagation_ms"]["p95"] < histogram.BOUNDS[8]
    assert histogram.BOUNDS[19] < found["propagation_ms"]["p99"] < histogram.BOUNDS[20]
    assert found["total_ms"]["p50"] > histogram.BOUNDS[39]


async def test_a_test_changes_no_figure(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    await room.do(room.webhooks.endpoints.test, told.id)
    await room.drain()
    await room.webhooks.aggregates.flush()

    assert len(receiver.received) == 1
    assert (await told_of(room, told.id))["success_rate"] is None


async def test_a_process_that_stops_writes_what_it_has(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()

    await room.webhooks.aggregates.close()

    assert (await told_of(room, told.id))["tries"] == 1


async def test_figures_wait_while_the_database_is_away_and_are_written_once(
    room: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise Unavailable("database_away", "It is away.")

    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url)
    for _ in range(2):
        await room.happens()
        await room.drain()
        with monkeypatch.context() as lost:
            lost.setattr(aggregates_store, "add", away)
            lost.setattr(issue_store, "add", away)
            await room.webhooks.aggregates.flush()

    await room.webhooks.aggregates.flush()

    assert (await told_of(room, told.id))["failed"] == 2
    assert await room.row("select count, first_tries from delivery_issue") == (2, 2)


async def test_what_waits_is_counted_up_to_a_limit_and_what_is_given_up_not_at_all(
    room: Room, receiver: Receiver
) -> None:
    told, endpoints = await room.endpoint(receiver.url), room.webhooks.endpoints
    await room.do(endpoints.pause, told.id)
    await room.happens(20)
    held = await room.do(aggregates_store.backlog, told.id, 10)

    await room.do(endpoints.enable, told.id, "discard")
    await room.do(endpoints.pause, told.id)
    await room.happens(3)

    waits = await room.do(aggregates_store.backlog, told.id, 10)
    assert (held.pending, held.retrying, held.held) == (0, 0, 10)
    assert (waits.pending, waits.retrying, waits.held) == (0, 0, 3)


async def test_a_stranger_sees_no_figures(room: Room, receiver: Receiver, stranger: Tenant) -> None:
    told = await room.endpoint(receiver.url)
    await room.happens()
    await room.drain()
    await room.webhooks.aggregates.flush()

    async with room.database.transaction(stranger) as tx:
        found = await stats(tx, told.id)

    assert (found["tries"], found["open"]["retrying"]) == (0, 0)


async def test_old_figures_are_forgotten_and_young_ones_kept(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    rows = [
        aggregates_store.Row(room.tenant, told.id, grain, NOW - age, 1, 1, 0, 0, [1], [1])
        for grain, kept in aggregates_store.KEPT.items()
        for age in (timedelta(), kept + timedelta(hours=1))
    ]
    async with room.database.engine() as tx:
        await aggregates_store.add(tx, ids.new(), rows)
        tx.wall = NOW
        purged = [await aggregates_store.purge(tx), await aggregates_store.purge(tx)]

    assert purged == [2, 0]
    assert await room.row("select count(*) from endpoint_figures where at = %s", NOW) == (2,)


async def test_figures_are_read_by_their_key(room: Room, receiver: Receiver) -> None:
    told = await room.endpoint(receiver.url)
    async with room.database.transaction(room.tenant, reading=True) as tx:
        explaining = Explaining(tx)
        await aggregates_store.read(explaining, told.id, "minute", NOW)

    kinds = {node["Node Type"] for node in explaining.nodes if node.get("Relation Name") == "endpoint_figures"}
    assert kinds <= {"Index Scan", "Bitmap Heap Scan", "Index Only Scan"}


@given(st.lists(st.integers(0, 60)), st.sampled_from(list(SPANS)))
def test_a_series_loses_nothing_that_lies_within_its_window(ages: list[int], window: Window) -> None:
    span = SPANS[window]
    starts = span.starts(NOW)
    figures = [some_figures(starts[age % len(starts)]) for age in ages]

    points = series(starts, figures)

    assert len(points) == len(starts)
    assert sum(point["tries"] for point in points) == summary(figures)["tries"]
    assert starts[0] <= NOW - span.lasts < starts[1]


def test_propagation_is_never_negative_however_wrong_a_clock_is() -> None:
    event = ids.new()

    assert propagation_ms(event, NOW - timedelta(days=9000)) == 0.0
    assert propagation_ms(event, datetime.now(UTC) + timedelta(seconds=5)) > 4000
