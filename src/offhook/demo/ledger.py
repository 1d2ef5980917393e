"""The ledger: what happened, in numbers, and which promises held. Pure: a journal and answers in, numbers out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from offhook.demo.export import Export, Person
from offhook.demo.hours import was_legal
from offhook.demo.store import Journal, Processed

EXAMPLE = {
    "accepted": 9694,
    "duplicates": 160,
    "payload_differs": 40,
    "invalid": 60,
    "rejected": 356,
    "CONSENT_NO_ARTIFICIAL_VOICE": 306,
    "CONSENT_MISSING": 20,
    "DUPLICATE_PHONE": 35,
}
"""What the import of examples/leads-10k.csv must read; its README says why."""
WANTED = {"conversion", "dnc", "reconnect"}
ENOUGH_ROWS = 60
"""From so many rows on each kind of post-back must have had its occasion."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the public API says after the run."""

    imported: Mapping[str, Any]
    events: int
    lost: int
    waiting_after_outage: int
    deliveries_open: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise, whether it held, and the number that says so."""

    text: str
    held: bool
    value: str


@dataclass(slots=True)
class Ledger:
    """The numbers of one run."""

    rows: int
    imported: dict[str, Any]
    attempts: int
    calls_by_outcome: dict[str, int]
    never_reached: dict[str, int]
    peak_live_transfers: int
    dials_outside_legal_hours: int
    contacts_after_opt_out: int
    dials_after_sale: int
    calls_told_wrongly: int
    post_backs: dict[str, int]
    events: int
    deliveries: int
    waiting_after_outage: int
    deliveries_open: int
    duplicates_told: int
    forged: int
    dead_letters: int
    lost: int
    sequence_gaps: int
    import_s: float
    took_s: float
    virtual_days: float
    promises: list[Promise] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return all(promise.held for promise in self.promises)

    def shown(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {**asdict(self), "held": self.held}


@dataclass(frozen=True, slots=True)
class Times:
    """How long it took: the import and the whole in real seconds, the story in virtual days."""

    import_s: float
    took_s: float
    virtual_days: float


def draw_up(export: Export, journal: Journal, told: Told, times: Times, forged: int, transfers_allowed: int) -> Ledger:
    """The ledger of a run, with its promises judged."""
    processed, duplicates = journal.count()
    dials = list(journal.events("call.started"))
    ledger = Ledger(
        rows=export.rows,
        imported=_imported(told.imported),
        attempts=len(dials),
        calls_by_outcome=dict(journal.outcomes()),
        never_reached=dict(never_reached(journal)),
        peak_live_transfers=peak(journal.events("transfer.bridged", "transfer.ended")),
        dials_outside_legal_hours=sum(not _is_legal(dial, export.people) for dial in dials),
        contacts_after_opt_out=after_stop(dials, journal.events("lead.opted_out", "lead.dnc_added"), export.people),
        dials_after_sale=after_stop(dials, journal.events("lead.converted"), export.people),
        calls_told_wrongly=journal.calls_told_wrongly(),
        post_backs=_applied(journal),
        events=told.events,
        deliveries=processed + duplicates,
        waiting_after_outage=told.waiting_after_outage,
        deliveries_open=told.deliveries_open,
        duplicates_told=duplicates,
        forged=forged,
        dead_letters=told.dead_letters,
        lost=told.lost,
        sequence_gaps=journal.gaps(),
        import_s=round(times.import_s, 1),
        took_s=round(times.took_s, 1),
        virtual_days=round(times.virtual_days, 2),
    )
    ledger.promises = list(_judged(ledger, export, transfers_allowed))
    return ledger


def peak(transfers: Iterable[Processed]) -> int:
    """The most transfers that were live at once; one that ends in the instant in which another begins makes room."""
    live: set[str] = set()
    highest = 0
    for event in sorted(transfers, key=lambda event: (event.occurred_at, event.type == "transfer.bridged")):
        if event.type == "transfer.bridged":
            live.add(event.data["transfer_id"])
            highest = max(highest, len(live))
        else:
            live.discard(event.data["transfer_id"])
    return highest


def after_stop(dials: Iterable[Processed], stops: Iterable[Processed], people: Mapping[str, Person]) -> int:
    """How many dials began after a stop of the same lead, or of another lead with the same number."""
    stopped: dict[str, datetime] = {}
    for stop in stops:
        for key in _keys(stop, people):
            stopped.setdefault(key, stop.at)
    return sum(any(key in stopped and dial.at > stopped[key] for key in _keys(dial, people)) for dial in dials)


def never_reached(journal: Journal) -> Counter[str]:
    """Accepted leads to whom no human ever spoke, by what became of their last attempt."""
    reason = {event.lead: "not_dialed" for event in journal.events("lead.accepted")}
    for event in journal.events("lead.cadence_completed", "lead.attempted"):
        if event.type == "lead.attempted":
            reason[event.lead] = event.data["outcome"]
        elif reason.get(event.lead) == "not_dialed":
            reason[event.lead] = event.data["outcome"]
    for event in journal.events("call.voice_detected"):
        reason.pop(event.lead, None)
    return Counter(reason.values())


def _keys(event: Processed, people: Mapping[str, Person]) -> list[str]:
    lead = event.lead or event.subject
    return [f"lead:{lead}", *([f"number:{people[lead].number}"] if lead in people else [])]


def _is_legal(dial: Processed, people: Mapping[str, Person]) -> bool:
    person = people.get(dial.lead or "")
    return person is not None and was_legal(dial.at, person.number[:3], person.state)


def _imported(result: Mapping[str, Any]) -> dict[str, Any]:
    # Held for the morning is accepted: the lead is stored and planned, only its hour has not come.
    counts = {name: result[name] for name in ("duplicates", "payload_differs", "invalid", "rejected")}
    return {"accepted": result["accepted"] + result["held"], **counts, "codes": dict(result["codes"])}


def _applied(journal: Journal) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for kind, _, status, answer in journal.said_back():
        counts[kind if status < 300 and answer["applied"] else f"{kind}_refused"] += 1
    return dict(counts)


def _judged(ledger: Ledger, export: Export, allowed: int) -> Iterable[Promise]:
    if export.whole:
        read = {**ledger.imported, **ledger.imported["codes"]}
        wrong = [f"{name} {read.get(name)} instead of {n}" for name, n in EXAMPLE.items() if read.get(name) != n]
        yield Promise("The import reads what the file holds", not wrong, "; ".join(wrong) or f"{ledger.rows:,} rows")
    peak_told = f"peak {ledger.peak_live_transfers}"
    yield Promise(f"Never more than {allowed} live transfers", ledger.peak_live_transfers <= allowed, peak_told)
    yield from (
        Promise(text, number == 0, f"{number:,}")
        for text, number in (
            ("No dial outside legal hours", ledger.dials_outside_legal_hours),
            ("No contact after an opt-out", ledger.contacts_after_opt_out),
            ("No dial after a sale", ledger.dials_after_sale),
            ("One start and one end per call", ledger.calls_told_wrongly),
            ("No event lost", ledger.lost),
            ("No gap in any sequence", ledger.sequence_gaps),
            ("No dead letter", ledger.dead_letters),
            ("No delivery left open", ledger.deliveries_open),
            ("No forged message", ledger.forged),
        )
    )
    replies = ledger.post_backs
    missing = sorted(WANTED - set(replies)) if export.rows >= ENOUGH_ROWS else []
    refused = sum(n for name, n in replies.items() if name.endswith("_refused"))
    yield Promise(
        "Every post-back applied",
        not missing and not refused,
        f"{sum(replies.values()):,}" + (f", none of {', '.join(missing)}" if missing else ""),
    )
