"""What every adapter must keep, as checks that its tests run: for each of PROMISES, `await breach(promise, harness)` is None.

A harness is the adapter under test, one call that can be had at its platform, and eyes on what the platform really
did. A promise about a capability that the adapter does not claim is that it says so.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from uuid import UUID, uuid4

from offhook.providers.contract import (
    BadSignature,
    CallReport,
    Capability,
    ControlRefused,
    DialOrder,
    HangUp,
    Inbound,
    Kind,
    PlatformAway,
    PlatformRef,
    SwitchMode,
    Transfer,
    VoiceProvider,
    WrapUp,
)

TERMINAL = frozenset({Kind.NO_ANSWER, Kind.BUSY, Kind.ERROR, Kind.ENDED})


class Harness(Protocol):
    """One adapter at a platform that can be watched."""

    provider: VoiceProvider

    def order(self) -> DialOrder:
        """An order for a new call that will be answered and talked to for a while."""
        ...

    async def times_dialed(self, call_id: UUID) -> int:
        """How often the platform really dialed it."""
        ...

    async def reports_of(self, call_id: UUID) -> Sequence[CallReport]:
        """Everything reported of the call, once it has been answered, or has ended after a hang-up."""
        ...

    def callback(self, *, unknown_code: bool = False) -> Inbound | None:
        """A callback as the platform signs it; None for a platform that reports in another way."""
        ...


Promise = Callable[[Harness], Awaitable[None]]
"""Raises AssertionError where it is not kept."""


async def breach(promise: Promise, harness: Harness) -> str | None:
    """What the adapter did instead of keeping the promise; None when it kept it. Raises what the adapter raises."""
    try:
        await promise(harness)
    except AssertionError as broken:
        return str(broken) or "it was not kept"
    return None


async def placing_a_call_twice_dials_once(harness: Harness) -> None:
    """Only for a platform that claims it; for others the house sees to it that nobody places twice."""
    if Capability.IDEMPOTENT_PLACE not in harness.provider.capabilities:
        return
    order = harness.order()
    first, second = await harness.provider.place(order), await harness.provider.place(order)
    assert first == second, "the same order gave two references"
    assert await harness.times_dialed(order.call_id) == 1, "the platform dialed twice"


async def a_placed_call_bears_both_ids(harness: Harness) -> None:
    order = harness.order()
    ref = await harness.provider.place(order)
    assert ref.call_id == order.call_id, "the reference lost our id"
    assert ref.value, "the reference has no id of the platform"


async def every_report_finds_its_call(harness: Harness) -> None:
    """Also one that comes before `place` has answered: by our id, or by the platform's."""
    order = harness.order()
    ref = await harness.provider.place(order)
    for report in await harness.reports_of(order.call_id):
        assert report.call_id == order.call_id or report.platform_ref == ref.value, f"{report.kind} names no call"


async def different_things_have_different_keys(harness: Harness) -> None:
    order = harness.order()
    await harness.provider.place(order)
    reports = await harness.reports_of(order.call_id)
    keys: dict[str, CallReport] = {}
    for report in reports:
        known = keys.setdefault(report.key, report)
        assert known.kind == report.kind, f"{known.kind} and {report.kind} share a key"


async def the_same_callback_gives_the_same_reports(harness: Harness) -> None:
    inbound = harness.callback()
    if inbound is not None:
        assert harness.provider.read(inbound) == harness.provider.read(inbound), "a repeated callback is not the same"


async def a_callback_with_a_bad_signature_is_refused(harness: Harness) -> None:
    inbound = harness.callback() or Inbound({}, b"{}", "http://127.0.0.1/in/x/y")
    for forged in (
        Inbound(inbound.headers, inbound.body + b" ", inbound.url),
        Inbound({}, inbound.body, inbound.url),
        Inbound(inbound.headers, b"\xff not json", inbound.url),
    ):
        try:
            harness.provider.read(forged)
        except BadSignature:
            continue
        raise AssertionError("a forged callback was believed")


async def a_code_that_nobody_knows_passes_through(harness: Harness) -> None:
    inbound = harness.callback(unknown_code=True)
    if inbound is not None:
        (report,) = harness.provider.read(inbound)
        assert report.cause is not None, "the unknown code was dropped"
        assert report.cause.detail, "the unknown code was dropped"


async def a_call_that_never_was_is_not_found(harness: Harness) -> None:
    report = await harness.provider.status(PlatformRef(uuid4(), "never-was"))
    assert report.kind in (Kind.NOT_FOUND, Kind.UNSURE), f"a call that never was is {report.kind}"


async def a_hang_up_ends_the_call_and_may_be_repeated(harness: Harness) -> None:
    order = harness.order()
    ref = await harness.provider.place(order)
    await harness.provider.control(ref, HangUp())
    await harness.provider.control(ref, HangUp())
    reports = await harness.reports_of(order.call_id)
    assert any(report.kind in TERMINAL for report in reports), "the end was not reported"
    assert (await harness.provider.status(ref)).kind in TERMINAL, "the call is still alive"
    await harness.provider.control(ref, HangUp())


async def what_it_cannot_do_it_refuses(harness: Harness) -> None:
    order = harness.order()
    ref = await harness.provider.place(order)
    for capability, action in (
        (Capability.SWITCH_MODE, SwitchMode("ai_only")),
        (Capability.WRAP_UP, WrapUp("NQ")),
        (Capability.TRANSFER, Transfer(uuid4(), "did", "+12025550111", 30)),
    ):
        if capability in harness.provider.capabilities:
            continue
        try:
            await harness.provider.control(ref, action)
        except ControlRefused:
            continue
        except PlatformAway:
            raise AssertionError(f"{capability} is not lacking but away") from None
        raise AssertionError(f"{capability} was done without being claimed")


async def it_can_say_whether_it_is_well(harness: Harness) -> None:
    assert (await harness.provider.health()).ok, "a platform that works says it does not"


PROMISES: tuple[Promise, ...] = (
    placing_a_call_twice_dials_once,
    a_placed_call_bears_both_ids,
    every_report_finds_its_call,
    different_things_have_different_keys,
    the_same_callback_gives_the_same_reports,
    a_callback_with_a_bad_signature_is_refused,
    a_code_that_nobody_knows_passes_through,
    a_call_that_never_was_is_not_found,
    a_hang_up_ends_the_call_and_may_be_repeated,
    what_it_cannot_do_it_refuses,
    it_can_say_whether_it_is_well,
)
