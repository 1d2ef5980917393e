"""The gate that every dial passes, in the transaction that commits it.

It takes the numbers' turn first, so an opt-out that came a moment earlier is seen and one that comes a moment later
waits and then finds the call. It reads stored answers only and never waits for the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from offhook.compliance import Allowed, Never, RuleBook, Wait, may_dial, suppressed, taking_turns
from offhook.db import Tx
from offhook.dialing import store
from offhook.dialing.reactions import OVER, place_of
from offhook.dialing.store import AttemptRow, CampaignRow
from offhook.leads import Lead, People


@dataclass(frozen=True, slots=True)
class Cleared:
    """This attempt may be dialed now."""

    attempt: AttemptRow
    lead: Lead


@dataclass(frozen=True, slots=True)
class Held:
    """Not now: the law opens at `until`."""

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


async def gate(
    tx: Tx, people: People, rules: RuleBook, campaign: CampaignRow, attempts: Sequence[tuple[UUID, UUID]]
) -> list[Gated]:
    """The verdict on each of these (attempt, lead) that is still planned, its row and its number held until the commit."""
    leads = await people.of(tx, [lead for _, lead in attempts])
    # Numbers before rows, as an opt-out takes them: the other order would embrace it.
    await taking_turns(tx, [lead.row.number_tag for lead in leads.values()])
    listed = await suppressed(tx, [lead.row.number_tag for lead in leads.values()])
    planned = await store.lock_planned(tx, [attempt for attempt, _ in attempts])
    ring = timedelta(seconds=campaign.ring_timeout_s)
    return [judge(one, leads[one.lead_id], listed, rules, tx.now, ring) for one in planned]


def judge(
    attempt: AttemptRow, lead: Lead, listed: dict[bytes, str], rules: RuleBook, now: datetime, ring: timedelta
) -> Gated:
    """Pure: what is known of the lead and the hour, against the law and the lists. Unknown is never a yes."""
    codes = ["SHREDDED"] if not lead.details else []
    codes += ["DNC_INTERNAL"] if lead.row.number_tag in listed else []
    codes += [f"LEAD_{lead.row.status.upper()}"] if lead.row.status in OVER - {"erased"} else []
    match may_dial(place_of(lead), now, rules, ring=ring):
        case Never(_, code):
            return Barred(attempt, lead, (*codes, code))
        case Wait(until, rule, code) if not codes:
            return Held(attempt, lead, until, code, rule)
        case Allowed() if not codes:
            return Cleared(attempt, lead)
        case _:
            return Barred(attempt, lead, tuple(codes))
