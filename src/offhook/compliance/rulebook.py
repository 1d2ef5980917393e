"""The rule book: every pack that ships with Offhook, checked as a whole and named by one hash.

A pack that cannot be read, or a table of dates that it names and that is not there, stops the start: half a law book
would allow what the missing half bars.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

import yaml
from pydantic import ValidationError

from offhook.compliance import rulepack
from offhook.compliance.rulepack import DAYS, HOLIDAY, HolidayRule, Modality, Pack, WallSpan, WindowRule
from offhook.errors import CannotStart


@dataclass(frozen=True, slots=True)
class Open:
    """The local hours [start, end) of a day in which a call may begin."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Shut:
    """A day without a legal hour, and the rule that says so."""

    rule: str
    code: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """The holidays of a jurisdiction, and the days for which the table speaks at all."""

    rule: str
    dates: frozenset[date]
    valid_from: date
    valid_through: date

    def covers(self, day: date) -> bool:
        return self.valid_from <= day <= self.valid_through


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One rule of calling hours, ready to be asked. Each loaded rule is its own: two are equal only if they are one."""

    rule: str
    modalities: frozenset[Modality]
    effective_from: date
    effective_to: date
    by_weekday: tuple[WallSpan | None, ...]
    on_holidays: WallSpan | None
    calendar: Calendar | None

    def on(self, day: date) -> Open | Shut | None:
        """What this rule says of a local day; None when it is not law on that day."""
        if not self.effective_from <= day < self.effective_to:
            return None
        if self.calendar is not None:
            if not self.calendar.covers(day):
                return Shut(self.calendar.rule, "CALENDAR_EXPIRED")
            if day in self.calendar.dates:
                return Open(*self.on_holidays) if self.on_holidays else Shut(self.rule, "WINDOW_HOLIDAY")
        hours = self.by_weekday[day.weekday()]
        if hours is None:
            return Shut(self.rule, "WINDOW_SUNDAY" if DAYS[day.weekday()] == "sun" else "WINDOW_CLOSED")
        return Open(*hours)


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All packs at once. Two books are equal when their bytes are."""

    pack_hash: str
    packs: Mapping[str, Pack] = field(compare=False, repr=False)
    windows: Mapping[str, tuple[Window, ...]] = field(compare=False, repr=False)

    def binding(self, jurisdiction: str, modality: Modality) -> tuple[Window, ...] | None:
        """The rules that bind a call there: the country's, then the state's own. None when the country has no pack."""
        country = self.windows.get(jurisdiction[:2])
        if country is None:
            return None
        # A state without a pack of its own is under its country's alone; the verdict lists what was asked.
        own = self.windows.get(jurisdiction, ()) if jurisdiction != jurisdiction[:2] else ()
        return tuple(window for window in (*country, *own) if modality in window.modalities)


@cache
def packaged() -> RuleBook:
    """The rule book of this release. Raises CannotStart naming the file and the place that is wrong."""
    return load(_read_all(files(__package__).joinpath("packs")))


def load(texts: Mapping[str, bytes]) -> RuleBook:
    """The rule book in `texts`: `US-PA.yaml`, `holidays/US-PA.2026-2027.csv` … Raises CannotStart as `packaged` does."""
    packs = {name[:-5]: _pack(name, text) for name, text in sorted(texts.items()) if name.endswith(".yaml")}
    windows = {name: _windows(pack, texts) for name, pack in packs.items()}
    return RuleBook(_hash(texts), packs, windows)


def _read_all(folder: Traversable, prefix: str = "") -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _read_all(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".yaml", ".csv")):
            found[prefix + entry.name] = entry.read_bytes()
    return found


def _hash(texts: Mapping[str, bytes]) -> str:
    digest = sha256()
    for name, text in sorted(texts.items()):
        digest.update(f"{name}\0{len(text)}\0".encode())
        digest.update(text)
    return f"sha256:{digest.hexdigest()}"


def _pack(name: str, text: bytes) -> Pack:
    try:
        pack = rulepack.read(text.decode())
    except ValidationError as wrong:
        places = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in wrong.errors())
        raise _broken(name, places) from None
    except (yaml.YAMLError, UnicodeDecodeError) as wrong:
        raise _broken(name, str(wrong)) from None
    if f"{pack.jurisdiction}.yaml" != name:
        raise _broken(name, f"jurisdiction: it says {pack.jurisdiction}")
    return pack


def _windows(pack: Pack, texts: Mapping[str, bytes]) -> tuple[Window, ...]:
    calendar = None
    if pack.calendar is not None:
        assert pack.holidays_valid_through is not None
        calendar = _calendar(f"{pack.jurisdiction}.yaml", pack.calendar, pack.holidays_valid_through, texts)
    return tuple(_window(rule, calendar) for rule in pack.windows)


def _window(rule: WindowRule, calendar: Calendar | None) -> Window:
    return Window(
        rule=rule.id,
        modalities=frozenset(rule.applies.modality),
        effective_from=rule.effective.from_ or date.min,
        effective_to=rule.effective.to or date.max,
        by_weekday=tuple(rule.days[day] for day in DAYS),
        on_holidays=rule.days.get(HOLIDAY),
        calendar=calendar if HOLIDAY in rule.days else None,
    )


def _calendar(name: str, rule: HolidayRule, valid_through: date, texts: Mapping[str, bytes]) -> Calendar:
    if rule.dates_ref not in texts:
        raise _broken(name, f"{rule.id}: there is no {rule.dates_ref}")
    try:
        lines = (line for line in texts[rule.dates_ref].decode().splitlines() if not line.startswith("#"))
        dates = frozenset(date.fromisoformat(row["date"]) for row in csv.DictReader(lines))
        first = min(dates)
    except (KeyError, TypeError, ValueError):
        raise _broken(rule.dates_ref, "every row needs a date like 2026-12-25") from None
    if not first <= max(dates) <= valid_through:
        raise _broken(rule.dates_ref, f"it has dates after {valid_through}, where {name} says that it ends")
    return Calendar(rule.id, dates, date(first.year, 1, 1), valid_through)


def _broken(name: str, what: str) -> CannotStart:
    return CannotStart("bad_rule_pack", f"The rule pack {name} cannot be used. {what}")
