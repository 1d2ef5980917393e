"""What people do to one lead, and what they are told about it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.journeys.stage import ASKS_TO_STOP, NO_ANSWER, TRANSFERRED, Stage, until_waiting

from offhook import ids
from offhook.events import Actor
from offhook.http.resources import take_turn
from offhook.leads import LeadIn
from offhook.sync.wire import PostBackIn

Lead = Callable[..., LeadIn]


async def verb(stage: Stage, lead: str, name: str, body: Any = None) -> Any:
    return await stage.post(f"/v1/leads/{lead}/{name}", body)


async def numbers(stage: Stage, lead: str) -> list[tuple[int, str]]:
    return [(attempt["n"], attempt["state"]) for attempt in await stage.attempts(lead)]


async def reconnect(stage: Stage, lead: str, **data: Any) -> Any:
    return await stage.post("/v1/postbacks", {"type": "reconnect", "lead_id": lead, "data": data})


async def test_a_paused_lead_is_not_dialed_until_it_is_resumed(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await verb(stage, lead, "pause")
    await stage.passes(hours=5)
    assert await stage.calls(lead) == []

    await verb(stage, lead, "resume")
    await stage.settle()

    assert len(await stage.calls(lead)) == 1


async def test_a_pause_eats_no_attempt(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)

    for _ in range(3):
        await verb(stage, lead, "pause")
        await verb(stage, lead, "resume")
    await stage.passes(minutes=5)

    assert await numbers(stage, lead) == [(1, "resolved"), (2, "resolved"), (3, "planned")]


async def test_pausing_twice_is_pausing_once(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())

    first, second = await verb(stage, lead, "pause"), await verb(stage, lead, "pause")

    assert first == second
    assert await stage.count("lead.cadence_paused", lead) == 1


async def test_a_lead_paused_during_its_call_is_not_called_again_after_it(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.settle()

    await verb(stage, lead, "pause")
    await stage.passes(days=3)

    assert await stage.status(lead) == "paused"
    assert await numbers(stage, lead) == [(1, "resolved"), (2, "paused")]


async def test_a_pause_at_the_moment_its_call_ends_is_kept(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.settle()

    async with stage.house.database.transaction(stage.tenant) as tx:
        held = await stage.house.people.find(tx, lead, lock=True)
        await stage.house.verbs.pause(tx, held, Actor("api_key"))
        end = asyncio.create_task(stage.passes(minutes=5))
        await until_waiting(stage.house.database)
    await end

    assert await stage.status(lead) == "paused"
    assert await numbers(stage, lead) == [(1, "resolved"), (2, "paused")]


async def test_nothing_is_planned_for_a_lead_that_converts_at_the_moment_its_call_ends(
    stage: Stage, a_lead: Lead
) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.settle()

    async with stage.house.database.transaction(stage.tenant) as tx:
        said = PostBackIn(type="conversion", lead_id=lead)
        await stage.house.post_backs.take(tx, said, Actor("api_key"))
        end = asyncio.create_task(stage.passes(minutes=5))
        await until_waiting(stage.house.database)
    await end

    assert await stage.status(lead) == "converted"
    assert await numbers(stage, lead) == [(1, "resolved")]


async def test_a_paused_lead_that_is_dialed_once_is_paused_again_after_it(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await verb(stage, lead, "pause")

    await stage.post("/v1/calls", {"lead_id": lead}, 202)
    await stage.passes(days=3)

    assert await stage.status(lead) == "paused"
    assert await numbers(stage, lead) == [(1, "resolved"), (2, "paused")]


async def test_a_paused_lead_that_is_dialed_twice_is_planned_by_its_cadence(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.settle()
    await verb(stage, lead, "pause")
    await stage.passes(minutes=5)

    await stage.post("/v1/calls", {"lead_id": lead}, 202)
    await stage.passes(minutes=5)

    reasons = [event["data"]["reason"] for event in await stage.events("lead.scheduled", lead)]
    assert reasons == ["accepted", "no_answer", "no_answer"]


async def test_a_lead_resumed_at_night_waits_for_the_morning(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await verb(stage, lead, "pause")
    await stage.until("2026-11-24T04:00Z")

    resumed = await verb(stage, lead, "resume")

    assert resumed["next_attempt_at"] == "2026-11-24T13:00:00.000Z"


async def test_a_reconnect_starts_the_cadence_anew_and_uses_no_number_twice(stage: Stage, a_lead: Lead) -> None:
    await stage.cadence(gaps_s=[0, 3600], attempts_in_all=2)
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(hours=3)
    assert await stage.status(lead) == "exhausted"

    await reconnect(stage, lead)
    await stage.passes(days=2)

    assert await numbers(stage, lead) == [(n, "resolved") for n in (1, 2, 3, 4)]
    assert await stage.status(lead) == "exhausted"


async def test_a_reconnect_asked_for_later_is_dialed_later(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)

    await reconnect(stage, lead, at="2026-11-25T16:00:00Z")
    await stage.until("2026-11-25T15:59Z")
    assert len(await stage.calls(lead)) == 1
    await stage.until("2026-11-25T16:05Z")

    assert len(await stage.calls(lead)) == 2


async def test_a_reconnect_during_a_call_is_refused_and_not_forgotten_in_silence(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await stage.settle()

    refusal = await stage.post("/v1/postbacks", {"type": "reconnect", "lead_id": lead}, 409)

    assert refusal["code"] == "already_in_flight"


async def test_a_lead_keeps_the_plan_it_began_with(stage: Stage, a_lead: Lead) -> None:
    campaign = await stage.get(f"/v1/campaigns/{await stage.campaign()}")
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)

    plan = {"gaps_s": [0, 60], "attempts_per_day": 3, "attempts_in_all": 6, "outcomes": {}}
    changed = await stage.patch(f"/v1/cadences/{campaign['cadence_id']}", {"plan": plan})

    assert changed["cadence_version"] == 2
    planned = datetime.fromisoformat((await stage.attempts(lead))[1]["due_at"])
    assert timedelta(hours=4) <= planned - datetime.fromisoformat("2026-11-23T15:00Z") < timedelta(hours=4, minutes=2)


async def test_a_lead_keeps_the_cadence_it_began_with_when_its_campaign_is_given_another(
    stage: Stage, a_lead: Lead
) -> None:
    first = await stage.get(f"/v1/campaigns/{await stage.campaign()}")
    plan = {"gaps_s": [0, 600], "attempts_in_all": 2}
    await stage.patch(f"/v1/cadences/{first['cadence_id']}", {"plan": plan})
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.settle()

    await stage.cadence(gaps_s=[0, 7200], attempts_in_all=9)
    await stage.passes(hours=2)

    assert await numbers(stage, lead) == [(1, "resolved"), (2, "resolved")]
    assert await stage.status(lead) == "exhausted"


async def test_a_cadence_by_which_leads_were_planned_is_not_deleted(stage: Stage, a_lead: Lead) -> None:
    campaign = await stage.get(f"/v1/campaigns/{await stage.campaign()}")
    await stage.send(a_lead())
    await stage.cadence(gaps_s=[0])

    refusal = await stage.api.delete(f"/v1/cadences/{campaign['cadence_id']}")

    assert (refusal.status, refusal.json["references"]) == (409, ["1 leads"])


async def test_what_people_do_to_a_lead_or_a_campaign_is_told_with_their_key(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    await verb(stage, lead, "pause")
    await verb(stage, lead, "resume")
    await verb(stage, lead, "callback", {"at": "2026-11-23T17:00:00Z"})
    await stage.post(f"/v1/campaigns/{await stage.campaign()}/pause")

    key = await stage.key()
    assert [event["type"] for event in await stage.events() if event["actor"] == key] == [
        "lead.cadence_paused", "lead.scheduled", "lead.callback_scheduled", "lead.scheduled", "campaign.paused",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/leads/ext:LD-1/erase", {}),
        ("/v1/postbacks", {"type": "conversion", "client_ref_id": "LD-1"}),
        ("/v1/postbacks", {"type": "dnc", "client_ref_id": "LD-1"}),
        ("/v1/opt-outs", {"channel": "sms", "client_ref_id": "LD-1"}),
    ],
    ids=["erased", "converted", "dnc", "opted_out"],
)
async def test_whoever_stops_a_lead_has_ended_its_cadence(
    stage: Stage, a_lead: Lead, path: str, body: dict[str, str]
) -> None:
    (lead,) = await stage.send(a_lead(client_ref_id="LD-1", phone=NO_ANSWER))

    await stage.post(path, body)

    (over,) = await stage.events("lead.cadence_completed", lead)
    (stop,) = [event for event in await stage.events() if event["event_id"] == over["causation_id"]]
    assert over["actor"] == stop["actor"] == await stage.key()


async def test_a_lead_is_qualified_by_the_platform_and_planned_by_the_engine(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))

    await stage.passes(hours=1)

    told = {event["type"]: event["actor"]["type"] for event in await stage.events("lead.*", lead)}
    assert told.pop("lead.qualified") == "provider"
    assert set(told.values()) == {"engine"}


async def test_a_campaign_that_is_being_deleted_is_not_moved_meanwhile(stage: Stage) -> None:
    campaign = await stage.campaign()

    async with stage.house.database.transaction(stage.tenant) as tx:
        id = await take_turn(tx, stage.house.campaigns, ids.read("cmp", campaign))
        pause = asyncio.create_task(stage.api.post(f"/v1/campaigns/{campaign}/pause"))
        await until_waiting(stage.house.database)
        await stage.house.campaigns.delete(tx, id)

    assert (await pause).status == 404


async def test_progress_counts_attempts_by_what_they_came_to(stage: Stage, a_lead: Lead) -> None:
    phones = (NO_ANSWER, TRANSFERRED, ASKS_TO_STOP)
    await stage.send(*(a_lead(phone=phone) for phone in phones))
    await stage.passes(minutes=30)

    progress = await stage.get(f"/v1/campaigns/{await stage.campaign()}/progress")

    assert progress["attempts"]["resolved"] == {"no_answer": 1, "opt_out": 1, "transferred": 1}
    assert (progress["attempts"]["planned"], progress["attempts"]["dialing"]) == (1, 0)


async def test_a_campaign_that_leads_belong_to_is_not_deleted(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead())

    refusal = await stage.api.delete(f"/v1/campaigns/{await stage.campaign()}")

    assert (refusal.status, refusal.json["references"]) == (409, ["1 leads"])


async def test_a_running_campaign_is_not_left_without_a_platform(stage: Stage) -> None:
    campaign = await stage.campaign()
    change = {"provider_account_id": None}

    refusal = await stage.api.patch(f"/v1/campaigns/{campaign}", change)
    await stage.post(f"/v1/campaigns/{campaign}/pause")

    assert (refusal.status, refusal.json["code"]) == (409, "no_provider_account")
    assert (await stage.patch(f"/v1/campaigns/{campaign}", change))["provider_account_id"] is None


async def test_a_dial_that_was_committed_long_ago_is_planned_anew_and_its_human_is_free(
    stage: Stage, a_lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.calls.book.PLACING", timedelta(0))
    (lead,) = await stage.send(a_lead())

    await stage.settle()

    assert [call["end_detail"] for call in await stage.calls(lead)] == ["order_too_old"]
    assert await numbers(stage, lead) == [(1, "resolved"), (2, "planned")]
    async with stage.house.database.transaction(stage.tenant) as tx:
        assert await tx.rows("select from slot where held_by is not null") == []
