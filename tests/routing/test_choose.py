"""Who takes the call, and the leases of slots, over a real database."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.journeys.stage import side_by_side, until_waiting

from offhook import ids, routing
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.dialing.setup import set_up
from offhook.routing import NoTarget, Placement
from offhook.routing.record import decisions
from offhook.routing.targets import TargetIn, Targets

SOON = timedelta(minutes=5)


class Floor:
    """The routing room of one tenant, each act in a transaction of its own."""

    def __init__(self, database: Database, tenant: Tenant, wakeups: Wakeups, clock: Any) -> None:
        self.database, self.tenant, self.clock = database, tenant, clock
        self.campaign: UUID
        self.targets = Targets(wakeups)

    async def has(self, name: str, **fields: Any) -> UUID:
        body = TargetIn(name=name, kind="queue", address=name, **fields)
        async with self.database.transaction(self.tenant) as tx:
            return ids.read("tgt", (await self.targets.create(tx, body))["id"])

    async def change(self, target: UUID, **changes: Any) -> None:
        async with self.database.transaction(self.tenant) as tx:
            body = self.targets.Change(**changes)
            await self.targets.change(tx, target, body, frozenset(changes), None)

    async def choose(self, *calls: UUID, lasting: timedelta = SOON) -> dict[UUID, Placement]:
        async with self.database.transaction(self.tenant) as tx:
            return await routing.choose(tx, self.campaign, calls, tx.now + lasting)

    async def confirm(self, call: UUID) -> Placement | NoTarget:
        async with self.database.transaction(self.tenant) as tx:
            return await routing.confirm(tx, self.campaign, call, tx.now + SOON)

    async def hold(self, call: UUID, lasting: timedelta) -> None:
        async with self.database.transaction(self.tenant) as tx:
            await routing.hold(tx, call, tx.now + lasting)

    async def release(self, *calls: UUID) -> int:
        async with self.database.transaction(self.tenant) as tx:
            return await routing.release(tx, calls)

    async def opens(self) -> None:
        """It has a campaign now."""
        async with self.database.transaction(self.tenant) as tx:
            await set_up(tx, None)
            ((self.campaign,),) = await tx.rows("select id from campaign")
        await self.capped(100)

    async def capped(self, cap: int) -> None:
        async with self.database.transaction(self.tenant) as tx:
            await tx.run("update campaign set max_live_transfers = %(cap)s", {"cap": cap})

    async def held(self) -> int:
        async with self.database.transaction(self.tenant) as tx:
            return len(await tx.rows("select from slot where held_by is not null"))

    async def free(self, cap: int = 100) -> int:
        async with self.database.transaction(self.tenant) as tx:
            return await routing.free_slots(tx, self.campaign, cap)

    async def decisions(self, call: UUID) -> Sequence[dict[str, Any]]:
        async with self.database.transaction(self.tenant) as tx:
            return await decisions(tx, call)

    async def held_until(self, call: UUID) -> Any:
        async with self.database.transaction(self.tenant) as tx:
            return await held_until(tx, call)


async def held_until(tx: Tx, call: UUID) -> Any:
    row = await tx.row("select held_until from slot where held_by = %(call)s", {"call": call})
    return row[0] if row else None


@pytest.fixture
async def floor(database: Database, tenant: Tenant, wakeups: Wakeups, clock: Any) -> Floor:
    floor = Floor(database, tenant, wakeups, clock)
    await floor.opens()
    return floor


async def test_the_lowest_priority_number_takes_calls_first(floor: Floor) -> None:
    second, first = await floor.has("second", priority=2, slots=2), await floor.has("first", priority=1)
    calls = [ids.new() for _ in range(3)]

    placed = await floor.choose(*calls)

    assert [placed[call].target_id for call in calls] == [first, second, second]


async def test_of_equals_the_one_made_first_is_chosen(floor: Floor) -> None:
    elder = await floor.has("elder")
    await floor.has("younger")
    call = ids.new()

    assert (await floor.choose(call))[call].target_id == elder


async def test_calls_for_whom_nobody_is_left_get_nobody(floor: Floor) -> None:
    await floor.has("small", slots=2)
    calls = [ids.new() for _ in range(5)]

    placed = await floor.choose(*calls)

    assert list(placed) == calls[:2]
    assert await floor.free() == 0


async def test_a_call_that_has_a_human_keeps_that_one(floor: Floor) -> None:
    await floor.has("floor", slots=3)
    call = ids.new()
    first = await floor.choose(call)

    again = await floor.choose(call)

    assert again[call].target_id == first[call].target_id
    assert await floor.free() == 2


async def test_every_choice_leaves_a_record_of_who_was_considered(floor: Floor) -> None:
    chosen, paused = await floor.has("open", priority=2), await floor.has("paused", status="paused")
    call = ids.new()
    await floor.choose(call)

    (decision,) = await floor.decisions(call)

    assert (decision["purpose"], decision["target_id"]) == ("dial", ids.show("tgt", chosen))
    assert [(one["target"], one["blockers"]) for one in decision["considered"]] == [
        (ids.show("tgt", paused), ["paused"]),
        (ids.show("tgt", chosen), []),
    ]


async def test_the_choice_of_nobody_leaves_a_record_too(floor: Floor) -> None:
    await floor.has("full", slots=0)
    call = ids.new()
    await floor.choose(call)

    (decision,) = await floor.decisions(call)

    assert decision["target_id"] is None
    assert [one["blockers"] for one in decision["considered"]] == [["no_free_slot"]]


async def test_a_transfer_goes_to_the_human_who_was_leased(floor: Floor) -> None:
    await floor.has("floor", slots=2)
    call = ids.new()
    placed = (await floor.choose(call))[call]

    confirmed = await floor.confirm(call)

    assert isinstance(confirmed, Placement)
    assert confirmed.target_id == placed.target_id
    assert [one["purpose"] for one in await floor.decisions(call)] == ["dial", "transfer"]


async def test_a_transfer_goes_to_another_when_the_first_was_paused_meanwhile(floor: Floor) -> None:
    first, second = await floor.has("first"), await floor.has("second", priority=2)
    call = ids.new()
    await floor.choose(call)

    await floor.change(first, status="paused")
    confirmed = await floor.confirm(call)

    assert isinstance(confirmed, Placement)
    assert confirmed.target_id == second
    assert await floor.free() == 0


async def test_a_transfer_that_nobody_can_take_says_why_of_each(floor: Floor) -> None:
    first, second = await floor.has("first"), await floor.has("second", priority=2, slots=0)
    call = ids.new()
    await floor.choose(call)

    await floor.change(first, status="paused")
    confirmed = await floor.confirm(call)

    assert isinstance(confirmed, NoTarget)
    assert confirmed.blockers == (f"{ids.show('tgt', first)}: paused", f"{ids.show('tgt', second)}: no_free_slot")


async def test_a_transfer_finds_its_slot_gone_when_the_floor_shrank(floor: Floor) -> None:
    target = await floor.has("floor", slots=2)
    kept, lost = ids.new(), ids.new()
    await floor.choose(kept, lost)

    await floor.change(target, slots=1)

    assert isinstance(await floor.confirm(kept), Placement)
    assert isinstance(await floor.confirm(lost), NoTarget)


async def test_a_lease_that_nobody_renews_ends_by_itself(floor: Floor) -> None:
    await floor.has("floor")
    first, second = ids.new(), ids.new()
    await floor.choose(first)
    assert await floor.choose(second) == {}

    await floor.clock.forward(SOON + timedelta(seconds=1))

    assert list(await floor.choose(second)) == [second]
    assert isinstance(await floor.confirm(first), NoTarget)


async def test_holding_never_shortens_a_lease(floor: Floor) -> None:
    await floor.has("floor")
    call = ids.new()
    await floor.choose(call)
    before = await floor.held_until(call)

    await floor.hold(call, timedelta(seconds=1))
    unchanged = await floor.held_until(call)
    await floor.hold(call, timedelta(hours=1))

    assert unchanged == before
    assert await floor.held_until(call) > before


async def test_holding_what_one_does_not_have_takes_nothing(floor: Floor) -> None:
    await floor.has("floor")

    await floor.hold(ids.new(), timedelta(hours=1))

    assert await floor.free() == 1


async def test_giving_back_twice_gives_back_once(floor: Floor) -> None:
    await floor.has("floor", slots=2)
    call = ids.new()
    await floor.choose(call)

    assert [await floor.release(call), await floor.release(call)] == [1, 0]
    assert await floor.free() == 2


async def test_a_campaign_gets_no_more_than_its_cap_leaves(floor: Floor) -> None:
    await floor.has("floor", slots=10)
    await floor.choose(*(ids.new() for _ in range(3)))

    assert [await floor.free(cap) for cap in (2, 3, 5, 100)] == [0, 0, 2, 7]


async def test_choices_at_the_same_time_never_lease_one_human_twice(floor: Floor) -> None:
    await floor.has("floor", slots=7)
    batches = [[ids.new() for _ in range(4)] for _ in range(6)]

    placed = await side_by_side(*[lambda some=batch: floor.choose(*some) for batch in batches])

    assert sum(len(one) for one in placed) == 7 - await floor.free()
    async with floor.database.transaction(floor.tenant) as tx:
        rows = await tx.rows("select held_by from slot where held_by is not null")
    assert len({row[0] for row in rows}) == len(rows) <= 7


async def test_a_transfer_whose_slot_went_to_another_call_does_not_exceed_the_cap(floor: Floor) -> None:
    await floor.has("floor", slots=2)
    await floor.capped(1)
    declined, dialed = ids.new(), ids.new()
    await floor.choose(declined)
    await floor.release(declined)
    await floor.choose(dialed)

    refused = await floor.confirm(declined)

    assert isinstance(refused, NoTarget)
    assert refused.blockers == (f"{ids.show('cmp', floor.campaign)}: max_live_transfers",)
    assert (await floor.decisions(declined))[-1]["room"] == 0


async def test_a_transfer_keeps_its_slot_when_the_cap_is_lowered_below_what_is_held(floor: Floor) -> None:
    await floor.has("floor", slots=2)
    calls = [ids.new(), ids.new()]
    await floor.choose(*calls)

    await floor.capped(1)

    assert [type(await floor.confirm(call)) for call in calls] == [Placement, Placement]


async def test_dials_and_transfers_at_the_same_time_never_exceed_the_cap(floor: Floor) -> None:
    await floor.has("floor", slots=20)
    await floor.capped(3)

    dials = [lambda: floor.choose(ids.new(), ids.new()) for _ in range(4)]
    transfers = [lambda: floor.confirm(ids.new()) for _ in range(4)]
    await side_by_side(*(act for pair in zip(dials, transfers, strict=True) for act in pair))

    assert await floor.held() == 3


async def test_a_transfer_waits_for_whoever_leases_for_its_campaign(floor: Floor) -> None:
    await floor.has("floor", slots=2)
    await floor.capped(1)

    async with floor.database.transaction(floor.tenant) as tx:
        await routing.choose(tx, floor.campaign, [ids.new()], tx.now + SOON)
        transfer = asyncio.create_task(floor.confirm(ids.new()))
        await until_waiting(floor.database)

    assert isinstance(await transfer, NoTarget)


async def test_a_strangers_floor_is_never_leased(floor: Floor, stranger: Tenant) -> None:
    await floor.has("ours", slots=5)

    async with floor.database.transaction(stranger) as tx:
        placed = await routing.choose(tx, floor.campaign, [ids.new()], tx.now + SOON)

    assert placed == {}
