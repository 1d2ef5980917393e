"""Legal hours a second time, plainly, to check the first: a wall clock, a table of hours, and no code of compliance.

Only the data of the area codes and of the holidays is shared. Written from the citations in the rule packs: each state
that is stricter than the federal rule stands in the table below, and a call must be within the hours of every place in
which its number may ring.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Hours:
    """Whole hours of the local day, from one up to the other; None on a day without any."""

    weekday: tuple[int, int]
    saturday: tuple[int, int] | None
    sunday: tuple[int, int] | None
    on_holidays: bool = True


FEDERAL = Hours((8, 21), (8, 21), (8, 21))  # 47 CFR 64.1200(c)(1)
STATES = {
    "US-AL": Hours((8, 20), (8, 20), None, on_holidays=False),  # Ala. Admin. Code 770-X-5-.17(1)
    "US-FL": Hours((8, 20), (8, 20), (8, 20)),  # Fla. Stat. 501.616(6)(a)
    "US-LA": Hours((8, 20), (8, 20), None, on_holidays=False),  # LPSC General Order R-29617, V(A)
    "US-PA": Hours((9, 19), (9, 19), None, on_holidays=False),  # 73 P.S. 2245(a), as of 18 October 2026
    "US-TX": Hours((9, 21), (9, 21), (12, 21)),  # Tex. Bus. & Com. Code 301.051
}


def was_legal(at: datetime, area_code: str, state: str) -> bool:
    """Whether a dial at that instant was within the hours of every place where the number may ring."""
    zones, jurisdictions = _places(area_code, state)
    return bool(zones) and all(
        _within(hours, jurisdiction, at.astimezone(ZoneInfo(zone)))
        for zone in zones
        for jurisdiction in jurisdictions
        for hours in (FEDERAL, STATES.get(jurisdiction, FEDERAL))
    )


def _within(hours: Hours, jurisdiction: str, local: datetime) -> bool:
    if not hours.on_holidays and local.date() in _holidays(jurisdiction):
        return False
    day = (hours.weekday, hours.saturday, hours.sunday)[max(0, local.weekday() - 4)]
    return day is not None and day[0] <= local.hour < day[1]


@cache
def _places(area_code: str, state: str) -> tuple[frozenset[str], frozenset[str]]:
    zones: set[str] = set()
    jurisdictions: set[str] = set()
    for row in _table("area_codes.csv"):
        if row["area_code"] == area_code:
            zones |= set(row["zones"].split())
            jurisdictions |= set(row["jurisdictions"].split())
    for row in _table("states.csv"):
        if row["jurisdiction"] == f"US-{state}" and row["jurisdiction"] not in jurisdictions:
            zones |= set(row["zones"].split())
            jurisdictions.add(row["jurisdiction"])
    return frozenset(zones), frozenset(jurisdictions)


@cache
def _holidays(jurisdiction: str) -> frozenset[date]:
    return frozenset(date.fromisoformat(row["date"]) for row in _table(f"packs/holidays/{jurisdiction}.2026-2027.csv"))


@cache
def _table(path: str) -> tuple[dict[str, str], ...]:
    lines = files("offhook.compliance").joinpath(path).read_text(encoding="utf-8").splitlines()
    return tuple(_rows(lines))


def _rows(lines: list[str]) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(line for line in lines if not line.startswith("#"))
