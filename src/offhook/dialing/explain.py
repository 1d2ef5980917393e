"""Why is this lead not being dialed, and when does that change? The same questions as the gate, answered in words."""

from datetime import datetime, timedelta
from typing import Any

from offhook import clock, ids
from offhook.compliance import RuleBook, may_dial
from offhook.compliance.suppression import suppressed
from offhook.compliance.verdict import Never, Wait
from offhook.db import Tx
from offhook.dialing import attempt_store, store
from offhook.dialing.attempt_store import AttemptRow
from offhook.dialing.dispatch import room_of
from offhook.dialing.gate import DAY_FULL, DAY_RULE, rooms_of_the_day
from offhook.dialing.reactions import OVER, place_of
from offhook.dialing.store import CampaignRow
from offhook.leads import Lead


async def explain(tx: Tx, rules: RuleBook, lead: Lead) -> dict[str, Any]:
    """The lead's present blockers, each with its rule and its end where that is known, and every attempt so far."""
    # A campaign that refused all its leads can be deleted; they stay.
    campaign = next(iter(await store.campaigns(tx, by_id=[lead.row.campaign_id])), None)
    attempts = (await attempt_store.attempts_of(tx, [lead.id]))[lead.id]
    planned = next((attempt for attempt in attempts if attempt.state == "planned"), None)
    blockers = [
        *_of_lead(lead, attempts),
        *await _of_lists(tx, lead),
        *await _of_the_day(tx, planned),
        *(await _of_campaign(tx, campaign, lead, rules) if campaign else []),
    ]
    if planned and planned.due_at > tx.now:
        blockers.append(
            _blocker("cadence", "NOT_YET_DUE", "The cadence plans the next attempt later.", until=planned.due_at)
        )
    return {
        "id": lead.shown_id,
        "object": "explanation",
        "at": clock.show(tx.now),
        "status": lead.row.status,
        "would_dial_now": not blockers,
        "blockers": blockers,
        "next_attempt_at": clock.show_or_null(planned.due_at if planned else None),
        "changes_at": _changes_at(blockers),
        "pack_hash": rules.pack_hash,
        "preflight": lead.shown(personal=False)["preflight"],
        "attempts": [_shown(attempt) for attempt in attempts],
    }


def _of_lead(lead: Lead, attempts: list[AttemptRow]) -> list[dict[str, Any]]:
    status = lead.row.status
    if status in OVER or status in ("qualified", "disqualified", "exhausted"):
        return [_blocker("lead", f"LEAD_{status.upper()}", f"The lead is {status}; no attempt follows.")]
    if any(attempt.state == "dialing" for attempt in attempts):
        return [_blocker("lead", "ALREADY_IN_FLIGHT", "A call to the lead is out.")]
    if status == "paused" or not any(attempt.state == "planned" for attempt in attempts):
        return [_blocker("lead", "LEAD_PAUSED", "Resume the lead to go on.")]
    return []


async def _of_campaign(tx: Tx, campaign: CampaignRow, lead: Lead, rules: RuleBook) -> list[dict[str, Any]]:
    told = f"The campaign is {campaign.status}."
    stands = [] if campaign.status == "running" else [_blocker("pause", "CAMPAIGN_PAUSED", told)]
    return [*stands, *_of_law(lead, rules, tx.now, campaign), *await _of_capacity(tx, campaign)]


async def _of_lists(tx: Tx, lead: Lead) -> list[dict[str, Any]]:
    listed = await suppressed(tx, lead.row.tags)
    what = "number" if lead.row.number_tag in listed else "e-mail address"
    return [
        _blocker("suppression", "DNC_INTERNAL", f"The {what} is suppressed.", rule=f"suppression.{scope}")
        for scope in list(listed.values())[:1]
    ]


def _of_law(lead: Lead, rules: RuleBook, now: datetime, campaign: CampaignRow) -> list[dict[str, Any]]:
    match may_dial(place_of(lead), now, rules, ring=timedelta(seconds=campaign.ring_timeout_s)):
        case Wait(until, rule, code):
            return [_blocker("window", code, "The law does not allow a call at this hour.", rule=rule, until=until)]
        case Never(rule, code):
            return [_blocker("window", code, "No legal hour is known in the next 14 days.", rule=rule)]
        case _:
            return []


async def _of_the_day(tx: Tx, planned: AttemptRow | None) -> list[dict[str, Any]]:
    room_at = (await rooms_of_the_day(tx, [planned]))[planned.id] if planned else tx.now
    if room_at <= tx.now:
        return []
    return [_blocker("cadence", DAY_FULL, "The day's attempts are made.", rule=DAY_RULE, until=room_at)]


async def _of_capacity(tx: Tx, campaign: CampaignRow) -> list[dict[str, Any]]:
    if await room_of(tx, campaign) > 0:
        return []
    return [_blocker("capacity", "NO_CAPACITY", "No slot is free, or the campaign's cap is reached.")]


def _blocker(
    kind: str, code: str, detail: str, *, rule: str | None = None, until: datetime | None = None
) -> dict[str, Any]:
    return {"kind": kind, "code": code, "detail": detail, "rule": rule, "until": clock.show_or_null(until)}


def _changes_at(blockers: list[dict[str, Any]]) -> str | None:
    """When the last of the blockers with a known end is gone; null when one has no known end."""
    ends = [blocker["until"] for blocker in blockers]
    return max(ends) if ends and None not in ends else None


def _shown(attempt: AttemptRow) -> dict[str, Any]:
    return {
        "id": ids.show("att", attempt.id),
        "n": attempt.n,
        "state": attempt.state,
        "due_at": clock.show(attempt.due_at),
        "dialed_at": clock.show_or_null(attempt.dialed_at),
        "call_id": ids.show("call", attempt.call_id) if attempt.call_id else None,
        "outcome": attempt.outcome,
        "blocker": attempt.blocker,
    }
