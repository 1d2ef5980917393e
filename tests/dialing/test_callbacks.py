"""When somebody wants to be called back."""

from collections.abc import Callable

import pytest
from tests.dialing.test_verbs import numbers, reconnect, verb
from tests.journeys.stage import ASKS_TO_STOP, BUSY, NO_ANSWER, NOT_QUALIFIED, TRANSFERRED, Stage

from offhook.leads import LeadIn

Lead = Callable[..., LeadIn]


async def test_a_callback_takes_the_place_of_what_was_planned(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)

    await verb(stage, lead, "callback", {"at": "2026-11-23T17:00:00Z"})
    await stage.until("2026-11-23T17:05Z")

    assert [call["started_at"][:16] for call in await stage.calls(lead)] == ["2026-11-23T15:00", "2026-11-23T17:00"]
    assert [n for n, _ in await numbers(stage, lead)] == [1, 2, 3]


async def test_what_a_callback_plans_names_it_as_its_cause(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    await stage.post(f"/v1/leads/{lead}/callback", {"at": "2026-11-24T15:00:00Z"})

    (wish,) = await stage.events("lead.callback_scheduled", lead)
    (*_, planned) = await stage.events("lead.scheduled", lead)
    assert (planned["data"]["reason"], planned["causation_id"]) == ("callback", wish["event_id"])


async def test_a_callback_asked_for_at_night_is_planned_for_the_morning(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)

    planned = await verb(stage, lead, "callback", {"at": "2026-11-24T03:00:00Z"})

    assert planned["next_attempt_at"] == "2026-11-24T13:00:00.000Z"


@pytest.mark.parametrize("phone", [NO_ANSWER, NOT_QUALIFIED, TRANSFERRED])
async def test_a_callback_asked_for_during_a_call_is_planned_whatever_the_call_comes_to(
    stage: Stage, a_lead: Lead, phone: str
) -> None:
    (lead,) = await stage.send(a_lead(phone=phone))
    await stage.settle()

    asked = await verb(stage, lead, "callback", {"at": "2026-11-23T17:00:20Z"})
    await stage.passes(hours=1)

    (_, planned) = await stage.attempts(lead)
    assert planned["due_at"] == asked["next_attempt_at"] == "2026-11-23T17:00:20.000Z"
    (*_, scheduled) = await stage.events("lead.scheduled", lead)
    assert (scheduled["data"]["reason"], scheduled["data"]["not_before"]) == ("callback", planned["due_at"])
    assert (await stage.lead(lead))["status"] == "scheduled"
    assert await stage.count("lead.cadence_completed", lead) == await stage.count("lead.disqualified", lead) == 0


async def test_a_callback_asked_for_while_it_rings_is_kept_when_somebody_answers(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NOT_QUALIFIED))
    await stage.settle()
    assert [call["answered_at"] for call in await stage.calls(lead)] == [None]

    await verb(stage, lead, "callback", {"at": "2026-11-24T03:00:00Z"})
    await stage.passes(hours=1)

    assert (await stage.lead(lead))["next_attempt_at"] == "2026-11-24T13:00:00.000Z"


async def test_a_callback_that_is_due_before_its_call_has_ended_follows_it(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.settle()

    await verb(stage, lead, "callback", {"at": (await stage.now()).isoformat()})
    await stage.passes(minutes=2)

    assert len(await stage.calls(lead)) >= 2


async def test_nobody_who_says_stop_is_called_back(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=ASKS_TO_STOP))
    await stage.settle()

    await verb(stage, lead, "callback", {"at": "2026-11-23T17:00:00Z"})
    await stage.passes(days=2)

    assert len(await stage.calls(lead)) == 1
    assert await stage.status(lead) == "opted_out"


async def test_a_lead_resumed_during_its_call_goes_on_by_its_cadence(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.settle()

    await verb(stage, lead, "pause")
    await verb(stage, lead, "resume")
    assert list(await stage.blockers(lead)) == ["ALREADY_IN_FLIGHT"]
    await stage.passes(minutes=5)

    (_, planned) = await stage.attempts(lead)
    assert planned["due_at"] >= "2026-11-23T19:00"


@pytest.mark.parametrize("at", ["2026-11-24T15:00:00", "9999-12-31T23:59:59Z"])
async def test_a_callback_without_an_offset_or_in_another_century_is_refused(
    stage: Stage, a_lead: Lead, at: str
) -> None:
    (lead,) = await stage.send(a_lead())

    refusal = await stage.post(f"/v1/leads/{lead}/callback", {"at": at}, 422)

    assert [fault["param"] for fault in refusal["errors"]] == ["at"]


async def test_nobody_who_is_over_is_called_back_paused_or_resumed(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=ASKS_TO_STOP))
    await stage.post("/v1/opt-outs", {"channel": "web", "lead_id": lead})

    refusals = [
        await stage.post(f"/v1/leads/{lead}/{name}", body, 409)
        for name, body in (("pause", None), ("resume", None), ("callback", {"at": "2026-11-24T15:00:00Z"}))
    ]

    assert {refusal["code"] for refusal in refusals} == {"lead_is_over"}


async def test_a_callback_goes_on_with_the_cadence_and_a_reconnect_takes_the_campaigns_new_one(
    stage: Stage, a_lead: Lead
) -> None:
    await stage.cadence(gaps_s=[0], attempts_in_all=1)
    called_back, reconnected = await stage.send(a_lead(phone=NO_ANSWER), a_lead(phone=BUSY))
    await stage.passes(minutes=5)

    await stage.cadence(gaps_s=[0, 600], attempts_in_all=2)
    await verb(stage, called_back, "callback", {"at": (await stage.now()).isoformat()})
    await reconnect(stage, reconnected)
    await stage.passes(hours=2)

    assert [n for n, _ in await numbers(stage, called_back)] == [1, 2]
    assert [n for n, _ in await numbers(stage, reconnected)] == [1, 2, 3]
