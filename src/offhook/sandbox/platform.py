"""The platform that pretends: a voice platform like any other, whose calls are rows and whose future is jobs.

Placed calls follow a script in the environment's time, so the virtual clock drives them. What happens is reported the
same way as by any platform, and nothing in the house knows the difference. The same call placed twice is one call.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from offhook.db import Database, GroupCommit, Tenant, Tx, Wakeups
from offhook.errors import Fault
from offhook.jobs import Inside, Job, Outside, enqueue_all
from offhook.jobs.outcome import Done, Outcome
from offhook.outbound import Outbound, Reach
from offhook.providers import CallReport, DialOrder
from offhook.providers.contract import (
    Account,
    Action,
    BadSignature,
    Capability,
    Cause,
    ControlRefused,
    DialRefused,
    HangUp,
    Health,
    Inbound,
    Kind,
    Platform,
    PlatformRef,
    SwitchMode,
    Transfer,
    VoiceProvider,
    WrapUp,
)
from offhook.sandbox import script, store
from offhook.sandbox.client import RemotePretendPlatform
from offhook.sandbox.store import PretendCall

STEP = "sandbox.step"
CAPABILITIES = frozenset(Capability) - {Capability.SWITCH_MODE}

ReportAll = Callable[[Tx, Sequence[tuple[UUID, Sequence[CallReport]]]], Awaitable[Sequence[int]]]
_PROGRESS = {Kind.PLACED, Kind.RINGING, Kind.ANSWERED, Kind.NO_ANSWER, Kind.BUSY, Kind.ERROR, Kind.ENDED}
_OVER = {Kind.NO_ANSWER, Kind.BUSY, Kind.ERROR, Kind.ENDED}


class PretendWorld:
    """All pretend calls of a process. Built in wiring, which tells it whom to report to."""

    def __init__(
        self, database: Database, wakeups: Wakeups, outbound: Outbound, reach_of: Callable[[Tenant], Reach]
    ) -> None:
        """`reach_of`: where a tenant's accounts may find a pretend platform of its own process."""
        self._wakeups = wakeups
        self._outbound = outbound
        self._reach_of = reach_of
        self._report_all: ReportAll | None = None
        self.database = database
        self.placing = GroupCommit[tuple[DialOrder, Mapping[str, Any]], None](database, self._place)

    @property
    def platform(self) -> Platform:
        """The platform, for `Providers`: in this database, or a process of its own where the account names its URL."""
        return Platform(
            "sandbox", "The platform that pretends", CAPABILITIES, "pretend", self._adapter, faults_of=_faults_of
        )

    @property
    def handlers(self) -> dict[str, Inside | Outside]:
        """The jobs of this room, for the runner."""
        return {STEP: Inside(self._play)}

    def report_to(self, report_all: ReportAll) -> None:
        """Send what happens here to `report_all`, of all accounts at once, in the transaction in which it happens."""
        self._report_all = report_all

    async def put_ahead(self, tx: Tx, call: PretendCall, steps: list[script.Step]) -> None:
        """Let these dated steps lie ahead of a locked call instead of what did."""
        after = replace(call, steps=steps, step=call.step + 1)
        await store.save(tx, [after])
        await self._schedule(tx, [after])

    async def _schedule(self, tx: Tx, calls: Sequence[PretendCall]) -> None:
        items = [
            (f"{call.call_id.hex}:{call.step}", {"call": call.call_id.hex, "step": call.step}, _due(call.steps[0]))
            for call in calls
            if call.steps
        ]
        if items:
            await enqueue_all(tx, STEP, [*items])
            if any(run_at <= tx.now for _, _, run_at in items):
                tx.on_commit(lambda: self._wakeups.send("jobs", tx.tenant))

    async def _place(self, tx: Tx, orders: Sequence[tuple[DialOrder, Mapping[str, Any]]]) -> list[None]:
        calls = {order.call_id: _written(order, settings, tx.now) for order, settings in orders}
        new = await store.insert(tx, list(calls.values()))
        await self._schedule(tx, [call for id_, call in calls.items() if id_ in new])
        return [None] * len(orders)

    async def _play(self, tx: Tx, due: Sequence[Job]) -> list[Outcome]:
        """Let the next thing happen on each of these calls; all of it is one transaction."""
        calls = await store.lock(tx, [UUID(job.args["call"]) for job in due])
        played: list[PretendCall] = []
        said: dict[UUID, list[CallReport]] = defaultdict(list)
        for job in due:
            call = calls.get(UUID(job.args["call"]))
            if call is None or call.step != job.args["step"] or not call.steps:
                continue
            after, reports = _next(call)
            played.append(after)
            said[call.account_id] += reports
        if played:
            await store.save(tx, played)
            await self._schedule(tx, played)
        assert self._report_all is not None, "wiring tells the pretend world whom to report to"
        await self._report_all(tx, list(said.items()))
        return [Done() for _ in due]

    def _adapter(self, account: Account) -> VoiceProvider:
        url = account.settings.get("url")
        if url and account.tenant.environment == "sandbox":
            return RemotePretendPlatform(self._outbound, self._reach_of(account.tenant), account, str(url))
        return PretendPlatform(self, account)  # which refuses what is live


