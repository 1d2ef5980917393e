"""When the law lets a number be dialed. Pure: a place, an instant and a rule book in, a verdict out.

A call is legal when every rule of every jurisdiction agrees on every candidate clock. Since rules change their mind
only at the edges of windows and at local midnights, the verdict is constant in between: one UTC day is judged once, at
its edges, and then looked up. That makes a check cheap enough to ask before every dial.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from offhook.compliance import tz
from offhook.compliance.rulebook import RuleBook, Shut, Window
from offhook.compliance.rulepack import Modality
from offhook.compliance.verdict import Allowed, Never, Verdict, Wait
from offhook.compliance.zones import Location, ZoneKey

SEARCHED_DAYS = 14
# The law counts the beginning of the call. We stop earlier, so that no answer and no transfer falls past the edge.
CLOSING_MARGIN = timedelta(seconds=60)
RING = timedelta(seconds=30)

_DAY = timedelta(days=1)


def may_dial(
    location: Location,
    at: datetime,
    rules: RuleBook,
    *,
    modality: Modality = "artificial_voice",
    ring: timedelta = RING,
) -> Verdict:
    """Whether a dial may begin at `at`, which bears its zone.

    `ring` is how long the call may ring: no dial begins within `ring` and 60 s of a close. Wait holds the earliest
    instant at which all agree. Never says CALENDAR_EXPIRED when a table of holidays has run out (a newer release cures
    it), JURISDICTION_DENIED where no rules are known, NO_LEGAL_SLOT when 14 days hold no such instant.
    """
    if at.tzinfo is None:
        raise ValueError("at must bear its zone")
    at = at.astimezone(UTC)
    day = _judged(location, at.date(), rules, modality, ring)
    return day.verdicts[bisect_right(day.edges, at) - 1]


@dataclass(frozen=True, slots=True)
class _Day:
    """A UTC day cut into pieces: `verdicts[i]` holds from `edges[i]` until the next edge."""

    edges: list[datetime]
    verdicts: list[Verdict]


@dataclass(frozen=True, slots=True)
class _Clause:
    """One rule on one candidate clock."""

    zone: ZoneKey
    window: Window
    ring: timedelta

    def local_day(self, at: datetime) -> date:
        return at.astimezone(tz.zone(self.zone)).date()

    def on(self, day: date) -> "_Span | Shut":
        return _dialable(self.zone, self.window, day, self.ring)

    def next_opening(self, at: datetime, last_day: date) -> datetime | None:
        """The earliest instant from `at` on at which this clause agrees; None past the local `last_day`."""
        day = self.local_day(at)
        while day <= last_day:
            span = self.on(day)
            if isinstance(span, _Span) and at < span.end:
                return max(at, span.start)
            day += _DAY
        return None

    def objection(self, at: datetime) -> tuple[str, str]:
        """The rule and code that bar `at`, given that one does."""
        said = self.on(self.local_day(at))
        return (said.rule, said.code) if isinstance(said, Shut) else (self.window.rule, "WINDOW_CLOSED")

    def refusal(self, last_day: date) -> Never:
        said = self.on(last_day)
        if isinstance(said, Shut) and said.code == "CALENDAR_EXPIRED":
            return Never(said.rule, said.code)
        return Never(self.window.rule, "NO_LEGAL_SLOT")


@dataclass(frozen=True, slots=True)
class _Span:
    """Instants [start, end) in UTC at which a dial may begin."""

    start: datetime
    end: datetime


@lru_cache(maxsize=8192)
def _judged(location: Location, day: date, rules: RuleBook, modality: Modality, ring: timedelta) -> _Day:
    midnight = datetime.combine(day, time.min, UTC)
    clauses = _clauses(location, rules, modality, ring)
    if isinstance(clauses, Never):
        return _Day([midnight], [clauses])
    edges = {edge for clause in clauses for edge in _edges(clause, day) if midnight < edge < midnight + _DAY}
    ordered = [midnight, *sorted(edges)]
    return _Day(ordered, [_judge(clauses, edge, day + SEARCHED_DAYS * _DAY) for edge in ordered])


def _clauses(location: Location, rules: RuleBook, modality: Modality, ring: timedelta) -> tuple[_Clause, ...] | Never:
    windows: dict[Window, None] = {}
    for jurisdiction in location.jurisdictions:
        binding = rules.binding(jurisdiction, modality)
        if not binding:
            return Never(f"{jurisdiction}.no_rules", "JURISDICTION_DENIED")
        windows |= dict.fromkeys(binding)
    if not location.zones or not windows:
        # Nothing to ask is not consent: over no clause at all, "every clause agrees" would be true.
        return Never("no_place", "JURISDICTION_DENIED")
    return tuple(_Clause(zone, window, ring) for window in windows for zone in location.zones)


def _edges(clause: _Clause, day: date) -> Iterator[datetime]:
    for local_day in (day - _DAY, day, day + _DAY):
        yield _midnight(clause.zone, local_day)
        span = clause.on(local_day)
        if isinstance(span, _Span):
            yield from (span.start, span.end)


def _judge(clauses: tuple[_Clause, ...], at: datetime, last_day: date) -> Verdict:
    openings = [(clause.next_opening(at, last_day), clause) for clause in clauses]
    if all(opening == at for opening, _ in openings):
        in_force = (c.window.rule for c in clauses if c.window.on(c.local_day(at)) is not None)
        return Allowed(tuple(dict.fromkeys(in_force)))
    _, strictest = max(openings, key=lambda pair: pair[0] or datetime.max.replace(tzinfo=UTC))
    until = _earliest(clauses, at, last_day)
    return until if isinstance(until, Never) else Wait(until, *strictest.objection(at))


def _earliest(clauses: tuple[_Clause, ...], at: datetime, last_day: date) -> datetime | Never:
    # Each clause in turn pushes the instant to its own next opening, never further; a full round without a push is
    # the earliest instant at which all agree.
    moment, agreed = at, 0
    while agreed < len(clauses):
        for clause in clauses:
            opening = clause.next_opening(moment, last_day)
            if opening is None:
                return clause.refusal(last_day)
            agreed = agreed + 1 if opening == moment else 1
            moment = opening
    return moment


@lru_cache(maxsize=65536)
def _dialable(zone: ZoneKey, window: Window, day: date, ring: timedelta) -> _Span | Shut:
    said = window.on(day)
    if isinstance(said, Shut):
        return said
    if said is None:
        return _Span(_midnight(zone, day), _midnight(zone, day + _DAY))
    start, end = _instants(zone, day, said.start), _instants(zone, day, said.end)
    shut = Shut(window.rule, "WINDOW_CLOSED")
    if not start or not end:
        # The clock skips this edge today. The law did not foresee it, so nobody is called.
        return shut
    # A wall time that comes twice: start at the later, end at the earlier.
    span = _Span(max(start), min(end) - ring - CLOSING_MARGIN)
    return span if span.start < span.end else shut


def _instants(zone: ZoneKey, day: date, wall: time) -> set[datetime]:
    """The instants at which the wall clock shows that time on that day: one, two in autumn, none in spring."""
    clock = tz.zone(zone)
    shown = datetime.combine(day, wall)
    both = (shown.replace(tzinfo=clock, fold=fold).astimezone(UTC) for fold in (0, 1))
    return {instant for instant in both if instant.astimezone(clock).replace(tzinfo=None) == shown}


def _midnight(zone: ZoneKey, day: date) -> datetime:
    """The first instant of a local day."""
    return datetime.combine(day, time.min, tz.zone(zone)).astimezone(UTC)
