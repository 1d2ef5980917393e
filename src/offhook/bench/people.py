"""Leads for a measurement: each with a number of its own, as far as fictitious numbers go."""

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from offhook.phone import Phone, parse

LINES = range(100, 200)
"""555-0100 to 555-0199: all that the sandbox takes, in every area code."""

_LEAD = (
    '{"client_ref_id":"%s-%d","contact":{"first_name":"Michael","last_name":"Carter","phone":"+1%s5550%d",'
    '"email":"michael.carter%d@example.com","address":{"state":"%s","postal_code":"60601"}},'
    '"consent":[{"channel":"voice","purpose":"marketing","tier":"written","artificial_voice":true,'
    '"given_at":"2026-11-20T15:02:11Z","evidence":{"url":"https://offers.example.com/solar?v=3","ip":"203.0.113.7"}}],'
    '"visitor":{"utm_source":"google","utm_campaign":"solar-q4","gclid":"Cj0KCQiA7bucBhCeARIsAIOwr",'
    '"landing_page":"https://offers.example.com/solar?v=3"},"merge_fields":{"product":"solar"}}'
)


def how_many() -> int:
    """How many leads with different numbers there are."""
    return len(_places()) * len(LINES)


def leads(run: str) -> Iterator[bytes]:
    """Lead after lead as JSON, until the numbers are used up; `run` keeps the references of runs apart."""
    places = _places()
    for n in range(how_many()):
        row, column = divmod(n, len(places))
        area_code, state = places[column]
        # Each place goes through all its lines, and neighbours are at different ones: the last digit decides a call.
        line = LINES[(row + column) % len(LINES)]
        yield (_LEAD % (run, n, area_code, line, n, state)).encode()


@cache
def _places() -> list[tuple[str, str]]:
    text = files("offhook.compliance").joinpath("area_codes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return [
        (row["area_code"], row["jurisdictions"].removeprefix("US-"))
        for row in rows
        if row["country"] == "US"
        and " " not in row["jurisdictions"]
        and isinstance(parse(f"+1{row['area_code']}5550100"), Phone)
    ]
