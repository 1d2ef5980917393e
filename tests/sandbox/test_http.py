"""The pretend world as its owner uses it, over HTTP."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.journeys.stage import TRANSFERRED, Stage, stage

from offhook.db import Tenant
from offhook.leads import LeadIn
from offhook.sandbox.scenes import SCENES
from offhook.serve import serve, taking_port
from offhook.wiring import Credentials

__all__ = ["stage"]

Lead = Callable[..., LeadIn]
CLOCK = "/v1/sandbox/clock"


@asynccontextmanager
async def listening(stage: Stage) -> AsyncIterator[str]:
    """The house at a port of its own; its URL."""
    ready = asyncio.Event()
    with taking_port("127.0.0.1", 0) as port:
        server = asyncio.create_task(serve(stage.house.app, port, ready.set, stage.house.streams.end))
        await ready.wait()
        try:
            yield f"http://127.0.0.1:{port.getsockname()[1]}"
        finally:
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)


async def inbox(stage: Stage) -> list[dict[str, Any]]:
    return list((await stage.get("/v1/sandbox/inbox?limit=1000"))["data"])


async def test_the_clock_tells_the_time_and_what_comes_next(stage: Stage, a_lead: Lead) -> None:
    await stage.at("2026-11-24T04:00:00Z")
    await stage.send(a_lead())

    told = await stage.get(CLOCK)

    assert told["now"].startswith("2026-11-24T04:00:0")
    assert told["next_due_at"] == "2026-11-24T13:00:00.000Z"


async def test_an_advance_by_seconds_runs_all_that_falls_due(stage: Stage, a_lead: Lead) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))

    told = await stage.post(f"{CLOCK}/advance", {"seconds": 3600}, 200)

    assert told["steps"] > 5
    assert told["now"].startswith("2026-11-23T16:00")
    assert await stage.status(lead) == "qualified"


async def test_the_same_key_moves_the_clock_once(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=TRANSFERRED))
    hour = {"seconds": 3600}

    first = await stage.post(f"{CLOCK}/advance", hour, 200, idempotency_key="k")
    again = await stage.post(f"{CLOCK}/advance", hour, 200, idempotency_key="k")
    other = await stage.post(f"{CLOCK}/advance", {"seconds": 60}, 422, idempotency_key="k")

    assert first["now"].startswith("2026-11-23T16:00")
    assert (again["now"][:16], again["steps"]) == (first["now"][:16], 0)
    assert other["code"] == "idempotency_mismatch"


async def test_a_key_whose_advance_broke_off_goes_on_to_the_same_goal(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=TRANSFERRED))
    stage.house.clock.budget_s = 0
    await stage.post(f"{CLOCK}/advance", {"seconds": 3600}, 202, idempotency_key="k")
    stage.house.clock.budget_s = 60

    again = await stage.post(f"{CLOCK}/advance", {"seconds": 3600}, 200, idempotency_key="k")

    assert again["now"].startswith("2026-11-23T16:00")


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"seconds": 1, "to": "2026-11-24T00:00:00Z"},
        {"seconds": -1},
        {"to": "2026-11-24T00:00:00"},
        {"to": "2026-11-23T14:00:00Z"},
        {"to": "2030-01-01T00:00:00Z"},
    ],
)
async def test_time_only_goes_forward_and_not_too_far(stage: Stage, wish: dict[str, Any]) -> None:
    before = await stage.now()

    await stage.post(f"{CLOCK}/advance", wish, 422)

    assert await stage.now() - before < timedelta(minutes=1)


async def test_an_advance_that_takes_long_goes_on_as_a_job(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=TRANSFERRED))
    stage.house.clock.budget_s = 0

    told = await stage.post(f"{CLOCK}/advance", {"seconds": 86400}, 202)
    await stage.house.runner.drain(Tenant(stage.tenant.workspace, "live"))

    job = await stage.get(f"/v1/jobs/{told['job_id']}")
    assert (job["status"], job["result"]["now"][:16]) == ("done", "2026-11-24T15:00")
    assert await stage.count("call.ended") == 1


async def test_another_advance_may_come_while_one_goes_on_as_a_job(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=TRANSFERRED))
    stage.house.clock.budget_s = 0
    await stage.post(f"{CLOCK}/advance", {"seconds": 86400}, 202)
    stage.house.clock.budget_s = 60

    told = await stage.post(f"{CLOCK}/advance", {"seconds": 7200}, 200)
    await stage.house.runner.drain(Tenant(stage.tenant.workspace, "live"))

    assert told["now"] < "2026-11-23T18"
    assert (await stage.get(CLOCK))["now"] >= "2026-11-24T15"


async def test_a_reset_goes_back_in_time_and_forgets_everything_that_happened(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(days=2)

    await stage.post("/v1/sandbox/reset", {"now": "2026-03-02T15:00:00Z"})

    assert (await stage.get(CLOCK))["now"].startswith("2026-03-02T15:00:0")
    assert [await stage.get(path) for path in ("/v1/leads", "/v1/calls", "/v1/events", "/v1/suppressions")] == [
        {"object": "list", "data": [], "has_more": False, "next_cursor": None}
    ] * 4


async def test_a_reset_keeps_what_was_set_up_and_the_same_lead_may_come_again(stage: Stage, a_lead: Lead) -> None:
    body = a_lead(phone=TRANSFERRED)
    await stage.send(body)
    await stage.settle()

    await stage.post("/v1/sandbox/reset", {"now": "2026-03-02T15:00:00Z"})
    (lead,) = await stage.send(body)
    await stage.passes(hours=1)

    assert await stage.status(lead) == "qualified"
    assert (await stage.get(f"/v1/targets/{await stage.target()}"))["slots"] == 5


async def test_synthetic_leads_go_as_their_mix_says(stage: Stage) -> None:
    made = await stage.post("/v1/sandbox/leads", {"count": 12, "mix": {"busy": 1}}, 201)

    await stage.passes(minutes=10)

    assert [lead["preflight"]["decision"] for lead in made["data"]].count("reject") == 0
    assert {event["data"]["end_reason"] for event in await stage.events("call.ended")} == {"busy"}


async def test_a_thousand_synthetic_leads_have_a_number_each(stage: Stage) -> None:
    made = [await stage.post("/v1/sandbox/leads", {"count": count}, 201) for count in (700, 300)]

    codes = Counter(code for page in made for lead in page["data"] for code in lead["preflight"]["codes"])
    assert "DUPLICATE_PHONE" not in codes


async def test_an_outcome_that_there_is_none_is_refused_with_those_that_there_are(stage: Stage) -> None:
    refusal = await stage.post("/v1/sandbox/leads", {"mix": {"sings": 1}}, 422)

    assert "transferred" in refusal["errors"][0]["detail"]


@pytest.mark.parametrize("scene", SCENES)
async def test_a_scene_happens_as_it_says(stage: Stage, scene: str) -> None:
    await stage.at("2026-11-23T19:00:00Z")
    made = await stage.post(f"/v1/sandbox/simulate/{scene}", status=201)

    await stage.passes(minutes=20)

    told = {event["type"] for event in await stage.events() if event["correlation_id"] == made["lead"]["id"]}
    assert SHOWN[scene] in told


SHOWN = {
    "transfer": "transfer.bridged",
    "opt_out": "call.opt_out_detected",
    "answer": "lead.disqualified",
    "hang_up": "call.voice_detected",
    "voicemail": "call.voicemail_detected",
    "busy": "call.busy",
    "no_answer": "call.no_answer",
    "provider_error": "call.error",
    "target_declines": "transfer.declined",
}


async def test_a_scene_can_be_played_many_times(stage: Stage) -> None:
    made = [await stage.post("/v1/sandbox/simulate/busy", status=201) for _ in range(40)]

    assert {one["lead"]["preflight"]["decision"] for one in made} <= {"accept", "hold"}


async def test_a_scene_that_there_is_none_is_not_found(stage: Stage) -> None:
    refusal = await stage.post("/v1/sandbox/simulate/earthquake", status=404)

    assert "transfer" in refusal["detail"]


async def test_the_inbox_shows_what_an_endpoint_was_sent_with_its_signature_verified(
    stage: Stage, a_lead: Lead, acme: Credentials
) -> None:
    async with listening(stage) as url:
        await stage.post(
            "/v1/webhook-endpoints", {"url": f"{url}/inbox/{acme.workspace_id}", "events": ["lead.*"]}, 201
        )
        await stage.send(a_lead(phone=TRANSFERRED))
        await stage.passes(minutes=10)

    messages = await inbox(stage)
    events = await stage.events("lead.*")
    assert {message["webhook_id"] for message in messages} == {event["event_id"] for event in events}
    assert {message["verified"] for message in messages} == {True}


async def test_the_inbox_takes_nothing_that_no_endpoint_signed(stage: Stage, acme: Credentials) -> None:
    headers = {"webhook_id": "evt_1", "webhook_timestamp": "1", "webhook_signature": "v1,AAAA"}

    refusal = await stage.api.post(f"/inbox/{acme.workspace_id}", {"type": "lead.accepted"}, **headers)

    assert (refusal.status, refusal.json["code"]) == (403, "bad_signature")
    assert await inbox(stage) == []


async def test_the_inbox_forgets_whom_the_house_forgets(stage: Stage, a_lead: Lead, acme: Credentials) -> None:
    async with listening(stage) as url:
        await stage.post(
            "/v1/webhook-endpoints", {"url": f"{url}/inbox/{acme.workspace_id}", "events": ["lead.*"]}, 201
        )
        (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
        await stage.settle()
        await stage.post(f"/v1/leads/{lead}/erase")
        await stage.passes(minutes=5)

    told = [message["body"] for message in await inbox(stage) if message["erased"]]
    assert told
    assert set(told) == {None}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CLOCK),
        ("POST", f"{CLOCK}/advance"),
        ("POST", "/v1/sandbox/reset"),
        ("POST", "/v1/sandbox/leads"),
        ("GET", "/v1/sandbox/scenes"),
        ("POST", "/v1/sandbox/simulate/busy"),
        ("POST", "/v1/sandbox/events"),
        ("GET", "/v1/sandbox/inbox"),
    ],
)
async def test_a_live_key_is_refused(stage: Stage, acme: Credentials, client_of: Any, method: str, path: str) -> None:
    live = client_of(stage.house.app, acme.live_key)
    body = {"advance": {"seconds": 1}, "reset": {"now": "2026-01-01T00:00:00Z"}, "events": {"type": "call.ended"}}

    refusal = await live.request(method, path, body.get(path.rpartition("/")[2], {}) if method == "POST" else None)

    assert (refusal.status, refusal.json["code"]) == (403, "live_key")
