"""Upkeep: the house can always write, and what fails keeps nothing else from being done."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from offhook.db import Database, EngineTx
from offhook.upkeep import PARTITIONS_AHEAD_DAYS, Upkeep


class Chores:
    """Purges and a chore, each of which is told when it was done."""

    def __init__(self) -> None:
        self.left = 7
        self.rounds: list[EngineTx] = []
        self.done = asyncio.Event()

    async def three_at_once(self, tx: EngineTx) -> int:
        self.rounds.append(tx)
        gone = min(3, self.left)
        self.left -= gone
        return gone

    async def too_slow(self, tx: EngineTx) -> int:
        await tx.run("set local statement_timeout = '20ms'")
        return await tx.count("select pg_sleep(10)")

    async def broken(self, tx: EngineTx) -> int:
        return await tx.count("select 1 / 0")

    async def unforeseen(self) -> None:
        raise RuntimeError("the secret of Michael, +13125550199")

    async def last(self) -> None:
        self.done.set()


@pytest.fixture
def chores() -> Chores:
    return Chores()


def is_prepared(database_url: str) -> bool:
    """Whether the last of the coming days is there."""
    day = (datetime.now(UTC) + timedelta(days=PARTITIONS_AHEAD_DAYS)).strftime("%Y%m%d")
    parents = ("event", "rendering", "delivery", "try")
    with psycopg.connect(database_url) as owner:
        row = owner.execute(
            "select bool_and(to_regclass(one) is not null) from unnest(%b::text[]) one",
            [[f"{parent}_{day}" for parent in parents]],
        ).fetchone()
    assert row
    return bool(row[0])


async def test_the_coming_days_are_made_whatever_else_fails_and_the_rest_is_done(
    database: Database, database_url: str, chores: Chores
) -> None:
    assert not is_prepared(database_url)

    purges = [chores.too_slow, chores.broken, chores.three_at_once]
    await Upkeep(database, purges, [chores.unforeseen, chores.last]).once()

    assert is_prepared(database_url)
    assert (chores.left, chores.done.is_set()) == (0, True)


async def test_what_is_much_is_forgotten_little_by_little_each_in_its_own_transaction(
    database: Database, chores: Chores
) -> None:
    await Upkeep(database, [chores.three_at_once]).once()

    assert chores.left == 0
    assert len({id(tx) for tx in chores.rounds}) == 4


async def test_no_failure_ends_the_loop(database: Database, chores: Chores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.upkeep.EVERY_S", 0.01)

    running = asyncio.create_task(Upkeep(database, [chores.broken], [chores.unforeseen, chores.last]).run())
    for _ in range(2):
        chores.done.clear()
        await asyncio.wait_for(chores.done.wait(), 10)

    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_house_can_be_started_though_a_lock_is_in_the_way_of_the_coming_days(
    database: Database, database_url: str, chores: Chores
) -> None:
    upkeep = Upkeep(database, [chores.three_at_once])
    async with database.engine() as reader:
        await reader.row("select 1 from event limit 1")

        await upkeep.prepare()

    assert not is_prepared(database_url)
    assert chores.rounds == []
    await upkeep.prepare()
    assert is_prepared(database_url)