class PretendPlatform:
    """One account at the platform that pretends, within this database."""

    def __init__(self, world: PretendWorld, account: Account) -> None:
        self._world = world
        self._account = account

    @property
    def capabilities(self) -> frozenset[Capability]:
        return CAPABILITIES

    async def place(self, order: DialOrder) -> PlatformRef:
        """See VoiceProvider. Refuses outside the sandbox: nobody's live call may be a pretence."""
        if self._account.tenant.environment != "sandbox":
            raise DialRefused(Cause(reason="provider_error", code="sandbox_only", party="platform"))
        await self._world.placing.submit(self._account.tenant, (order, self._account.settings))
        return PlatformRef(order.call_id, _ref(order.call_id))

    async def control(self, ref: PlatformRef, action: Action) -> None:
        """See VoiceProvider."""
        async with self._world.database.transaction(self._account.tenant) as tx:
            call = (await store.lock(tx, [ref.call_id])).get(ref.call_id)
            if call is None:
                raise ControlRefused("no_such_call")
            match action:
                case HangUp():
                    if Kind(call.status) not in _OVER:
                        await self._world.put_ahead(tx, call, script.hung_up_by_us(tx.now))
                case Transfer(transfer_id):
                    await self._transfer(tx, call, transfer_id)
                case WrapUp():
                    return
                case SwitchMode():
                    raise ControlRefused("unsupported")

    async def status(self, ref: PlatformRef) -> CallReport:
        """See VoiceProvider."""
        async with self._world.database.transaction(self._account.tenant) as tx:
            call = (await store.lock(tx, [ref.call_id])).get(ref.call_id)
        kind = Kind(call.status) if call else Kind.NOT_FOUND
        value = call.platform_ref if call else None
        return CallReport(
            key=f"poll:{ref.call_id.hex}:{kind}", kind=kind, call_id=ref.call_id, platform_ref=value, source="poll"
        )

    async def health(self) -> Health:
        """See VoiceProvider."""
        return Health(await self._world.database.alive())

    def read(self, inbound: Inbound) -> list[CallReport]:
        """It reports within the house; whatever comes by a callback is not from it."""
        raise BadSignature

    async def _transfer(self, tx: Tx, call: PretendCall, transfer_id: UUID) -> None:
        if call.transfer == transfer_id.hex:
            return
        if Kind(call.status) is not Kind.ANSWERED or not call.handover:
            raise ControlRefused("not_transferable")
        ordered = replace(call, transfer=transfer_id.hex)
        await self._world.put_ahead(
            tx, ordered, script.dated(call.handover, tx.now, script.beat_of(self._account.settings))
        )


def _faults_of(tenant: Tenant, settings: Mapping[str, Any]) -> Sequence[Fault]:
    if settings.get("url") and tenant.environment != "sandbox":
        return [
            Fault("settings.url", "sandbox_only", "A pretend platform has a URL in the sandbox only; leave it out.")
        ]
    return []


def _written(order: DialOrder, settings: Mapping[str, Any], now: datetime) -> PretendCall:
    mix = script.mix_of(settings, order.merge_fields)
    outcome = script.outcome_of(order.to, order.seed, mix)
    played = script.script(outcome, order.seed, order.ring_timeout_s)
    steps = script.dated(played.steps, now, script.beat_of(settings))
    return PretendCall(
        order.call_id, _ref(order.call_id), order.account_id, steps, played.handover, None, 0, Kind.PLACED
    )


def _next(call: PretendCall) -> tuple[PretendCall, list[CallReport]]:
    """The call after its next instant, and what is reported of that instant."""
    due = call.steps[0]["at"]
    now = [step for step in call.steps if step["at"] == due]
    reports = [
        script.report_of(call.call_id, call.platform_ref, f"{call.call_id.hex}:{call.step}:{n}", step, _due(step))
        for n, step in enumerate(now)
    ]
    progress = [report.kind for report in reports if report.kind in _PROGRESS]
    status = progress[-1].value if progress else call.status
    return replace(call, steps=call.steps[len(now) :], step=call.step + 1, status=status), reports


def _due(step: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(step["at"])


def _ref(call_id: UUID) -> str:
    return f"sbx_{call_id.hex}"
