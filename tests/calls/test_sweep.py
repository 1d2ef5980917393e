"""No call stays silent for ever, and no human's slot is lost while a call lives."""

from tests.calls.conftest import FakeFloor, FakePlatform, House, Minutes

from offhook.providers.contract import HangUp, Kind, Qualification


async def test_a_call_that_rings_too_long_is_asked_about(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    call = await house.dial()
    await house.hear(call, Kind.RINGING)

    platform.answers = Kind.NO_ANSWER
    await minutes(1)
    await house.drain()

    assert (await house.told(call))[-3:] == ["call.no_answer", "call.ended", "call.finalized"]


async def test_a_silent_conversation_is_asked_about_every_two_minutes(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    call = await house.answered()

    await minutes(1)
    await house.drain()
    platform.answers = Kind.ENDED
    assert not (await house.call(call)).over
    await minutes(1)
    await house.drain()

    assert (await house.call(call)).over


async def test_a_call_past_its_longest_duration_is_cut_off(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    call = await house.answered(max_duration_s=60)

    await minutes(3)
    await house.drain()

    assert (call, HangUp()) in platform.done
    assert await house.end_reason(call) == "watchdog"


async def test_a_slot_is_held_as_long_as_its_call_lives(house: House, floor: FakeFloor, minutes: Minutes) -> None:
    call = await house.answered()
    await minutes(1)
    await house.drain()
    first = floor.held[call]

    await minutes(1)
    await house.drain()

    assert floor.held[call] > first


async def test_an_ended_call_is_not_looked_at_any_more(house: House, minutes: Minutes) -> None:
    call = await house.answered()
    await house.hear(call, Kind.ENDED)

    await minutes(1)
    await house.drain()

    async with house.database.transaction(house.tenant) as tx:
        assert await tx.rows("select 1 from job where kind = 'calls.sweep'") == []


async def test_a_target_that_never_rings_fails_the_transfer(house: House, minutes: Minutes) -> None:
    call = await house.answered()
    await house.hear(call, Kind.QUALIFICATION, qualification=Qualification(90, 70))
    await house.drain()

    await minutes(1)
    await house.drain()

    assert (await house.told(call))[-2:] == ["transfer.failed", "transfer.released"]
