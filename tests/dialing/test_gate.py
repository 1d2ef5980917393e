"""The one gate that every door that dials passes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from psycopg.errors import DeadlockDetected
from tests.journeys.invariants import contacts_after_stop
from tests.journeys.stage import NO_ANSWER, TRANSFERRED, Stage, side_by_side, until_waiting

from offhook import ids
from offhook.events import Actor
from offhook.leads import LeadIn
from offhook.sync.wire import OptOutIn

Lead = Callable[..., LeadIn]
CONSENT = [{"channel": "voice", "artificial_voice": True, "given_at": "2026-11-20T15:02:11Z"}]


async def opt_out(stage: Stage, phone: str, channel: str = "web") -> Any:
    return await stage.post("/v1/opt-outs", {"channel": channel, "phone": phone})


async def codes_of_refusal(stage: Stage, body: dict[str, Any], **headers: str) -> list[str]:
    """Why a one-off dial was refused."""
    refusal = await stage.post("/v1/calls", body, 409, **headers)
    assert refusal["code"] == "not_allowed"
    return [one["code"] for one in refusal["codes"]]


async def test_a_dial_that_comes_while_somebody_opts_out_waits_and_is_not_made(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=NO_ANSWER))

    async with stage.house.database.transaction(stage.tenant) as tx:
        await stage.house.opt_outs.take(tx, OptOutIn(channel="sms", phone=NO_ANSWER), Actor("api_key"))
        dispatch = asyncio.create_task(stage.house.dispatcher.drain(stage.tenant))
        await until_waiting(stage.house.database)
    await dispatch

    assert await stage.calls() == []


async def test_a_dial_of_a_lead_that_came_while_its_address_opts_out_waits_and_is_not_made(
    stage: Stage, a_lead: Lead
) -> None:
    async with stage.house.database.transaction(stage.tenant) as tx:
        stop = OptOutIn(channel="email", email="michael@example.org")
        await stage.house.opt_outs.take(tx, stop, Actor("api_key"))
        (lead,) = await stage.send(a_lead(contact={"phone": NO_ANSWER, "email": "Michael@example.org"}))
        dispatch = asyncio.create_task(stage.house.dispatcher.drain(stage.tenant))
        await until_waiting(stage.house.database)
    await dispatch

    assert await stage.calls() == []
    assert "DNC_INTERNAL" in await stage.blockers(lead)


async def test_an_opt_out_that_comes_while_a_dial_is_committed_waits_and_cuts_the_call(
    stage: Stage, a_lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.send(a_lead(phone=NO_ANSWER))
    begin, told = stage.house.calls.begin, list[asyncio.Task[Any]]()

    async def slowly(tx: Any, new: Any) -> Any:
        orders = await begin(tx, new)
        told.append(asyncio.create_task(opt_out(stage, NO_ANSWER)))
        await until_waiting(stage.house.database)
        return orders

    monkeypatch.setattr(stage.house.calls, "begin", slowly)
    await stage.house.dispatcher.drain(stage.tenant)
    (answer,) = await asyncio.gather(*told)
    await stage.settle()

    (call,) = await stage.calls()
    assert answer["calls_cut"] == [call["id"]]
    assert (call["status"], call["end_reason"]) == ("ended", "opt_out")


async def test_opt_outs_that_race_with_many_dials_are_never_followed_by_one(stage: Stage, a_lead: Lead) -> None:
    await stage.target(slots=60)
    await stage.campaign(max_live_transfers=60)
    phones = [f"+1212555{100 + n:04d}" for n in range(40)]
    await stage.send(*(a_lead(phone=phone) for phone in phones))

    await side_by_side(
        *[lambda one=phone: opt_out(stage, one) for phone in phones[:20]],
        *[lambda: stage.house.dispatcher.drain(stage.tenant)] * 3,
        *[lambda one=phone: opt_out(stage, one) for phone in phones[20:]],
    )
    await stage.passes(days=2)

    assert contacts_after_stop(await stage.events()) == []
    assert {await stage.status(lead) for lead in stage.phones} == {"opted_out"}


async def test_a_dispatch_that_embraced_another_transaction_is_made_again(
    stage: Stage, a_lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.send(a_lead(phone=NO_ANSWER))
    begin, embraces = stage.house.calls.begin, [DeadlockDetected()]

    async def embraced(tx: Any, new: Any) -> Any:
        orders = await begin(tx, new)
        if embraces:
            raise embraces.pop()
        return orders

    monkeypatch.setattr(stage.house.calls, "begin", embraced)
    await stage.house.dispatcher.drain(stage.tenant)

    assert await stage.count("call.started") == 1


async def test_a_suppressed_number_is_not_dialed_by_any_door(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await opt_out(stage, TRANSFERRED)

    asked = {"to": TRANSFERRED, "consent": CONSENT}
    by_lead = await codes_of_refusal(stage, {"lead_id": lead})
    by_number = await codes_of_refusal(stage, asked, idempotency_key="one")
    provider = "/api/integrations/providers/sandbox/calls"
    refusal = await stage.post(provider, asked, 409, idempotency_key="two")

    assert by_lead == ["DNC_INTERNAL", "LEAD_OPTED_OUT"]
    assert "DNC_INTERNAL" in by_number
    assert "DNC_INTERNAL" in [one["code"] for one in refusal["codes"]]


async def test_an_erased_lead_is_not_dialed(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.post(f"/v1/leads/{lead}/erase", {"suppress": False})

    await stage.passes(days=2)

    assert "SHREDDED" in await codes_of_refusal(stage, {"lead_id": lead})
    assert await stage.calls() == []


async def test_a_converted_lead_is_not_dialed(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.post("/v1/postbacks", {"type": "conversion", "lead_id": lead})

    await stage.passes(days=2)

    assert await codes_of_refusal(stage, {"lead_id": lead}) == ["LEAD_CONVERTED"]
    assert await stage.calls() == []


async def test_conversions_that_race_with_dials_are_never_followed_by_one(stage: Stage, a_lead: Lead) -> None:
    leads = await stage.send(*(a_lead() for _ in range(20)))

    await side_by_side(
        *[lambda one=lead: stage.post("/v1/postbacks", {"type": "conversion", "lead_id": one}) for lead in leads],
        *[lambda: stage.house.dispatcher.drain(stage.tenant)] * 3,
    )
    await stage.passes(days=2)

    assert contacts_after_stop(await stage.events()) == []
    statuses = {await stage.status(lead) for lead in leads}
    assert statuses <= {"converted", "opted_out"}


async def test_a_conversion_during_the_call_stands_when_the_call_ends(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.settle()

    await stage.post("/v1/postbacks", {"type": "conversion", "lead_id": lead})
    await stage.passes(days=3)

    assert await stage.status(lead) == "converted"
    assert len(await stage.calls(lead)) == 1


async def test_a_dial_asked_for_by_name_is_made_at_once(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    call = await stage.post("/v1/calls", {"lead_id": lead}, 202)
    await stage.settle()

    assert (call["lead_id"], call["attempt_no"]) == (lead, 1)
    assert [one["id"] for one in await stage.calls(lead)] == [call["id"]]


async def test_a_dial_asked_for_by_name_is_told_with_the_key_that_asked(stage: Stage, a_lead: Lead) -> None:
    asked, due = await stage.send(a_lead(phone=NO_ANSWER), a_lead())

    await stage.post("/v1/calls", {"lead_id": asked}, 202)
    await stage.settle()

    started = {event["correlation_id"]: event["actor"] for event in await stage.events("call.started")}
    assert started == {asked: await stage.key(), due: {"type": "engine", "id": None}}


async def another_campaign(stage: Stage, **settings: Any) -> str:
    """A second campaign, running on the same account; its id."""
    (default,) = (await stage.get("/v1/campaigns"))["data"]
    body = {"name": "Other", "provider_account_id": default["provider_account_id"], **settings}
    other = await stage.post("/v1/campaigns", body)
    await stage.post(f"/v1/campaigns/{other['id']}/start")
    return str(other["id"])


async def out(stage: Stage, campaign: str) -> int:
    """How many calls of this campaign are out."""
    return int((await stage.get(f"/v1/campaigns/{campaign}/progress"))["attempts"]["dialing"])


async def test_a_dial_for_another_campaign_is_that_campaigns_in_every_record(stage: Stage, a_lead: Lead) -> None:
    own, other = await stage.campaign(), await another_campaign(stage)
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    call = await stage.post("/v1/calls", {"lead_id": lead, "campaign_id": other}, 202)

    assert (await out(stage, other), await out(stage, own)) == (1, 0)
    (decision,) = (await stage.get(f"/v1/calls/{call['id']}/decision"))["data"]
    (started,) = await stage.events("call.started", call["id"])
    assert call["campaign_id"] == decision["campaign_id"] == started["call"]["campaign_id"] == other


async def test_a_dial_for_another_campaign_takes_its_room_and_none_of_the_leads_own(stage: Stage, a_lead: Lead) -> None:
    await stage.campaign(max_concurrent_calls=1)
    other = await another_campaign(stage, max_concurrent_calls=1)
    first, second, third = await stage.send(*(a_lead(phone=f"+1212555019{n}") for n in range(3)))

    await stage.post("/v1/calls", {"lead_id": first, "campaign_id": other}, 202)
    refusal = await stage.post("/v1/calls", {"lead_id": second, "campaign_id": other}, 409)
    await stage.post("/v1/calls", {"lead_id": third}, 202)

    assert refusal["code"] == "capacity_exceeded"
    assert await stage.count("call.started") == 2


async def test_after_a_dial_for_another_campaign_the_leads_own_cadence_and_campaign_go_on(
    stage: Stage, a_lead: Lead
) -> None:
    await stage.cadence(gaps_s=[0, 600], attempts_in_all=2)
    own, other = await stage.campaign(), await another_campaign(stage)
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    await stage.post("/v1/calls", {"lead_id": lead, "campaign_id": other}, 202)
    await stage.passes(hours=8)

    assert [call["campaign_id"] for call in await stage.calls(lead)] == [other, own]
    assert await stage.status(lead) == "exhausted"


async def test_a_campaign_is_not_deleted_while_another_dials_its_only_lead(stage: Stage, a_lead: Lead) -> None:
    own, other = await stage.campaign(), await another_campaign(stage)
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.post("/v1/calls", {"lead_id": lead, "campaign_id": other}, 202)

    refusal = await stage.api.delete(f"/v1/campaigns/{own}")
    await stage.passes(minutes=5)

    assert (refusal.status, refusal.json["code"], refusal.json["references"]) == (409, "in_use", ["1 leads"])
    assert [attempt["state"] for attempt in await stage.attempts(lead)] == ["resolved", "planned"]


async def test_a_dial_for_another_campaign_that_is_refused_leaves_the_plan_as_it_was(
    stage: Stage, a_lead: Lead
) -> None:
    other = await another_campaign(stage, max_concurrent_calls=0)
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    planned = await stage.attempts(lead)

    await stage.post("/v1/calls", {"lead_id": lead, "campaign_id": other}, 409)

    assert await stage.attempts(lead) == planned
    await stage.settle()
    assert [call["campaign_id"] for call in await stage.calls(lead)] == [(await stage.lead(lead))["campaign_id"]]


async def test_every_code_of_a_refusal_is_told_at_once(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone="+12125550190"))
    await opt_out(stage, "+12125550190")
    await stage.at("2026-11-24T04:00Z")

    codes = await codes_of_refusal(stage, {"lead_id": lead})

    assert codes == ["DNC_INTERNAL", "LEAD_OPTED_OUT", "WINDOW_CLOSED"]


async def test_a_number_at_night_is_refused_by_the_hour_and_leaves_nothing_behind(stage: Stage) -> None:
    await stage.at("2026-11-24T04:00Z")

    codes = await codes_of_refusal(stage, {"to": NO_ANSWER, "consent": CONSENT}, idempotency_key="ad-hoc")

    assert codes == ["WINDOW_CLOSED"]
    assert (await stage.get("/v1/leads"))["data"] == []


async def test_a_number_without_consent_is_refused(stage: Stage) -> None:
    assert await codes_of_refusal(stage, {"to": NO_ANSWER}, idempotency_key="ad-hoc") == ["CONSENT_MISSING"]


async def test_a_number_without_a_lead_becomes_one_that_its_key_names(stage: Stage) -> None:
    asked = {"to": NO_ANSWER, "consent": CONSENT}

    call = await stage.post("/v1/calls", asked, 202, idempotency_key="ad-hoc-7")
    again = await stage.post("/v1/calls", asked, 202, idempotency_key="ad-hoc-7")

    assert again == call
    assert (await stage.get("/v1/leads/ext:ad-hoc-7"))["id"] == call["lead_id"]
    assert await stage.count("call.started") == 1


async def test_a_number_without_a_lead_needs_a_key_to_be_known_by(stage: Stage) -> None:
    refusal = await stage.post("/v1/calls", {"to": NO_ANSWER, "consent": CONSENT}, 422)

    assert [fault["code"] for fault in refusal["errors"]] == ["idempotency_key_required"]


async def test_a_dial_without_a_free_human_is_refused_and_nothing_is_dialed(stage: Stage, a_lead: Lead) -> None:
    await stage.target(slots=0)
    (lead,) = await stage.send(a_lead())

    refusal = await stage.post("/v1/calls", {"lead_id": lead}, 409)

    assert refusal["code"] == "capacity_exceeded"
    assert await stage.calls() == []


async def test_a_lead_in_a_call_is_not_called_a_second_time(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await stage.settle()

    refusal = await stage.post("/v1/calls", {"lead_id": lead}, 409)

    assert refusal["code"] == "already_in_flight"


async def test_one_off_dials_that_race_with_dispatchers_make_one_call(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    await side_by_side(
        *[lambda: stage.api.post("/v1/calls", {"lead_id": lead})] * 4,
        *[lambda: stage.house.dispatcher.drain(stage.tenant)] * 3,
    )

    assert await stage.count("call.started") == 1


async def test_nobody_is_dialed_a_fourth_time_within_a_day_whoever_asks(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    for _ in range(3):
        await stage.post("/v1/calls", {"lead_id": lead}, 202)
        await stage.passes(minutes=10)

    refused = await codes_of_refusal(stage, {"lead_id": lead})

    assert refused == ["ATTEMPTS_PER_DAY"]


async def test_a_number_that_is_over_for_the_day_is_dialed_again_the_next(stage: Stage, a_lead: Lead) -> None:
    await stage.cadence(gaps_s=[0, 60], attempts_per_day=1, attempts_in_all=2)
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)

    await stage.post(f"/v1/leads/{lead}/callback", {"at": (await stage.now()).isoformat()})
    await stage.passes(hours=23)
    assert len(await stage.calls(lead)) == 1
    await stage.passes(hours=2)

    assert len(await stage.calls(lead)) == 2


async def test_a_dial_for_a_campaign_that_does_not_run_is_refused(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await stage.post(f"/v1/campaigns/{await stage.campaign()}/pause")

    refusal = await stage.post("/v1/calls", {"lead_id": lead}, 409)

    assert refusal["code"] == "campaign_not_running"


@pytest.mark.parametrize("verb", ["pause", "cancel"])
async def test_a_dial_that_comes_while_its_campaign_is_stopped_waits_and_is_refused(
    stage: Stage, a_lead: Lead, verb: str
) -> None:
    (lead,) = await stage.send(a_lead())
    campaign = await stage.default_campaign()

    async with stage.house.database.transaction(stage.tenant) as tx:
        await stage.house.campaigns.move(tx, campaign, verb, Actor("api_key"))
        dial = asyncio.create_task(stage.api.post("/v1/calls", {"lead_id": lead}))
        await until_waiting(stage.house.database)
    refusal = await dial

    assert (refusal.status, refusal.json["code"]) == (409, "campaign_not_running")
    assert await stage.calls() == []


async def test_a_dial_of_a_lead_that_nobody_knows_is_not_found(stage: Stage) -> None:
    refusal = await stage.post("/v1/calls", {"lead_id": ids.show("lead", ids.new())}, 404)

    assert refusal["code"] == "no_such_lead"
