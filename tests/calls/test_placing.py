"""A dial is placed at most once, whatever dies or stays silent in between."""

import pytest
from tests.calls.conftest import FakePlatform, House, Minutes

from offhook.providers import DialOrder
from offhook.providers.contract import Cause, DialNotSent, DialRefused, DialUnknown, HangUp, Kind


async def test_a_dial_is_told_as_started_before_the_platform_is_asked(house: House, platform: FakePlatform) -> None:
    order = await house.begin()

    assert await house.told(order.call_id) == ["call.started"]
    assert platform.dialed == []


async def test_an_attempt_has_one_call_however_often_it_is_begun(house: House) -> None:
    new = await house.new_call()

    async with house.database.transaction(house.tenant) as tx:
        first = await house.calls.begin(tx, [new])
    async with house.database.transaction(house.tenant) as tx:
        second = await house.calls.begin(tx, [new])

    assert (len(first), second) == (1, [])
    assert await house.told(first[0].call_id) == ["call.started"]


async def test_a_placed_call_is_known_by_the_platforms_own_id(house: House, platform: FakePlatform) -> None:
    call = await house.dial()

    assert platform.dialed == [call]
    assert (await house.call(call)).platform_ref == f"theirs-{call.hex}"
    assert await house.told(call) == ["call.started", "call.placed"]


async def test_a_refused_dial_ends_with_the_platforms_reason(house: House, platform: FakePlatform) -> None:
    platform.place_raises = [DialRefused(Cause(sip=403, party="platform"))]

    call = await house.dial()

    assert await house.told(call) == ["call.started", "call.error", "call.ended", "call.finalized"]
    ended = (await house.envelope(call, "call.ended"))["data"]
    assert (ended["end_reason"], ended["end_detail"]) == ("provider_error", "sip:403")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr("offhook.calls.placing.PAUSES_S", (0.0, 0.0))


async def test_an_order_that_never_arrived_is_sent_again(house: House, platform: FakePlatform) -> None:
    platform.place_raises = [DialNotSent(), DialNotSent()]

    call = await house.dial()

    assert platform.dialed == [call]


async def test_an_order_that_never_arrives_three_times_ends_its_call(house: House, platform: FakePlatform) -> None:
    platform.place_raises = [DialNotSent()] * 3

    call = await house.dial()

    assert platform.dialed == []
    assert await house.end_reason(call) == "provider_error"


async def test_a_dial_of_unknown_fate_is_asked_about_within_a_minute_and_never_dialed_again(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    platform.place_raises = [DialUnknown()]
    call = await house.dial()
    assert await house.told(call) == ["call.started"]

    platform.answers = Kind.RINGING
    await minutes(1)
    await house.drain()

    assert (await house.call(call)).status == "ringing"
    assert platform.dialed == []


async def test_a_dial_that_the_platform_never_heard_of_ends(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    platform.place_raises = [DialUnknown()]
    call = await house.dial()

    platform.answers = Kind.NOT_FOUND
    await minutes(1)
    await house.drain()

    assert await house.end_reason(call) == "provider_error"


async def test_a_process_that_dies_between_commit_and_dial_leaves_a_call_that_is_asked_about(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    order = await kept_too_long(house)

    platform.answers = Kind.NOT_FOUND
    await minutes(1)
    await house.drain()

    assert await house.told(order.call_id) == ["call.started", "call.ended", "call.finalized"]
    assert platform.dialed == []


async def kept_too_long(house: House) -> DialOrder:
    """A committed order that some process had for longer than placing it may take."""
    order = await house.begin()
    async with house.database.transaction(house.tenant) as tx:
        await tx.run("update call set placing_until = %(past)s", {"past": tx.wall})
    return order


async def test_an_order_that_was_kept_too_long_is_not_dialed_and_its_call_ends(
    house: House, platform: FakePlatform
) -> None:
    order = await kept_too_long(house)

    await house.calls.place(house.tenant, order)

    assert platform.dialed == []
    assert await house.told(order.call_id) == ["call.started", "call.ended", "call.finalized"]
    ended = await house.envelope(order.call_id, "call.ended")
    assert (ended["data"]["end_reason"], ended["data"]["end_detail"]) == ("cancelled", "order_too_old")
    assert (ended["data"]["ended_by"], ended["actor"]["type"]) == ("us", "engine")


async def test_an_order_is_not_sent_again_once_it_was_kept_too_long(house: House, platform: FakePlatform) -> None:
    async def sleep(order: DialOrder) -> None:
        async with house.database.transaction(house.tenant) as tx:
            await tx.run("update call set placing_until = %(past)s", {"past": tx.wall})
        raise DialNotSent

    platform.while_placing = sleep

    call = await house.dial()

    assert platform.dialed == [call]
    assert await house.end_reason(call) == "cancelled"


async def test_a_report_may_come_before_the_platform_has_answered(house: House, platform: FakePlatform) -> None:
    async def ring_at_once(order: DialOrder) -> None:
        await house.hear(order.call_id, Kind.RINGING)

    platform.while_placing = ring_at_once

    call = await house.dial()

    assert await house.told(call) == ["call.started", "call.ringing"]
    assert (await house.call(call)).platform_ref == f"theirs-{call.hex}"


async def test_a_call_that_is_stopped_before_it_is_dialed_is_not_dialed(house: House, platform: FakePlatform) -> None:
    order = await house.begin()
    await house.stop(number_tag=b"tag of that number")

    await house.calls.place(house.tenant, order)

    assert platform.dialed == []
    assert await house.end_reason(order.call_id) == "opt_out"


async def test_a_call_that_is_stopped_while_it_is_dialed_is_hung_up(house: House, platform: FakePlatform) -> None:
    async def opt_out(order: DialOrder) -> None:
        await house.stop(number_tag=b"tag of that number")

    platform.while_placing = opt_out

    call = await house.dial()
    await house.drain()

    assert (call, HangUp()) in platform.done


async def test_a_stop_while_the_fate_of_the_dial_is_unknown_hangs_it_up_too(
    house: House, platform: FakePlatform
) -> None:
    platform.place_raises = [DialUnknown()]
    order = await house.begin()
    platform.while_placing = None

    await house.calls.place(house.tenant, order)
    await house.stop(number_tag=b"tag of that number")
    await house.drain()

    assert (order.call_id, HangUp()) in platform.done


async def test_nobody_is_called_after_their_erasure(house: House) -> None:
    new = await house.new_call()
    async with house.database.transaction(house.tenant) as tx:
        await house.vault.shred(tx, new.person, reason="request", kept=[])

    async with house.database.transaction(house.tenant) as tx:
        assert await house.calls.begin(tx, [new]) == []
