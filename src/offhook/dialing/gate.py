"""The gate that every dial passes, in the transaction that commits it.

It takes the turns of the numbers and e-mail addresses first, so an opt-out that came a moment earlier is seen and one
that comes a moment later waits and then finds the call. It reads stored answers only and never waits for the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from offhook.compliance import RuleBook, may_dial
from offhook.compliance.suppression import suppressed, taking_turns
from offhook.compliance.verdict import Allowed, Never, Wait
from offhook.db import Tx
from offhook.dialing import attempt_store
from offhook.dialing.attempt_store import AttemptRow
from offhook.dialing.cadence import day_has_room
from offhook.dialing.reactions import OVER, legal_from, place_of, plans_of
from offhook.dialing.store import CampaignRow
from offhook.leads import Lead, People


@dataclass(frozen=True, slots=True)
class Cleared:
    """This attempt may be dialed now."""

    attempt: AttemptRow
    lead: Lead


@dataclass(frozen=True, slots=True)
class Held:
    """Not now: the law, or the day's room for this person, opens at `until`."""

    attempt: AttemptRow
    lead: Lead
    until: datetime
    code: str
    rule: str


@dataclass(frozen=True, slots=True)
class Barred:
    """Not at all: every code says why."""

    attempt: AttemptRow
    lead: Lead
    codes: tuple[str, ...]


Gated = Cleared | Held | Barred
DAY_FULL = "ATTEMPTS_PER_DAY"
DAY_RULE = "cadence.attempts_per_day"


async def gate(
    tx: Tx, people: People, rules: RuleBook, campaign: CampaignRow, attempts: Sequence[tuple[UUID, UUID]]
) -> list[Gated]:
    """The verdict on each of these (attempt, lead) that is still planned, its row, number and e-mail address held until the commit."""
    leads = await people.of(tx, [lead for _, lead in attempts])
    # Numbers, then addresses, then rows, as an opt-out takes them: another order would embrace it.
    await taking_turns(tx, [lead.row.number_tag for lead in leads.values()])
    await taking_turns(tx, [lead.row.email_tag for lead in leads.values() if lead.row.email_tag])
    listed = await suppressed(tx, [tag for lead in leads.values() for tag in lead.row.tags])
    planned = await attempt_store.lock_planned(tx, [attempt for attempt, _ in attempts])
    ring = timedelta(seconds=campaign.ring_timeout_s)
    verdicts = [judge(one, leads[one.lead_id], listed, rules, tx.now, ring) for one in planned]
    rooms = await rooms_of_the_day(tx, planned)
    return [_within_the_day(verdict, rooms[verdict.attempt.id], tx.now, rules) for verdict in verdicts]


async def rooms_of_the_day(tx: Tx, attempts: Sequence[AttemptRow]) -> dict[UUID, datetime]:
    """Per attempt the first instant from now on at which the cadence's cap per 24 hours lets its lead be dialed."""
    history = await attempt_store.attempts_of(tx, [one.lead_id for one in attempts])
    plans = await plans_of(tx, attempts)
    dialed = {lead: [one.dialed_at for one in made if one.dialed_at] for lead, made in history.items()}
    return {one.id: day_has_room(plans[one.id].attempts_per_day, dialed[one.lead_id], tx.now) for one in attempts}


def _within_the_day(verdict: Gated, room_at: datetime, now: datetime, rules: RuleBook) -> Gated:
    """Whoever asks, and however often: nobody is dialed more than so many times in any 24 hours."""
    if room_at <= now:
        return verdict
    attempt, lead = verdict.attempt, verdict.lead
    match verdict:
        case Barred(codes=codes):
            return Barred(attempt, lead, (*codes, DAY_FULL))
        case Held(until=until):
            return Held(attempt, lead, legal_from(lead, max(until, room_at), rules), verdict.code, verdict.rule)
        case Cleared():
            return Held(attempt, lead, legal_from(lead, room_at, rules), DAY_FULL, DAY_RULE)


def judge(
    attempt: AttemptRow, lead: Lead, listed: Mapping[bytes, str], rules: RuleBook, now: datetime, ring: timedelta
) -> Gated:
    """Pure: what is known of the lead and the hour, against the law and the lists. Unknown is never a yes."""
    codes = ["SHREDDED"] if not lead.details else []
    codes += ["DNC_INTERNAL"] if not listed.keys().isdisjoint(lead.row.tags) else []
    codes += [f"LEAD_{lead.row.status.upper()}"] if lead.row.status in OVER - {"erased"} else []
    match may_dial(place_of(lead), now, rules, ring=ring):
        case Never(_, code):
            return Barred(attempt, lead, (*codes, code))
        case Wait(until, rule, code) if not codes:
            return Held(attempt, lead, until, code, rule)
        case Wait(_, _, code):
            return Barred(attempt, lead, (*codes, code))
        case Allowed() if not codes:
            return Cleared(attempt, lead)
        case _:
            return Barred(attempt, lead, tuple(codes))
