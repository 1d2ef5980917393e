"""No call stays silent for ever, and no human's slot is lost while a call lives."""

import pytest
from tests.calls.conftest import A_TAG, FakeFloor, FakePlatform, House, Minutes

from offhook.calls import errands
from offhook.providers import Providers
from offhook.providers.contract import ControlRefused, HangUp, Kind, PlatformAway, Qualification


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
    ended = await house.envelope(call, "call.ended")
    assert (ended["data"]["end_reason"], ended["actor"]["type"]) == ("watchdog", "engine")


async def test_a_cut_that_the_platform_did_not_answer_is_repeated_until_it_does(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    call = await house.answered(max_duration_s=60)
    platform.control_raises = [PlatformAway()] * 2

    for _ in range(5):
        await minutes(1)
        await house.drain()

    assert platform.done == [(call, HangUp())]
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


async def test_a_stopped_call_whose_hang_up_was_refused_is_hung_up_again(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    call = await house.answered()
    platform.control_raises = [ControlRefused("not_now")] * 2
    await house.stop(number_tag=A_TAG)

    for _ in range(4):
        await house.drain()
        await minutes(0.25)

    assert platform.done[:1] == [(call, HangUp())]


async def test_a_stopped_call_that_its_platform_learns_of_late_is_hung_up_at_once(
    house: House, platform: FakePlatform
) -> None:
    order = await house.begin()
    platform.control_raises = [ControlRefused("no_such_call")]
    await house.stop(number_tag=A_TAG)
    await house.drain()

    await house.hear(order.call_id, Kind.RINGING)
    await house.drain()

    assert platform.done == [(order.call_id, HangUp())]


async def test_a_stopped_call_is_not_given_up_as_unknown_while_it_is_being_placed(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    order = await house.begin()
    platform.answers = Kind.NOT_FOUND
    await house.stop(number_tag=A_TAG)

    await house.drain()
    await minutes(0.5)
    await house.drain()

    assert not (await house.call(order.call_id)).over


@pytest.mark.parametrize("built", [True, False])
async def test_a_broken_adapter_keeps_nobody_from_ending_a_call_that_lasts_too_long(
    house: House, providers: Providers, platform: FakePlatform, minutes: Minutes, built: bool
) -> None:
    call = await house.answered(max_duration_s=60)
    platform.breaks = ValueError("of +13125550199")
    if not built:
        async with house.database.transaction(house.tenant) as tx:
            providers.changed(tx)

    await minutes(3)
    await house.drain()

    assert await house.end_reason(call) == "watchdog"
    async with house.database.transaction(house.tenant) as tx:
        assert await tx.rows("select 1 from job where kind <> 'calls.hang_up'") == []


async def test_an_adapter_that_never_answers_keeps_nobody_from_ending_a_call(
    house: House, platform: FakePlatform, minutes: Minutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errands, "ANSWER_S", 0.01)
    call = await house.answered(max_duration_s=60)
    platform.hangs = True

    await minutes(3)
    await house.drain()

    assert await house.end_reason(call) == "watchdog"


async def test_what_a_broken_adapter_raised_is_logged_by_type_and_place_and_not_by_its_text(
    house: House, platform: FakePlatform, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.answered()
    platform.breaks = ValueError("of +13125550199")

    await house.stop(number_tag=A_TAG)
    await house.drain()

    told = "".join(capsys.readouterr())
    assert "adapter_failed" in told
    assert "ValueError" in told
    assert "0199" not in told


async def test_a_transfer_that_a_broken_adapter_cannot_begin_fails(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    call = await house.answered()
    platform.breaks = ValueError()
    await house.hear(call, Kind.QUALIFICATION, qualification=Qualification(90, 70))

    await house.drain()
    await minutes(0.2)
    await house.drain()

    assert (await house.told(call))[-2:] == ["transfer.failed", "transfer.released"]
