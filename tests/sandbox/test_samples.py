"""`POST /v1/sandbox/events`: an event of any type, made up, told like every other."""

from collections.abc import Callable
from typing import Any

from tests.journeys.stage import TRANSFERRED, Stage, stage

from offhook.events.types import every_type
from offhook.leads import LeadIn

__all__ = ["stage"]

Lead = Callable[..., LeadIn]
PATH = "/v1/sandbox/events"


async def test_a_sample_stands_in_the_log_as_it_was_answered(stage: Stage) -> None:
    made = await stage.post(PATH, {"type": "call.ended"}, 201)

    assert await stage.get(made["see"]) == made["event"]
    assert await stage.events() == [made["event"]]
    assert (made["event_id"], made["event"]["test"]) == (made["event"]["event_id"], True)


async def test_a_sample_happens_now_on_the_sandboxs_clock(stage: Stage) -> None:
    await stage.at("2026-03-02T15:00:00Z")

    made = await stage.post(PATH, {"type": "call.ended"}, 201)

    assert made["event"]["occurred_at"].startswith("2026-03-02T15:00:0")
    assert made["event"]["call"]["ended_at"] == made["event"]["occurred_at"]


async def test_every_endpoint_that_listens_is_told_of_a_sample(stage: Stage) -> None:
    for events in (["call.*"], ["lead.*"], ["*"]):
        await stage.post("/v1/webhook-endpoints", {"url": "http://127.0.0.1:8499/", "events": events}, 201)

    made = await stage.post(PATH, {"type": "call.ended"}, 201)

    told = [one["event_id"] for one in (await stage.get("/v1/deliveries"))["data"]]
    assert told.count(made["event_id"]) == 2


async def test_nothing_comes_of_samples(stage: Stage) -> None:
    for type in every_type():
        await stage.post(PATH, {"type": type}, 201)

    await stage.passes(days=2)

    assert [event["type"] for event in await stage.events()] == [*every_type()]


async def test_a_sample_has_the_fields_that_a_real_one_has(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=TRANSFERRED, visitor={"utm_source": "google"}))
    await stage.passes(hours=1)
    real = {event["type"]: event for event in await stage.events()}

    for type in real:
        made = (await stage.post(PATH, {"type": type}, 201))["event"]
        assert shape(made) == shape(real[type]), type


def shape(event: dict[str, Any]) -> dict[str, Any]:
    """Which fields it has, and what moved in it."""
    moved = event["transition"] or {}
    parts = {name: sorted(event[name] or {}) for name in ("data", "call", "lead")}
    return {**parts, "visitor": bool(event["visitor"]), "moved": {**moved, "from": None}, "masked": event["redactions"]}


async def test_an_unknown_type_is_answered_with_the_one_meant(stage: Stage) -> None:
    refusal = await stage.post(PATH, {"type": "call.endd"}, 422)

    assert (refusal["code"], refusal["param"]) == ("unknown_event_type", "type")
    assert "Did you mean call.ended?" in refusal["detail"]


async def test_the_same_key_makes_one_sample(stage: Stage) -> None:
    first = await stage.post(PATH, {"type": "call.ended"}, 201, idempotency_key="k")
    again = await stage.post(PATH, {"type": "call.ended"}, 201, idempotency_key="k")

    assert first == again
    assert len(await stage.events()) == 1
