"""Whole calls at the platform that pretends: from the dial to the last word, by the virtual clock and over HTTP."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.calls.conftest import FakeFloor, House

from offhook.calls import Calls
from offhook.db import Database, Tenant, Wakeups
from offhook.events import Log
from offhook.jobs import Runner
from offhook.outbound import Outbound, Reach
from offhook.privacy import Vault
from offhook.providers import Providers
from offhook.providers.contract import Inbound
from offhook.sandbox.clock import VirtualClock
from offhook.sandbox.platform import PretendWorld
from offhook.sandbox.remote import Behaviour, RemotePretender

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
STORIES = {
    0: ["call.ringing", "call.no_answer", "call.ended"],
    1: ["call.busy", "call.ended"],
    2: ["call.ringing", "call.answered", "call.voicemail_detected", "call.ended"],
    3: ["call.ringing", "call.answered", "call.voice_detected", "call.disposition_set", "call.ended"],
    4: ["call.ringing", "call.answered", "call.voice_detected", "call.ended"],
    5: ["call.ringing", "call.answered", "call.voice_detected", "call.opt_out_detected", "call.ended"],
    7: ["call.error", "call.ended"],
}
HANDED_OVER = [
    "call.ringing", "call.answered", "call.voice_detected", "call.disposition_set", "call.qualification_threshold_met",
    "transfer.initiated", "transfer.routed", "transfer.reserved", "transfer.ringing",
]  # fmt: skip
STORIES[6] = [*HANDED_OVER, "transfer.declined", "transfer.released", "call.ended"]
STORIES[8] = [*HANDED_OVER, "transfer.no_answer", "transfer.released", "call.ended"]
STORIES[9] = [
    *HANDED_OVER, "transfer.bridged", "transfer.completed", "transfer.ended", "transfer.released", "call.ended",
]  # fmt: skip


class Pretending(House):
    """A house whose platform pretends, and the clock of its world."""

    clock: VirtualClock

    async def pass_(self, by: timedelta) -> None:
        async with self.database.transaction(self.tenant) as tx:
            to = tx.now + by
        await self.clock.advance(self.tenant, to)


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    outbound = Outbound()
    yield outbound
    await outbound.close()


@pytest.fixture
async def pretending(
    database: Database, tenant: Tenant, vault: Vault, log: Log, wakeups: Wakeups, floor: FakeFloor, outbound: Outbound
) -> Pretending:
    world = PretendWorld(database, wakeups, outbound, lambda _: Reach(True, ()))
    providers = Providers(vault, wakeups, [world.platform], "http://127.0.0.1:8400")
    calls = Calls(database, vault, log, providers, wakeups, floor)
    world.report_to(calls.report_all)
    async with database.transaction(tenant) as tx:
        account = await providers.add(tx, "sandbox", "main")
    house = Pretending(database, tenant, vault, calls, account)
    house.runner = Runner(database, wakeups, {**calls.handlers, **world.handlers})
    house.clock = VirtualClock(database, [house.runner])
    return house


@pytest.mark.parametrize("digit", STORIES)
async def test_the_last_digit_tells_the_whole_story(pretending: Pretending, digit: int) -> None:
    call = await pretending.dial(phone=f"+1312555019{digit}")

    await pretending.pass_(timedelta(minutes=10))

    assert await pretending.told(call) == ["call.started", "call.placed", *STORIES[digit], "call.finalized"]


async def test_a_stopped_call_is_over_before_any_time_has_passed(pretending: Pretending) -> None:
    call = await pretending.dial()
    await pretending.pass_(timedelta(seconds=25))

    await pretending.stop(number_tag=b"tag of that number")
    await pretending.drain()

    assert await pretending.end_reason(call) == "opt_out"


async def test_a_qualified_consumer_without_a_free_human_says_goodbye(pretending: Pretending, floor: FakeFloor) -> None:
    floor.free = 0
    call = await pretending.dial()

    await pretending.pass_(timedelta(minutes=10))

    assert (await pretending.told(call))[-3:] == ["transfer.no_capacity", "call.ended", "call.finalized"]


async def test_a_call_that_nobody_placed_is_found_out_by_its_sweep(pretending: Pretending) -> None:
    order = await pretending.begin()
    async with pretending.database.transaction(pretending.tenant) as tx:
        await tx.run("update call set placing_until = %(past)s", {"past": tx.wall})

    await pretending.pass_(timedelta(minutes=2))

    assert await pretending.end_reason(order.call_id) == "provider_error"


class Distant(House):
    """A house whose platform is a process of its own, a hundred times as fast as the world, that calls back."""

    pretender: RemotePretender
    journal: Path
    providers: Providers

    async def take(self, request: web.Request) -> web.Response:
        """The callback door; what a callback sets off is done before it is answered."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self.database.transaction(self.tenant) as tx:
            provider = await self.providers.for_account(tx, self.account)
            reports = provider.read(Inbound(headers, await request.read(), str(request.url)))
            await self.calls.report(tx, self.account, reports)
        await self.drain()
        return web.Response()

    async def dial_and_wait(self, digit: int) -> UUID:
        call = await self.dial(phone=f"+1312555019{digit}")
        await self.pretender.settled()
        return call

    def dialed(self) -> int:
        return len(self.journal.read_text().splitlines())


