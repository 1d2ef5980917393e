"""What one claim leases: never more than a statement can carry, some for every tenant, by no clock of this machine."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.webhooks.conftest import Receiver, Room

from offhook import ids
from offhook.db import Tenant
from offhook.webhooks import post
from offhook.webhooks.claim_store import Waiting
from offhook.webhooks.claims import AT_ONCE, Claim, shared
from offhook.webhooks.queues import Room as Space

spaces = st.builds(Space, st.integers(0, 32), st.integers(0, 1000), st.just(False))


def waiting(tenant: Tenant) -> Waiting:
    return Waiting(
        tenant, ids.new(), timedelta(), 10, owned=False, in_order=False, takes=True, enabled_at=None, fresh_from=None
    )


@given(st.lists(st.lists(spaces, min_size=1, max_size=40), min_size=1, max_size=12))
def test_all_together_get_no_more_than_one_claim_carries_and_none_more_than_it_has_room_for(
    tenants: list[list[Space]],
) -> None:
    ours = [
        (waiting(tenant), space) for theirs in tenants for tenant in [Tenant(ids.new(), "live")] for space in theirs
    ]

    allotted = shared(ours, 100)

    assert sum(one.newest + one.oldest for _, one in allotted) <= 100
    before = dict(ours)
    assert {one for one, _ in allotted} == set(before)
    for one, space in allotted:
        assert 0 <= space.newest <= before[one].newest
        assert 0 <= space.oldest <= before[one].oldest


@given(st.integers(1, 5000), st.integers(1, 20))
def test_every_tenant_gets_some_however_many_endpoints_another_has(many: int, others: int) -> None:
    big, space = Tenant(ids.new(), "live"), Space(32, 1000)
    crowd = [(waiting(big), space) for _ in range(many)]
    small = [(waiting(Tenant(ids.new(), "live")), space) for _ in range(others)]

    allotted = dict(shared([*crowd, *small], AT_ONCE))

    assert all(allotted[one].newest + allotted[one].oldest > 0 for one, _ in small)


@given(spaces)
def test_who_waits_alone_gets_all_that_a_claim_carries(space: Space) -> None:
    ((_, allotted),) = shared([(waiting(Tenant(ids.new(), "live")), space)], AT_ONCE)

    assert allotted.newest + allotted.oldest == min(space.newest + space.oldest, AT_ONCE)


async def test_a_claim_of_many_endpoints_ends_and_leaves_the_rest_to_the_next(worker: Room, receiver: Receiver) -> None:
    for _ in range(30):
        await worker.endpoint(receiver.url)
    await worker.happens(100)

    await worker.drain()

    assert len(receiver.received) == 3000
    per_event = groupby(sorted(receiver.ids("webhook-id")))
    assert {len(list(some)) for _, some in per_event} == {30}


@pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(minutes=-5)])
async def test_a_machine_whose_clock_is_wrong_sends_all_the_same(
    worker: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Wrong":
            return cls.fromtimestamp((datetime.now(UTC) + ahead).timestamp(), tz)

    await worker.endpoint(receiver.url)
    await worker.happens(3)
    monkeypatch.setattr(post, "datetime", Wrong)

    await worker.drain()

    assert len(receiver.received) == 3


async def test_a_stop_that_meets_a_claim_leaves_nothing_leased(
    worker: Room, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.endpoint(receiver.url)
    await worker.happens(3)
    claims, claimed, stopped = worker.webhooks.sender._claims, asyncio.Event(), asyncio.Event()
    claim = claims.claim

    async def met(*asked: Any, **more: Any) -> Claim:
        found = await claim(*asked, **more)
        claimed.set()
        await stopped.wait()
        return found

    monkeypatch.setattr(claims, "claim", met)
    loop = asyncio.create_task(worker.webhooks.sender.run())
    await asyncio.wait_for(claimed.wait(), 10)
    loop.cancel()
    asyncio.get_running_loop().call_soon(stopped.set)
    await asyncio.gather(loop, return_exceptions=True)

    assert await worker.row("select count(leased_until) from due") == (0,)
