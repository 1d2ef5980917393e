"""Reports become facts once, however they come, and a transfer is promised only when a human is leased."""

from tests.calls.conftest import FakeFloor, FakePlatform, House, Minutes

from offhook import ids
from offhook.providers import CallReport, Providers
from offhook.providers.contract import Cause, ControlRefused, HangUp, InboundCall, Kind, PlatformAway, Qualification

QUALIFIED = Qualification(82, 70, {"owns_home": True})


async def test_the_same_report_counts_once(house: House) -> None:
    call = await house.dial()
    report = CallReport(key="cb-1", kind=Kind.RINGING, call_id=call)

    assert [await house.hear_again(report), await house.hear_again(report, report)] == [1, 0]
    assert (await house.told(call)).count("call.ringing") == 1


async def test_reports_that_bear_only_the_platforms_id_find_their_call(house: House) -> None:
    call = await house.dial()

    await house.hear_again(CallReport(key="cb-1", kind=Kind.RINGING, platform_ref=f"theirs-{call.hex}"))

    assert (await house.call(call)).status == "ringing"


async def test_reports_of_many_calls_come_in_one_go(house: House) -> None:
    calls = [await house.dial(number_tag=bytes([n])) for n in range(5)]

    new = await house.hear_again(
        *[
            CallReport(key=f"{call}{kind}", kind=kind, call_id=call)
            for kind in (Kind.ENDED, Kind.ANSWERED)
            for call in calls
        ]
    )

    assert new == 10
    assert {tuple(await house.told(call)) for call in calls} == {
        ("call.started", "call.placed", "call.answered", "call.ended", "call.finalized")
    }


async def test_a_report_about_a_call_that_nobody_knows_changes_nothing(house: House) -> None:
    call = await house.dial()

    await house.hear_again(
        CallReport(key="cb-1", kind=Kind.ANSWERED, call_id=ids.new()),
        CallReport(key="cb-2", kind=Kind.ANSWERED, platform_ref="never-heard-of"),
        CallReport(key="cb-3", kind=Kind.ANSWERED),
    )

    assert await house.told(call) == ["call.started", "call.placed"]
    async with house.database.transaction(house.tenant) as tx:
        assert await tx.rows("select id, status from call") == [(call, "placed")]


async def test_another_accounts_platform_cannot_move_a_call(house: House, providers: Providers) -> None:
    call = await house.dial()
    async with house.database.transaction(house.tenant) as tx:
        other = await providers.add(tx, "fake", "other")
        await house.calls.report(tx, other, [CallReport(key="cb-1", kind=Kind.ENDED, call_id=call)])

    assert (await house.call(call)).status == "placed"


async def test_the_end_tells_what_became_of_the_call(house: House) -> None:
    call = await house.answered()

    await house.hear(call, Kind.ENDED, cause=Cause(reason="normal", party="consumer"))

    data = (await house.envelope(call, "call.ended"))["data"]
    assert data["end_reason"] == "consumer_hangup"
    assert (data["answered"], data["transferred"], data["qualified"], data["opt_out"]) == (True, False, False, False)


async def test_an_event_tells_the_whole_story_with_numbers_masked(house: House) -> None:
    call = await house.answered()

    envelope = await house.envelope(call, "call.answered")

    assert (envelope["kind"], envelope["subject"]) == ("answered", {"type": "call", "id": ids.show("call", call)})
    assert envelope["transition"]["to"] == "answered"
    told = envelope["call"]
    assert (told["dialed_number"], told["client_ref_id"]) == ("***0199", "LD-9938-XYZ")
    assert told["provider"] == {"key": "fake", "call_id": f"theirs-{call.hex}"}
    assert told["merge_fields"] == {"product": "solar"}


async def test_a_qualified_consumer_is_handed_to_a_human_who_was_leased_first(
    house: House, platform: FakePlatform, floor: FakeFloor
) -> None:
    call = await house.answered()

    await house.hear(call, Kind.QUALIFICATION, qualification=QUALIFIED)
    await house.drain()

    assert (await house.told(call))[-4:] == [
        "call.qualification_threshold_met", "transfer.initiated", "transfer.routed", "transfer.reserved",
    ]  # fmt: skip
    assert call in floor.held
    assert [order.address for order in platform.transfers()] == ["+12025550111"]


async def test_a_bridged_human_is_told_and_their_slot_is_free_when_they_hang_up(house: House, floor: FakeFloor) -> None:
    call = await house.answered()
    await house.hear(call, Kind.QUALIFICATION, qualification=QUALIFIED)

    await house.hear(call, Kind.TARGET_RINGING, Kind.TARGET_BRIDGED, Kind.TRANSFERRED)
    assert call in floor.held
    await house.hear(call, Kind.TARGET_ENDED, Kind.ENDED, cause=Cause(party="human"))

    assert call not in floor.held
    assert (await house.told(call))[-4:] == ["transfer.ended", "transfer.released", "call.ended", "call.finalized"]
    assert (await house.envelope(call, "call.ended"))["data"]["transferred"] is True


