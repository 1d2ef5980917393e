"""Where a number may ring: every zone and every jurisdiction that it could be in.

The answer is a set of candidates, because nobody can know more: area codes span zones, mobiles move away with their
owners, and states presume residence from the area code (FL, OK) or reach by it (VA, SC). So a stated state adds to
what the area code says and never replaces it, and a call must be legal in all of them.
"""

import csv
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal

from offhook.phone import Phone

ZoneKey = str


@dataclass(frozen=True, slots=True)
class Location:
    """Candidate zones (IANA) and jurisdictions (ISO 3166), each sorted. `conflict`: the stated state is elsewhere."""

    zones: tuple[ZoneKey, ...]
    jurisdictions: tuple[str, ...]
    conflict: bool


@dataclass(frozen=True, slots=True)
class Unresolvable:
    """Nothing legal can be said of the number: it is tied to no place, or the stated state is none that we know."""

    why: Literal["area_code", "state"]


def locate(phone: Phone, *, state: str | None) -> Location | Unresolvable:
    """Every place in which `phone` may ring.

    `state` is what the lead says: `IL`, `US-IL` or `Illinois`; None or blank when it says nothing. A state that is
    not known makes the whole Unresolvable: unknown is not "the same as the area code's".
    """
    return _locate(phone.area_code, state)


def of_jurisdiction(jurisdiction: str) -> tuple[ZoneKey, ...]:
    """The zones of a state or province (`US-TX`). Raises KeyError for one that is not in the table."""
    return _states()[jurisdiction]


@lru_cache(maxsize=16384)
def _locate(area_code: str | None, state: str | None) -> Location | Unresolvable:
    if area_code not in _area_codes():
        return Unresolvable("area_code")
    place = _area_codes()[area_code]
    if state is None or not state.strip():
        return place
    stated = _state_names().get(state.strip().upper())
    if stated is None:
        return Unresolvable("state")
    if stated in place.jurisdictions:
        return place
    zones = {*place.zones, *of_jurisdiction(stated)}
    return Location(tuple(sorted(zones)), tuple(sorted({*place.jurisdictions, stated})), conflict=True)


@cache
def _area_codes() -> dict[str | None, Location]:
    return {
        row["area_code"]: Location(tuple(row["zones"].split()), tuple(row["jurisdictions"].split()), conflict=False)
        for row in _table("area_codes.csv")
    }


@cache
def _states() -> dict[str, tuple[ZoneKey, ...]]:
    return {row["jurisdiction"]: tuple(row["zones"].split()) for row in _table("states.csv")}


@cache
def _state_names() -> dict[str, str]:
    names: dict[str, str] = {}
    for row in _table("states.csv"):
        iso = row["jurisdiction"]
        names |= {iso: iso, iso[3:]: iso, row["name"].upper(): iso}
    return names


def _table(name: str) -> list[dict[str, str]]:
    lines = files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))
