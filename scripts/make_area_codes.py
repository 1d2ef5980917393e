"""Writes src/offhook/compliance/{area_codes,states}.csv: where a North American area code, or a state, may be.

A row holds candidates, never a guess. It is made from two sources, because each alone is wrong: libphonenumber names
the state of every area code, but gives an unlisted exchange of a split area code its majority zone; `zipcodes` knows
the zone of every ZIP, but lists an area code's neighbours too and has a zone that does not exist (99634, "Napakiak").

- state:  libphonenumber's; ISO 3166-2 in the United States and Canada, else the country.
- zones:  libphonenumber's over all exchanges, and those of the ZIPs in that state that hold at least one in a hundred
          of the area code's ZIPs there. Among zones with the same clock the one with the most ZIPs stands for all.

It needs the full `phonenumbers` and `zipcodes` of the development environment: .venv/bin/python scripts/make_area_codes.py
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path

import phonenumbers
import zipcodes
from phonenumbers.geodata import GEOCODE_DATA
from phonenumbers.phonemetadata import PhoneMetadata
from phonenumbers.tzdata import TIMEZONE_DATA

from offhook.compliance import tz

TARGET = Path(__file__).parent.parent / "src/offhook/compliance"
LEAST_WEIGHT = 0.01
COMPARED_HOURS = 2 * 365 * 24  # two years show every clock change that is law today

UNITED_STATES = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DC": "District of Columbia", "DE": "Delaware", "FL": "Florida", "GA": "Georgia",
    "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky",
    "LA": "Louisiana", "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota",
    "MS": "Mississippi", "MO": "Missouri", "MT": "Montana", "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire",
    "NJ": "New Jersey", "NM": "New Mexico", "NY": "New York", "NC": "North Carolina", "ND": "North Dakota",
    "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania", "RI": "Rhode Island",
    "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont",
    "VA": "Virginia", "WA": "Washington", "WV": "West Virginia", "WI": "Wisconsin", "WY": "Wyoming",
}  # fmt: skip
TERRITORIES = {
    "AS": "American Samoa", "GU": "Guam", "MP": "Northern Mariana Islands", "PR": "Puerto Rico",
    "VI": "U.S. Virgin Islands",
}  # fmt: skip
CANADA = {
    "AB": "Alberta", "BC": "British Columbia", "MB": "Manitoba", "NB": "New Brunswick",
    "NL": "Newfoundland and Labrador", "NS": "Nova Scotia", "NT": "Northwest Territories", "NU": "Nunavut",
    "ON": "Ontario", "PE": "Prince Edward Island", "QC": "Quebec", "SK": "Saskatchewan", "YT": "Yukon",
}  # fmt: skip
NAME_OF = {f"US-{code}": name for code, name in (UNITED_STATES | TERRITORIES).items()}
NAME_OF |= {f"CA-{code}": name for code, name in CANADA.items()}
JURISDICTION_OF = {iso[3:]: iso for iso in NAME_OF} | {name: iso for iso, name in NAME_OF.items()}
JURISDICTION_OF |= {"British Colombia": "CA-BC", "Washington D.C.": "US-DC", "Washington State": "US-WA"}


def area_code_rows() -> Iterator[tuple[str, str, str, str]]:
    """(area code, country, jurisdictions, zones), the lists parted by spaces."""
    yield from _area_codes()


@cache
def _area_codes() -> tuple[tuple[str, str, str, str], ...]:
    return tuple(_made_area_codes())


def _made_area_codes() -> Iterator[tuple[str, str, str, str]]:
    for code in sorted(_zones_of_exchanges()):
        jurisdictions = _jurisdictions(code)
        zones = _one_per_clock(_zones_of_area_code(code, jurisdictions))
        yield code, jurisdictions[0][:2], " ".join(jurisdictions), " ".join(zones)


def state_rows() -> Iterator[tuple[str, str, str]]:
    """(jurisdiction, name, zones): every zone in which one of its ZIPs lies, or one of its area codes."""
    of_area_codes: dict[str, Counter[str]] = defaultdict(Counter)
    for _, _, jurisdictions, zones in area_code_rows():
        for jurisdiction in jurisdictions.split():
            of_area_codes[jurisdiction].update({zone: 0 for zone in zones.split()})
    for row in _zips():
        of_area_codes[f"US-{row['state']}"][row["timezone"]] += 1
    for jurisdiction, name in sorted(NAME_OF.items()):
        yield jurisdiction, name, " ".join(_one_per_clock(of_area_codes[jurisdiction]))


def _jurisdictions(code: str) -> list[str]:
    if region := _region_by_leading_digits(code):
        return [f"US-{region}" if region in TERRITORIES else region]
    if whole := GEOCODE_DATA.get(f"1{code}"):
        return sorted(JURISDICTION_OF[part] for part in whole["en"].rsplit(", ", 1)[-1].split("/"))
    return sorted({JURISDICTION_OF[name] for name in _names_of_exchanges()[code]})


def _region_by_leading_digits(code: str) -> str | None:
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
        metadata = PhoneMetadata.metadata_for_region(region)
        if metadata.leading_digits and re.match(metadata.leading_digits, f"{code}2345678"):
            return region
    return None


def _zones_of_area_code(code: str, jurisdictions: list[str]) -> Counter[str]:
    weights = Counter(row["timezone"] for row in _zips_by_area_code()[code] if f"US-{row['state']}" in jurisdictions)
    enough = weights.total() * LEAST_WEIGHT
    kept = Counter({zone: count for zone, count in weights.items() if count >= enough})
    kept.update(dict.fromkeys(_zones_of_exchanges()[code], 0))
    return kept


def _one_per_clock(weights: Counter[str]) -> list[str]:
    heaviest: dict[tuple[timedelta | None, ...], str] = {}
    for zone in sorted(weights, key=lambda name: (-weights[name], name)):
        heaviest.setdefault(_clock(zone), zone)
    return sorted(heaviest.values())


@cache
def _names_of_exchanges() -> dict[str, list[str]]:
    """Per area code, what libphonenumber calls the places of its exchanges: the last part, which is the state."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, place in GEOCODE_DATA.items():
        if key.startswith("1") and len(key) >= 4:
            found[key[1:4]].append(place["en"].rsplit(", ", 1)[-1])
    return found


@cache
def _zones_of_exchanges() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key, zones in TIMEZONE_DATA.items():
        if key.startswith("1") and len(key) >= 4:
            found[key[1:4]] += zones
    return found


@cache
def _clock(zone: str) -> tuple[timedelta | None, ...]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return tuple((start + timedelta(hours=h)).astimezone(tz.zone(zone)).utcoffset() for h in range(COMPARED_HOURS))


@cache
def _zips() -> list[dict[str, str]]:
    return [row for row in zipcodes.list_all() if row["timezone"] in tz.known_zones()]


@cache
def _zips_by_area_code() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in _zips():
        for code in row["area_codes"]:
            found[code].append(row)
    return found


def _write(name: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    made_of = ", ".join(f"{package} {version(package)}" for package in ("phonenumbers", "zipcodes", "tzdata"))
    with (TARGET / name).open("w", encoding="utf-8", newline="") as file:
        file.write(f"# Made by scripts/make_area_codes.py on {datetime.now(UTC).date()} from {made_of}. Do not edit.\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


if __name__ == "__main__":
    _write("area_codes.csv", ("area_code", "country", "jurisdictions", "zones"), area_code_rows())
    _write("states.csv", ("jurisdiction", "name", "zones"), state_rows())
