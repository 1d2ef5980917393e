"""What people do to one lead's cadence: pause, resume, callback, reconnect; and a dial out of turn."""

from datetime import datetime
from typing import Any
from uuid import UUID

from offhook.compliance import RuleBook
from offhook.compliance.suppression import taking_turns
from offhook.db import Tx, Wakeups
from offhook.dialing import attempt_store, store
from offhook.dialing.attempt_store import AttemptRow, Planned
from offhook.dialing.dispatch import Dispatcher
from offhook.dialing.gate import Barred, Cleared, Held, gate
from offhook.dialing.reactions import OVER, legal_from
from offhook.dialing.store import CampaignRow
from offhook.errors import Conflict
from offhook.events import Actor, Log
from offhook.events.catalogue.leads import (
    LeadCadenceCompleted,
    LeadCadencePaused,
    LeadCallbackScheduled,
    LeadScheduled,
)
from offhook.leads import Lead, People, mark


class Verbs:
    """Verbs of a lead that touch its cadence. One per process, built in wiring."""

    def __init__(self, log: Log, people: People, rules: RuleBook, dispatcher: Dispatcher, wakeups: Wakeups) -> None:
        self._log = log
        self._people = people
        self._rules = rules
        self._dispatcher = dispatcher
        self._wakeups = wakeups

    async def pause(self, tx: Tx, lead: Lead, actor: Actor) -> None:
        """No attempt begins until it is resumed; a call under way goes on. Idempotent."""
        if lead.row.status == "paused":
            return
        self._must_be_open(lead)
        await attempt_store.pause_planned(tx, lead.id)
        await mark(tx, [(lead.id, "paused", None)])
        fact = LeadCadencePaused(subject_id=lead.id, story=lead.story(status="paused"), actor=actor, reason=actor.type)
        await self._log.append(tx, [fact])

    async def resume(self, tx: Tx, lead: Lead, actor: Actor) -> None:
        """Go on with the cadence now; a lead that is not paused is left as it is."""
        if lead.row.status != "paused":
            self._must_be_open(lead)
            return
        await self._move(tx, lead, legal_from(lead, tx.now, self._rules), "resumed", actor)

    async def call_back(self, tx: Tx, lead: Lead, at: datetime, actor: Actor) -> None:
        """Plan the next attempt at `at`, within legal hours, in place of what was planned.

        While a call to the lead is out, its end plans it, in place of what the cadence would; but not once it said stop.
        """
        self._must_be_open(lead)
        fact = LeadCallbackScheduled(subject_id=lead.id, story=lead.story(), actor=actor, due_at=at, source=actor.type)
        await self._log.append(tx, [fact])
        await self._move(tx, lead, legal_from(lead, at, self._rules), "callback", actor, causation=fact.id)

    async def reconnect(
        self, tx: Tx, lead: Lead, at: datetime, actor: Actor, causation: UUID | None = None
    ) -> datetime:
        """Start the cadence anew from `at`, also of a lead whose cadence is over; when the next attempt is due.

        Raises Conflict `already_in_flight` while a call to the lead is out: its end would plan by the old cadence.
        """
        if lead.row.erase_by is not None:
            raise Conflict("lead_is_over", "The lead is about to be erased; no attempt follows.")
        attempts = (await attempt_store.attempts_of(tx, [lead.id]))[lead.id]
        if any(attempt.state == "dialing" for attempt in attempts):
            raise Conflict("already_in_flight", "A call to this lead is out; send the same again when it has ended.")
        await attempt_store.cancel_planned(tx, [lead.id], "reconnect")
        due_at = legal_from(lead, max(at, tx.now), self._rules)
        await self._plan(tx, lead, lead.row.campaign_id, attempts, due_at, anew=True)
        fact = LeadScheduled(
            subject_id=lead.id,
            story=lead.story(status="scheduled"),
            actor=actor,
            causation=causation,
            attempt_no=_made(attempts) + 1,
            not_before=due_at,
            reason="reconnect",
        )
        await self._tell(tx, fact)
        return due_at

    async def call_off(self, tx: Tx, lead: Lead, actor: Actor) -> None:
        """Cancel what is planned, and let nothing follow: the lead is `expired`, unless it was over before. Idempotent.

        A call under way goes on.
        """
        status = lead.row.status if lead.row.status in OVER else "expired"
        await mark(tx, [(lead.id, status, None)])
        if not await attempt_store.cancel_planned(tx, [lead.id], "expired"):
            return
        attempts = (await attempt_store.attempts_of(tx, [lead.id]))[lead.id]
        fact = LeadCadenceCompleted(
            subject_id=lead.id,
            story=lead.story(status=status),
            actor=actor,
            attempts_made=sum(attempt.dialed_at is not None for attempt in attempts),
            outcome="expired",
            attempts_cancelled=1,
        )
        await self._log.append(tx, [fact])

    async def dial_now(self, tx: Tx, lead: Lead, campaign: CampaignRow, actor: Actor) -> UUID:
        """Dial this lead out of turn, for this campaign, as `actor` asks, through the same gate; the call's id.

        The dial is the campaign's: its room, its slots and its settings, and every record and event names it. It takes
        the place of the attempt that was planned next, so it counts in the lead's own cadence, whose caps hold for it
        and which decides by its outcome what follows; that is the lead's own campaign's again.

        The caller holds the campaign's turn, and read it under that turn. Raises Conflict `not_allowed` with every code
        and rule, `already_in_flight`, or `capacity_exceeded`.
        """
        # The campaign (by the caller), then the number, then rows: the order of a dispatch and of an opt-out.
        await taking_turns(tx, [lead.row.number_tag])
        attempts = (await attempt_store.attempts_of(tx, [lead.id]))[lead.id]
        if any(attempt.state == "dialing" for attempt in attempts):
            raise Conflict("already_in_flight", "A call to this lead is out already.")
        attempt = await self._attempt_for_now(tx, lead, campaign.id, attempts)
        match await gate(tx, self._people, self._rules, campaign, [(attempt, lead.id)]):
            case [Cleared() as cleared]:
                order = await self._dispatcher.dial_now(tx, campaign, cleared, actor)
            case [Held(code=code, rule=rule)]:
                raise not_allowed([{"code": code, "rule": rule}])
            case [Barred(codes=codes)]:
                raise not_allowed([{"code": code, "rule": None} for code in codes])
            case _:
                raise Conflict("already_in_flight", "Another process is dialing this lead at this very moment.")
        if order is None:
            raise Conflict(
                "capacity_exceeded", "No slot is free, or the campaign's cap is reached; nothing was dialed."
            )
        return order.call_id

    async def _attempt_for_now(self, tx: Tx, lead: Lead, campaign_id: UUID, attempts: list[AttemptRow]) -> UUID:
        if not await attempt_store.bring_forward(tx, lead.id, campaign_id):
            await self._plan(tx, lead, campaign_id, attempts, tx.now)
        after = (await attempt_store.attempts_of(tx, [lead.id]))[lead.id]
        return next(attempt.id for attempt in after if attempt.state == "planned")

    async def _move(
        self, tx: Tx, lead: Lead, at: datetime, reason: str, actor: Actor, *, causation: UUID | None = None
    ) -> None:
        """Have the next attempt fall due at `at`; where none waits, for its call is out, the end of that call plans it."""
        n = await attempt_store.move_planned(tx, lead.id, at)
        attempts = (await attempt_store.attempts_of(tx, [lead.id]))[lead.id]
        if n is None and any(attempt.state == "dialing" for attempt in attempts):
            # The instant that stands on the lead while its call is out is the one at which it is to be called back.
            await mark(tx, [(lead.id, "scheduled", at if reason == "callback" else None)])
            return
        if n is None:
            n = _made(attempts) + 1
            await self._plan(tx, lead, lead.row.campaign_id, attempts, at)
        await mark(tx, [(lead.id, "scheduled", at)])
        fact = LeadScheduled(
            subject_id=lead.id,
            story=lead.story(status="scheduled"),
            actor=actor,
            causation=causation,
            attempt_no=n,
            not_before=at,
            reason=reason,
        )
        await self._tell(tx, fact)

    async def _plan(
        self, tx: Tx, lead: Lead, campaign_id: UUID, attempts: list[AttemptRow], at: datetime, *, anew: bool = False
    ) -> None:
        """Plan the next attempt by the cadence that the lead began with; `anew`, by what the campaign has now."""
        if attempts and not anew:
            base, cadence, version = attempts[-1].base, attempts[-1].cadence_id, attempts[-1].cadence_version
        else:
            base = _made(attempts)
            cadence, version, _ = (await store.latest_plans(tx, [campaign_id]))[campaign_id]
        plan = Planned(
            lead_id=lead.id,
            campaign_id=campaign_id,
            n=_made(attempts) + 1,
            base=base,
            cadence_id=cadence,
            cadence_version=version,
            due_at=at,
        )
        await attempt_store.insert_attempts(tx, [plan])

    async def _tell(self, tx: Tx, fact: LeadScheduled) -> None:
        await self._log.append(tx, [fact])
        tx.on_commit(lambda: self._wakeups.send("dial", tx.tenant))

    def _must_be_open(self, lead: Lead) -> None:
        if lead.row.status in OVER or not lead.details:
            raise Conflict("lead_is_over", f"The lead is {lead.row.status}; no attempt follows.")


def _made(attempts: list[AttemptRow]) -> int:
    """The number of the last attempt, cancelled ones included: numbers are never used twice."""
    return max((attempt.n for attempt in attempts), default=0)


def not_allowed(codes: list[dict[str, Any]]) -> Conflict:
    """The refusal of every door that dials, with every code and rule."""
    return Conflict("not_allowed", "The gate that every dial passes refuses this one.", extra={"codes": codes})
