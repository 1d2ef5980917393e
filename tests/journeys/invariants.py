"""What must hold over a whole log, whatever happened: pure, over the events as an endpoint gets them.

Each function answers the violations that it found, so that a test compares with an empty list and a failure names them.
An event of an erased person says no more whose it was: who judges it must have read it before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

Event = Mapping[str, Any]
Span = tuple[datetime, datetime]

DAY = timedelta(hours=24)
STOPPED = {"lead.opted_out", "lead.dnc_added", "lead.converted", "lead.erased"}
_FAR = datetime.max.replace(tzinfo=UTC)

AREAS = {
    "205": ("America/Chicago", "AL"), "206": ("America/Los_Angeles", "WA"), "212": ("America/New_York", "NY"),
    "215": ("America/New_York", "PA"), "216": ("America/New_York", "OH"), "303": ("America/Denver", "CO"),
    "305": ("America/New_York", "FL"), "312": ("America/Chicago", "IL"), "404": ("America/New_York", "GA"),
    "415": ("America/Los_Angeles", "CA"), "512": ("America/Chicago", "TX"), "602": ("America/Phoenix", "AZ"),
    "612": ("America/Chicago", "MN"), "617": ("America/New_York", "MA"), "702": ("America/Los_Angeles", "NV"),
    "704": ("America/New_York", "NC"),
}  # fmt: skip
"""Where these numbers ring, written down a second time."""

_WEEKDAYS_AND_SUNDAY = {
    "AL": ((8, 20), None), "FL": ((8, 20), (8, 20)), "PA": ((9, 19), None), "TX": ((9, 21), (12, 21)),
}  # fmt: skip
_HOLIDAYS = {("AL", "2026-11-26"), ("PA", "2026-11-26"), ("AL", "2026-12-25"), ("PA", "2026-12-25")}


def is_legal(phone: str, at: datetime) -> bool:
    """Whether the law lets this number ring at `at`, by a plain second reading of it."""
    zone, state = AREAS[phone[2:5]]
    local = at.astimezone(ZoneInfo(zone))
    weekday, sunday = _WEEKDAYS_AND_SUNDAY.get(state, ((8, 21), (8, 21)))
    hours = sunday if local.weekday() == 6 else weekday
    if hours is None or (state, local.date().isoformat()) in _HOLIDAYS:
        return False
    return time(hours[0]) <= local.time() < time(hours[1])


def dialed_outside_hours(events: Iterable[Event], phones: Mapping[str, str]) -> list[str]:
    """Dials at an hour at which the lead's number may not ring. `phones` names every lead's number."""
    return [
        f"{event['subject']['id']} at {event['occurred_at']}"
        for event in events
        if event["type"] == "call.started" and not is_legal(phones[_lead_of(event)], at_of(event))
    ]


def not_told_once(events: Iterable[Event]) -> list[str]:
    """Calls without exactly one start and one end."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for event in events:
        if event["type"] in ("call.started", "call.ended"):
            counts[event["subject"]["id"]][event["type"] == "call.ended"] += 1
    return [call for call, seen in counts.items() if seen != [1, 1]]


def gaps(events: Iterable[Event]) -> list[str]:
    """Subjects whose sequence is not 1, 2, 3 … in the order of the log."""
    sequences: dict[str, list[int]] = defaultdict(list)
    for event in events:
        sequences[event["subject"]["id"]].append(event["sequence"])
    return [subject for subject, seen in sequences.items() if seen != list(range(1, len(seen) + 1))]


def contacts_after_stop(events: Iterable[Event]) -> list[str]:
    """Calls begun to a lead after it was stopped for good; only a reconnect may follow a conversion."""
    stopped: dict[str, str] = {}
    contacts = []
    for event in events:
        if event["type"] in STOPPED:
            stopped[event["subject"]["id"]] = event["type"]
        elif event["type"] == "lead.reconnect_requested" and stopped.get(event["subject"]["id"]) == "lead.converted":
            del stopped[event["subject"]["id"]]
        elif event["type"] == "call.started" and _lead_of(event) in stopped:
            contacts.append(f"{event['subject']['id']} after {stopped[_lead_of(event)]}")
    return contacts


