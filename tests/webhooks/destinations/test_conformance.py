"""The suite finds out who does not keep what every destination keeps."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
from tests.webhooks.destinations.stages import SECRET, Stage, fault_found, name_of

from offhook.errors import Fault
from offhook.webhooks.credentials import Basic, Credentials
from offhook.webhooks.destinations import conformance
from offhook.webhooks.destinations.conformance import CLAIMS, Claim, Found
from offhook.webhooks.destinations.contract import Capability, Clock, Consignment, Told, delivered, refused, try_again
from offhook.webhooks.endpoint_settings import EndpointSettings


class Memory:
    """Keeps everything, in memory; those below each have one fault."""

    kinds = frozenset({"memory"})
    capabilities = frozenset(Capability)
    kept: dict[str, bytes]

    def __init__(self) -> None:
        self.kept = {}

    def check(self, url: str, settings: EndpointSettings, credentials: Credentials) -> Fault | None:
        return None if url != "memory://nonsense" else Fault("url", "bad_url", "Write it as memory://here.")

    async def send(self, consignment: Consignment) -> Told:
        clock = Clock()
        if consignment.url == "memory://silent":
            async with asyncio.timeout(consignment.timeout_s):
                await asyncio.Event().wait()
        if consignment.url != "memory://here":
            return try_again("away", "nobody is there", clock.timing_ms)
        self.keep(consignment)
        return delivered(clock.timing_ms)

    def keep(self, consignment: Consignment) -> None:
        self.kept |= {item.event_id: item.rendered.body for item in consignment.items}

    async def close(self) -> None: ...


class Sound(Memory):
    async def send(self, consignment: Consignment) -> Told:
        try:
            return await super().send(consignment)
        except TimeoutError:
            return try_again("timeout", "it took too long", Clock().timing_ms)


class Forgets(Sound):
    def keep(self, consignment: Consignment) -> None: ...


class KeepsTheFirstOfABatch(Sound):
    def keep(self, consignment: Consignment) -> None:
        super().keep(replace(consignment, items=consignment.items[:1]))


class KeepsTwice(Sound):
    def keep(self, consignment: Consignment) -> None:
        (item, *_) = consignment.items
        self.kept[item.event_id + " " * consignment.n] = item.rendered.body


class KeepsOtherBytes(Sound):
    def keep(self, consignment: Consignment) -> None:
        (item, *_) = consignment.items
        self.kept[item.event_id + " " * consignment.n] = item.rendered.body + b" " * consignment.n


class KeepsUnderAnotherId(Sound):
    def keep(self, consignment: Consignment) -> None:
        (item, *_) = consignment.items
        self.kept[f"{item.event_id}{consignment.n or ''}"] = item.rendered.body


class LosesWhatComesMeanwhile(Sound):
    _under_way = False

    async def send(self, consignment: Consignment) -> Told:
        if self._under_way:
            return delivered(Clock().timing_ms)
        self._under_way = True
        await asyncio.sleep(0)
        self._under_way = False
        return await super().send(consignment)


class StaysBusyForWhoLeft(Sound):
    _under_way = False

    async def send(self, consignment: Consignment) -> Told:
        if self._under_way:
            return try_again("busy", "somebody else is being served", Clock().timing_ms)
        self._under_way = True
        told = await super().send(consignment)
        self._under_way = False
        return told


class CannotBeCancelled(Sound):
    async def send(self, consignment: Consignment) -> Told:
        try:
            return await super().send(consignment)
        except asyncio.CancelledError:
            return try_again("cancelled", "somebody gave up", Clock().timing_ms)


class ClosesOnce(Sound):
    _closed = False

    async def close(self) -> None:
        if self._closed:
            raise RuntimeError("closed")
        self._closed = True


class DropsWhatItHasWhenClosed(Sound):
    async def close(self) -> None:
        self.kept.clear()


class GivesUp(Sound):
    async def send(self, consignment: Consignment) -> Told:
        told = await super().send(consignment)
        return told if told.error_code is None else refused("away", "nobody is there", told.timing_ms)


class IsSilentOnWhy(Sound):
    async def send(self, consignment: Consignment) -> Told:
        return replace(await super().send(consignment), error_text=None)


class NeverRecovers(Sound):
    _broken = False

    async def send(self, consignment: Consignment) -> Told:
        told = await super().send(consignment)
        self._broken = self._broken or told.error_code is not None
        return told if not self._broken else try_again("broken", "it stays broken", told.timing_ms)


class Tells(Sound):
    def keep(self, consignment: Consignment) -> None:
        assert isinstance(consignment.credentials, Basic)
        self.kept[consignment.webhook_id] = consignment.credentials.password.encode()


class TakesNonsense(Sound):
    def check(self, url: str, settings: EndpointSettings, credentials: Credentials) -> Fault | None:
        return None


class MemoryStage(Stage):
    nonsense = "memory://nonsense"
    credentials: Credentials = SECRET
    memory: Memory
    faults: ClassVar[dict[type[Memory], tuple[Claim, str]]] = {
        Memory: (conformance.a_timeout_is_kept, "it did not answer within its time-out"),
        Forgets: (conformance.what_is_delivered_is_there, "is not there"),
        KeepsTheFirstOfABatch: (conformance.a_batch_is_there_as_a_whole, "not there as a whole"),
        KeepsTwice: (conformance.a_repeated_consignment_does_no_harm, "more than once"),
        KeepsOtherBytes: (conformance.a_repeated_consignment_does_no_harm, "has other bytes"),
        KeepsUnderAnotherId: (conformance.a_repeated_consignment_does_no_harm, "has another id"),
        LosesWhatComesMeanwhile: (conformance.many_at_once_all_arrive, "not all are there once"),
        GivesUp: (conformance.where_nobody_is_it_tries_again_and_says_why, "it is not tried again"),
        IsSilentOnWhy: (conformance.where_nobody_is_it_tries_again_and_says_why, "a failure has no text"),
        NeverRecovers: (conformance.a_failure_does_not_outlast_its_cause, "it was not delivered: broken"),
        StaysBusyForWhoLeft: (conformance.one_that_is_given_up_harms_no_other, "it was not delivered: busy"),
        CannotBeCancelled: (conformance.one_that_is_given_up_harms_no_other, "did not let itself be cancelled"),
        Tells: (conformance.no_secret_is_shown, "a secret is stored"),
        TakesNonsense: (conformance.its_own_url_is_fine_and_nonsense_has_a_cure, "nonsense is taken"),
        ClosesOnce: (conformance.closing_it_twice_does_no_harm, "closing it raised RuntimeError"),
        DropsWhatItHasWhenClosed: (conformance.closing_it_twice_does_no_harm, "gone since it was closed"),
    }

    async def found(self) -> Sequence[Found]:
        return [Found(id.strip(), body) for id, body in self.memory.kept.items()]


def staged(kind: type[Memory]) -> MemoryStage:
    memory = kind()
    stage = MemoryStage(memory, "memory://here", away="memory://away", silent="memory://silent")
    stage.memory = memory
    return stage


@pytest.mark.parametrize("claim", CLAIMS, ids=name_of)
async def test_who_keeps_everything_passes(claim: Claim) -> None:
    assert await fault_found(claim, staged(Sound)) == ""


@pytest.mark.parametrize("kind", MemoryStage.faults, ids=lambda kind: kind.__name__)
async def test_who_does_not_is_found_out_for_what_it_does(kind: type[Memory]) -> None:
    claim, words = MemoryStage.faults[kind]

    assert words in await fault_found(claim, staged(kind))


def test_every_claim_has_somebody_who_does_not_keep_it() -> None:
    assert {claim for claim, _ in MemoryStage.faults.values()} == set(CLAIMS)
