"""What was lost, skipped, placed twice or told twice: pure, from the three journals."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from offhook import ids

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts of one run. `held` when nothing was lost, skipped or placed twice."""

    leads_acknowledged: int
    leads_told_otherwise: int
    calls_placed: int
    events: int
    leads_lost: int
    calls_lost: int
    sequence_gaps: int
    placed_twice: int
    duplicates_told: int

    @property
    def held(self) -> bool:
        return not (
            self.leads_told_otherwise or self.leads_lost or self.calls_lost or self.sequence_gaps or self.placed_twice
        )


def judge(client: Iterable[Line], platform: Iterable[Line], receiver: Iterable[Line]) -> Verdict:
    """The verdict over the journals of a run that has come to rest."""
    tellings = list(receiver)
    events = {line["id"]: line for line in tellings}
    orders = list(platform)
    placed = [ids.show("call", UUID(order["call_id"])) for order in orders]
    acknowledged = list(client)
    came_in = {event["subject"] for event in events.values() if event["type"] in ("lead.accepted", "lead.rejected")}
    return Verdict(
        leads_acknowledged=len(acknowledged),
        leads_told_otherwise=_told_otherwise(acknowledged, events.values()),
        calls_placed=len(placed),
        events=len(events),
        leads_lost=sum(lead["lead"] not in came_in for lead in acknowledged),
        calls_lost=len(set(placed) - _whole_calls(events.values())),
        sequence_gaps=_gaps(events.values()),
        placed_twice=_twice(placed) + _twice(order["to"] for order in orders),
        duplicates_told=len(tellings) - len(events),
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


def _gaps(events: Iterable[Line]) -> int:
    sequences: dict[str, set[int]] = defaultdict(set)
    for event in events:
        sequences[event["subject"]].add(event["sequence"])
    return sum(max(told) - len(told) for told in sequences.values())


def _twice(things: Iterable[str]) -> int:
    return sum(n - 1 for n in Counter(things).values())
