"""What the CRM posts back, and what it changes."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.journeys.stage import NO_ANSWER, TRANSFERRED, Stage, side_by_side

from offhook.leads import LeadIn
from offhook.sync.wire import PostBackIn

Lead = Callable[..., LeadIn]
DISPOSITION = PostBackIn(type="disposition", client_ref_id="LD-late")


async def post_back(stage: Stage, type: str, status: int = 201, **fields: Any) -> Any:
    return await stage.post("/v1/postbacks", {"type": type, **fields}, status)


async def causes(stage: Stage, actor: dict[str, str]) -> dict[str, str | None]:
    """What this actor did: of each type of event, the type of the one that it followed from."""
    events = await stage.events()
    types = {event["event_id"]: event["type"] for event in events}
    return {
        event["type"]: event["causation_id"] and types[event["causation_id"]]
        for event in events
        if event["actor"] == actor
    }


async def test_a_conversion_ends_the_cadence(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)

    told = await post_back(stage, "conversion", lead_id=lead, data={"value_micros": 129_000_000, "currency": "USD"})
    await stage.passes(days=3)

    assert told["effect"] == {"lead_status": "converted", "attempts_cancelled": 1, "calls_cut": 0}
    assert len(await stage.calls(lead)) == 1
    (event,) = await stage.events("lead.converted")
    assert (event["data"]["value_micros"], event["data"]["currency"]) == (129_000_000, "USD")


@pytest.mark.parametrize("type", ["conversion", "dnc", "reconnect", "disposition"])
async def test_the_same_reference_again_is_answered_like_the_first_time(stage: Stage, a_lead: Lead, type: str) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)
    said: dict[str, Any] = {"lead_id": lead, "external_ref": "CRM-7", "data": {"code": "SOLD"}}

    first, again = await post_back(stage, type, **said), await post_back(stage, type, 200, **said)

    assert again == {**first, "duplicate": True}
    assert await stage.count("lead.*", lead) == len({event["event_id"] for event in await stage.events("lead.*", lead)})


@pytest.mark.parametrize(
    ("type", "told"),
    [
        ("conversion", {"lead.converted"}),
        ("dnc", {"lead.dnc_added", "suppression.added"}),
        ("reconnect", {"lead.reconnect_requested", "lead.scheduled"}),
        ("disposition", {"call.disposition_set"}),
    ],
)
async def test_what_the_crm_changes_is_told_with_its_key(stage: Stage, a_lead: Lead, type: str, told: set[str]) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)

    await post_back(stage, type, lead_id=lead, data={"code": "SOLD"})

    key = await stage.key()
    assert {event["type"] for event in await stage.events() if event["actor"] == key} == told


async def test_the_suppression_of_a_do_not_call_word_follows_from_it(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)

    await post_back(stage, "dnc", lead_id=lead)

    assert await causes(stage, await stage.key()) == {"lead.dnc_added": None, "suppression.added": "lead.dnc_added"}


async def test_the_same_reference_of_another_type_is_another_word(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())

    first = await post_back(stage, "conversion", lead_id=lead, external_ref="CRM-7")
    second = await post_back(stage, "dnc", lead_id=lead, external_ref="CRM-7")

    assert first["id"] != second["id"]
    assert await stage.status(lead) == "dnc"


async def test_repeats_at_the_same_moment_convert_once(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    said = {"type": "conversion", "lead_id": lead, "external_ref": "CRM-7"}

    replies = await side_by_side(*[lambda: stage.api.post("/v1/postbacks", said)] * 5)

    assert sorted(reply.status for reply in replies) == [200, 200, 200, 200, 201]
    assert await stage.count("lead.converted") == 1


@pytest.mark.parametrize("by", ["lead_id", "client_ref_id", "phone", "call_id"])
async def test_a_lead_is_named_by_its_id_reference_number_or_call(stage: Stage, a_lead: Lead, by: str) -> None:
    body = a_lead(phone=NO_ANSWER)
    (lead,) = await stage.send(body)
    await stage.passes(minutes=5)
    (call,) = await stage.calls(lead)
    names = {"lead_id": lead, "client_ref_id": body.client_ref_id, "phone": NO_ANSWER, "call_id": call["id"]}

    told = await post_back(stage, "conversion", **{by: names[by]})

    assert told["applied"]
    assert await stage.status(lead) == "converted"


async def test_a_lead_is_named_in_one_way_only(stage: Stage) -> None:
    in_two = await stage.api.post("/v1/postbacks", {"type": "conversion", "phone": NO_ANSWER, "client_ref_id": "LD-1"})
    in_none = await stage.api.post("/v1/postbacks", {"type": "conversion"})

    assert (in_two.status, in_none.status) == (422, 422)


async def test_a_do_not_call_word_about_an_erased_person_still_holds_for_the_number(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.post(f"/v1/leads/{lead}/erase", {"suppress": False})

    told = await post_back(stage, "dnc", lead_id=lead)

    assert (told["applied"], told["effect"]["lead_status"]) == (True, "erased")
    (again,) = await stage.send(a_lead(phone=NO_ANSWER))
    assert (await stage.lead(again))["preflight"]["codes"] == ["DNC_INTERNAL"]


async def test_a_do_not_call_word_with_a_number_always_holds(stage: Stage, a_lead: Lead) -> None:
    told = await post_back(stage, "dnc", phone=NO_ANSWER)

    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    assert told["applied"]
    assert (await stage.lead(lead))["preflight"]["codes"] == ["DNC_INTERNAL"]


async def test_a_do_not_call_word_cuts_the_call_and_cancels_the_rest(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(seconds=30)

    told = await post_back(stage, "dnc", lead_id=lead)
    await stage.passes(days=2)

    assert told["effect"] == {"lead_status": "dnc", "attempts_cancelled": 0, "calls_cut": 1}
    assert [call["end_reason"] for call in await stage.calls(lead)] == ["opt_out"]
    assert await stage.status(lead) == "dnc"


@pytest.mark.parametrize("stop", ["dnc", "opt_out"])
async def test_nobody_who_said_stop_is_reconnected(stage: Stage, a_lead: Lead, stop: str) -> None:
    (lead,) = await stage.send(a_lead())
    if stop == "dnc":
        await post_back(stage, "dnc", lead_id=lead)
    else:
        await stage.post("/v1/opt-outs", {"channel": "email", "lead_id": lead})

    refusal = await post_back(stage, "reconnect", 409, lead_id=lead, data={"reopen": True})

    assert refusal["code"] == "suppressed"


async def test_a_converted_lead_is_reconnected_only_when_it_is_reopened(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await post_back(stage, "conversion", lead_id=lead)

    refusal = await post_back(stage, "reconnect", 409, lead_id=lead)
    told = await post_back(stage, "reconnect", lead_id=lead, data={"reopen": True})
    await stage.settle()

    assert refusal["code"] == "converted"
    assert told["effect"]["lead_status"] == "scheduled"
    assert len(await stage.calls(lead)) == 1


async def test_a_rejected_lead_is_not_reconnected(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(consent=[]))

    refusal = await post_back(stage, "reconnect", 409, lead_id=lead)

    assert refusal["code"] == "rejected"


async def test_the_later_word_wins_whichever_comes_first(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await post_back(stage, "reconnect", lead_id=lead, occurred_at="2026-11-23T14:00:00Z")

    told = await post_back(stage, "conversion", lead_id=lead, occurred_at="2026-11-23T13:59:00Z")

    assert (told["applied"], told["reason"]) == (False, "outdated")
    assert await stage.status(lead) == "scheduled"


async def test_a_later_conversion_never_undoes_a_suppression(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await stage.post("/v1/opt-outs", {"channel": "sms", "lead_id": lead})

    await post_back(stage, "conversion", lead_id=lead, occurred_at="2027-01-01T00:00:00Z")

    assert await stage.status(lead) == "opted_out"
    assert "DNC_INTERNAL" in await stage.blockers(lead)


async def test_an_old_do_not_call_word_still_holds(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await post_back(stage, "conversion", lead_id=lead, occurred_at="2026-11-23T14:00:00Z")

    await post_back(stage, "dnc", lead_id=lead, occurred_at="2020-01-01T00:00:00Z")

    assert await stage.status(lead) == "dnc"


async def test_an_instant_without_an_offset_is_refused(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await post_back(stage, "conversion", lead_id=lead)

    refusal = await post_back(stage, "reconnect", 422, lead_id=lead, occurred_at="2026-11-23T14:00:00")

    assert [fault["param"] for fault in refusal["errors"]] == ["occurred_at"]


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
@pytest.mark.parametrize("place", ["occurred_at", "data.at"])
@pytest.mark.parametrize("ref", ["LD-here", "LD-late"])
async def test_a_reconnect_of_another_century_is_refused_before_it_spoils_its_lead(
    stage: Stage, a_lead: Lead, instant: str, place: str, ref: str
) -> None:
    await stage.send(a_lead(client_ref_id="LD-here"))
    said: dict[str, Any] = {"occurred_at": instant} if place == "occurred_at" else {"data": {"at": instant}}

    refusal = await post_back(stage, "reconnect", 422, client_ref_id=ref, **said)

    assert [fault["param"] for fault in refusal["errors"]] == [place]


async def test_a_disposition_is_noted_on_the_latest_call(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    early = await post_back(stage, "disposition", lead_id=lead, data={"code": "SOLD"})
    await stage.passes(minutes=5)

    told = await post_back(stage, "disposition", lead_id=lead, data={"code": "SOLD"})

    assert (early["applied"], early["reason"]) == (False, "no_call_yet")
    assert told["applied"]
    assert [call["disposition"] for call in await stage.calls(lead)] == ["SOLD"]


async def test_a_word_about_an_erased_person_changes_nothing(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await stage.post(f"/v1/leads/{lead}/erase", {"suppress": False})

    told = await post_back(stage, "conversion", lead_id=lead)

    assert (told["applied"], told["reason"]) == (False, "erased")
    assert await stage.count("lead.converted") == 0


async def test_a_stranger_cannot_speak_about_our_lead(stage: Stage, a_lead: Lead, client_of: Any) -> None:
    (lead,) = await stage.send(a_lead())
    theirs = await stage.house.new_workspace("Stranger")
    stranger = client_of(stage.house.app, theirs.test_key)

    told = await stranger.post("/v1/postbacks", {"type": "dnc", "lead_id": lead})

    assert told.status == 202
    assert await stage.status(lead) == "scheduled"
