"""Synthetic people: leads that nobody is, on numbers that nobody has."""

import random
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from offhook.leads import LeadIn

_FIRST = (
    "Ada",
    "Ben",
    "Carla",
    "Dev",
    "Elena",
    "Femi",
    "Grace",
    "Hugo",
    "Iris",
    "Jon",
    "Kira",
    "Luis",
    "Mina",
    "Noah",
    "Olga",
    "Priya",
)
_LAST = (
    "Abbott",
    "Brooks",
    "Castro",
    "Doyle",
    "Ellis",
    "Fischer",
    "Gomez",
    "Hart",
    "Ito",
    "Jensen",
    "Khan",
    "Lopez",
    "Moss",
    "Novak",
)
# Every area code here lies in one state and on one clock, so a synthetic lead is never held for an odd reason.
_AREAS = (
    ("212", "NY"), ("312", "IL"), ("415", "CA"), ("206", "WA"), ("303", "CO"), ("404", "GA"), ("617", "MA"), ("602", "AZ"),
    ("702", "NV"), ("216", "OH"), ("704", "NC"), ("612", "MN"),
)  # fmt: skip


def synthetic(
    now: datetime, seed: str, mix: Mapping[str, float] | None, *, digit: int | None = None
) -> Iterator[LeadIn]:
    """Leads with consent, a number each: 1,200, or 120 with that last `digit`.

    `mix` says how their calls go, else the last digit does.
    """
    rng = random.Random(seed)  # noqa: S311  # made-up people, not secrets
    lasts = range(100) if digit is None else range(digit, 100, 10)
    numbers = [(f"+1{area}55501{last:02d}", state) for area, state in _AREAS for last in lasts]
    rng.shuffle(numbers)
    for n, (phone, state) in enumerate(numbers):
        yield _lead(f"{seed}-{n}", phone, state, rng, now, mix)


def _lead(
    ref: str, phone: str, state: str, rng: random.Random, now: datetime, mix: Mapping[str, float] | None
) -> LeadIn:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    merge_fields = {"sandbox_mix": ",".join(f"{name}={weight}" for name, weight in mix.items())} if mix else {}
    body: dict[str, Any] = {
        "client_ref_id": ref,
        "contact": {
            "first_name": first,
            "last_name": last,
            "phone": phone,
            "email": f"{first}.{last}@example.com".lower(),
            "address": {"state": state},
        },
        "consent": [{"channel": "voice", "tier": "written", "artificial_voice": True, "given_at": now}],
        "visitor": {"utm_source": "sandbox"},
        "merge_fields": merge_fields,
        "metadata": {"synthetic": True},
    }
    return LeadIn.model_validate(body)
