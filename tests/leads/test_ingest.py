import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.errors import DeadlockDetected
from tests.journeys.stage import Stage
from tests.leads.sending import as_json

from offhook import ids
from offhook.db import Tenant
from offhook.leads import LeadIn
from offhook.leads.ingest import Duplicate, Raced, Refused, Stored
from offhook.wiring import House

ALead = Callable[..., LeadIn]
BATCHES = st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=4)
"""References, of which there are few, in batches."""

AREA_CODES = (212, 215, 305, 404, 516, 585, 617, 704, 718, 803)
_runs = itertools.count()


def leads_of(batches: list[list[int]]) -> list[list[LeadIn]]:
    """The leads of these references; every run has references and numbers of its own."""
    run = next(_runs)
    return [[lead_of(run, ref) for ref in batch] for batch in batches]


def lead_of(run: int, ref: int) -> LeadIn:
    n = run * 6 + ref
    return LeadIn.model_validate(
        {
            "client_ref_id": f"{run}/{ref}",
            "contact": {"phone": f"+1{AREA_CODES[n // 100 % 10]}55501{n % 100:02d}"},
            "consent": [{"channel": "voice", "artificial_voice": True, "given_at": "2026-11-20T15:02:11Z"}],
        }
    )


async def sent_until_taken(house: House, tenant: Tenant, batch: list[LeadIn]) -> None:
    """As the API sends a batch that lost a race: again, but not for ever."""
    for _ in range(20):
        with suppress(Raced, DeadlockDetected):
            async with house.database.transaction(tenant) as tx:
                await house.leads.ingest(tx, batch)
            return
    raise AssertionError("the batch lost twenty races")


async def test_a_lead_sent_twice_is_one_lead_and_the_first_one_stands(ingest: Any, a_lead: ALead) -> None:
    lead = a_lead(client_ref_id="LD-1")

    (first,) = await ingest(lead)
    (again,) = await ingest(lead)

    assert isinstance(first, Stored)
    assert isinstance(again, Duplicate)
    assert again.body == {**first.body, "duplicate": True}


async def test_another_payload_under_a_known_reference_changes_nothing_and_is_told(
    ingest: Any, a_lead: ALead, stage: Stage
) -> None:
    (first,) = await ingest(a_lead(client_ref_id="LD-1", phone="+12125550101"))

    (again,) = await ingest(a_lead(client_ref_id="LD-1", phone="+12125550102"))

    assert again.body["payload_differs"] is True
    assert (await stage.lead(first.body["id"]))["contact"]["phone"] == "+12125550101"
    (told,) = await stage.events("lead.duplicate_ignored")
    assert told["data"]["payload_differs"] is True


async def test_a_reference_repeated_within_a_batch_is_a_duplicate_of_its_first(ingest: Any, a_lead: ALead) -> None:
    lead = a_lead(client_ref_id="LD-1")

    first, again, other = await ingest(lead, lead, a_lead(client_ref_id="LD-2"))

    assert again.body == {**first.body, "duplicate": True}
    assert other.body["duplicate"] is False


async def accepted(stage: Stage) -> Counter[str]:
    """How often each reference was announced as accepted."""
    return Counter(event["data"]["client_ref_id"] for event in await stage.events("lead.accepted"))


@given(BATCHES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_in_whatever_batches_references_come_each_is_one_lead_and_one_accepted(
    house: House, sandbox: Tenant, stage: Stage, batches: list[list[int]]
) -> None:
    before, leads = await accepted(stage), leads_of(batches)

    for batch in leads:
        await sent_until_taken(house, sandbox, batch)

    refs = {lead.client_ref_id for batch in leads for lead in batch}
    assert await accepted(stage) - before == Counter(refs)


@given(BATCHES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_batches_that_race_for_the_same_references_make_each_one_lead_and_one_accepted(
    house: House, sandbox: Tenant, stage: Stage, batches: list[list[int]]
) -> None:
    before, leads = await accepted(stage), leads_of(batches)

    await asyncio.gather(*(sent_until_taken(house, sandbox, batch) for batch in leads))

    refs = {lead.client_ref_id for batch in leads for lead in batch}
    assert await accepted(stage) - before == Counter(refs)


async def test_requests_that_race_for_one_reference_are_answered_with_the_same_lead(api: Any, a_lead: ALead) -> None:
    lead = as_json(a_lead())

    answers = await asyncio.gather(*(api.post("/v1/leads", lead) for _ in range(20)))

    assert Counter(answer.status for answer in answers) == {201: 1, 200: 19}
    assert len({answer.json["id"] for answer in answers}) == 1


async def test_a_number_that_nobody_can_have_is_refused_and_nothing_is_stored(api: Any, stage: Stage) -> None:
    for phone in ("+1312555", "call me", "+13121550199"):
        answer = await api.post("/v1/leads", {"client_ref_id": "LD-1", "contact": {"phone": phone}})
        assert (answer.status, answer.json["code"]) == (422, "invalid_phone")

    assert (await stage.get("/v1/leads"))["data"] == []
    assert (await api.get("/v1/leads/ext:LD-1")).status == 404


async def test_a_refused_number_does_not_use_up_its_reference(api: Any, a_lead: ALead) -> None:
    lead = as_json(a_lead(client_ref_id="LD-1"))

    await api.post("/v1/leads", {**lead, "contact": {"phone": "+1312555"}})

    assert (await api.post("/v1/leads", lead)).status == 201


async def test_a_lead_with_a_refused_number_does_not_stop_its_batch(ingest: Any, a_lead: ALead) -> None:
    good, bad, other = await ingest(a_lead(), a_lead(phone="+1312555"), a_lead())

    assert isinstance(bad, Refused)
    assert [type(good), type(other)] == [Stored, Stored]


async def test_the_owner_and_a_stranger_may_use_the_same_reference(
    house: House, sandbox: Tenant, ingest: Any, a_lead: ALead
) -> None:
    stranger = Tenant(ids.read("ws", (await house.new_workspace("Stranger")).workspace_id), "sandbox")
    lead = a_lead()

    (ours,), (theirs,) = await ingest(lead), await ingest(lead, tenant=stranger)

    assert isinstance(theirs, Stored)
    assert ours.body["id"] != theirs.body["id"]
