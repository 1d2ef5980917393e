"""What `append` promises of sequence numbers, and of the bytes that it writes."""

from collections import Counter
from datetime import datetime, timedelta, timezone

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook import ids
from offhook.db import Database, Tenant
from offhook.events import Log, Story
from offhook.events.catalogue.campaigns import CampaignStarted
from offhook.events.catalogue.leads import LeadDuplicateIgnored
from offhook.events.types import schema

SUBJECTS = 3


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, SUBJECTS - 1), min_size=1, max_size=6), min_size=1, max_size=4))
async def test_sequences_are_gap_free_from_one_however_the_facts_come(
    database: Database, tenant: Tenant, log: Log, appends: list[list[int]]
) -> None:
    subjects = [ids.new() for _ in range(SUBJECTS)]
    told: Counter[int] = Counter()

    for which in appends:
        born = [subjects[n] for n in which if not told[n]]
        facts = [CampaignStarted(subject_id=subjects[n], name="Solar") for n in which]
        async with database.transaction(tenant) as tx:
            events = await log.append(tx, facts, born=born)

        for n, event in zip(which, events, strict=True):
            told[n] += 1
            assert event.sequence == told[n]


async def test_a_subject_that_is_known_cannot_be_born_again(database: Database, tenant: Tenant, log: Log) -> None:
    subject = ids.new()
    fact = CampaignStarted(subject_id=subject, name="Solar")
    async with database.transaction(tenant) as tx:
        await log.append(tx, [fact], born=[subject])

    with pytest.raises(psycopg.errors.UniqueViolation):
        async with database.transaction(tenant) as tx:
            await log.append(tx, [CampaignStarted(subject_id=subject, name="Solar")], born=[subject])

    async with database.transaction(tenant) as tx:
        assert await tx.row("select count(*)::int from event") == (1,)


async def test_facts_that_were_made_in_another_order_ascend_all_the_same_and_their_causes_with_them(
    database: Database, tenant: Tenant, log: Log
) -> None:
    subject = ids.new()
    later = CampaignStarted(subject_id=subject, name="Solar")
    first = CampaignStarted(subject_id=subject, name="Solar")
    caused = CampaignStarted(subject_id=ids.new(), name="Solar", causation=later.id)

    async with database.transaction(tenant) as tx:
        told_first, told_later, told_caused = await log.append(tx, [first, later, caused])

    assert told_first.id == first.id < told_later.id
    assert told_caused.fact.causation == told_later.id


async def test_an_envelope_is_written_in_the_order_of_its_schema_and_its_instants_in_utc(
    database: Database, tenant: Tenant, log: Log
) -> None:
    seen = datetime(2026, 11, 21, 12, 3, 22, 481_999, timezone(timedelta(hours=-5)))
    story = Story(correlation="lead_x", lead=b'{"status":"accepted"}', hidden={"data.phone": "+13125550199"})
    fact = LeadDuplicateIgnored(subject_id=ids.new(), story=story, payload_differs=True, first_seen_at=seen)

    async with database.transaction(tenant) as tx:
        (event,) = await log.append(tx, [fact])

    told = orjson.loads(event.body)
    assert list(told) == schema(LeadDuplicateIgnored)["required"]
    assert told["data"] == {"payload_differs": True, "first_seen_at": "2026-11-21T17:03:22.481Z"}
    assert (told["call"], told["lead"], told["redactions"]) == (None, {"status": "accepted"}, ["data.phone"])


async def test_an_event_is_printed_without_what_it_says_of_a_person(
    database: Database, tenant: Tenant, log: Log
) -> None:
    fact = CampaignStarted(subject_id=ids.new(), name="Solar")

    async with database.transaction(tenant) as tx:
        (event,) = await log.append(tx, [fact])

    assert repr(event) == f"Event({ids.show('evt', fact.id)}, campaign.started)"