def calls_out(events: Iterable[Event]) -> list[Span]:
    """From when to when each call was out."""
    return _spans(events, {"call.started"}, {"call.ended"})


def live_transfers(events: Iterable[Event]) -> list[Span]:
    """From when to when each consumer and human talked."""
    return _spans(events, {"transfer.bridged"}, {"transfer.ended", "call.ended"})


def leases(events: Iterable[Event]) -> list[Span]:
    """From when to when each call had a human's slot: from its dial, or a later reservation, to the release or the end.

    A consumer whose transfer the floor declined goes on talking to the AI without one.
    """
    with_people = [event for event in events if (event.get("call") or {}).get("mode") != "ai_only"]
    return _spans(with_people, {"call.started", "transfer.reserved"}, {"transfer.released", "call.ended"})


def most_at_once(spans: Iterable[Span]) -> int:
    """How many of these spans overlap at the worst instant; one that ends as another begins does not."""
    turns = sorted(turn for start, end in spans for turn in ((start.timestamp(), 1), (_stamp(end), -1)))
    most = now = 0
    for _, step in turns:
        now += step
        most = max(most, now)
    return most


def dialed_too_often(events: Iterable[Event], per_day: int) -> list[str]:
    """Leads dialed more than `per_day` times within some 24 hours, or while a call to them was out."""
    dials: dict[str, list[datetime]] = defaultdict(list)
    for event in events:
        if event["type"] == "call.started":
            dials[_lead_of(event)].append(at_of(event))
    return [lead for lead, made in dials.items() if within_a_day(made, per_day)]


def within_a_day(instants: Iterable[datetime], most: int) -> bool:
    """Whether more than `most` of these lie within some 24 hours."""
    made = sorted(instants)
    return any(late - early < DAY for early, late in zip(made, made[most:], strict=False))


def overlapping_calls(events: Sequence[Event]) -> list[str]:
    """Leads who were called while a call to them was out."""
    leads = {event["subject"]["id"]: _lead_of(event) for event in events if event["type"] == "call.started"}
    by_lead: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event["subject"]["id"] in leads:
            by_lead[leads[event["subject"]["id"]]].append(event)
    return [lead for lead, told in by_lead.items() if any(b[0] < a[1] for a, b in pairwise(sorted(calls_out(told))))]


def unexplained(explanations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Leads of which nobody can say why they are not being called."""
    return [one["id"] for one in explanations if not one["would_dial_now"] and not one["blockers"]]


def broken(events: Sequence[Event], phones: Mapping[str, str], *, slots: int, cap: int) -> dict[str, object]:
    """Every invariant that does not hold of this log, with its violations."""
    found: dict[str, object] = {
        "calls not told once": not_told_once(events),
        "sequences with gaps": gaps(events),
        "contacts after a stop": contacts_after_stop(events),
        "dials outside hours": dialed_outside_hours(events, phones),
        "dials above the day's cap": dialed_too_often(events, 3),
        "two calls to one lead": overlapping_calls(events),
        "leases above the slots": max(0, most_at_once(leases(events)) - slots),
        "live transfers above the cap": max(0, most_at_once(live_transfers(events)) - cap),
    }
    return {name: violations for name, violations in found.items() if violations}


def at_of(event: Event) -> datetime:
    """When it happened."""
    return datetime.fromisoformat(event["occurred_at"])


def _lead_of(event: Event) -> str:
    return str(event["correlation_id"])


def _spans(events: Iterable[Event], opening: Set[str], closing: Set[str]) -> list[Span]:
    """Per subject from an opening event to the next closing one, in the order of the log."""
    since: dict[str, datetime] = {}
    found = []
    for event in events:
        subject = event["subject"]["id"]
        if event["type"] in opening:
            since.setdefault(subject, at_of(event))
        elif event["type"] in closing and subject in since:
            found.append((since.pop(subject), at_of(event)))
    return [*found, *((start, _FAR) for start in since.values())]


def _stamp(at: datetime) -> float:
    return float("inf") if at is _FAR else at.timestamp()
