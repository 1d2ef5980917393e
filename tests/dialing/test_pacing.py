"""A slot first, then the dial: no floor is promised more callers than it has people."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.journeys.invariants import broken, calls_out, leases, live_transfers, most_at_once
from tests.journeys.stage import NO_ANSWER, PATIENCE_S, TRANSFERRED, Stage, side_by_side

from offhook.db import Tenant
from offhook.leads import LeadIn
from offhook.privacy import KeyRing
from offhook.settings import load
from offhook.wiring import House

Lead = Callable[..., LeadIn]
MIX = "transferred=4,no_answer=2,busy=1,voicemail=1,not_qualified=1,target_declines=1,early_hangup=1"


def people(a_lead: Lead, count: int, mix: str = MIX) -> list[LeadIn]:
    return [a_lead(phone=f"+1212555{100 + n:04d}", merge_fields={"sandbox_mix": mix}) for n in range(count)]


@asynccontextmanager
async def another_process(house: House, tmp_path: Path) -> AsyncIterator[House]:
    """A second house over the same database and key ring."""
    settings = load({"data_dir": tmp_path, "port": 0}, environ={})
    other = House(settings, house.url, KeyRing.open(settings.key_ring_file), engine=False)
    await other.database.open()
    await other.wakeups.start()
    try:
        yield other
    finally:
        await other.stop()


async def dispatch_everywhere(houses: list[House], tenant: Tenant, rounds: int = 1) -> None:
    """All processes dial whatever is due, at the same time."""
    for _ in range(rounds):
        await side_by_side(*[lambda one=house: one.dispatcher.drain(tenant) for house in houses for _ in range(3)])


@pytest.mark.parametrize("seed", range(5))
async def test_calls_never_outnumber_free_people_nor_transfers_their_cap(stage: Stage, a_lead: Lead, seed: int) -> None:
    dice = random.Random(seed)
    slots, cap = dice.randint(1, 8), dice.randint(1, 8)
    await stage.target(slots=slots)
    await stage.campaign(max_live_transfers=cap)

    await stage.send(*people(a_lead, dice.randint(10, 40)))
    await stage.passes(hours=3)

    events = await stage.events()
    assert broken(events, stage.phones, slots=min(slots, cap), cap=min(slots, cap)) == {}
    assert most_at_once(leases(events)) == min(slots, cap)
    assert live_transfers(events) != []


async def test_dispatchers_of_several_processes_share_the_floor_and_never_one_attempt(
    stage: Stage, a_lead: Lead, tmp_path: Path
) -> None:
    await stage.target(slots=4)
    await stage.send(*people(a_lead, 20))

    async with another_process(stage.house, tmp_path) as other:
        await dispatch_everywhere([stage.house, other], stage.tenant, rounds=3)

    started = await stage.events("call.started")
    assert len(started) == 4
    assert len({event["correlation_id"] for event in started}) == 4


async def test_what_several_processes_dial_together_breaks_nothing(stage: Stage, a_lead: Lead, tmp_path: Path) -> None:
    await stage.target(slots=3)
    await stage.send(*people(a_lead, 15))

    async with another_process(stage.house, tmp_path) as other:
        for _ in range(25):
            await dispatch_everywhere([stage.house, other], stage.tenant)
            await stage.passes(seconds=20)
        await stage.passes(hours=1)

    assert broken(await stage.events(), stage.phones, slots=3, cap=3) == {}


async def test_two_campaigns_share_one_floor(stage: Stage, a_lead: Lead) -> None:
    other = await stage.post("/v1/campaigns", {"name": "Other", "provider_account_id": await an_account(stage)})
    await stage.post(f"/v1/campaigns/{other['id']}/start")
    await stage.target(slots=3)
    first, second = people(a_lead, 20)[:10], people(a_lead, 20)[10:]

    await stage.send(*first, *[lead.model_copy(update={"campaign_id": other["id"]}) for lead in second])
    await stage.passes(hours=2)

    events = await stage.events()
    assert broken(events, stage.phones, slots=3, cap=3) == {}
    assert {event["call"]["campaign_id"] for event in events if event["type"] == "call.started"} > {other["id"]}


async def an_account(stage: Stage) -> Any:
    (campaign,) = (await stage.get("/v1/campaigns"))["data"]
    return campaign["provider_account_id"]


async def test_a_campaign_without_transfers_needs_no_people_and_keeps_its_own_bound(stage: Stage, a_lead: Lead) -> None:
    await stage.target(slots=0)
    await stage.campaign(mode="ai_only", max_concurrent_calls=7)

    await stage.send(*people(a_lead, 25))
    await stage.passes(minutes=30)

    events = await stage.events()
    assert most_at_once(calls_out(events)) == 7
    assert live_transfers(events) == []


async def test_a_campaign_with_transfers_dials_nobody_while_nobody_is_free(stage: Stage, a_lead: Lead) -> None:
    await stage.target(slots=0)
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))

    await stage.passes(hours=2)

    assert await stage.calls() == []
    assert "NO_CAPACITY" in await stage.blockers(lead)


async def test_new_people_on_the_floor_are_dialed_for_at_once(stage: Stage, a_lead: Lead) -> None:
    await stage.target(slots=0)
    await stage.send(*people(a_lead, 5))
    await stage.passes(minutes=10)

    await stage.target(slots=2)
    await stage.settle()

    assert await stage.count("call.started") == 2


async def test_a_paused_target_takes_no_new_calls(stage: Stage, a_lead: Lead) -> None:
    await stage.target(status="paused")
    await stage.send(*people(a_lead, 3))
    await stage.passes(minutes=30)
    assert await stage.calls() == []

    await stage.target(status="active")
    await stage.settle()

    assert len(await stage.calls()) == 3


async def test_pausing_a_campaign_stops_new_dials_and_leaves_live_calls_alone(stage: Stage, a_lead: Lead) -> None:
    await stage.target(slots=1)
    await stage.send(*people(a_lead, 3, "transferred=1"))
    await stage.settle()

    campaign = await stage.campaign()
    await stage.post(f"/v1/campaigns/{campaign}/pause")
    await stage.passes(hours=1)

    (call,) = await stage.calls()
    assert (call["status"], call["transferred"]) == ("ended", True)


async def test_a_dispatch_that_races_with_a_pause_dials_before_it_or_not_at_all(stage: Stage, a_lead: Lead) -> None:
    campaign = await stage.campaign(max_live_transfers=50)
    await stage.target(slots=50)
    await stage.send(*people(a_lead, 30))

    await side_by_side(
        lambda: stage.house.dispatcher.drain(stage.tenant),
        lambda: stage.post(f"/v1/campaigns/{campaign}/pause"),
        lambda: stage.house.dispatcher.drain(stage.tenant),
    )
    log = [event["type"] for event in await stage.events() if event["type"] in ("call.started", "campaign.paused")]

    assert log.index("campaign.paused") == len(log) - 1


async def test_a_resumed_campaign_goes_on_with_everyone_who_waited(stage: Stage, a_lead: Lead) -> None:
    campaign = await stage.campaign()
    await stage.post(f"/v1/campaigns/{campaign}/pause")
    leads = await stage.send(*people(a_lead, 4))
    await stage.passes(hours=1)
    assert {await stage.status(lead) for lead in leads} == {"held"}

    await stage.post(f"/v1/campaigns/{campaign}/resume")
    await stage.settle()

    assert await stage.count("call.started") == 4


async def test_a_floor_that_shrinks_finishes_its_calls_and_then_keeps_to_its_new_size(
    stage: Stage, a_lead: Lead
) -> None:
    await stage.target(slots=5)
    await stage.send(*people(a_lead, 15, "not_qualified=1"))
    await stage.settle()
    assert len(await stage.calls()) == 5

    await stage.target(slots=2)
    shrunk_at = await stage.now() + timedelta(minutes=5)
    await stage.passes(hours=1)

    events = await stage.events()
    later = [span for span in calls_out(events) if span[0] > shrunk_at]
    assert (len(calls_out(events)), most_at_once(later)) == (15, 2)


async def test_a_lower_cap_holds_from_the_next_dial_on(stage: Stage, a_lead: Lead) -> None:
    await stage.send(*people(a_lead, 12, "not_qualified=1"))
    await stage.settle()

    await stage.campaign(max_live_transfers=1)
    lowered_at = await stage.now() + timedelta(minutes=5)
    await stage.passes(hours=1)

    later = [span for span in calls_out(await stage.events()) if span[0] > lowered_at]
    assert most_at_once(later) == 1


async def test_every_lead_is_called_though_there_are_many_more_than_people(stage: Stage, a_lead: Lead) -> None:
    leads = await stage.send(*people(a_lead, 30))

    await stage.passes(hours=4)

    assert {event["correlation_id"] for event in await stage.events("call.started")} == set(leads)


async def test_two_dispatchers_at_once_dial_an_attempt_once(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    await asyncio.gather(*(stage.house.dispatcher.drain(stage.tenant) for _ in range(6)))

    assert [attempt["n"] for attempt in await stage.attempts(lead)] == [1]
    assert await stage.count("call.started") == 1


@asynccontextmanager
async def the_loop(stage: Stage) -> AsyncIterator["asyncio.Task[None]"]:
    """The dispatcher's own loop, as long as this lasts."""
    loop = asyncio.create_task(stage.house.dispatcher.run())
    try:
        yield loop
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def until_called(stage: Stage, loop: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await stage.count("call.started"):
            assert not loop.done()


async def test_the_loop_dials_by_itself_what_is_due(stage: Stage, a_lead: Lead) -> None:
    async with the_loop(stage) as loop:
        (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
        await until_called(stage, loop)

    assert await stage.status(lead) in ("dialing", "in_call")


async def test_a_campaign_whose_dispatch_fails_holds_up_no_other(
    stage: Stage, a_lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_one = await stage.default_campaign()
    other = await stage.post("/v1/campaigns", {"name": "Other", "provider_account_id": await an_account(stage)})
    await stage.post(f"/v1/campaigns/{other['id']}/start")
    dispatch = stage.house.dispatcher.dispatch

    async def fails_for_one(tenant: Tenant, campaign: UUID) -> int:
        if campaign == broken_one:
            raise AssertionError
        return await dispatch(tenant, campaign)

    monkeypatch.setattr(stage.house.dispatcher, "dispatch", fails_for_one)
    async with the_loop(stage) as loop:
        await stage.send(a_lead(), a_lead(phone=NO_ANSWER, campaign_id=other["id"]))
        await until_called(stage, loop)
        assert not loop.done()

    assert [call["campaign_id"] for call in await stage.calls()] == [other["id"]]
