"""What a fact sets off: within its transaction, or as a durable job after it."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest

from offhook import ids
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.events import Event, Fact, Log
from offhook.events.catalogue.campaigns import CampaignCancelled, CampaignFact, CampaignPaused, CampaignStarted
from offhook.events.reactions import After, Entails, Within
from offhook.jobs import Inside, Job, Runner
from offhook.jobs.outcome import Done, Outcome


async def test_a_reaction_within_is_undone_with_its_fact(database: Database, tenant: Tenant, log: Log) -> None:
    log.react([Within(CampaignFact, _refuse)])

    with pytest.raises(RuntimeError, match="refused"):
        async with database.transaction(tenant) as tx:
            await log.append(tx, [_started()])

    async with database.transaction(tenant) as tx:
        assert await tx.rows("select 1 from event") == []


async def test_a_reaction_hears_only_of_its_own_facts(database: Database, tenant: Tenant, log: Log) -> None:
    heard: list[Event] = []
    log.react([Within(CampaignPaused, _note(heard))])
    paused = CampaignPaused(subject_id=ids.new(), name="Solar")

    async with database.transaction(tenant) as tx:
        await log.append(tx, [_started(), paused, _started()])

    assert [event.fact for event in heard] == [paused]


async def test_what_a_fact_entails_joins_its_append_and_may_entail_more(
    database: Database, tenant: Tenant, log: Log
) -> None:
    log.react([Entails(CampaignStarted, _paused_as_caused), Entails(CampaignPaused, _cancelled_as_caused)])
    started = _started()

    async with database.transaction(tenant) as tx:
        events = await log.append(tx, [started])

    assert [event.fact.type for event in events] == ["campaign.started", "campaign.paused", "campaign.cancelled"]
    assert [event.sequence for event in events] == [1, 2, 3]
    assert [event.fact.causation for event in events] == [None, *(event.id for event in events[:2])]


async def test_what_is_told_within_includes_what_was_entailed(database: Database, tenant: Tenant, log: Log) -> None:
    heard: list[Event] = []
    log.react([Within(CampaignFact, _note(heard)), Entails(CampaignStarted, _paused_as_caused)])

    async with database.transaction(tenant) as tx:
        events = await log.append(tx, [_started()])

    assert heard == events


async def test_a_reaction_after_is_a_durable_job_that_knows_its_event(
    database: Database, tenant: Tenant, log: Log, wakeups: Wakeups
) -> None:
    log.react([After(CampaignStarted, "test.after")])
    done: list[Job] = []
    fact = _started()

    async with database.transaction(tenant) as tx:
        await log.append(tx, [fact])
    await Runner(database, wakeups, {"test.after": Inside(_into(done))}).drain(tenant)

    assert [job.args["subject"] for job in done] == [fact.subject_id.hex]


async def test_a_fact_that_was_rolled_back_sets_off_nothing_afterwards(
    database: Database, tenant: Tenant, log: Log, wakeups: Wakeups
) -> None:
    log.react([After(CampaignStarted, "test.after")])
    done: list[Job] = []

    with suppress(_ChangedMind):
        async with database.transaction(tenant) as tx:
            await log.append(tx, [_started()])
            raise _ChangedMind
    await Runner(database, wakeups, {"test.after": Inside(_into(done))}).drain(tenant)

    assert done == []


class _ChangedMind(Exception):
    """The transaction thinks better of it."""


def _started() -> CampaignStarted:
    return CampaignStarted(subject_id=ids.new(), name="Solar")


async def _refuse(tx: Tx, events: Sequence[Event]) -> None:
    raise RuntimeError("refused")


def _note(heard: list[Event]) -> Callable[[Tx, Sequence[Event]], Awaitable[None]]:
    async def act(tx: Tx, events: Sequence[Event]) -> None:
        heard.extend(events)

    return act


async def _paused_as_caused(tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
    return [CampaignPaused(subject_id=fact.subject_id, name="Solar", causation=fact.id) for fact in facts]


async def _cancelled_as_caused(tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
    return [CampaignCancelled(subject_id=fact.subject_id, name="Solar", causation=fact.id) for fact in facts]


def _into(done: list[Job]) -> Callable[[Tx, Sequence[Job]], Awaitable[Sequence[Outcome]]]:
    async def run(tx: Tx, jobs: Sequence[Job]) -> list[Outcome]:
        done.extend(jobs)
        return [Done() for _ in jobs]

    return run
