import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.errors import DeadlockDetected

from offhook.db import Tenant
from offhook.leads import Duplicate, LeadIn, Refused, Stored
from offhook.leads.ingest import Raced
from offhook.wiring import House
from tests.journeys.stage import Stage

ALead = Callable[..., LeadIn]
REFS = st.integers(0, 5)
BATCHES = st.lists(st.lists(REFS, max_size=6), min_size=1, max_size=4)


def numbered(ref: int, run: int) -> LeadIn:
    """One of a few leads that a CRM sends again and again; every run of an example has references of its own."""
    return LeadIn.model_validate(
        {
            "client_ref_id": f"{run}/{ref}",
            "contact": {"phone": f"+1{212 + ref}55501{ref:02d}"},
            "consent": [{"channel": "voice", "artificial_voice": True, "given_at": "2026-11-20T15:02:11Z"}],
        }
    )


@pytest.fixture
def loop() -> Any:
    """A loop of the test's own, which a property test drives example by example."""
    with asyncio.Runner() as runner:
        yield runner


async def sent_until_taken(house: House, tenant: Tenant, batch: list[LeadIn]) -> None:
    while True:
        try:
            async with house.database.transaction(tenant) as tx:
                await house.leads.ingest(tx, batch)
            return
        except (Raced, DeadlockDetected):
            continue


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


@pytest.mark.parametrize("at_once", [False, True], ids=["one after the other", "at the same time"])
async def test_however_often_and_in_whatever_batches_references_come_each_is_one_lead_and_one_accepted(
    house: House, sandbox: Tenant, stage: Stage, at_once: bool
) -> None:
    runs: list[set[str]] = []

    async def sent(batches: list[list[int]]) -> None:
        made = [[numbered(ref, len(runs)) for ref in batch] for batch in batches]
        runs.append({lead.client_ref_id for batch in made for lead in batch})
        sending = [sent_until_taken(house, sandbox, batch) for batch in made]
        if at_once:
            await asyncio.gather(*sending)
        else:
            for one in sending:
                await one

    for batches in examples(BATCHES, 25):
        await sent(batches)

    told = [*await stage.events("lead.accepted"), *await stage.events("lead.rejected")]
    assert Counter(event["data"]["client_ref_id"] for event in told) == Counter(ref for run in runs for ref in run)
