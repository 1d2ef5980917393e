"""A house with calls and nothing above them: a platform that does what the test says, and a floor with a few humans."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import settings

from offhook import ids
from offhook.calls import Call, Calls, NewCall
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.events import Log
from offhook.events.envelope import envelope_of
from offhook.jobs import Runner
from offhook.privacy import PersonKey, Vault
from offhook.providers import CallReport, Providers
from offhook.providers.contract import (
    Account,
    Action,
    Capability,
    DialOrder,
    Health,
    Inbound,
    Kind,
    Platform,
    PlatformRef,
    Transfer,
)
from offhook.routing import NoTarget, Placement

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

Minutes = Callable[[float], Awaitable[None]]
"""Lets minutes pass in the sandbox."""

A_PHONE = "+13125550199"
A_TAG = b"tag of that number"


@dataclass
class FakePlatform:
    """Does what the test says and remembers what it was asked."""

    capabilities: frozenset[Capability] = frozenset(Capability)
    dialed: list[UUID] = field(default_factory=list)
    done: list[tuple[UUID, Action]] = field(default_factory=list)
    place_raises: list[Exception] = field(default_factory=list)
    control_raises: list[Exception] = field(default_factory=list)
    breaks: Exception | None = None
    hangs: bool = False
    answers: Kind = Kind.UNSURE
    while_placing: Any = None

    def build(self, account: Account) -> "FakePlatform":
        self._break()
        return self

    def _break(self) -> None:
        if self.breaks:
            raise self.breaks

    async def place(self, order: DialOrder) -> PlatformRef:
        if self.place_raises:
            raise self.place_raises.pop(0)
        self.dialed.append(order.call_id)
        if self.while_placing:
            await self.while_placing(order)
        return PlatformRef(order.call_id, f"theirs-{order.call_id.hex}")

    async def control(self, ref: PlatformRef, action: Action) -> None:
        self._break()
        if self.control_raises:
            raise self.control_raises.pop(0)
        self.done.append((ref.call_id, action))

    async def status(self, ref: PlatformRef) -> CallReport:
        self._break()
        if self.hangs:
            await asyncio.Event().wait()
        return CallReport(key=f"poll:{ref.call_id}:{self.answers}", kind=self.answers, source="poll")

    async def health(self) -> Health:
        return Health(True)

    def read(self, inbound: Inbound) -> list[CallReport]:
        return []

    def transfers(self) -> list[Transfer]:
        return [action for _, action in self.done if isinstance(action, Transfer)]


@dataclass
class FakeFloor:
    """Some humans; who is held until when."""

    free: int = 1
    held: dict[UUID, datetime] = field(default_factory=dict)

    async def confirm(self, tx: Tx, campaign_id: UUID, call_id: UUID, until: datetime) -> Placement | NoTarget:
        if not self.free:
            return NoTarget(("tgt_x: no_free_slot",), UUID(int=8))
        self.held[call_id] = until
        return Placement(UUID(int=9), "did", "+12025550111", 30, UUID(int=8))

    async def hold(self, tx: Tx, call_id: UUID, until: datetime) -> None:
        self.held[call_id] = until

    async def release(self, tx: Tx, calls: Sequence[UUID]) -> int:
        return len([self.held.pop(call) for call in calls if call in self.held])


class House:
    """What a test of calls does, in its own words."""

    def __init__(self, database: Database, tenant: Tenant, vault: Vault, calls: Calls, account: UUID) -> None:
        self.database = database
        self.tenant = tenant
        self.vault = vault
        self.calls = calls
        self.account = account
        self.runner: Runner

    async def new_call(self, **changes: Any) -> NewCall:
        """A call about to begin, to a person with keys."""
        person = changes.pop("person", None) or ids.new()
        async with self.database.transaction(self.tenant) as tx:
            await self.vault.create(tx, [person])
        fields: dict[str, Any] = {
            "attempt_id": ids.new(),
            "lead_id": person,
            "campaign_id": UUID(int=3),
            "provider_account_id": self.account,
            "mode": "ai_first",
            "number_tag": A_TAG,
            "attempt_n": 1,
            "person": person,
            "phone": A_PHONE,
            "caller_id": "+12025550100",
            "ring_timeout_s": 25,
            "max_duration_s": 600,
            "lead_story": orjson.dumps({"lead_id": ids.show("lead", person)}),
            "visitor": None,
            "client_ref_id": "LD-9938-XYZ",
            "merge_fields": {"product": "solar"},
        }
        return NewCall(**{**fields, **changes})

    async def begin(self, **changes: Any) -> DialOrder:
        """A committed dial, not yet handed to its platform."""
        new = await self.new_call(**changes)
        async with self.database.transaction(self.tenant) as tx:
            (order,) = await self.calls.begin(tx, [new])
        return order

    async def dial(self, **changes: Any) -> UUID:
        """A call that its platform accepted."""
        order = await self.begin(**changes)
        await self.calls.place(self.tenant, order)
        return order.call_id

    async def hear(self, call: UUID, *kinds: Kind, **more: Any) -> int:
        """The platform reports these, each for the first time; how many were new."""
        reports = [CallReport(key=f"{call}:{kind}:{ids.new()}", kind=kind, call_id=call, **more) for kind in kinds]
        return await self.hear_again(*reports)

    async def hear_again(self, *reports: CallReport) -> int:
        async with self.database.transaction(self.tenant) as tx:
            return await self.calls.report(tx, self.account, reports)

    async def answered(self, **changes: Any) -> UUID:
        """A call with somebody on the line."""
        call = await self.dial(**changes)
        await self.hear(call, Kind.RINGING, Kind.ANSWERED)
        return call

    async def stop(self, **whom: Any) -> list[UUID]:
        async with self.database.transaction(self.tenant) as tx:
            return await self.calls.stop(tx, "opt_out", **whom)

    async def call(self, call: UUID) -> Call:
        async with self.database.transaction(self.tenant) as tx:
            return await self.calls.find(tx, call)

    async def end_reason(self, call: UUID) -> str:
        end = (await self.call(call)).end
        assert end is not None, "the call has not ended"
        return end.reason

    async def told(self, call: UUID) -> list[str]:
        """The types of the call's events, in order."""
        async with self.database.transaction(self.tenant) as tx:
            rows = await tx.rows(
                "select type, sequence from event where subject_id = %(call)s order by sequence", {"call": call}
            )
        assert [sequence for _, sequence in rows] == list(range(1, len(rows) + 1))
        return [type_ for type_, _ in rows]

    async def envelope(self, call: UUID, type_: str) -> dict[str, Any]:
        """The envelope of the call's last event of that type, opened."""
        async with self.database.transaction(self.tenant) as tx:
            row = await tx.row(
                "select id, person_id, body from event where subject_id = %(call)s and type = %(type)s order by sequence desc",
                {"call": call, "type": type_},
            )
            assert row is not None, f"the call has no {type_}"
            key = await self.vault.key(tx, row[1])
        assert isinstance(key, PersonKey)
        envelope: dict[str, Any] = orjson.loads(envelope_of(key.open(row[2], row[0].bytes)))
        return envelope

    async def drain(self) -> None:
        """Everything that is due, and what that sets off."""
        while await self.runner.drain_once(self.tenant):
            pass


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform()


@pytest.fixture
def floor() -> FakeFloor:
    return FakeFloor()


@pytest.fixture
def providers(vault: Vault, wakeups: Wakeups, platform: FakePlatform) -> Providers:
    fake = Platform("fake", "A fake", frozenset(Capability), "pretend", platform.build)
    return Providers(vault, wakeups, [fake], "http://127.0.0.1:8400")


@pytest.fixture
async def house(
    database: Database,
    tenant: Tenant,
    vault: Vault,
    log: Log,
    wakeups: Wakeups,
    providers: Providers,
    floor: FakeFloor,
) -> House:
    calls = Calls(database, vault, log, providers, wakeups, floor)
    async with database.transaction(tenant) as tx:
        account = await providers.add(tx, "fake", "main", is_default=True)
    house = House(database, tenant, vault, calls, account)
    house.runner = Runner(database, wakeups, calls.handlers)
    return house


@pytest.fixture
def minutes(clock: Any) -> Minutes:
    async def pass_(n: float) -> None:
        await clock.forward(timedelta(minutes=n))

    return pass_