async def test_nobody_is_promised_a_human_when_none_is_free(
    house: House, platform: FakePlatform, floor: FakeFloor
) -> None:
    floor.free = 0
    call = await house.answered()

    await house.hear(call, Kind.QUALIFICATION, qualification=QUALIFIED)
    await house.drain()

    assert (await house.told(call))[-1] == "transfer.no_capacity"
    assert platform.transfers() == []


async def test_a_campaign_of_the_ai_alone_transfers_nobody(house: House, platform: FakePlatform) -> None:
    call = await house.answered(mode="ai_only")

    await house.hear(call, Kind.QUALIFICATION, qualification=QUALIFIED)
    await house.drain()

    assert platform.transfers() == []


async def test_a_transfer_that_the_platform_refuses_fails_and_frees_the_slot(
    house: House, platform: FakePlatform, floor: FakeFloor
) -> None:
    platform.control_raises = [ControlRefused("no_such_leg")]
    call = await house.answered()

    await house.hear(call, Kind.QUALIFICATION, qualification=QUALIFIED)
    await house.drain()

    assert (await house.told(call))[-2:] == ["transfer.failed", "transfer.released"]
    assert (await house.envelope(call, "transfer.failed"))["data"]["code"] == "no_such_leg"
    assert floor.held == {}


async def test_a_transfer_is_ordered_again_when_the_platform_did_not_answer(
    house: House, platform: FakePlatform, minutes: Minutes
) -> None:
    platform.control_raises = [PlatformAway()]
    call = await house.answered()

    await house.hear(call, Kind.QUALIFICATION, qualification=QUALIFIED)
    await house.drain()
    await minutes(0.1)
    await house.drain()

    assert len(platform.transfers()) == 1


async def test_an_opt_out_hangs_up_every_open_call_of_the_number(house: House, platform: FakePlatform) -> None:
    calls = {await house.answered(), await house.answered()}
    other = await house.answered(number_tag=b"another number")

    stopped = await house.stop(number_tag=b"tag of that number")
    await house.drain()

    assert set(stopped) == calls
    assert {call for call, action in platform.done if action == HangUp()} == calls
    assert other not in stopped


async def test_a_stopped_call_ends_for_the_reason_of_the_stop(house: House) -> None:
    call = await house.answered()
    await house.stop(number_tag=b"tag of that number")

    await house.hear(call, Kind.ENDED)

    assert (await house.envelope(call, "call.ended"))["data"]["end_reason"] == "opt_out"


async def test_a_late_answer_is_hung_up(house: House, platform: FakePlatform) -> None:
    call = await house.dial()
    await house.hear(call, Kind.NO_ANSWER)

    await house.hear(call, Kind.ANSWERED)
    await house.drain()

    assert (await house.told(call))[-1] == "call.updated"
    assert platform.done == [(call, HangUp())]


async def test_a_call_to_us_begins_with_its_first_report(house: House) -> None:
    report = CallReport(
        key="in-1",
        kind=Kind.INBOUND_RINGING,
        platform_ref="their-7",
        inbound=InboundCall("+13125550142", "+12025550100"),
    )

    await house.hear_again(report)
    await house.hear_again(CallReport(key="in-2", kind=Kind.ANSWERED, platform_ref="their-7"))

    call = ids.call_of_platform(house.account, "their-7")
    assert await house.told(call) == ["call.started", "call.inbound_ringing", "call.answered"]
    assert (await house.envelope(call, "call.answered"))["call"]["caller_id"] == "***0142"


async def test_after_the_shred_the_call_is_there_without_its_person(house: House) -> None:
    new = await house.new_call()
    async with house.database.transaction(house.tenant) as tx:
        (order,) = await house.calls.begin(tx, [new])
    await house.hear(order.call_id, Kind.ENDED)
    async with house.database.transaction(house.tenant) as tx:
        await house.vault.shred(tx, new.person, reason="request", kept=[])

    await house.hear(order.call_id, Kind.DISPOSITION, text="NI")

    shown = (await house.call(order.call_id)).shown(personal=True)
    assert (shown["dialed_number"], shown["client_ref_id"], shown["status"]) == (None, None, "ended")


async def test_an_erasure_can_ask_which_calls_are_still_open(house: House) -> None:
    call = await house.answered()
    lead = (await house.call(call)).about.lead_id
    assert lead is not None

    async with house.database.transaction(house.tenant) as tx:
        assert await house.calls.open_calls(tx, lead) == [call]
    await house.hear(call, Kind.ENDED)
    async with house.database.transaction(house.tenant) as tx:
        assert await house.calls.open_calls(tx, lead) == []
