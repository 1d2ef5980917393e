"""What the code says of itself, spelt for the contract: single facts for its sentences, and whole tables."""

import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from offhook.calls.reasons import END_REASONS
from offhook.events.fact import SCHEMA_VERSION, Fact
from offhook.events.samples import sample_of
from offhook.events.types import described, every_type, schema
from offhook.outbound import Answer, NoAnswer
from offhook.outbound.answer import Lost, Timing
from offhook.outbound.wire import BODY_CAP
from offhook.webhooks import breaker, health, rotation
from offhook.webhooks.directory import lease_for
from offhook.webhooks.endpoint_settings import EndpointSettings
from offhook.webhooks.lane_store import ORDER_WAIT
from offhook.webhooks.rendering import named
from offhook.webhooks.schedule import (
    BUSY,
    DEFAULT,
    LONGEST_LIFE,
    LONGEST_RETRY_AFTER,
    Delivered,
    Progress,
    Refused,
    TryAgain,
    disabling,
    judge,
    next_try,
)
from offhook.webhooks.signing import TOLERANCE

VECTORS = Path(__file__).parents[2] / "vectors" / "sign.json"
_THEN = datetime(2026, 11, 21, 17, tzinfo=UTC)
_TIMING = Timing(None, None, None, None, 0.0)
_GROUPS = {
    "lead": "Leads",
    "call": "Calls",
    "transfer": "Hand-overs to a human (their subject is the call)",
    "campaign": "Campaigns",
    "suppression": "Suppressions",
    "webhook": "Webhooks",
    "alert": "Alerts",
}
_STATUSES = (200, 204, 301, 400, 401, 404, 408, 410, 422, 429, 500, 502, 503, 504)


def singles() -> dict[str, str]:
    """Every fact that stands within a sentence, by its name."""
    return {
        "schema_version": SCHEMA_VERSION,
        "otherwise_named": ", ".join(f"`{ours}` is `{theirs}`" for ours, theirs in _otherwise_named()),
        "end_reasons": ", ".join(f"`{word}`" for word in sorted(END_REASONS)),
        "tolerance": spelt(TOLERANCE),
        "tries": str(DEFAULT.tries),
        "jitter": f"{_jitter():.0%}".replace("%", " %"),
        "longest_retry_after": spelt(LONGEST_RETRY_AFTER),
        "longest_life": spelt(LONGEST_LIFE),
        "busy": ", ".join(map(str, sorted(BUSY))),
        "body_cap": f"{BODY_CAP // 1024} KB",
        "order_wait": spelt(ORDER_WAIT),
        "lease": spelt(lease_for(EndpointSettings().timeout_s)),
        "breaker_failures": str(breaker.FAILURES),
        "breaker_probes": str(breaker.PROBES),
        "breaker_first": spelt(timedelta(seconds=breaker.FIRST_S)),
        "breaker_longest": spelt(timedelta(seconds=breaker.LONGEST_S)),
        "failures_to_fail": str(health.FAILURES_TO_FAIL),
        "overlap_usual": spelt(rotation.USUAL_OVERLAP),
        "overlap_longest": spelt(rotation.LONGEST_OVERLAP),
        "most_keys": str(rotation.MOST_LIVE),
        "lost": ", ".join(f"`{code}`" for code in get_args(Lost)),
        **{f"setting.{name}": text for name, text in _settings(EndpointSettings.model_json_schema())},
        **{f"field.{name}": type_of(one) for name, one in _fields().items()},
    }


def _otherwise_named() -> Iterator[tuple[str, str]]:
    for type in every_type():
        if (snake := named(type, "snake")) != type.replace(".", "_"):
            yield type, snake


def spelt(span: timedelta) -> str:
    """A time as one says it: `8 h 54 min`."""
    left = int(span.total_seconds())
    units = [("h", 3600), ("min", 60), ("s", 1)] if left <= 48 * 3600 else [("days", 86400), ("h", 3600), ("min", 60)]
    parts = []
    for name, seconds in units:
        if left >= seconds:
            parts.append(f"{left // seconds} {name}")
            left %= seconds
    return " ".join(parts) or "0 s"


def type_of(one: Mapping[str, Any]) -> str:
    """A place of a JSON Schema in words."""
    if "anyOf" in one:
        return " or ".join(type_of(choice) for choice in one["anyOf"])
    if "const" in one:
        return "null" if one["const"] is None else "string"
    if "enum" in one:
        return " or ".join(f"`{word}`" for word in one["enum"])
    if isinstance(one.get("type"), list):
        return " or ".join(one["type"])
    if one.get("format") == "date-time":
        return "instant"
    if one.get("type") == "array":
        return f"list of {type_of(one['items'])}s"
    return str(one.get("type", "anything"))


