"""Erasure by retention: it waits until everything about the person is told, and not longer than 48 hours."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journeys.stage import NO_ANSWER, TRANSFERRED, Stage
from tests.leads.sending import as_json
from tests.webhooks.conftest import Receiver, Says

from offhook import ids
from offhook.jobs import cancel
from offhook.leads import LeadIn
from offhook.leads.erase import KIND, LATEST, RETENTION_WAITS, SOONEST, look_again

ALead = Callable[..., LeadIn]
BY_RETENTION = {"reason": "retention"}


@pytest.fixture
async def receiver() -> Any:
    async with Receiver().running() as receiver:
        yield receiver


async def listening(stage: Stage, receiver: Receiver, *verbs: str) -> str:
    """An endpoint for everything about leads; its path."""
    made = await stage.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["lead.*", "call.*"]})
    path = f"/v1/webhook-endpoints/{made['id']}"
    for verb in verbs:
        await stage.post(f"{path}/{verb}")
    return path


def tombstones(receiver: Receiver) -> list[bool]:
    return ["offhook-tombstone" in one.headers for one in receiver.received]


async def test_where_nobody_is_to_be_told_it_happens_at_once_and_suppresses_nobody(stage: Stage, a_lead: ALead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    erased = await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 200)

    assert (erased["status"], erased["receipt"]["reason"]) == ("erased", "retention")
    assert (await stage.post("/v1/leads/check", as_json(a_lead(phone=NO_ANSWER))))["codes"] == []


async def test_it_waits_until_every_event_is_delivered_and_none_of_them_is_a_tombstone(
    stage: Stage, a_lead: ALead, receiver: Receiver
) -> None:
    await listening(stage, receiver)
    (lead,) = await stage.send(a_lead())

    pending = await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)
    waiting = await stage.status(lead)
    await stage.passes(minutes=1)

    assert (pending["status"], pending["receipt"], waiting) == ("pending", None, "expired")
    assert await stage.status(lead) == "erased"
    told = [orjson.loads(one.body)["type"] for one in receiver.received]
    assert sorted(told) == sorted(
        ["lead.accepted", "lead.cadence_started", "lead.scheduled", "lead.cadence_completed", "lead.erased"]
    )
    assert not any(tombstones(receiver))


async def test_a_delivery_that_dies_is_not_waited_for_any_longer(
    stage: Stage, a_lead: ALead, receiver: Receiver
) -> None:
    receiver.says = [Says(500)]
    await listening(stage, receiver)
    (lead,) = await stage.send(a_lead())
    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)

    await stage.passes(hours=20)
    waiting = await stage.status(lead)
    await stage.passes(hours=8)

    assert (waiting, await stage.status(lead)) == ("expired", "erased")
    dead = (await stage.get("/v1/dead-letters"))["data"]
    assert {one["subject"]["id"] for one in dead} == {lead}
    assert not any(tombstones(receiver)[: len(dead)])


async def test_after_48_hours_it_happens_anyway_and_the_rest_goes_out_as_tombstones(
    stage: Stage, a_lead: ALead, receiver: Receiver
) -> None:
    endpoint = await listening(stage, receiver, "pause")
    (lead,) = await stage.send(a_lead())
    pending = await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)
    by = datetime.fromisoformat(pending["no_later_than"])

    await stage.until(by - timedelta(minutes=1))
    waiting = await stage.status(lead)
    await stage.until(by + timedelta(seconds=1))
    await stage.post(f"{endpoint}/enable", {"held": "send"})
    await stage.passes(minutes=1)

    assert (waiting, await stage.status(lead)) == ("expired", "erased")
    of_the_person = [one for one in receiver.received if b"lead.erased" not in one.body]
    assert len(of_the_person) == 4
    assert all("offhook-tombstone" in one.headers and b"Michael" not in one.body for one in of_the_person)


async def test_what_its_calls_told_is_waited_for_too(stage: Stage, a_lead: ALead, receiver: Receiver) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["call.ended"]})
    receiver.says = [Says(500)]
    await stage.passes(minutes=5)
    assert len(await stage.calls(lead)) == 1

    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)
    receiver.says = [Says()]
    await stage.passes(hours=2)

    assert await stage.status(lead) == "erased"
    assert not any(tombstones(receiver))


async def test_somebody_elses_deliveries_are_not_waited_for(stage: Stage, a_lead: ALead, receiver: Receiver) -> None:
    (lead,) = await stage.send(a_lead())
    await listening(stage, receiver, "pause")
    await stage.send(a_lead())

    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 200)

    assert await stage.status(lead) == "erased"


async def test_a_request_does_not_wait_for_what_retention_waits_for(
    stage: Stage, a_lead: ALead, receiver: Receiver
) -> None:
    await listening(stage, receiver, "pause")
    (lead,) = await stage.send(a_lead())
    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)

    asked = await stage.post(f"/v1/leads/{lead}/erase", {"reason": "request"}, 200)
    await stage.passes(days=3)

    assert asked["receipt"]["reason"] == "request"
    assert (await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 200))["receipt"] == asked["receipt"]
    assert await stage.count("lead.erased") == 1


async def test_asking_again_does_not_put_it_off(stage: Stage, a_lead: ALead, receiver: Receiver) -> None:
    await listening(stage, receiver, "pause")
    (lead,) = await stage.send(a_lead())
    first = await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)

    await stage.passes(hours=40)
    again = await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)
    await stage.passes(hours=8, seconds=1)

    assert again == first
    assert await stage.status(lead) == "erased"


async def test_asking_again_brings_back_a_job_that_was_lost(stage: Stage, a_lead: ALead, receiver: Receiver) -> None:
    await listening(stage, receiver, "pause")
    (lead,) = await stage.send(a_lead())
    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)
    async with stage.house.database.transaction(stage.tenant) as tx:
        await cancel(tx, KIND, [ids.read("lead", lead).hex])

    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)
    await stage.passes(hours=48, seconds=1)

    assert await stage.status(lead) == "erased"


async def test_retention_does_not_take_over_what_a_request_waits_for(stage: Stage, a_lead: ALead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(seconds=10)

    await stage.post(f"/v1/leads/{lead}/erase", {"reason": "request"}, 202)
    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)
    await stage.passes(minutes=1)

    assert (await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 200))["receipt"]["reason"] == "request"


async def test_while_it_waits_nobody_is_dialed_and_nothing_can_be_planned(
    stage: Stage, a_lead: ALead, receiver: Receiver
) -> None:
    await listening(stage, receiver, "pause")
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)
    at = {"at": "2026-11-24T15:00:00Z"}

    tried = [
        await stage.api.post(f"/v1/leads/{lead}/callback", at),
        await stage.api.post(f"/v1/leads/{lead}/resume"),
        await stage.api.post("/v1/postbacks", {"type": "reconnect", "lead_id": lead}),
        await stage.api.post("/v1/calls", {"lead_id": lead}),
    ]
    await stage.passes(hours=47)

    assert [(one.status, one.json["code"]) for one in tried[:3]] == [(409, "lead_is_over")] * 3
    assert (tried[3].status, await stage.calls(lead)) == (409, [])
    assert [attempt["state"] for attempt in await stage.attempts(lead)] == ["cancelled"]
    assert set(await stage.blockers(lead)) == {"LEAD_EXPIRED"}


async def test_a_converted_lead_that_waits_is_not_opened_again(stage: Stage, a_lead: ALead, receiver: Receiver) -> None:
    await listening(stage, receiver, "pause")
    (lead,) = await stage.send(a_lead())
    await stage.post("/v1/postbacks", {"type": "conversion", "lead_id": lead})
    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)

    reopened = await stage.api.post("/v1/postbacks", {"type": "reconnect", "lead_id": lead, "data": {"reopen": True}})

    assert (reopened.status, reopened.json["code"]) == (409, "lead_is_over")
    assert await stage.status(lead) == "converted"


async def test_a_call_under_way_is_not_cut_and_none_follows_it(stage: Stage, a_lead: ALead) -> None:
    await stage.cadence(gaps_s=[0, 0], attempts_in_all=3)
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(seconds=10)
    assert (await stage.calls(lead))[0]["status"] == "ringing"

    await stage.post(f"/v1/leads/{lead}/erase", BY_RETENTION, 202)
    await stage.passes(minutes=10)

    assert [call["end_reason"] for call in await stage.calls(lead)] == ["no_answer"]
    assert await stage.status(lead) == "erased"


async def test_no_attempt_follows_the_call_that_a_request_has_hung_up(stage: Stage, a_lead: ALead) -> None:
    await stage.cadence(gaps_s=[0, 0], attempts_in_all=3)
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(seconds=10)

    await stage.post(f"/v1/leads/{lead}/erase", {"suppress": False}, 202)
    await stage.settle()
    planned = [attempt["state"] for attempt in await stage.attempts(lead)]
    await stage.passes(minutes=10)

    assert planned == ["resolved"]
    assert (len(await stage.calls(lead)), await stage.status(lead)) == (1, "erased")


NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)


@given(st.timedeltas(timedelta(0), RETENTION_WAITS))
def test_a_pending_erasure_is_looked_at_again_soon_at_first_and_never_later_than_it_is_due(left: timedelta) -> None:
    at = look_again(NOW, NOW + left)

    assert at <= NOW + left
    assert at == NOW + left or SOONEST <= at - NOW <= LATEST


def test_a_pending_erasure_is_looked_at_some_sixty_times_at_most() -> None:
    at, by, looks = NOW, NOW + RETENTION_WAITS, 0

    while at < by:
        at, looks = look_again(at, by), looks + 1

    assert looks <= 60
