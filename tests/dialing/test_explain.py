"""What is told of why a lead is dialed, or is not."""

from collections.abc import Callable

from tests.dialing.test_verbs import verb
from tests.journeys.invariants import gaps
from tests.journeys.stage import NO_ANSWER, TRANSFERRED, Stage

from offhook.leads import LeadIn

Lead = Callable[..., LeadIn]


async def test_explain_names_every_blocker_and_when_the_answer_changes(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)
    await stage.target(slots=0)
    await stage.post(f"/v1/campaigns/{await stage.campaign()}/pause")
    await stage.at("2026-11-23T18:59:00Z")
    await stage.at("2026-11-22T06:00:00Z")

    told = await stage.get(f"/v1/leads/{lead}/explain")

    assert {one["code"] for one in told["blockers"]} == {
        "CAMPAIGN_PAUSED", "NO_CAPACITY", "WINDOW_CLOSED", "NOT_YET_DUE",
    }  # fmt: skip
    assert (told["would_dial_now"], told["changes_at"]) == (False, None)


async def test_explain_says_when_the_last_known_blocker_ends(stage: Stage, a_lead: Lead) -> None:
    await stage.at("2026-11-24T04:00Z")
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))

    told = await stage.get(f"/v1/leads/{lead}/explain")

    assert told["changes_at"] == told["next_attempt_at"] == "2026-11-24T13:00:00.000Z"


async def test_explain_says_yes_when_nothing_is_in_the_way(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())

    told = await stage.get(f"/v1/leads/{lead}/explain")

    assert (told["would_dial_now"], told["blockers"]) == (True, [])


async def test_explain_tells_of_a_day_that_is_full(stage: Stage, a_lead: Lead) -> None:
    await stage.cadence(gaps_s=[0, 60], attempts_per_day=1)
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)

    await verb(stage, lead, "pause")
    await verb(stage, lead, "resume")

    assert (await stage.blockers(lead))["ATTEMPTS_PER_DAY"] is not None


async def test_explain_tells_of_a_number_that_said_stop(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead())
    await stage.post("/v1/opt-outs", {"channel": "sms", "lead_id": lead})

    assert await stage.blockers(lead) == {"LEAD_OPTED_OUT": None, "DNC_INTERNAL": None}


async def test_the_timeline_tells_the_lead_and_its_calls_completely_and_in_order(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)

    timeline = (await stage.get(f"/v1/leads/{lead}/timeline"))["data"]

    log = [event["event_id"] for event in await stage.events() if event["correlation_id"] == lead]
    assert gaps(timeline) == []
    assert {event["event_id"] for event in timeline} == set(log)
    at = [event["recorded_at"] for event in timeline]
    assert at == sorted(at)


async def test_a_rejected_lead_is_explained_also_when_its_campaign_is_gone(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(consent=[]))

    deleted = await stage.api.delete(f"/v1/campaigns/{await stage.campaign()}")

    assert deleted.status == 204
    assert await stage.blockers(lead) == {"LEAD_REJECTED": None}
