"""One lead's whole story, from the CRM to the sales floor and back, in milliseconds."""

import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.journeys.crm import Crm, listening
from tests.journeys.invariants import broken, contacts_after_stop, gaps
from tests.journeys.stage import ASKS_TO_STOP, NO_ANSWER, NOT_QUALIFIED, TRANSFERRED, Stage

from offhook.leads import LeadIn

Lead = Callable[..., LeadIn]
WHOLE_CALL = [
    "call.started", "call.placed", "call.ringing", "call.answered", "call.voice_detected", "call.disposition_set",
    "call.qualification_threshold_met", "transfer.initiated", "transfer.routed", "transfer.reserved", "transfer.ringing",
    "transfer.bridged", "transfer.completed", "transfer.ended", "transfer.released", "call.ended", "call.finalized",
]  # fmt: skip
WHOLE_LEAD = [
    "lead.accepted", "lead.cadence_started", "lead.scheduled", "lead.qualified", "lead.attempted", "lead.cadence_completed",
]  # fmt: skip


@pytest.fixture
async def crm(stage: Stage) -> AsyncIterator[Crm]:
    """A CRM that is told of leads, calls and transfers."""
    async with listening(stage, "lead.*", "call.*", "transfer.*") as crm:
        yield crm


@pytest.fixture
def garbage() -> Iterator[Callable[[], Counter[str]]]:
    """What of ours only the collector would have freed, by type. It stops a process for as long as there is much of it."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)

    def found() -> Counter[str]:
        gc.collect()
        kinds = [f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage]
        return Counter(kind for kind in kinds if kind.startswith("offhook."))

    yield found
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


async def said_to(stage: Stage) -> list[dict[str, Any]]:
    """All that the CRM should know."""
    return [event for event in await stage.events() if event["subject"]["type"] in ("lead", "call")]


async def test_a_lead_is_called_qualified_and_handed_over_and_the_crm_hears_every_step(
    stage: Stage, a_lead: Lead, crm: Crm
) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))

    await stage.passes(hours=1)

    (call,) = await stage.calls(lead)
    assert crm.types(call["id"]) == WHOLE_CALL
    assert crm.types(lead) == WHOLE_LEAD
    assert broken(await stage.events(), stage.phones, slots=5, cap=5) == {}


async def test_what_the_crm_hears_is_what_the_log_holds(stage: Stage, a_lead: Lead, crm: Crm) -> None:
    await stage.send(a_lead(phone=TRANSFERRED), a_lead(phone=NO_ANSWER))

    await stage.passes(days=2)

    assert crm.told == {event["event_id"]: event for event in await said_to(stage)}


async def test_ten_minutes_of_a_crm_that_is_down_lose_nothing(stage: Stage, a_lead: Lead, crm: Crm) -> None:
    crm.down = True
    await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(minutes=10)
    assert (crm.told, crm.requests > 0) == ({}, True)

    crm.down = False
    await stage.passes(hours=2)

    assert crm.told.keys() == {event["event_id"] for event in await said_to(stage)}
    assert gaps(sorted(crm.told.values(), key=lambda event: event["sequence"])) == []


async def test_a_sale_that_the_crm_posts_back_ends_the_story(stage: Stage, a_lead: Lead, crm: Crm) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)

    await stage.post("/v1/postbacks", {"type": "conversion", "lead_id": lead, "external_ref": "SALE-1"}, 201)
    await stage.passes(days=5)

    assert crm.types(lead)[-2:] == ["lead.converted", "lead.cadence_completed"]
    assert len(await stage.calls(lead)) == 1


async def test_a_sold_lead_that_comes_back_is_called_again(stage: Stage, a_lead: Lead, crm: Crm) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)
    await stage.post("/v1/postbacks", {"type": "conversion", "lead_id": lead})

    await stage.post("/v1/postbacks", {"type": "reconnect", "lead_id": lead, "data": {"reopen": True}})
    await stage.passes(hours=1)

    assert [crm.types(call["id"]) for call in await stage.calls(lead)] == [WHOLE_CALL, WHOLE_CALL]
    assert contacts_after_stop(await stage.events()) == []


async def test_a_word_of_do_not_call_is_the_last_that_happens(stage: Stage, a_lead: Lead, crm: Crm) -> None:
    (lead,) = await stage.send(a_lead(phone=NO_ANSWER))
    await stage.passes(minutes=5)

    await stage.post("/v1/postbacks", {"type": "dnc", "lead_id": lead})
    await stage.passes(days=5)

    assert crm.types(lead)[-2:] == ["lead.dnc_added", "lead.cadence_completed"]
    assert (await stage.post("/v1/postbacks", {"type": "reconnect", "lead_id": lead}, 409))["code"] == "suppressed"
    assert contacts_after_stop(await stage.events()) == []


async def test_an_erased_lead_is_forgotten_and_the_crm_is_told_so(stage: Stage, a_lead: Lead, crm: Crm) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(hours=1)

    erased = await stage.post(f"/v1/leads/{lead}/erase", status=200)
    await stage.passes(hours=1)

    assert crm.types(lead)[-1] == "lead.erased"
    shown = await stage.lead(lead)
    assert (shown["status"], shown["contact"], shown["client_ref_id"]) == ("erased", None, None)
    assert erased["receipt"]["id"].startswith("rcp_")


async def test_an_erasure_during_the_call_waits_for_its_end(stage: Stage, a_lead: Lead, crm: Crm) -> None:
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(minutes=1)

    pending = await stage.post(f"/v1/leads/{lead}/erase", status=202)
    await stage.passes(minutes=1)

    assert pending["status"] == "pending"
    assert await stage.status(lead) == "erased"
    assert crm.types(lead)[-1] == "lead.erased"


async def test_what_still_waits_for_the_crm_when_a_person_is_erased_arrives_as_tombstones(
    stage: Stage, a_lead: Lead, crm: Crm
) -> None:
    crm.down = True
    (lead,) = await stage.send(a_lead(phone=TRANSFERRED))
    await stage.passes(minutes=10)
    known = {event["event_id"] for event in await said_to(stage)}

    await stage.post(f"/v1/leads/{lead}/erase", status=200)
    crm.down = False
    await stage.passes(hours=2)

    assert crm.tombstones() == known
    assert {str(crm.told[id]["data"]) for id in known} == {"{'erased': True}"}


async def test_an_erased_person_who_comes_again_is_the_same_reference_and_is_not_revived(
    stage: Stage, a_lead: Lead
) -> None:
    body = a_lead(phone=TRANSFERRED)
    (lead,) = await stage.send(body)
    await stage.post(f"/v1/leads/{lead}/erase")

    again = await stage.post("/v1/leads", body.model_dump(mode="json"), 200)
    await stage.passes(days=2)

    assert (again["duplicate"], again["status"], again["id"]) == (True, "erased", lead)
    assert await stage.calls() == []


@pytest.mark.parametrize(
    ("phone", "story"),
    [
        (TRANSFERRED, {"lead.accepted": {"lead.cadence_started", "lead.scheduled"},
                       "call.qualification_threshold_met": {"lead.qualified"},
                       "call.ended": {"lead.attempted", "lead.cadence_completed"}}),
        (NOT_QUALIFIED, {"lead.accepted": {"lead.cadence_started", "lead.scheduled"},
                         "call.ended": {"lead.attempted", "lead.disqualified", "lead.cadence_completed"}}),
        (NO_ANSWER, {"lead.accepted": {"lead.cadence_started", "lead.scheduled"},
                     "call.ended": {"lead.attempted", "lead.scheduled", "lead.cadence_completed"}}),
        (ASKS_TO_STOP, {"lead.accepted": {"lead.cadence_started", "lead.scheduled"},
                        "call.opt_out_detected": {"suppression.added", "lead.opted_out"},
                        "call.ended": {"lead.attempted"}}),
    ],
)  # fmt: skip
async def test_what_a_fact_entails_names_it_as_its_cause(
    stage: Stage, a_lead: Lead, phone: str, story: dict[str, set[str]]
) -> None:
    await stage.send(a_lead(phone=phone))

    await stage.passes(days=15)

    events = await stage.events()
    types = {event["event_id"]: event["type"] for event in events}
    told: dict[str, set[str]] = {}
    for event in events:
        if event["subject"]["type"] in ("lead", "suppression") and event["type"] != "lead.accepted":
            told.setdefault(types[event["causation_id"]], set()).add(event["type"])
    assert told == story


async def test_a_busy_process_leaves_the_garbage_collector_nothing_of_ours(
    stage: Stage, a_lead: Lead, crm: Crm, garbage: Callable[[], Counter[str]]
) -> None:
    await stage.send(a_lead(phone=TRANSFERRED), a_lead(phone=NO_ANSWER))
    await stage.passes(days=2)

    assert garbage() == {}