@pytest.fixture
async def distant(
    database: Database,
    tenant: Tenant,
    vault: Vault,
    log: Log,
    wakeups: Wakeups,
    floor: FakeFloor,
    outbound: Outbound,
    tmp_path: Path,
) -> AsyncIterator[Distant]:
    houses: list[Distant] = []

    async def take(request: web.Request) -> web.Response:
        return await houses[0].take(request)

    ours = web.Application()
    ours.add_routes([web.post("/in/sandbox/{account}", take)])
    pretender = RemotePretender(tmp_path / "journal", secret=SECRET, speed=100)
    async with TestServer(pretender.app()) as theirs, TestServer(ours) as door:
        world = PretendWorld(database, wakeups, outbound, lambda _: Reach(True, ()))
        providers = Providers(vault, wakeups, [world.platform], str(door.make_url("/")))
        calls = Calls(database, vault, log, providers, wakeups, floor)
        settings, secret = {"url": str(theirs.make_url("/"))}, {"callback_secret": SECRET}
        async with database.transaction(tenant) as tx:
            account = await providers.add(tx, "sandbox", "far", settings=settings, secret=secret)
        house = Distant(database, tenant, vault, calls, account)
        house.runner = Runner(database, wakeups, calls.handlers)
        house.pretender, house.journal, house.providers = pretender, tmp_path / "journal", providers
        houses.append(house)
        yield house


async def test_a_transfer_works_over_the_wire(distant: Distant) -> None:
    call = await distant.dial_and_wait(9)

    assert await distant.told(call) == ["call.started", "call.placed", *STORIES[9], "call.finalized"]


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(send_twice=True),
        Behaviour(shuffle=True),
        Behaviour(send_twice=True, shuffle=True),
        Behaviour(answer_late_s=0.3),
    ],
    ids=["twice", "out of order", "both", "before place has answered"],
)
async def test_an_ill_mannered_platform_still_tells_one_story(distant: Distant, behaviour: Behaviour) -> None:
    distant.pretender.behaviour = behaviour

    call = await distant.dial_and_wait(3)

    told = await distant.told(call)
    assert (told.count("call.started"), told.count("call.ended"), told.count("call.finalized")) == (1, 1, 1)
    assert distant.dialed() == 1


async def test_a_platform_that_answers_too_late_is_asked_and_not_dialed_again(
    distant: Distant, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    monkeypatch.setattr("offhook.calls.placing.ANSWER_S", 0.05)
    distant.pretender.behaviour = Behaviour(answer_late_s=0.2)

    call = await distant.dial_and_wait(0)
    await clock.forward(timedelta(minutes=2))
    await distant.drain()

    assert (await distant.call(call)).over
    assert distant.dialed() == 1
