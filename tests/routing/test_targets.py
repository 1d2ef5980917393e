"""Targets as their owner keeps them."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.journeys.stage import TRANSFERRED, Stage

from offhook.leads import LeadIn

Lead = Callable[..., LeadIn]


async def test_a_target_that_calls_are_leased_to_is_not_deleted_and_names_them(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=TRANSFERRED))
    await stage.settle()

    refusal = await stage.api.delete(f"/v1/targets/{await stage.target()}")

    (call,) = await stage.calls()
    assert (refusal.status, refusal.json["code"]) == (409, "in_use")
    assert refusal.json["references"] == [call["id"]]


async def test_a_target_whose_calls_are_over_can_be_deleted_and_its_story_stays(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)
    target = await stage.target()

    assert (await stage.api.delete(f"/v1/targets/{target}")).status == 204

    (call,) = await stage.calls()
    decisions = (await stage.get(f"/v1/calls/{call['id']}/decision"))["data"]
    assert {one["target_id"] for one in decisions} == {target}


@pytest.mark.parametrize(
    ("kind", "address", "code"),
    [("did", "12", "bad_did"), ("did", "nobody", "bad_did"), ("sip", "floor@example.com", "bad_sip")],
)
async def test_an_address_that_cannot_ring_is_refused(stage: Stage, kind: str, address: str, code: str) -> None:
    refusal = await stage.post("/v1/targets", {"name": "Floor", "kind": kind, "address": address}, 422)

    assert [fault["code"] for fault in refusal["errors"]] == [code]


async def test_a_change_of_what_somebody_else_changed_is_refused(stage: Stage) -> None:
    target = await stage.target()
    read = await stage.get(f"/v1/targets/{target}")
    await stage.target(slots=9)

    stale = await stage.api.patch(f"/v1/targets/{target}", {"slots": 1}, if_match=f'"{read["version"]}"')

    assert stale.status == 412
    assert (await stage.get(f"/v1/targets/{target}"))["slots"] == 9


async def test_the_decisions_about_a_call_tell_both_times_that_a_human_was_asked_for(
    stage: Stage, a_lead: Lead
) -> None:
    await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)

    (call,) = await stage.calls()
    told: list[dict[str, Any]] = (await stage.get(f"/v1/calls/{call['id']}/decision"))["data"]

    assert [one["purpose"] for one in told] == ["dial", "transfer"]
    assert [event["data"]["decision_id"] for event in await stage.events("transfer.routed")] == [told[1]["id"]]


async def test_a_consumer_whom_nobody_can_take_is_told_of_with_the_reason(stage: Stage, a_lead: Lead) -> None:
    await stage.send(a_lead(phone=TRANSFERRED))
    await stage.settle()

    target = await stage.target(status="paused")
    await stage.passes(hours=1)

    (told,) = await stage.events("transfer.no_capacity")
    assert told["data"]["blockers"] == [f"{target}: paused"]
    assert await stage.count("transfer.bridged") == 0
