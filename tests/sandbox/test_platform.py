"""The platform that pretends keeps what every platform must keep, and plays what its table says."""

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook

from offhook import access, ids
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.errors import Invalid
from offhook.jobs import Runner
from offhook.outbound import Outbound, Reach
from offhook.privacy import Vault
from offhook.providers import CallReport, DialOrder, ProviderAccounts, Providers, conformance
from offhook.providers.accounts import AccountChange, AccountIn
from offhook.providers.contract import (
    BadSignature,
    DialNotSent,
    DialRefused,
    Health,
    Inbound,
    Kind,
    PlatformRef,
    Transfer,
)
from offhook.sandbox import script
from offhook.sandbox.clock import VirtualClock
from offhook.sandbox.platform import PretendWorld
from offhook.sandbox.remote import RemotePretender

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
ANSWERED_AND_TALKED_TO = "+13125550193"
LOOPBACK = Reach(plain_http_loopback=True, allowed_networks=())


def an_order(account: UUID, to: str = ANSWERED_AND_TALKED_TO, **changes: Any) -> DialOrder:
    fields: dict[str, Any] = {
        "call_id": uuid4(),
        "account_id": account,
        "to": to,
        "caller_id": None,
        "mode": "ai_first",
        "ring_timeout_s": 25,
        "max_duration_s": 600,
        "context_ref": "call_x",
        "seed": "LD-1:1",
    }
    return DialOrder(**{**fields, **changes})


class Pretended:
    """The pretend platform within the database, and everything that it reported."""

    def __init__(self, database: Database, tenant: Tenant, wakeups: Wakeups, outbound: Outbound) -> None:
        self.database, self.tenant = database, tenant
        self.heard: list[CallReport] = []
        self.accounts_at_once: list[set[UUID]] = []
        self.world = PretendWorld(database, wakeups, outbound, lambda _: LOOPBACK)
        self.world.report_to(self.hear)
        self.clock = VirtualClock(database, [Runner(database, wakeups, self.world.handlers)])

    async def hear(self, tx: Tx, said: Sequence[tuple[UUID, Sequence[CallReport]]]) -> list[int]:
        self.accounts_at_once.append({account for account, _ in said})
        self.heard += [report for _, reports in said for report in reports]
        return [len(reports) for _, reports in said]

    async def account(self, providers: Providers, **more: Any) -> UUID:
        async with self.database.transaction(self.tenant) as tx:
            self.id = await providers.add(tx, "sandbox", "main", **more)
            self.provider = await providers.for_account(tx, self.id)
        return self.id

    def order(self, **changes: Any) -> DialOrder:
        return an_order(self.id, **changes)

    async def times_dialed(self, call_id: UUID) -> int:
        async with self.database.transaction(self.tenant) as tx:
            return len(await tx.rows("select 1 from pretend_call where call_id = %(call)s", {"call": call_id}))

    async def reports_of(self, call_id: UUID) -> list[CallReport]:
        await self.pass_seconds(40)
        return [report for report in self.heard if report.call_id == call_id]

    async def pass_seconds(self, seconds: int) -> None:
        async with self.database.transaction(self.tenant) as tx:
            to = tx.now + timedelta(seconds=seconds)
        await self.clock.advance(self.tenant, to)

    def callback(self, *, unknown_code: bool = False) -> Inbound | None:
        return None


