"""Bulk work in the whole house: the virtual clock runs it, the API describes it, and a reset forgets it."""

from typing import Any

from tests.journeys.stage import Stage, stage
from tests.webhooks.conftest import Receiver

__all__ = ["stage"]


async def begun(stage: Stage, receiver: Receiver, a_lead: Any) -> Any:
    """A replay of three missing events, one in a second."""
    since = (await stage.now()).isoformat()
    await stage.send(a_lead(), a_lead(), a_lead())
    told = await stage.post("/v1/webhook-endpoints", {"url": receiver.url, "events": ["lead.accepted"]})
    body = {"filter": {"endpoint": told["id"], "from": since}, "missing": True, "rate_per_s": 1}
    return await stage.post("/v1/replays", body)


async def test_the_virtual_clock_runs_a_replay_at_its_rate(stage: Stage, receiver: Receiver, a_lead: Any) -> None:
    replay = await begun(stage, receiver, a_lead)

    await stage.passes(seconds=1.5)
    half_way = await stage.get(f"/v1/replays/{replay['id']}")
    await stage.passes(seconds=3)
    ended = await stage.get(f"/v1/replays/{replay['id']}")

    assert (replay["total"], half_way["opened"], half_way["status"]) == (3, 2, "running")
    assert (ended["opened"], ended["status"]) == (3, "done")
    assert len(receiver.received) == 3


async def test_a_reset_forgets_replays_and_what_they_had_to_do(stage: Stage, receiver: Receiver, a_lead: Any) -> None:
    replay = await begun(stage, receiver, a_lead)

    await stage.post("/v1/sandbox/reset", {"now": "2026-11-23T15:00:00Z"})
    await stage.passes(seconds=10)

    assert (await stage.get("/v1/replays"))["data"] == []
    assert (await stage.api.get(f"/v1/replays/{replay['id']}")).status == 404
    assert receiver.received == []


async def test_the_api_describes_bulk_work(stage: Stage) -> None:
    paths = (await stage.get("/openapi.json"))["paths"]

    for plural in ("replays", "cancellations"):
        assert set(paths[f"/v1/{plural}"]) == {"get", "post"}
        assert set(paths[f"/v1/{plural}/{{id}}"]) == {"get"}
        assert {f"/v1/{plural}/{{id}}/{verb}" for verb in ("pause", "resume", "cancel")} <= paths.keys()
    asked = {one.get("name") for one in paths["/v1/dead-letters"]["get"]["parameters"]}
    assert {"reason", "cause", "from", "to", "died_from", "died_to"} <= asked
