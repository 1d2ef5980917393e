"""Numbers and addresses that nobody may contact: added once, in turn with every dial, known by a keyed hash only."""

import asyncio
from typing import Any, Literal

import pytest
from tests.journeys.stage import until_waiting

from offhook.compliance.suppression import Identifier, Stop, page, suppress, suppressed, taking_turns
from offhook.db import Database, Tenant
from offhook.events import Log
from offhook.privacy import Vault

A_TAG, ANOTHER_TAG = b"tag of a number", b"tag of another"


class List:
    """The do-not-call list of one tenant, each act in a transaction of its own."""

    def __init__(self, database: Database, log: Log, tenant: Tenant) -> None:
        self.database, self.log, self.tenant = database, log, tenant

    async def add(
        self, *tags: bytes, scope: Literal["seller", "workspace"] = "seller", source: str = "sms"
    ) -> list[Any]:
        stop = Stop([Identifier("phone", tag) for tag in tags], source, scope)
        async with self.database.transaction(self.tenant) as tx:
            return await suppress(tx, self.log, stop, tag_version=1)

    async def has(self, *tags: bytes) -> dict[bytes, str]:
        async with self.database.transaction(self.tenant) as tx:
            return await suppressed(tx, tags)

    async def told(self) -> int:
        async with self.database.transaction(self.tenant) as tx:
            return len(await tx.rows("select 1 from event where type = 'suppression.added'"))


@pytest.fixture
def dnc(database: Database, log: Log, tenant: Tenant) -> List:
    return List(database, log, tenant)


async def test_a_number_is_suppressed_from_the_commit_on(dnc: List) -> None:
    await dnc.add(A_TAG)

    assert await dnc.has(A_TAG, ANOTHER_TAG) == {A_TAG: "seller"}


async def test_suppressing_again_is_the_same_suppression_and_is_told_once(dnc: List) -> None:
    first = await dnc.add(A_TAG, source="sms")

    again = await dnc.add(A_TAG, source="web")

    assert (again, await dnc.told()) == (first, 1)


async def test_suppressions_at_the_same_moment_are_one(dnc: List) -> None:
    made = await asyncio.gather(*(dnc.add(A_TAG, ANOTHER_TAG) for _ in range(6)))

    assert [len(one) for one in made] == [2] * 6
    assert len({id for one in made for id in one}) == await dnc.told() == 2


async def test_either_scope_suppresses(dnc: List) -> None:
    await dnc.add(A_TAG, scope="workspace")
    await dnc.add(A_TAG, scope="seller")

    assert list(await dnc.has(A_TAG)) == [A_TAG]
    assert await dnc.told() == 2


async def test_asking_about_nobody_suppresses_nobody(dnc: List) -> None:
    await dnc.add(A_TAG)

    assert await dnc.has() == {}


async def test_whoever_comes_second_to_a_number_waits_for_the_first(dnc: List) -> None:
    async with dnc.database.transaction(dnc.tenant) as tx:
        await taking_turns(tx, [A_TAG])
        second = asyncio.create_task(dnc.add(A_TAG))
        await until_waiting(dnc.database)
        assert not second.done()

    assert len(await second) == 1


async def test_another_number_is_not_waited_for(dnc: List) -> None:
    async with dnc.database.transaction(dnc.tenant) as tx:
        await taking_turns(tx, [A_TAG])

        assert len(await dnc.add(ANOTHER_TAG)) == 1


async def test_many_turns_taken_in_any_order_never_block_each_other_for_good(dnc: List) -> None:
    tags = [bytes([n]) for n in range(12)]

    async with asyncio.timeout(20):
        await asyncio.gather(*(dnc.add(*tags), dnc.add(*reversed(tags)), dnc.add(*tags[6:], *tags[:6])))

    assert len(await dnc.has(*tags)) == 12


async def test_what_was_not_committed_suppresses_nobody(dnc: List) -> None:
    async def break_off() -> None:
        async with dnc.database.transaction(dnc.tenant) as tx:
            await suppress(tx, dnc.log, Stop([Identifier("phone", A_TAG)], "web"), tag_version=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_off()

    assert await dnc.has(A_TAG) == {}


async def test_the_list_is_read_page_by_page_and_never_shows_a_hash(dnc: List) -> None:
    made = sorted(await dnc.add(*(bytes([n]) for n in range(5))))

    async with dnc.database.transaction(dnc.tenant) as tx:
        first = await page(tx, None, 3)
        rest = await page(tx, first[-1]["id"], 3)

    assert [row["id"] for row in [*first, *rest]] == made
    assert not any(isinstance(value, bytes) for row in first for value in row.values())


async def test_the_environments_of_a_workspace_and_strangers_keep_lists_of_their_own(
    dnc: List, log: Log, live_tenant: Tenant, stranger: Tenant
) -> None:
    await dnc.add(A_TAG)

    assert await List(dnc.database, log, live_tenant).has(A_TAG) == {}
    assert await List(dnc.database, log, stranger).has(A_TAG) == {}


async def test_the_hash_of_a_number_is_another_in_every_workspace(
    vault: Vault, tenant: Tenant, live_tenant: Tenant, stranger: Tenant
) -> None:
    tags = {vault.tag(one, "phone", "+12125550190") for one in (tenant, live_tenant, stranger)}

    assert len(tags) == 3
