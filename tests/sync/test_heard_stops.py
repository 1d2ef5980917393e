"""Everybody who says stop in a call, whoever called whom."""

import asyncio
from collections.abc import Callable

import orjson
import pytest
from tests.journeys.stage import ASKS_TO_STOP, BUSY, NO_ANSWER, Stage, side_by_side, until_waiting

from offhook import ids
from offhook.compliance.suppression import taking_turns
from offhook.events import Actor
from offhook.leads import LeadIn
from offhook.privacy import PersonKey
from offhook.providers import CallReport
from offhook.providers.contract import InboundCall, Kind
from offhook.sync.wire import OptOutIn

Lead = Callable[..., LeadIn]
CALLED = "+12025550100"


async def hear(stage: Stage, ref: str, *kinds: Kind, caller: str | None = NO_ANSWER) -> str:
    """The platform reports this of a call that somebody makes to us; the call's id."""
    (campaign,) = (await stage.get("/v1/campaigns"))["data"]
    account = ids.read("pac", campaign["provider_account_id"])
    inbound = InboundCall(caller, CALLED)
    reports = [
        CallReport(key=f"{ref}:{kind}", kind=kind, platform_ref=ref, inbound=inbound, text="never call me again")
        for kind in kinds
    ]
    async with stage.house.database.transaction(stage.tenant) as tx:
        await stage.house.calls.report(tx, account, reports)
    return ids.show("call", ids.call_of_platform(account, ref))


async def hear_stop_of(stage: Stage, call: str) -> None:
    """The platform reports late that somebody said stop in this call of ours."""
    (campaign,) = (await stage.get("/v1/campaigns"))["data"]
    account = ids.read("pac", campaign["provider_account_id"])
    stop = CallReport(key="stop", kind=Kind.OPT_OUT_PHRASE, call_id=ids.read("call", call), text="never again")
    async with stage.house.database.transaction(stage.tenant) as tx:
        await stage.house.calls.report(tx, account, [stop])


async def hear_all(stage: Stage, *refs: str) -> None:
    """The platform reports in one go that the callers of these calls say stop."""
    (campaign,) = (await stage.get("/v1/campaigns"))["data"]
    account = ids.read("pac", campaign["provider_account_id"])
    reports = [
        (account, [CallReport(key=f"{ref}:stop", kind=Kind.OPT_OUT_PHRASE, platform_ref=ref, text="stop")])
        for ref in refs
    ]
    async with stage.house.database.transaction(stage.tenant) as tx:
        await stage.house.calls.report_all(tx, reports)


async def says_stop_to_us(stage: Stage, ref: str = "their-7", caller: str | None = NO_ANSWER) -> str:
    """Somebody calls us and asks in the call never to be called; the call's id."""
    return await hear(stage, ref, Kind.INBOUND_RINGING, Kind.ANSWERED, Kind.OPT_OUT_PHRASE, caller=caller)


@pytest.mark.parametrize("reason", ["request", "retention"])
async def test_a_stop_that_is_heard_after_the_erasure_binds_and_says_nothing_of_the_person(
    stage: Stage, a_lead: Lead, reason: str
) -> None:
    (lead,) = await stage.send(a_lead(client_ref_id="A", phone=NO_ANSWER))
    await stage.passes(minutes=5)
    (call,) = await stage.calls(lead)
    await stage.post(f"/v1/leads/{lead}/erase", {"reason": reason, "suppress": False}, 200)

    await hear_stop_of(stage, call["id"])

    (told,) = await stage.events("call.opt_out_detected")
    assert told["data"] == {"phrase": None, "method": "engine"}
    assert (told["call"], told["visitor"], told["lead"]) == (None, None, None)
    assert await stage.status(lead) == "erased"
    (again,) = await stage.send(a_lead(client_ref_id="B", phone=NO_ANSWER))
    assert (await stage.lead(again))["preflight"]["codes"] == ["DNC_INTERNAL"]


async def test_a_person_who_asks_in_the_call_is_never_called_again(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=ASKS_TO_STOP))

    await stage.passes(days=3)

    (call,) = await stage.calls(lead)
    assert (call["status"], call["opt_out"]) == ("ended", True)
    assert await stage.status(lead) == "opted_out"
    assert [event["data"]["channel"] for event in await stage.events("lead.opted_out")] == ["voice"]


