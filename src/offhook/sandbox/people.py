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
    count: int, now: datetime, seed: str, mix: Mapping[str, float] | None, *, digit: int | None = None
) -> Iterator[LeadIn]:
    """`count` leads with consent; `mix` or the last `digit` says how their calls go, else their own last digit does."""
    rng = random.Random(seed)  # noqa: S311  # made-up people, not secrets
    for n in range(count):
        area, state = rng.choice(_AREAS)
        last = rng.randrange(10) if digit is None else digit
        yield _lead(f"{seed}-{n}", f"+1{area}55501{rng.randrange(10)}{last}", state, rng, now, mix)


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
