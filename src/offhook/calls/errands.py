"""Errands at platforms: hang up, transfer, wrap up, ask. Durable jobs, outside any transaction, at least once.

Every action of a platform may be repeated, so a crash between the act and its record only repeats it. What a platform
does not answer is tried again; what it refuses is a fact of its own. An adapter that fails in any other way has not
answered either: nothing that is ours to end waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from offhook import jobs
from offhook.calls.book import Book
from offhook.calls.call import Call
from offhook.calls.placing import ANSWER_S
from offhook.calls.reports import Reports
from offhook.db import Database, Tx
from offhook.errors import is_away
from offhook.jobs import Job
from offhook.jobs.outcome import Done, GiveUp, Outcome, RetryAt
from offhook.log import get, place_of
from offhook.providers import CallReport, Providers
from offhook.providers.contract import (
    Action,
    Cause,
    ControlRefused,
    HangUp,
    Kind,
    PlatformAway,
    Transfer,
    VoiceProvider,
    WrapUp,
)

T = TypeVar("T")

AGAIN = timedelta(seconds=2)
LOOK_AFTER_HANG_UP = timedelta(seconds=10)
GONE_FOR = timedelta(minutes=10)
"""How long a hang-up is tried on a call that is over for us."""
TRANSFER_TRIES_FOR = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _At:
    """A call at its platform, at an instant of the environment's time. No provider: nobody can speak to the platform."""

    call: Call
    provider: VoiceProvider | None
    now: datetime


class Errands:
    """Carries out what a transaction decided."""

    def __init__(self, database: Database, book: Book, providers: Providers, reports: Reports) -> None:
        self._database = database
        self._book = book
        self._providers = providers
        self._reports = reports

    async def hang_up(self, job: Job) -> Outcome:
        """End the call at its platform, then look whether it did. Also a call that is over for us: it may be alive there."""
        at = await self._find(job)
        if at is None:
            return GiveUp("no_such_call")
        if at.call.ended_at is not None and at.now - at.call.ended_at > GONE_FOR:
            return GiveUp("platform_away")
        if not await _acted(at, HangUp()):
            return RetryAt(at.now + AGAIN, "platform_away")
        if not at.call.over:
            async with self._database.transaction(job.tenant) as tx:
                # The sweep asks, not we: while the call is being placed "no such call" is no end of it.
                await jobs.enqueue(tx, "calls.sweep", {}, key=at.call.id.hex, run_at=tx.now + LOOK_AFTER_HANG_UP)
        return Done()

    async def transfer(self, job: Job) -> Outcome:
        """Have the platform ring the target of the transfer under way; what it will not do, or not answer, fails."""
        at = await self._find(job)
        transfer = at.call.open_transfer if at and not at.call.over else None
        if at is None or transfer is None or transfer.status != "initiated":
            return Done()
        action = Transfer(transfer.id, transfer.kind, transfer.address, transfer.timeout_s)
        try:
            await _answer(at, lambda provider: provider.control(at.call.ref, action))
            return Done()
        except ControlRefused as refused:
            code = refused.code
        except PlatformAway:
            if at.now - transfer.requested_at < TRANSFER_TRIES_FOR:
                return RetryAt(at.now + AGAIN, "platform_away")
            code = "platform_away"
        cause = Cause(reason="transfer_failed", code=code, party="platform")
        await self._say(job, CallReport(key="", kind=Kind.TARGET_FAILED, cause=cause, source="command"))
        return Done()

    async def wrap_up(self, job: Job) -> Outcome:
        """Tell the platform how the call went, as far as it can be told."""
        at = await self._find(job)
        if at is None or await _acted(at, WrapUp(str(job.args["code"]))):
            return Done()
        return RetryAt(at.now + AGAIN, "platform_away") if not at.call.over else GiveUp("platform_away")

    async def ask(self, job: Job) -> Outcome:
        """Ask the platform about a call and believe its answer; with `cut`, end it whatever the answer.

        One that was to stop and did not is hung up again: the platform may have refused because it did not know it yet.
        """
        at = await self._find(job)
        if at is None or at.call.over:
            return Done()
        cut = bool(job.args["cut"])
        try:
            answer = await _answer(at, lambda provider: provider.status(at.call.ref))
        except PlatformAway:
            if not cut:
                return GiveUp("platform_away")  # the sweep looks again by itself
            answer = CallReport(key="", kind=Kind.UNSURE, source="poll")
        call = (await self._say(job, answer))[at.call.id]
        if not call.over and (cut or call.stop_requested_at is not None):
            told = await _acted(replace(at, call=call), HangUp())
            if cut and not told:
                await self._hang_up_later(job)
        if cut and not call.over:
            cause = Cause(reason="watchdog", party="us")
            await self._say(
                job,
                CallReport(key="", kind=Kind.ENDED, cause=cause, source="reconciler", confidence="inferred"),
            )
        return Done()

    async def _find(self, job: Job) -> _At | None:
        async with self._database.transaction(job.tenant) as tx:
            call_id = UUID(job.args["call"])
            call = (await self._book.read(tx, [call_id])).get(call_id)
            if call is None:
                return None
            return _At(call, await self._provider(tx, call), tx.now)

    async def _provider(self, tx: Tx, call: Call) -> VoiceProvider | None:
        try:
            return await self._providers.for_account(tx, call.about.account_id)
        except Exception as failure:
            if is_away(failure):
                raise
            _tell(call, failure)
            return None

    async def _hang_up_later(self, job: Job) -> None:
        call = UUID(job.args["call"]).hex
        async with self._database.transaction(job.tenant) as tx:
            await jobs.enqueue(tx, "calls.hang_up", {"call": call}, key=call, run_at=tx.now + AGAIN)

    async def _say(self, job: Job, report: CallReport) -> dict[UUID, Call]:
        async with self._database.transaction(job.tenant) as tx:
            return await self._reports.apply(tx, {UUID(job.args["call"]): [report]})


async def _acted(at: _At, action: Action) -> bool:
    """Whether the platform has been told; False when it did not answer. A refusal is an answer."""
    try:
        await _answer(at, lambda provider: provider.control(at.call.ref, action))
    except ControlRefused as refused:
        get("calls").info("platform_refused", call=at.call.id.hex, action=type(action).__name__, code=refused.code)
    except PlatformAway:
        return False
    return True


async def _answer(at: _At, act: Callable[[VoiceProvider], Awaitable[T]]) -> T:
    """What the platform answers. Raises ControlRefused, and PlatformAway for whatever else goes wrong."""
    if at.provider is None:
        raise PlatformAway
    try:
        async with asyncio.timeout(ANSWER_S):
            return await act(at.provider)
    except (ControlRefused, PlatformAway):
        raise
    except Exception as failure:
        _tell(at.call, failure)
        raise PlatformAway from failure


def _tell(call: Call, failure: Exception) -> None:
    # The exception's text may hold a personal value; its type and place do not.
    get("calls").error("adapter_failed", call=call.id.hex, error=type(failure).__name__, at=place_of(failure))