async def test_a_caller_of_whom_we_have_no_lead_is_suppressed_too(stage: Stage, a_lead: Lead) -> None:
    await says_stop_to_us(stage)

    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    (listed,) = (await stage.get("/v1/suppressions"))["data"]
    assert (listed["kind"], listed["source"]) == ("phone", "voice")
    assert (await stage.lead(lead))["preflight"]["codes"] == ["DNC_INTERNAL"]


async def test_a_lead_who_calls_us_and_says_stop_is_not_called_any_more(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    await says_stop_to_us(stage)
    await stage.passes(days=2)

    assert await stage.status(lead) == "opted_out"
    assert await stage.calls(lead) == []
    (told,) = await stage.events("lead.opted_out", lead)
    assert (told["data"]["channel"], told["actor"]["type"]) == ("voice", "consumer")


async def test_a_caller_who_says_stop_is_hung_up_and_so_is_our_call_to_them(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(seconds=10)

    theirs = await says_stop_to_us(stage)
    await hear(stage, "their-7", Kind.ENDED)
    await stage.settle()

    (ours,) = await stage.calls(lead)
    assert ours["end_reason"] == "opt_out"
    assert (await stage.get(f"/v1/calls/{theirs}"))["end_reason"] == "opt_out"


async def test_a_caller_who_says_stop_again_is_hung_up_again(stage: Stage) -> None:
    await says_stop_to_us(stage, "first")
    await hear(stage, "first", Kind.ENDED)

    again = await says_stop_to_us(stage, "second")

    assert (await stage.get(f"/v1/calls/{again}"))["stop_requested_at"]
    assert await stage.count("suppression.added") == 1


async def test_a_caller_without_a_number_stops_nobody_else(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await hear(stage, "bystander", Kind.INBOUND_RINGING, Kind.ANSWERED, caller=None)

    call = await says_stop_to_us(stage, caller=None)

    stopped = {one["id"] for one in await stage.calls() if one["stop_requested_at"]}
    assert (stopped, await stage.status(lead)) == ({call}, "scheduled")


async def test_a_stop_that_is_heard_and_posted_at_once_is_obeyed_by_both(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(seconds=10)
    call = await hear(stage, "their-7", Kind.INBOUND_RINGING, Kind.ANSWERED)

    async with stage.house.database.transaction(stage.tenant) as tx:
        await taking_turns(tx, [stage.house.vault.tag(stage.tenant, "phone", NO_ANSWER)])
        heard = asyncio.create_task(hear(stage, "their-7", Kind.OPT_OUT_PHRASE))
        await until_waiting(stage.house.database)
        _, told = await stage.house.opt_outs.take(tx, OptOutIn(channel="web", phone=NO_ANSWER), Actor("api_key"))
    await heard

    assert call in told["calls_cut"]
    assert await stage.count("call.opt_out_detected") == 1
    assert await stage.count("lead.opted_out") == 1


async def test_stops_heard_in_several_calls_take_the_turns_of_their_numbers_in_one_order(stage: Stage) -> None:
    callers = {"first": NO_ANSWER, "second": BUSY}
    for ref, caller in callers.items():
        await hear(stage, ref, Kind.INBOUND_RINGING, Kind.ANSWERED, caller=caller)

    await side_by_side(
        *[lambda: hear_all(stage, "first", "second"), lambda: hear_all(stage, "second", "first")],
        *[
            lambda one=phone: stage.post("/v1/opt-outs", {"channel": "web", "phone": one}, 201)
            for phone in callers.values()
        ],
    )

    assert await stage.count("call.opt_out_detected") == 2
    assert await stage.count("suppression.added") == 2


async def test_what_a_caller_said_is_kept_as_evidence_under_their_own_key(stage: Stage) -> None:
    call = ids.read("call", await says_stop_to_us(stage))

    async with stage.house.database.transaction(stage.tenant) as tx:
        ((id, sealed),) = await tx.rows("select id, evidence from opt_out where channel = 'voice'")
        key = await stage.house.vault.key(tx, call, "evidence")

    assert isinstance(key, PersonKey)
    kept = orjson.loads(key.open(sealed, b"opt_out" + id.bytes))
    (heard,) = await stage.events("call.opt_out_detected")
    assert kept["evidence"] == {"phrase": "never call me again", "event_id": heard["event_id"]}
