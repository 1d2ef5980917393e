"""What open streams cost the house: a tenant's own events alone wake them, seldom enough, and there are only so many."""

import asyncio
from typing import Any

import pytest
from tests.events.test_api import a_key, api, app, append, beginning, next_event, paused, streams

from offhook import ids
from offhook.db import Database, Tenant, Wakeups
from offhook.events import Fact, Log, store, stream
from offhook.events.reactions import Within
from offhook.events.stream import announce

__all__ = ["api", "app", "streams"]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each look at the log began; no stream looks but when it is woken."""
    began: list[float] = []
    look = store.after_position

    async def after_position(*asked: Any) -> store.Looked:
        began.append(asyncio.get_running_loop().time())
        return await look(*asked)

    monkeypatch.setattr(store, "after_position", after_position)
    monkeypatch.setattr(stream, "LOOK_S", 60.0)
    return began


async def test_a_stream_sleeps_on_when_something_happens_to_others(
    api: Any, database: Database, wakeups: Wakeups, log: Log, tenant: Tenant, stranger: Tenant, looks: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(stream, "PAUSE_S", 0.0)
    log.react([Within(Fact, announce(wakeups))])
    async with api.stream("/v1/events/stream") as chunks:
        await beginning(chunks)
        for _ in range(20):
            await append(database, log, stranger, paused(ids.new()))
        await append(database, log, tenant, paused(ids.new()))
        await next_event(chunks)

    assert len(looks) <= 2, "one where it begins, one for the tenant's own event"


async def test_a_stream_rests_between_two_looks(
    api: Any, database: Database, wakeups: Wakeups, log: Log, tenant: Tenant, looks: list[float]
) -> None:
    log.react([Within(Fact, announce(wakeups))])
    async with api.stream("/v1/events/stream") as chunks:
        await beginning(chunks)
        for _ in range(5):
            await append(database, log, tenant, paused(ids.new()))
        for _ in range(5):
            await next_event(chunks)

    assert len(looks) > 1
    assert min(later - one for one, later in zip(looks, looks[1:], strict=False)) >= stream.PAUSE_S


async def test_past_so_many_streams_of_a_tenant_the_next_one_is_refused_with_a_cure(
    app: Any, database: Database, tenant: Tenant, stranger: Tenant, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST", 1)
    mine, other, outsider = [client_of(app, (await a_key(database, one)).shown) for one in (tenant, tenant, stranger)]
    async with mine.stream("/v1/events/stream") as chunks, outsider.stream("/v1/events/stream") as theirs:
        await beginning(chunks)
        refused = await other.get("/v1/events/stream")
        await beginning(theirs)
    async with other.stream("/v1/events/stream") as chunks:
        await beginning(chunks)

    assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (429, "too_many_streams", "5")
    assert "close one" in refused.json["detail"]
