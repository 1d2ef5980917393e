"""The law at work: nobody is dialed at an hour that is not theirs."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from tests.journeys.invariants import AREAS, at_of, dialed_outside_hours, dialed_too_often, is_legal
from tests.journeys.stage import Stage

from offhook.leads import LeadIn

Lead = Callable[..., LeadIn]
LOS_ANGELES, PENNSYLVANIA, TEXAS = "+12065550190", "+12155550190", "+15125550190"


async def first_dial(stage: Stage) -> datetime:
    return at_of((await stage.events("call.started"))[0])


async def test_a_lead_at_night_is_dialed_in_the_morning(stage: Stage, a_lead: Lead) -> None:
    await stage.at("2026-11-24T06:30Z")  # 22:30 on the Pacific
    (lead,) = await stage.send(a_lead(phone=LOS_ANGELES))
    await stage.until("2026-11-24T15:59:59Z")
    assert await stage.calls() == []

    await stage.until("2026-11-24T16:00:01Z")

    assert len(await stage.calls(lead)) == 1


async def test_a_lead_at_night_says_when_it_will_be_dialed(stage: Stage, a_lead: Lead) -> None:
    await stage.at("2026-11-24T06:30Z")

    (lead,) = await stage.send(a_lead(phone=LOS_ANGELES))

    assert (await stage.lead(lead))["status"] == "held"
    assert (await stage.lead(lead))["next_attempt_at"] == "2026-11-24T16:00:00.000Z"
    assert (await stage.blockers(lead))["WINDOW_CLOSED"] == "2026-11-24T16:00:00.000Z"


async def test_a_sunday_in_pennsylvania_is_quiet(stage: Stage, a_lead: Lead) -> None:
    await stage.at("2026-11-22T17:00Z")
    await stage.send(a_lead(phone=PENNSYLVANIA))

    await stage.passes(hours=22)

    monday_at_nine = datetime.fromisoformat("2026-11-23T14:00Z")
    assert timedelta(0) <= await first_dial(stage) - monday_at_nine < timedelta(seconds=5)


async def test_a_sunday_in_texas_begins_at_noon(stage: Stage, a_lead: Lead) -> None:
    await stage.at("2026-11-22T15:00Z")
    await stage.send(a_lead(phone=TEXAS))

    await stage.until("2026-11-22T17:59:59Z")
    assert await stage.calls() == []
    await stage.until("2026-11-22T18:00:01Z")

    assert len(await stage.calls()) == 1


async def test_a_holiday_in_pennsylvania_is_quiet_though_new_york_is_called(stage: Stage, a_lead: Lead) -> None:
    await stage.at("2026-11-26T16:00Z")  # Thanksgiving
    quiet, called = await stage.send(a_lead(phone=PENNSYLVANIA), a_lead(phone="+12125550190"))

    await stage.passes(hours=3)

    assert (await stage.calls(quiet), len(await stage.calls(called))) == ([], 1)


async def test_a_stated_state_adds_its_law_to_the_area_codes(stage: Stage, a_lead: Lead) -> None:
    contact = {"phone": "+12125550190", "address": {"state": "PA"}}
    await stage.at("2026-11-22T17:00Z")
    (lead,) = await stage.send(a_lead(contact=contact))

    await stage.passes(hours=10)

    assert await stage.calls(lead) == []
    assert "WINDOW_SUNDAY" in await stage.blockers(lead)


@pytest.mark.parametrize("phone", ["+12125550190", PENNSYLVANIA, TEXAS, LOS_ANGELES])
async def test_the_next_attempt_is_planned_at_a_legal_hour(stage: Stage, a_lead: Lead, phone: str) -> None:
    await stage.cadence(gaps_s=[0, 11 * 3600])
    await stage.at("2026-11-23T18:00Z")
    (lead,) = await stage.send(a_lead(phone=phone))

    await stage.passes(minutes=10)

    due = [attempt["due_at"] for attempt in await stage.attempts(lead)]
    assert len(due) == 2
    assert is_legal(phone, datetime.fromisoformat(due[1]))


async def test_waiting_for_the_morning_is_no_try(stage: Stage, a_lead: Lead) -> None:
    campaign = await stage.campaign()
    await stage.post(f"/v1/campaigns/{campaign}/pause")
    (lead,) = await stage.send(a_lead(phone="+12125550190"))
    await stage.at("2026-11-24T04:00Z")

    await stage.post(f"/v1/campaigns/{campaign}/resume")
    await stage.until("2026-11-24T12:00Z")

    assert [(a["n"], a["state"], a["blocker"]) for a in await stage.attempts(lead)] == [(1, "planned", "WINDOW_CLOSED")]
    assert await stage.count("lead.deferred", lead) == 1


async def test_twelve_days_over_a_country_hold_no_dial_outside_hours(stage: Stage, a_lead: Lead) -> None:
    await stage.target(slots=40)
    await stage.campaign(max_live_transfers=40)
    await stage.cadence(gaps_s=[0, 7 * 3600, 3600], attempts_in_all=12)
    await stage.at("2026-11-21T03:17Z")

    await stage.send(*(a_lead(phone=f"+1{area}555010{digit}") for area in AREAS for digit in (0, 2)))
    await stage.passes(days=12)

    events = await stage.events()
    assert dialed_outside_hours(events, stage.phones) == []
    assert dialed_too_often(events, 3) == []
    assert {await stage.status(lead) for lead in stage.phones} == {"exhausted"}
