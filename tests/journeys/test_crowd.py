"""Three hundred leads over three days: whatever happens to them, no promise breaks."""

import random
from collections.abc import Callable

from tests.journeys.invariants import at_of, broken, calls_out, is_legal, live_transfers, most_at_once, unexplained
from tests.journeys.stage import Stage

from offhook.leads import LeadIn

Lead = Callable[..., LeadIn]
SLOTS, CAP = 25, 20
STATES = ("206", "212", "215", "216", "303", "305", "312", "404", "415", "512", "602", "612", "617", "702", "704")
MIX = (
    "no_answer=4,busy=1,voicemail=3,not_qualified=2,early_hangup=1,opt_out=1,target_declines=1,invalid_number=1,"
    "target_no_answer=1,transferred=3"
)


def a_crowd(a_lead: Lead) -> list[LeadIn]:
    fields = {"merge_fields": {"sandbox_mix": MIX}}
    return [a_lead(phone=f"+1{area}55501{n:02d}", **fields) for area in STATES for n in range(20)]


async def live_through_three_days(stage: Stage, leads: list[str]) -> None:
    """Now and then somebody opts out, buys, comes back or is erased."""
    dice = random.Random(7)
    for _ in range(9):
        await stage.passes(hours=8)
        await stage.events()
        stopped, sold, back, erased = dice.sample(leads, 4)
        await stage.api.post("/v1/opt-outs", {"channel": "sms", "lead_id": stopped})
        await stage.api.post("/v1/postbacks", {"type": "conversion", "lead_id": sold})
        await stage.api.post("/v1/postbacks", {"type": "reconnect", "lead_id": back})
        await stage.api.post(f"/v1/leads/{erased}/erase", {"suppress": False})


async def test_three_hundred_leads_in_three_days_break_no_promise(stage: Stage, a_lead: Lead) -> None:
    await stage.target(slots=SLOTS)
    await stage.campaign(max_live_transfers=CAP)
    leads = await stage.send(*a_crowd(a_lead))

    await live_through_three_days(stage, leads)
    await stage.passes(minutes=40)

    events = await stage.events()
    assert broken(events, stage.phones, slots=CAP, cap=CAP) == {}
    assert unexplained([await stage.get(f"/v1/leads/{lead}/explain") for lead in leads]) == []
    assert (len(leads), len(calls_out(events)) > 400, most_at_once(live_transfers(events)) > 2) == (300, True, True)


async def test_the_law_written_down_a_second_time_agrees_with_the_houses(stage: Stage, a_lead: Lead) -> None:
    await stage.at("2026-11-27T05:00:00Z")
    await stage.target(slots=20)
    await stage.campaign(max_live_transfers=20)

    await stage.send(*(a_lead(phone=f"+1{area}5550190") for area in STATES))
    await stage.passes(hours=24)

    first = {event["correlation_id"]: at_of(event) for event in reversed(await stage.events("call.started"))}
    assert first.keys() == stage.phones.keys()
    assert all(is_legal(stage.phones[lead], at) for lead, at in first.items())
    assert {at.hour for at in first.values()} == {13, 14, 15, 16}
