"""What facts do to cadences: an accepted lead is planned, an ended call plans the next attempt, a stop stops."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from offhook import ids
from offhook.compliance import Location, RuleBook, may_dial
from offhook.compliance.verdict import Wait
from offhook.db import Tx, Wakeups
from offhook.dialing import attempt_store, store
from offhook.dialing.attempt_store import AttemptRow, Planned
from offhook.dialing.cadence import Next, Outcome, Over, Plan, after_attempt, outcome_of
from offhook.dialing.plans import read_plan
from offhook.events import Fact, Story
from offhook.events.catalogue.calls import CallEnded
from offhook.events.catalogue.leads import (
    LeadAccepted,
    LeadAttempted,
    LeadCadenceCompleted,
    LeadCadenceStarted,
    LeadDisqualified,
    LeadQualified,
    LeadScheduled,
)
from offhook.leads import Lead, People, mark

OVER = {"converted", "opted_out", "dnc", "erased", "expired", "rejected"}
"""Statuses that somebody gave the lead for good: an ended call does not change them."""

_STATUS_AFTER: dict[str, str] = {"transferred": "qualified", "not_qualified": "disqualified", "opt_out": "opted_out"}


@dataclass(frozen=True, slots=True)
class _After:
    """What follows an attempt: what to tell, how to mark its lead, and the next attempt, where there is one."""

    told: list[Fact]
    mark: tuple[UUID, str, datetime | None] | None = None
    planned: Planned | None = None


class Cadences:
    """Keeps every lead's plan of attempts true. One per process, built in wiring."""

    def __init__(self, people: People, rules: RuleBook, wakeups: Wakeups) -> None:
        self._people = people
        self._rules = rules
        self._wakeups = wakeups

    async def plan(self, tx: Tx, accepted: Sequence[Fact]) -> list[Fact]:
        """Entails(LeadAccepted): plan the first attempt; the lead was told when."""
        facts = {fact.subject_id: cast(LeadAccepted, fact) for fact in accepted}
        campaigns = {shown: ids.read("cmp", shown) for shown in {fact.campaign_id for fact in facts.values()}}
        plans = await store.latest_plans(tx, list(campaigns.values()))
        rows: list[Planned] = []
        told: list[Fact] = []
        for lead, fact in facts.items():
            campaign, due_at = campaigns[fact.campaign_id], fact.next_attempt_at
            cadence, version, _ = plans[campaign]
            rows.append(
                Planned(
                    lead_id=lead,
                    campaign_id=campaign,
                    n=1,
                    base=0,
                    cadence_id=cadence,
                    cadence_version=version,
                    due_at=due_at,
                )
            )
            common: dict[str, Any] = {"subject_id": lead, "story": fact.story, "causation": fact.id}
            told.append(LeadCadenceStarted(**common, cadence_id=ids.show("cad", cadence), version=version))
            told.append(LeadScheduled(**common, attempt_no=1, not_before=due_at, reason="accepted"))
        await attempt_store.insert_attempts(tx, rows)
        if any(row.due_at <= tx.now for row in rows):
            self._wake(tx)
        return told

    async def answered(self, tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
        """Entails(CallAnswered): the lead is in a call."""
        attempts = await attempt_store.attempt_of_call(tx, [fact.subject_id for fact in facts])
        await mark(tx, [(attempt.lead_id, "in_call", None) for attempt in attempts.values()], only_from=("dialing",))
        return []

    async def qualified(self, tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
        """Entails(CallQualificationThresholdMet): the conversation qualified the lead, and whoever said so did."""
        attempts = await attempt_store.attempt_of_call(tx, [fact.subject_id for fact in facts])
        leads = await self._people.of(tx, [attempt.lead_id for attempt in attempts.values()])
        causes = {fact.subject_id: fact for fact in facts}
        return [
            LeadQualified(
                subject_id=attempt.lead_id,
                story=leads[attempt.lead_id].story(),
                actor=causes[call].actor,
                causation=causes[call].id,
                call_id=ids.show("call", call),
            )
            for call, attempt in attempts.items()
            if leads[attempt.lead_id].details
        ]

    async def resolved(self, tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
        """Entails(CallEnded): close the attempt and plan what follows it. An attempt already closed changes nothing.

        What follows is the cadence's to decide, so the engine is named for it, whoever ended the call.
        """
        outcomes = {fact.subject_id: _outcome(cast(CallEnded, fact)) for fact in facts}
        reasons = {fact.subject_id: cast(CallEnded, fact).end_reason for fact in facts}
        served = await attempt_store.resolve(tx, [(call, outcome, reasons[call]) for call, outcome in outcomes.items()])
        if not served:
            return []
        # Whoever is pausing or settling a lead at this very moment is waited for, and has the last word.
        leads = await self._people.of(tx, [attempt.lead_id for attempt in served], lock=True)
        plans = await plans_of(tx, served)
        history = await attempt_store.attempts_of(tx, [attempt.lead_id for attempt in served])
        results = [self._follow(tx, one, leads[one.lead_id], plans[one.id], history[one.lead_id]) for one in served]
        await attempt_store.insert_attempts(tx, [after.planned for after in results if after.planned])
        await mark(tx, [after.mark for after in results if after.mark])
        self._wake(tx)
        causes = {fact.subject_id: fact.id for fact in facts}
        return [
            replace(fact, causation=causes[cast(UUID, one.call_id)])
            for one, after in zip(served, results, strict=True)
            for fact in after.told
        ]

    async def stop(self, tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
        """Entails(LeadConverted, LeadOptedOut, LeadDncAdded, LeadErased): nothing planned is left, in this transaction.

        Whoever stopped the lead ended its cadence.
        """
        cancelled = await attempt_store.cancel_planned(tx, [fact.subject_id for fact in facts], facts[0].type)
        history = await attempt_store.attempts_of(tx, cancelled)
        return [
            LeadCadenceCompleted(
                subject_id=fact.subject_id,
                story=fact.story,
                actor=fact.actor,
                causation=fact.id,
                attempts_made=sum(attempt.dialed_at is not None for attempt in history[fact.subject_id]),
                outcome=fact.type.removeprefix("lead."),
                attempts_cancelled=1,
            )
            for fact in facts
            if fact.subject_id in history
        ]

    def _follow(self, tx: Tx, served: AttemptRow, lead: Lead, plan: Plan, history: Sequence[AttemptRow]) -> _After:
        """What becomes of the lead after this attempt."""
        outcome = cast(Outcome, served.outcome)
        if not lead.details or lead.row.status in OVER:
            return _After(told=[_attempted(served, _story(lead), "none")])
        if outcome != "opt_out" and (asked_for := _asked_back(lead)):
            return _again(served, lead, legal_from(lead, max(asked_for, tx.now), self._rules), "callback")
        dialed = [attempt.dialed_at for attempt in history if attempt.dialed_at]
        match after_attempt(plan, served.n - served.base, outcome, tx.now, dialed):
            case Over(why):
                return _over(served, lead, _STATUS_AFTER.get(outcome, "exhausted"), why)
            case Next(_, earliest):
                return _again(served, lead, legal_from(lead, _whole_minute(earliest), self._rules), outcome)

    def _wake(self, tx: Tx) -> None:
        tx.on_commit(lambda: self._wakeups.send("dial", tx.tenant))


def legal_from(lead: Lead, at: datetime, rules: RuleBook) -> datetime:
    """The first instant from `at` on that the law allows, as far as it is known; the dial asks again."""
    match may_dial(place_of(lead), at, rules):
        case Wait(until):
            return until
        case _:
            return at


def place_of(lead: Lead) -> Location:
    """Where the lead's number may ring."""
    return Location(tuple(lead.row.zones), tuple(lead.row.jurisdictions), False)


def _asked_back(lead: Lead) -> datetime | None:
    """When this lead, whose call is out, is to be called back; None when nobody asked for it."""
    # Its dial took the instant away, and nothing but a callback makes it scheduled before its call has ended.
    return lead.row.next_attempt_at if lead.row.status == "scheduled" else None


def _whole_minute(at: datetime) -> datetime:
    """The next whole minute: a cadence plans by the minute, so that what is due together is dialed together."""
    past = timedelta(seconds=at.second, microseconds=at.microsecond)
    return at if not past else at - past + timedelta(minutes=1)


def _outcome(ended: CallEnded) -> Outcome:
    return outcome_of(
        end_reason=ended.end_reason,
        answered=ended.transition is not None and ended.transition.from_ == "answered",
        voicemail=ended.answered_by in ("voicemail", "screening", "ivr", "fax"),
        transferred=ended.transferred,
        qualified=ended.qualified,
        opted_out=ended.opt_out,
        talk_s=ended.talk_s,
    )


async def plans_of(tx: Tx, attempts: Sequence[AttemptRow]) -> dict[UUID, Plan]:
    """Per attempt the plan that its lead began with."""
    stored = await store.plans(tx, {(one.cadence_id, one.cadence_version) for one in attempts})
    return {one.id: read_plan(stored[one.cadence_id, one.cadence_version]) for one in attempts}


def _story(lead: Lead) -> Story:
    return lead.story() if lead.details else Story(correlation=lead.shown_id)


def _over(served: AttemptRow, lead: Lead, status: str, why: str) -> _After:
    """No attempt follows: the lead is left in this status."""
    common: dict[str, Any] = {"subject_id": lead.id, "story": lead.story(status=status)}
    facts: list[Fact] = [_attempted(served, common["story"], why)]
    if status == "disqualified":
        facts.append(LeadDisqualified(**common, call_id=_call(served)))
    facts.append(LeadCadenceCompleted(**common, attempts_made=served.n, outcome=status, attempts_cancelled=0))
    return _After(facts, (lead.id, status, None))


def _again(served: AttemptRow, lead: Lead, due_at: datetime, reason: str) -> _After:
    """Another attempt follows at `due_at`; that of a paused lead waits."""
    paused = lead.row.status == "paused"
    status = "paused" if paused else "scheduled"
    story = lead.story(status=status)
    n = served.n + 1
    planned = Planned(
        lead_id=lead.id,
        # Its own campaign, also after a dial out of turn for another one.
        campaign_id=lead.row.campaign_id,
        n=n,
        base=served.base,
        cadence_id=served.cadence_id,
        cadence_version=served.cadence_version,
        due_at=due_at,
        state="paused" if paused else "planned",
    )
    scheduled = LeadScheduled(subject_id=lead.id, story=story, attempt_no=n, not_before=due_at, reason=reason)
    return _After([_attempted(served, story, "retry"), scheduled], (lead.id, status, due_at), planned)


def _call(served: AttemptRow) -> str:
    return ids.show("call", cast(UUID, served.call_id))


def _attempted(served: AttemptRow, story: Story, next_action: str) -> Fact:
    return LeadAttempted(
        subject_id=served.lead_id,
        story=story,
        attempt_no=served.n,
        call_id=_call(served),
        outcome=str(served.outcome),
        next_action=next_action,
    )