class Remote:
    """The pretend platform as a server of its own, a thousand times as fast, and whom it calls back."""

    def __init__(self, pretender: RemotePretender, journal: Path) -> None:
        self.pretender, self.journal = pretender, journal
        self.heard: list[CallReport] = []
        self.account = uuid4()
        self.provider: Any = None

    async def door(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.heard += self.provider.read(Inbound(headers, await request.read(), str(request.url)))
        return web.Response()

    def order(self, **changes: Any) -> DialOrder:
        return an_order(self.account, **changes)

    async def times_dialed(self, call_id: UUID) -> int:
        written = self.journal.read_text().splitlines()
        return sum(json.loads(line)["call_id"] == call_id.hex for line in written)

    async def reports_of(self, call_id: UUID) -> list[CallReport]:
        await self.pretender.settled()
        return [report for report in self.heard if report.call_id == call_id]

    def callback(self, *, unknown_code: bool = False) -> Inbound | None:
        kind = "beamed_up" if unknown_code else "ringing"
        said = {"kind": kind, "call_id": uuid4().hex, "platform_ref": "rem_x", "key": "k", "at": "2026-11-23T17:00:00Z"}
        body = json.dumps({"reports": [said]})
        now = datetime.now(UTC)
        headers = {
            "webhook-id": "cb_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign("cb_1", now, body),
        }
        return Inbound(headers, body.encode(), "http://127.0.0.1/in/sandbox/pac_x")


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    outbound = Outbound()
    yield outbound
    await outbound.close()


@pytest.fixture
async def pretended(
    database: Database, tenant: Tenant, wakeups: Wakeups, outbound: Outbound, vault: Vault
) -> Pretended:
    pretended = Pretended(database, tenant, wakeups, outbound)
    await pretended.account(Providers(vault, wakeups, [pretended.world.platform], "http://127.0.0.1:8400"))
    return pretended


@pytest.fixture
def world(database: Database, wakeups: Wakeups, outbound: Outbound) -> PretendWorld:
    return PretendWorld(database, wakeups, outbound, lambda _: LOOPBACK)


@pytest.fixture
async def remote(
    database: Database, tenant: Tenant, world: PretendWorld, wakeups: Wakeups, vault: Vault, tmp_path: Path
) -> AsyncIterator[Remote]:
    pretender = RemotePretender(tmp_path / "journal", secret=SECRET, speed=1000)
    remote = Remote(pretender, tmp_path / "journal")
    ours = web.Application()
    ours.add_routes([web.post("/in/{key}/{account}", remote.door)])
    async with TestServer(pretender.app()) as theirs, TestServer(ours) as door:
        providers = Providers(vault, wakeups, [world.platform], str(door.make_url("/")))
        async with database.transaction(tenant) as tx:
            settings = {"url": str(theirs.make_url("/"))}
            secret = {"callback_secret": SECRET}
            account = await providers.add(tx, "sandbox", "far", settings=settings, secret=secret)
            remote.provider = await providers.for_account(tx, account)
        yield remote


@pytest.mark.parametrize("promise", conformance.PROMISES, ids=lambda promise: promise.__name__)
async def test_the_pretend_platform_keeps_what_every_platform_keeps(
    pretended: Pretended, promise: conformance.Promise
) -> None:
    assert await conformance.breach(promise, pretended) is None


@pytest.mark.parametrize("promise", conformance.PROMISES, ids=lambda promise: promise.__name__)
async def test_the_pretend_platform_of_its_own_process_keeps_it_too(
    remote: Remote, promise: conformance.Promise
) -> None:
    assert await conformance.breach(promise, remote) is None


async def test_a_platform_that_breaks_a_promise_is_told_which_part(pretended: Pretended) -> None:
    async def says_nothing(tx: Tx, said: Sequence[tuple[UUID, Sequence[CallReport]]]) -> list[int]:
        return []

    pretended.world.report_to(says_nothing)
    breach = await conformance.breach(conformance.a_hang_up_ends_the_call_and_may_be_repeated, pretended)

    assert breach is not None
    assert "the end was not reported" in breach


async def test_what_happens_at_several_accounts_is_reported_at_once_so_that_all_numbers_are_known(
    pretended: Pretended,
) -> None:
    other = uuid4()
    async with pretended.database.transaction(pretended.tenant) as tx:
        for account in (pretended.id, other):
            await pretended.world._place(tx, [(an_order(account), {})])
        await access.set_clock(tx, timedelta(hours=1))

    await pretended.clock.settle(pretended.tenant)

    assert pretended.accounts_at_once[0] == {pretended.id, other}


PLAYED = {
    "no_answer": [Kind.RINGING, Kind.NO_ANSWER],
    "busy": [Kind.BUSY],
    "voicemail": [Kind.RINGING, Kind.ANSWERED, Kind.ANSWERED_BY, Kind.ENDED],
    "not_qualified": [Kind.QUALIFICATION, Kind.ENDED],
    "early_hangup": [Kind.VOICE_DETECTED, Kind.ENDED],
    "opt_out": [Kind.OPT_OUT_PHRASE, Kind.ENDED],
    "target_declines": [Kind.QUALIFICATION, Kind.ENDED],
    "invalid_number": [Kind.ERROR],
    "target_no_answer": [Kind.QUALIFICATION, Kind.ENDED],
    "transferred": [Kind.QUALIFICATION, Kind.ENDED],
}


@pytest.mark.parametrize(("digit", "outcome"), script.DIGITS.items())
async def test_the_last_digit_of_the_number_decides_what_happens(
    pretended: Pretended, digit: int, outcome: str
) -> None:
    order = pretended.order(to=f"+1312555019{digit}")

    await pretended.provider.place(order)
    await pretended.pass_seconds(160)

    kinds = [report.kind for report in pretended.heard]
    assert kinds[-len(PLAYED[outcome]) :] == PLAYED[outcome]


async def test_a_transfer_that_is_ordered_replaces_what_would_have_happened(pretended: Pretended) -> None:
    order = pretended.order(to="+13125550199")
    ref = await pretended.provider.place(order)
    await pretended.pass_seconds(25)

    transfer = Transfer(uuid4(), "did", "+12025550111", 30)
    await pretended.provider.control(ref, transfer)
    await pretended.provider.control(ref, transfer)
    await pretended.pass_seconds(260)

    kinds = [report.kind for report in pretended.heard if report.kind.value.startswith(("target", "trans", "ended"))]
    assert kinds == [Kind.TARGET_RINGING, Kind.TARGET_BRIDGED, Kind.TRANSFERRED, Kind.TARGET_ENDED, Kind.ENDED]


async def test_a_pretend_call_is_never_placed_for_somebody_live(
    pretended: Pretended, live_tenant: Tenant, vault: Vault, wakeups: Wakeups, database: Database
) -> None:
    providers = Providers(vault, wakeups, [pretended.world.platform], "http://127.0.0.1:8400")
    async with database.transaction(live_tenant) as tx:
        account = await providers.add(tx, "sandbox", "main")
        provider = await providers.for_account(tx, account)

    with pytest.raises(DialRefused):
        await provider.place(pretended.order())


async def test_nobody_live_names_a_url_to_pretend_at(
    pretended: Pretended, live_tenant: Tenant, vault: Vault, wakeups: Wakeups, database: Database
) -> None:
    accounts = ProviderAccounts(Providers(vault, wakeups, [pretended.world.platform], "http://127.0.0.1:8400"))
    url = {"url": "http://127.0.0.1:9200"}

    async with database.transaction(live_tenant) as tx:
        with pytest.raises(Invalid) as made:
            await accounts.create(tx, AccountIn(provider="sandbox", name="far", settings=url))
        plain = ids.read("pac", (await accounts.create(tx, AccountIn(provider="sandbox", name="main")))["id"])
        with pytest.raises(Invalid) as changed:
            await accounts.change(
                tx, plain, AccountChange.model_validate({"settings": url}), frozenset({"settings"}), None
            )

    assert made.value.code == changed.value.code == "sandbox_only"


async def test_a_live_account_with_a_url_dials_nobody_there(
    remote: Remote, world: PretendWorld, live_tenant: Tenant
) -> None:
    account = replace(remote.provider._account, tenant=live_tenant)
    provider = world.platform.build(account)

    with pytest.raises(DialRefused):
        await provider.place(remote.order())

    assert remote.journal.read_text() == ""


async def test_a_pretend_platform_is_asked_no_further_than_the_sandbox_reaches(
    remote: Remote, database: Database, wakeups: Wakeups, outbound: Outbound
) -> None:
    world = PretendWorld(database, wakeups, outbound, lambda _: Reach(False, ()))
    provider = world.platform.build(remote.provider._account)

    with pytest.raises(DialNotSent):
        await provider.place(remote.order())

    assert await provider.health() == Health(False, "refused_url")
    assert remote.journal.read_text() == ""


def test_a_mix_overrides_the_digit_and_is_the_same_for_the_same_attempt() -> None:
    mix = {"busy": 1.0, "transferred": 3.0}

    drawn = [script.outcome_of("+13125550190", f"LD-{n}:1", mix) for n in range(400)]

    assert drawn == [script.outcome_of("+13125550191", f"LD-{n}:1", mix) for n in range(400)]
    assert 60 < Counter(drawn)["busy"] < 140


def test_a_mix_may_stand_in_the_leads_merge_fields() -> None:
    assert script.mix_of({"mix": {"busy": 1}}, {"sandbox_mix": "transferred=3, busy=1"}) == {
        "transferred": 3,
        "busy": 1,
    }
    assert script.mix_of({"mix": {"busy": 1}}, {}) == {"busy": 1}
    assert script.mix_of({}, {}) is None


@pytest.mark.parametrize("outcome", script.MEANINGS)
def test_every_outcome_ends_and_reports_in_order(outcome: str) -> None:
    for n in range(50):
        played = script.script(outcome, f"LD-{n}:1", 25)
        assert Kind(played.steps[-1]["kind"]) in conformance.TERMINAL
        for steps in (played.steps, played.handover):
            times = [step["after"] for step in steps]
            assert times == sorted(times)


async def test_callbacks_that_come_twice_and_out_of_order_bear_the_same_keys(remote: Remote) -> None:
    remote.pretender.behaviour.send_twice = True
    remote.pretender.behaviour.shuffle = True
    order = remote.order()

    await remote.provider.place(order)
    reports = await remote.reports_of(order.call_id)

    assert set(Counter(report.key for report in reports).values()) == {2}


async def test_a_platform_that_was_never_reached_may_be_asked_again(
    remote: Remote, outbound: Outbound, database: Database, tenant: Tenant
) -> None:
    await remote.pretender.settled()
    remote.provider._url = "http://127.0.0.1:9"

    with pytest.raises(DialNotSent):
        await remote.provider.place(remote.order())


async def test_what_was_dialed_stands_in_the_journal_after_a_crash(remote: Remote, tmp_path: Path) -> None:
    order = remote.order(to="+13125550190")
    await remote.provider.place(order)

    again = RemotePretender(tmp_path / "journal", secret=SECRET, speed=1000)
    async with TestServer(again.app()) as server:
        remote.provider._url = str(server.make_url("")).rstrip("/")
        status = await remote.provider.status(PlatformRef(order.call_id))

    assert status.platform_ref == f"rem_{order.call_id.hex}"


def test_without_a_secret_no_callback_is_believed(remote: Remote) -> None:
    remote.provider._account = replace(remote.provider._account, secret={})
    inbound = remote.callback()

    with pytest.raises(BadSignature):
        remote.provider.read(inbound)