def catalogue() -> str:
    """Every event type: its names, when it happens, and its data."""
    return "\n\n".join(_group(prefix, title) for prefix, title in _GROUPS.items())


def _group(prefix: str, title: str) -> str:
    facts = [fact for type, fact in every_type().items() if type.partition(".")[0].startswith(prefix)]
    rows = [f"| {_names(fact)} | {described(fact)['description']} | {_data(fact)} |" for fact in facts]
    return "\n".join([f"**{title}.** {_rides(facts[0])}", "", "| type | when | `data` |", "|---|---|---|", *rows])


def _names(fact: type[Fact]) -> str:
    kind = f"<br>kind `{fact.kind}`" if fact.kind else ""
    return f"`{fact.type}`<br>`{named(fact.type, 'snake')}`{kind}"


def _data(fact: type[Fact]) -> str:
    found = schema(fact)["properties"]["data"]["properties"]
    return "<br>".join(f"`{name}` {type_of(one)}" for name, one in found.items()) or "nothing"


def _rides(fact: type[Fact]) -> str:
    story = sample_of(fact.type).story
    riding = [f"`{name}`" for name in ("call", "visitor", "lead") if getattr(story, name)]
    return f"With them ride {' and '.join(riding)}." if riding else "Nothing rides along."


def schedule() -> str:
    """The usual tries, and when each is made."""
    rows, soonest, latest = [], timedelta(), timedelta()
    for n in range(DEFAULT.tries):
        gap = DEFAULT.gaps[n]
        soonest, latest = soonest + gap, latest + gap * (1 + _jitter())
        rows.append(f"| {n} | {spelt(gap)} | {spelt(soonest)} | {spelt(latest)} |")
    return "\n".join(
        ["| `offhook-try` | gap before it | soonest after the first | latest |", "|---:|---|---|---|", *rows]
    )


class _Dice(random.Random):
    """Shows the highest that dice can show."""

    def random(self) -> float:
        return 1.0


def _jitter() -> float:
    due = next_try(Progress(1, _THEN, _THEN), _Dice())
    assert isinstance(due, datetime)
    return (due - _THEN) / DEFAULT.gaps[1] - 1


def answers() -> str:
    """What each answer of a receiver comes to."""
    rows = [_answer(f"{status}", _said(status)) for status in _STATUSES]
    rows += [
        _answer(f"{status} with `webhook-delivery: {wish}`", _said(status, wish))
        for wish in ("abort-message", "disable")
        for status in (200, 500)
    ]
    rows.append(
        _answer("no answer: " + ", ".join(f"`{code}`" for code in get_args(Lost)), NoAnswer("timeout", "", _TIMING))
    )
    head = ["| answer | the delivery | `Retry-After` | the endpoint |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _said(status: int, wish: str | None = None) -> Answer:
    headers = {"retry-after": "120", **({"webhook-delivery": wish} if wish else {})}
    return Answer(status, headers, b"", False, _TIMING)


def _answer(name: str, outcome: Answer | NoAnswer) -> str:
    heard = "–"
    match judge(outcome, _THEN):
        case Delivered():
            comes_to = "taken; not sent again"
        case Refused(why):
            comes_to = f"a dead letter at once (`{why}`)"
        case TryAgain(_, after):
            comes_to, heard = "tried again", "heard" if after else "not heard"
    why_disabled = disabling(outcome)
    endpoint = f"disabled (`{why_disabled}`)" if why_disabled else "stays"
    return f"| {name} | {comes_to} | {heard} | {endpoint} |"


def _fields() -> dict[str, Any]:
    fields: dict[str, Any] = schema(every_type()["call.ended"])["properties"]
    return fields


def _settings(found: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, str]]:
    """Each setting with what it may be, and what it is where nothing is said."""
    for name, one in found["properties"].items():
        yield f"{under}{name}", _setting(one)
    for name, inner in ({} if under else found["$defs"]).items():
        yield from _settings(inner, f"{name}.")


def _setting(one: Mapping[str, Any]) -> str:
    kinds = [kind for kind in one.get("anyOf", [one]) if kind.get("type") != "null"]
    usual = one.get("default")
    return next(filter(None, (_allowed(kind, usual) for kind in kinds)), "")


def _allowed(kind: Mapping[str, Any], usual: object) -> str:
    if "enum" in kind:
        return ", ".join(f"`{word}`" + " (the usual)" * (word == usual) for word in kind["enum"])
    if "maximum" in kind:
        head = f"usually {usual:,}; " if isinstance(usual, int) else ""
        return f"{head}{kind['minimum']:,} to {kind['maximum']:,}"
    if "maxLength" in kind:
        return f"at most {kind['maxLength']:,} characters"
    return ""


def vector(name: str) -> dict[str, Any]:
    """A case of `vectors/sign.json`."""
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
    found: dict[str, Any] = next(case for case in cases if case["name"] == name)
    return found
