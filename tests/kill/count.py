"""What was lost, skipped, placed twice or told twice: pure, from the journals of the others and the end of the log."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from offhook import ids

from .hooks import ORDERED, WHOLE

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts of one run. `held` when nothing was lost, skipped, changed, or placed twice."""

    leads_acknowledged: int
    leads_told_otherwise: int
    calls_placed: int
    events: int
    deliveries: int
    leads_lost: int
    calls_lost: int
    sequence_gaps: int
    untold: int
    """Pairs of endpoint and event that the log has for it, and its receiver has not."""
    out_of_order: int
    told_otherwise: int
    """Messages whose bytes changed from one telling to the next, and events that came under another's `webhook-id`."""
    placed_twice: int
    duplicates_told: int
    refused: int
    """Tellings that were answered 500."""

    @property
    def held(self) -> bool:
        return not (
            self.leads_told_otherwise
            or self.leads_lost
            or self.calls_lost
            or self.sequence_gaps
            or self.untold
            or self.out_of_order
            or self.told_otherwise
            or self.placed_twice
        )


def judge(
    client: Iterable[Line], platform: Iterable[Line], receiver: Iterable[Line], log: Iterable[Line] = ()
) -> Verdict:
    """The verdict over a run that has come to rest. `log`: what each endpoint should have been told, by the API."""
    tellings, heard = list(receiver), list(log)
    taken = [line for line in tellings if line["taken"]]
    delivered = {(line["endpoint"], line["id"]) for line in taken}
    events = {line["id"]: line for line in taken if line["endpoint"] == WHOLE}
    orders = list(platform)
    placed = [ids.show("call", UUID(order["call_id"])) for order in orders]
    acknowledged = list(client)
    came_in = {event["subject"] for event in events.values() if event["type"] in ("lead.accepted", "lead.rejected")}
    return Verdict(
        leads_acknowledged=len(acknowledged),
        leads_told_otherwise=_told_otherwise(acknowledged, events.values()),
        calls_placed=len(placed),
        events=len(events),
        deliveries=len(delivered),
        leads_lost=sum(lead["lead"] not in came_in for lead in acknowledged),
        calls_lost=len(set(placed) - _whole_calls(events.values())),
        sequence_gaps=_gaps(events.values(), (line for line in heard if line["endpoint"] == WHOLE)),
        untold=len({(line["endpoint"], line["id"]) for line in heard} - delivered),
        out_of_order=_out_of_order([line for line in tellings if line["endpoint"] == ORDERED], heard),
        told_otherwise=_changed(tellings),
        placed_twice=_twice(placed) + _twice(order["to"] for order in orders),
        duplicates_told=len(taken) - len(delivered),
        refused=len(tellings) - len(taken),
    )


def _told_otherwise(acknowledged: Iterable[Line], events: Iterable[Line]) -> int:
    """How many references became another lead than the client was told, or more than one."""
    leads: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if event["type"] in ("lead.accepted", "lead.rejected"):
            leads[event["ref"]].add(event["subject"])
    return sum(bool(leads[line["ref"]] - {line["lead"]}) for line in acknowledged)


def _whole_calls(events: Iterable[Line]) -> set[str]:
    """The calls that were told to have started and ended, once each."""
    counts = Counter((event["subject"], event["type"]) for event in events)
    return {
        subject
        for (subject, type_), n in counts.items()
        if type_ == "call.started" and n == 1 and counts[subject, "call.ended"] == 1
    }


def _gaps(events: Iterable[Line], log: Iterable[Line]) -> int:
    """Sequence numbers that were never told, up to the highest of the subject that was told or stands in the log."""
    told: dict[str, set[int]] = defaultdict(set)
    last: dict[str, int] = defaultdict(int)
    for event in events:
        told[event["subject"]].add(event["sequence"])
        last[event["subject"]] = max(last[event["subject"]], event["sequence"])
    for event in log:
        last[event["subject"]] = max(last[event["subject"]], event["sequence"])
    return sum(end - len(told[subject]) for subject, end in last.items())


def _out_of_order(tellings: Sequence[Line], log: Iterable[Line]) -> int:
    """Tellings, not flagged, of an event before an earlier one of its subject was taken. In the order of arrival."""
    missing: dict[str, set[int]] = defaultdict(set)
    for line in log:
        if line["endpoint"] == ORDERED:
            missing[line["subject"]].add(line["sequence"])
    early = 0
    for line in tellings:
        before = missing[line["subject"]]
        early += not line["out_of_order"] and min(before, default=line["sequence"]) < line["sequence"]
        if line["taken"]:
            before.discard(line["sequence"])
    return early


def _changed(tellings: Iterable[Line]) -> int:
    """Messages with more than one body; and events alone in a message of another id than theirs."""
    bodies: dict[tuple[str, str], set[str]] = defaultdict(set)
    misnamed = set()
    for line in tellings:
        bodies[line["endpoint"], line["message"]].add(line["bytes"])
        if line["message"] != line["id"] and not line["message"].startswith("bat_"):
            misnamed.add((line["endpoint"], line["id"]))
    return sum(len(some) > 1 for some in bodies.values()) + len(misnamed)


def _twice(things: Iterable[str]) -> int:
    return sum(n - 1 for n in Counter(things).values())
