"""What a fact sets off: within its transaction, or as a durable job after it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest

from offhook import ids
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.events import After, Event, Log, Within
from offhook.events.catalogue.campaigns import CampaignFact, CampaignPaused, CampaignStarted
from offhook.jobs import Inside, Job, Runner
from offhook.jobs.outcome import Done, Outcome


async def test_a_reaction_within_is_undone_with_its_fact(database: Database, tenant: Tenant, log: Log) -> None:
    log.react([Within(CampaignFact, _refuse)])

    with pytest.raises(RuntimeError, match="refused"):
        async with database.transaction(tenant) as tx:
            await log.append(tx, [_started()])

    async with database.transaction(tenant) as tx:
        assert await tx.rows("select 1 from event") == []


async def test_a_reaction_hears_only_of_its_own_facts_and_tells_what_it_did(
    database: Database, tenant: Tenant, log: Log
) -> None:
    log.react([Within(CampaignPaused, _count)])

    async with database.transaction(tenant) as tx:
        effects = await log.append(tx, [_started(), CampaignPaused(subject_id=ids.new(), name="Solar"), _started()])

    assert effects == Counter(heard=1)


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


async def _count(tx: Tx, events: Sequence[Event]) -> Counter[str]:
    return Counter(heard=len(events))


def _into(done: list[Job]) -> Callable[[Tx, Sequence[Job]], Awaitable[Sequence[Outcome]]]:
    async def run(tx: Tx, jobs: Sequence[Job]) -> list[Outcome]:
        done.extend(jobs)
        return [Done() for _ in jobs]

    return run
