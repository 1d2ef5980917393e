"""Everybody who says stop, on whatever channel and however they are named."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest
from tests.journeys.invariants import contacts_after_stop
from tests.journeys.stage import BUSY, NO_ANSWER, TRANSFERRED, Stage, side_by_side

from offhook import ids
from offhook.leads import LeadIn
from offhook.privacy import ERASED, KeyRing, PersonKey, Vault

Lead = Callable[..., LeadIn]
EMAIL = "michael@example.org"


async def opt_out(stage: Stage, status: Any = 201, **wish: Any) -> Any:
    return await stage.post("/v1/opt-outs", {"channel": "web", **wish}, status)


@pytest.mark.parametrize("channel", ["voice", "sms", "email", "web", "crm"])
async def test_a_stop_on_any_channel_stops_the_calls(stage: Stage, a_lead: Lead, channel: str) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    told = await opt_out(stage, channel=channel, lead_id=lead)
    await stage.passes(days=2)

    assert (told["attempts_cancelled"], told["calls_cut"]) == (1, [])
    assert await stage.calls(lead) == []
    assert [event["data"]["channel"] for event in await stage.events("lead.opted_out", lead)] == [channel]


@pytest.mark.parametrize("by", ["phone", "lead_id", "client_ref_id"])
async def test_a_person_is_named_by_number_id_or_reference(stage: Stage, a_lead: Lead, by: str) -> None:
    body = a_lead(phone=NO_ANSWER)
    (lead,) = await stage.send(body)
    names = {"phone": NO_ANSWER, "lead_id": lead, "client_ref_id": body.client_ref_id}

    await opt_out(stage, **{by: names[by]})

    assert await stage.status(lead) == "opted_out"


async def test_a_number_is_the_same_however_it_is_written(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    await opt_out(stage, phone="(212) 555-0190")

    assert await stage.status(lead) == "opted_out"


async def test_a_stop_of_a_number_that_nobody_knows_holds_when_its_lead_comes(stage: Stage, a_lead: Lead) -> None:
    told = await opt_out(stage, phone=NO_ANSWER)

    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    assert (told["attempts_cancelled"], told["calls_cut"]) == (0, [])
    assert (await stage.lead(lead))["preflight"]["codes"] == ["DNC_INTERNAL"]


async def test_a_stop_that_was_posted_is_told_with_the_key_that_posted_it(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())

    await opt_out(stage, lead_id=lead)

    told = [*await stage.events("lead.opted_out"), *await stage.events("suppression.added")]
    assert [event["actor"] for event in told] == [await stage.key()] * 2


async def test_what_a_stop_suppresses_follows_from_what_is_told_of_its_lead(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(contact={"phone": NO_ANSWER, "email": "michael@example.org"}))

    await opt_out(stage, lead_id=lead)

    (stopped,) = await stage.events("lead.opted_out", lead)
    followed = [*await stage.events("suppression.added"), *await stage.events("lead.cadence_completed", lead)]
    assert [event["causation_id"] for event in followed] == [stopped["event_id"]] * 3


async def test_a_stop_of_a_number_without_a_lead_follows_from_nothing_that_is_told(stage: Stage) -> None:
    await opt_out(stage, phone=NO_ANSWER)

    (suppressed,) = await stage.events("suppression.added")
    assert suppressed["causation_id"] is None


async def test_a_stop_repeated_is_answered_like_the_first_one(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())

    first = await opt_out(stage, lead_id=lead)
    again = await opt_out(stage, 200, lead_id=lead)

    assert again == first
    assert await stage.count("suppression.added") == 1


async def test_a_stop_on_a_second_channel_is_kept_too_and_stops_nothing_more(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    first = await opt_out(stage, channel="sms", lead_id=lead)

    second = await opt_out(stage, channel="email", lead_id=lead)

    assert (second["suppression_ids"], second["attempts_cancelled"]) == (first["suppression_ids"], 0)
    assert await stage.count("lead.opted_out") == 1


async def test_the_e_mail_address_of_the_lead_is_suppressed_with_its_number(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(contact={"phone": NO_ANSWER, "email": "Michael@example.com"}))

    told = await opt_out(stage, lead_id=lead)

    assert len(told["suppression_ids"]) == 2
    kinds = {one["kind"] for one in (await stage.get("/v1/suppressions"))["data"]}
    assert kinds == {"phone", "email"}


async def test_an_address_alone_can_be_stopped(stage: Stage) -> None:
    told = await opt_out(stage, email="nobody@example.com")

    assert len(told["suppression_ids"]) == 1
    assert (await stage.get("/v1/suppressions"))["data"][0]["kind"] == "email"


async def test_the_stop_of_an_address_stops_everybody_who_has_it_on_all_their_numbers(
    stage: Stage, a_lead: Lead
) -> None:
    leads = await stage.send(*(a_lead(contact={"phone": phone, "email": EMAIL}) for phone in (NO_ANSWER, BUSY)))

    told = await opt_out(stage, channel="email", email=f" {EMAIL.upper()}")
    await stage.passes(days=2)

    assert (told["attempts_cancelled"], len(told["suppression_ids"])) == (2, 3)
    assert [await stage.status(lead) for lead in leads] == ["opted_out"] * 2
    assert await stage.calls() == []
    (again,) = await stage.send(a_lead(phone=BUSY))
    assert (await stage.lead(again))["preflight"]["codes"] == ["DUPLICATE_PHONE", "DNC_INTERNAL"]


async def test_the_stop_of_an_address_cuts_the_call_to_who_has_it(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(contact={"phone": NO_ANSWER, "email": EMAIL}))
    await stage.passes(seconds=10)

    told = await opt_out(stage, email=EMAIL)
    await stage.settle()

    (call,) = await stage.calls()
    assert (told["calls_cut"], call["end_reason"]) == ([call["id"]], "opt_out")


async def test_who_comes_with_a_stopped_address_is_rejected(stage: Stage, a_lead: Lead) -> None:
    await opt_out(stage, email=EMAIL)

    (lead,) = await stage.send(a_lead(contact={"phone": NO_ANSWER, "email": EMAIL}))

    assert (await stage.lead(lead))["preflight"]["codes"] == ["DNC_INTERNAL"]
    assert "DNC_INTERNAL" in await stage.blockers(lead)


async def test_the_stop_of_an_address_is_repeated_until_all_its_numbers_are_stopped(stage: Stage, a_lead: Lead) -> None:
    first = await opt_out(stage, email=EMAIL)
    await stage.send(a_lead(contact={"phone": NO_ANSWER, "email": EMAIL}))

    second, third = await opt_out(stage, 200, email=EMAIL), await opt_out(stage, 200, email=EMAIL)

    assert len(second["suppression_ids"]) == 2
    assert third == first


async def test_nothing_is_found_by_its_address_after_its_erasure(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(contact={"phone": NO_ANSWER, "email": EMAIL}))
    await stage.post(f"/v1/leads/{lead}/erase", {"suppress": False})

    told = await opt_out(stage, email=EMAIL)

    assert len(told["suppression_ids"]) == 1
    async with stage.house.database.transaction(stage.tenant) as tx:
        assert await tx.rows("select email_tag from lead") == [(None,)]


async def test_every_lead_that_has_the_number_is_stopped(stage: Stage, a_lead: Lead) -> None:
    first, second = a_lead(phone=NO_ANSWER), a_lead(phone=NO_ANSWER)
    (erased,) = await stage.send(first)
    await stage.post(f"/v1/leads/{erased}/erase", {"suppress": False})
    (lead,) = await stage.send(second)

    await opt_out(stage, phone=NO_ANSWER)

    assert [await stage.status(one) for one in (erased, lead)] == ["erased", "opted_out"]


async def test_a_ringing_call_is_cut(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(seconds=10)
    (ringing,) = await stage.calls(lead)
    assert ringing["status"] == "ringing"

    told = await opt_out(stage, phone=NO_ANSWER)
    await stage.settle()

    (call,) = await stage.calls(lead)
    assert (told["calls_cut"], told["attempts_cancelled"]) == ([call["id"]], 0)
    assert (call["status"], call["end_reason"]) == ("ended", "opt_out")


async def test_a_stop_while_talking_to_a_human_ends_the_call_and_frees_the_human(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(minutes=2)
    assert await stage.count("transfer.bridged") == 1

    await opt_out(stage, lead_id=lead)
    await stage.settle()

    assert [call["end_reason"] for call in await stage.calls(lead)] == ["opt_out"]
    assert await stage.count("transfer.released") == 1


async def test_a_call_that_was_cut_is_not_followed_by_another(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(seconds=10)

    await opt_out(stage, phone=NO_ANSWER)
    await stage.passes(days=3)

    assert len(await stage.calls(lead)) == 1
    assert [attempt["state"] for attempt in await stage.attempts(lead)] == ["resolved"]


async def test_the_suppressions_name_nobody(stage: Stage) -> None:
    await opt_out(stage, phone=NO_ANSWER)

    (listed,) = (await stage.get("/v1/suppressions"))["data"]

    assert listed["source"] == "web"
    assert NO_ANSWER[-4:] not in str({name: listed[name] for name in listed if name != "id"})


async def test_stops_at_the_same_moment_are_one_suppression(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    ways = [{"phone": NO_ANSWER}, {"lead_id": lead}, {"phone": NO_ANSWER, "channel": "sms"}] * 3

    replies = await side_by_side(
        *[lambda one=way: stage.api.post("/v1/opt-outs", {"channel": "web", **one}) for way in ways]
    )

    assert {reply.status for reply in replies} == {200, 201}
    assert await stage.count("suppression.added") == 1
    assert await stage.count("lead.opted_out") == 1


async def test_a_stop_survives_the_erasure_of_the_person(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await opt_out(stage, lead_id=lead)
    await stage.post(f"/v1/leads/{lead}/erase")

    (again,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(days=2)

    assert (await stage.lead(again))["preflight"]["codes"] == ["DNC_INTERNAL"]
    assert contacts_after_stop(await stage.events()) == []


@pytest.mark.parametrize(
    "wish",
    [{}, {"phone": NO_ANSWER, "email": "a@example.com"}, {"phone": "12"}, {"phone": NO_ANSWER, "channel": "fax"}],
)
async def test_a_stop_that_names_nobody_or_two_is_refused(stage: Stage, wish: dict[str, str]) -> None:
    await opt_out(stage, 422, **wish)

    assert await stage.count("suppression.added") == 0


async def test_a_stop_said_in_another_century_is_refused_by_its_place(stage: Stage) -> None:
    refusal = await opt_out(stage, 422, phone=NO_ANSWER, occurred_at="0001-01-01T00:00:00+01:00")

    assert [fault["param"] for fault in refusal["errors"]] == ["occurred_at"]


async def test_a_stop_at_acme_does_not_stop_a_stranger(stage: Stage, a_lead: Lead, client_of: Any) -> None:
    theirs = client_of(stage.house.app, (await stage.house.new_workspace("Stranger")).test_key)
    await opt_out(stage, phone=NO_ANSWER)

    reply = await theirs.post("/v1/leads", a_lead(phone=NO_ANSWER).model_dump(mode="json"))

    assert "DNC_INTERNAL" not in reply.json["preflight"]["codes"]


@pytest.mark.parametrize("known", [True, False], ids=["of a lead", "of a number that nobody knows"])
async def test_the_proof_of_a_stop_bears_the_seal_of_its_person_and_is_noise_without_their_key(
    stage: Stage, a_lead: Lead, known: bool
) -> None:
    (lead,) = await stage.send(a_lead())
    await opt_out(stage, **({"lead_id": lead} if known else {"phone": NO_ANSWER}), evidence={"text": "leave me alone"})

    person, read = await proof(stage)
    async with stage.house.database.transaction(stage.tenant) as tx:
        await tx.run("delete from person_key where person_id = %(p)s and class = 'evidence'", {"p": person})
        another_process = Vault(KeyRing.open(stage.house.settings.key_ring_file), stage.house.wakeups)
        key = await another_process.key(tx, person, "evidence")

    assert (person == ids.read("lead", lead)) == known
    assert read == {"evidence": {"text": "leave me alone"}, "occurred_at": None}
    assert key is ERASED


async def test_the_proof_of_a_stop_outlives_the_erasure_of_its_person(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await opt_out(stage, lead_id=lead, evidence={"text": "leave me alone"})

    await stage.post(f"/v1/leads/{lead}/erase")

    assert (await proof(stage))[1]["evidence"] == {"text": "leave me alone"}


async def proof(stage: Stage) -> tuple[UUID, Any]:
    """Whose the only opt-out is, and what proves it."""
    async with stage.house.database.transaction(stage.tenant) as tx:
        ((id, person, sealed),) = await tx.rows("select id, person_id, evidence from opt_out")
        key = await stage.house.vault.key(tx, person, "evidence")
    assert isinstance(key, PersonKey)
    return person, orjson.loads(key.open(sealed, b"opt_out" + id.bytes))
