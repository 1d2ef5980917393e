"""What platforms say, made true: reports in, calls moved, facts out, in one transaction.

A report counts once: its key is inserted before anything else, in the same transaction. Reports about calls that
nobody knows are counted and logged, never guessed at; an inbound one begins its call. A batch costs the same few
statements however many calls it speaks of.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from prometheus_client import Counter

from offhook import ids, jobs
from offhook.calls import handover, reasons, state, store, transfers
from offhook.calls.book import Book, Changed
from offhook.calls.call import About, Call, Told
from offhook.compliance.suppression import taking_turns
from offhook.db import Tx, Wakeups
from offhook.events import Fact
from offhook.events.catalogue.calls import CallQualificationThresholdMet
from offhook.log import get
from offhook.privacy import Vault
from offhook.providers import CallReport, Providers
from offhook.providers.contract import Kind
from offhook.routing import NoTarget

FIRST_LOOK = timedelta(seconds=60)
INBOUND_MODE = "ai_only"
INBOUND_MOST_S = 1800

_unknown_causes = Counter("offhook_calls_unknown_cause", "Causes that no table knows", ["provider"])
_unknown_calls = Counter("offhook_calls_unknown_call", "Reports about calls that nobody knows", ["provider"])


class Reports:
    """The one way by which a platform's word changes a call."""

    def __init__(
        self, vault: Vault, book: Book, providers: Providers, floor: transfers.Floor, wakeups: Wakeups
    ) -> None:
        self._vault = vault
        self._book = book
        self._providers = providers
        self._floor = floor
        self._wakeups = wakeups

    async def take(self, tx: Tx, account_id: UUID, reports: Sequence[CallReport]) -> int:
        """Apply what this account's platform says; how many reports were new. Any of them may come again, harmlessly."""
        seen_now = await store.first_seen(tx, account_id, [report.key for report in reports])
        fresh: dict[str, CallReport] = {}
        for report in reports:
            if report.key in seen_now:
                fresh.setdefault(report.key, report)
        by_call = await self._by_call(tx, account_id, list(fresh.values()))
        await self.apply(tx, by_call, account_id=account_id)
        return len(fresh)

    async def take_turns(self, tx: Tx, said: Sequence[tuple[UUID, Sequence[CallReport]]]) -> None:
        """Take the turns of all numbers that say stop in these reports, before any of them is taken.

        Numbers before rows, as an opt-out and a dispatch take them: the other order would embrace one.
        """
        numbers: list[bytes] = []
        for account_id, reports in said:
            stops = [report for report in reports if report.kind is Kind.OPT_OUT_PHRASE]
            if not stops:
                continue
            calls = [call for call in await self._calls_of(tx, account_id, stops) if call]
            numbers += [row.number_tag for row in await store.read(tx, calls)]
            # The call may begin with these very reports.
            for report, call in zip(reports, await self._calls_of(tx, account_id, reports), strict=True):
                if call in calls and report.inbound:
                    numbers.append(self._number_tag(tx, call, report.inbound.caller))
        if numbers:
            await taking_turns(tx, numbers)

    async def apply(
        self, tx: Tx, by_call: Mapping[UUID, Sequence[CallReport]], *, account_id: UUID | None = None
    ) -> dict[UUID, Call]:
        """Move these calls by these reports, whose keys nobody asks about; the calls as they are then.

        With `account_id`, calls of other accounts are unknown.
        """
        if not by_call:
            return {}
        calls = await self._book.lock(tx, by_call)
        if account_id is not None:
            calls = {id_: call for id_, call in calls.items() if call.about.account_id == account_id}
            await self._count_strangers(tx, account_id, sorted(by_call.keys() - calls.keys()))
        changes = [self._step(tx, calls[id_], reports) for id_, reports in by_call.items() if id_ in calls]
        if closed := [change.after.id for change in changes if state.transfer_closed(change.before, change.after)]:
            await self._floor.release(tx, closed)
        followed = [await self._follow_up(tx, change) for change in changes]
        await self._book.write(tx, followed)
        if over := [change.after.id.hex for change in followed if change.after.over and not change.before.over]:
            await jobs.cancel(tx, "calls.sweep", over)
        return {change.after.id: change.after for change in followed}

    def _step(self, tx: Tx, before: Call, reports: Sequence[CallReport]) -> Changed:
        call, facts = before, list[Fact]()
        for report in state.in_order(reports):
            # A platform's clock may be ahead of ours; nothing has happened in the future.
            dated = replace(report, at=min(report.at or tx.now, tx.now))
            if report.platform_ref and call.platform_ref is None:
                call = replace(call, platform_ref=report.platform_ref)
            call, new = state.advance(call, dated)
            facts += new
            if report.cause and not reasons.is_known(report.cause):
                _unknown_causes.labels(call.about.provider).inc()
        return Changed(before, call, facts)

    async def _follow_up(self, tx: Tx, change: Changed) -> Changed:
        before, call, facts = change.before, change.after, change.facts
        if state.hung_up_wanted(before, call):
            await self.hang_up(tx, [call.id])
        qualified_now = any(isinstance(fact, CallQualificationThresholdMet) for fact in facts)
        if not (qualified_now and transfers.may_begin(call)):
            return change
        match await transfers.begin(tx, self._floor, call, "qualified"):
            case NoTarget() as nobody:
                return Changed(before, call, [*facts, *handover.nobody_free(call, nobody, "qualified", tx.now)])
            case after, begun:
                self.look_at_jobs(tx)
                return Changed(before, after, [*facts, *begun])

    async def hang_up(self, tx: Tx, calls: Sequence[UUID]) -> None:
        """Have these calls handed to their platforms for hang-up as soon as this commits."""
        for call in calls:
            await jobs.enqueue(tx, "calls.hang_up", {"call": call.hex}, key=call.hex)
        if calls:
            self.look_at_jobs(tx)

    def look_at_jobs(self, tx: Tx) -> None:
        """Wake the runners once this commits, so that nothing waits for their next look."""
        tx.on_commit(lambda: self._wakeups.send("jobs", tx.tenant))

    async def _by_call(self, tx: Tx, account_id: UUID, reports: Sequence[CallReport]) -> dict[UUID, list[CallReport]]:
        by_call: dict[UUID, list[CallReport]] = defaultdict(list)
        for report, found in zip(reports, await self._calls_of(tx, account_id, reports), strict=True):
            if found is None:
                await self._count_strangers(tx, account_id, [None])
                continue
            if report.kind is Kind.INBOUND_RINGING and report.inbound and report.call_id is None:
                await self._receive(tx, account_id, found, report)
            by_call[found].append(report)
        return dict(by_call)

    async def _calls_of(self, tx: Tx, account_id: UUID, reports: Sequence[CallReport]) -> list[UUID | None]:
        """The call that each report speaks of, whether anybody knows it or not; None where it names none."""
        nameless = {report.platform_ref for report in reports if report.call_id is None and report.platform_ref}
        named = await store.named_by(tx, account_id, sorted(nameless)) if nameless else {}
        return [
            report.call_id or (named.get(ref) or ids.call_of_platform(account_id, ref) if ref else None)
            for report in reports
            for ref in [report.platform_ref]
        ]

    def _number_tag(self, tx: Tx, call_id: UUID, caller: str | None) -> bytes:
        """The tag of who calls us; of a withheld number, one that this call alone has."""
        return self._vault.tag(tx.tenant, "phone", caller or f"withheld:{call_id}")

    async def _receive(self, tx: Tx, account_id: UUID, call_id: UUID, report: CallReport) -> None:
        """Begin the call that somebody makes to us; nothing when it began before."""
        assert report.inbound is not None
        account = await self._providers.account(tx, account_id)
        caller = report.inbound.caller
        about = About(
            id=call_id,
            direction="inbound",
            person_id=call_id,
            lead_id=None,
            campaign_id=None,
            attempt_id=None,
            account_id=account_id,
            number_tag=self._number_tag(tx, call_id, caller),
            provider=account.platform,
            attempt_n=0,
            ring_timeout_s=60,
            max_duration_s=INBOUND_MOST_S,
            started_at=min(report.at or tx.now, tx.now),
        )
        told = Told(phone=caller, caller_id=report.inbound.dialed)
        call = Call(
            about=about, told=told, mode=INBOUND_MODE, status="inbound_ringing", platform_ref=report.platform_ref
        )
        if (await store.read(tx, [call_id])) == []:
            await self._vault.create(tx, [call_id])
        for entered in await self._book.enter(tx, [call], being_placed=False):
            await self._book.write(tx, [Changed(entered, entered, state.began(entered))])
            await jobs.enqueue(tx, "calls.sweep", {}, key=entered.id.hex, run_at=tx.now + FIRST_LOOK)

    async def _count_strangers(self, tx: Tx, account_id: UUID, strangers: Sequence[UUID | None]) -> None:
        for stranger in strangers:
            account = await self._providers.account(tx, account_id)
            _unknown_calls.labels(account.platform).inc()
            get("calls").warning("report_of_unknown_call", call=stranger.hex if stranger else None)
