"""What a pretend call will do, decided when it is placed. Pure: the same number, seed and mix give the same call.

The last digit of a 555-01XX number decides the outcome; a mix, drawn by the seed of lead and attempt, overrides it.
Every instant lies on a beat.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from offhook.providers import CallReport
from offhook.providers.contract import Cause, Kind, Qualification

DIGITS: Mapping[int, str] = {
    0: "no_answer",
    1: "busy",
    2: "voicemail",
    3: "not_qualified",
    4: "early_hangup",
    5: "opt_out",
    6: "target_declines",
    7: "invalid_number",
    8: "target_no_answer",
    9: "transferred",
}
"""The last digit of the number dialed, and what then happens."""

MEANINGS: Mapping[str, str] = {
    "no_answer": "It rings until the ring time-out.",
    "busy": "The line is busy (SIP 486).",
    "voicemail": "A machine picks up.",
    "not_qualified": "A person answers, talks, and does not qualify.",
    "early_hangup": "A person answers and hangs up within seconds.",
    "opt_out": "A person answers and asks not to be called again.",
    "target_declines": "A person qualifies; the target declines the transfer.",
    "invalid_number": "The number does not exist (SIP 404).",
    "target_no_answer": "A person qualifies; the target does not pick up.",
    "transferred": "A person qualifies, is transferred and talks to a human.",
}
"""Every outcome in words, for the docs and for the names that a mix may use."""

BEAT_S = 5
"""Pretend calls move on a common beat, so that many fall due together and a virtual day takes few steps."""
SLOWEST_BEAT_S = 60
THRESHOLD = 70
_PHRASE = "Please do not call me again."

Step = dict[str, Any]
"""One thing that will be reported: `after` in seconds, `kind`, and what belongs to the kind."""


@dataclass(frozen=True, slots=True)
class Script:
    """The future of a call: what happens by itself, and what happens once a transfer is ordered."""

    outcome: str
    steps: list[Step]
    handover: list[Step] = field(default_factory=list)


def outcome_of(number: str, seed: str, mix: Mapping[str, float] | None = None) -> str:
    """What a call to this number comes to. Raises ValueError for a mix that names no outcome."""
    if not mix:
        return DIGITS[int(number[-1])] if number[-1:].isdigit() else "no_answer"
    if unknown := mix.keys() - MEANINGS.keys():
        raise ValueError(f"not an outcome: {', '.join(sorted(unknown))}")
    names = sorted(mix)
    return random.Random(f"outcome:{seed}").choices(names, [mix[name] for name in names])[0]  # noqa: S311  # replayable


def mix_of(settings: Mapping[str, Any], merge_fields: Mapping[str, str]) -> Mapping[str, float] | None:
    """The mix that a call is drawn from: its merge field `sandbox_mix` (`transferred=3,busy=1`), else the account's `mix`.

    None when neither names one. What cannot be read is left out.
    """
    if text := merge_fields.get("sandbox_mix"):
        pairs = (part.partition("=") for part in text.split(","))
        return {name.strip(): float(weight) for name, _, weight in pairs if weight.strip().isdigit()} or None
    return settings.get("mix") or None


def script(outcome: str, seed: str, ring_timeout_s: int) -> Script:
    """The script of a call with this outcome; the seed decides its durations."""
    rng = random.Random(f"script:{seed}")  # noqa: S311  # replayable, not a secret
    rings_at = rng.randint(1, 3)
    ringing = _step(rings_at, Kind.RINGING)
    answers_at = rings_at + min(rng.randint(4, 20), max(1, ring_timeout_s - 1))
    match outcome:
        case "busy":
            return Script(outcome, [_step(rings_at, Kind.BUSY, cause={"sip": 486})])
        case "invalid_number":
            return Script(outcome, [_step(rings_at, Kind.ERROR, cause={"reason": "invalid_number", "sip": 404})])
        case "no_answer":
            rang_out = _step(rings_at + ring_timeout_s, Kind.NO_ANSWER, cause={"sip": 480})
            return Script(outcome, [ringing, rang_out])
        case "voicemail":
            return Script(outcome, [ringing, *_machine(answers_at, rng)])
    answered = [ringing, _step(answers_at, Kind.ANSWERED), *_person(answers_at + 1)]
    talk_s = rng.randint(20, 90)
    match outcome:
        case "early_hangup":
            return Script(outcome, [*answered, _hangs_up(answers_at + rng.randint(2, 6), "consumer")])
        case "opt_out":
            asks_at = answers_at + rng.randint(4, 15)
            asks = _step(asks_at, Kind.OPT_OUT_PHRASE, text=_PHRASE)
            return Script(outcome, [*answered, asks, _hangs_up(asks_at + 5, "ai")])
        case "not_qualified":
            ends_at = answers_at + talk_s
            return Script(
                outcome, [*answered, *_judged(ends_at - 2, rng.randint(10, 60), "NQ"), _hangs_up(ends_at, "ai")]
            )
    qualifies_at = answers_at + talk_s
    qualified = _judged(qualifies_at, rng.randint(THRESHOLD, 100), "QUAL")
    alone = _hangs_up(qualifies_at + rng.randint(20, 40), "ai")
    return Script(outcome, [*answered, *qualified, alone], _handover(outcome, rng))


def report_of(call_id: UUID, platform_ref: str, key: str, step: Mapping[str, Any], at: datetime) -> CallReport:
    """The report that this step makes at its instant."""
    cause = step.get("cause")
    qualification = step.get("qualification")
    return CallReport(
        key=key,
        kind=Kind(step["kind"]),
        call_id=call_id,
        platform_ref=platform_ref,
        at=at,
        cause=Cause(**cause) if cause else None,
        answered_by=step.get("answered_by"),
        qualification=Qualification(**qualification) if qualification else None,
        text=step.get("text", ""),
    )


def beat_of(settings: Mapping[str, Any]) -> int:
    """The beat of an account's calls in seconds: its setting `beat_s`, from 1 to 60, else BEAT_S."""
    beat = settings.get("beat_s")
    return beat if isinstance(beat, int) and 1 <= beat <= SLOWEST_BEAT_S else BEAT_S


def dated(steps: list[Step], start: datetime, beat_s: int) -> list[Step]:
    """The steps at their instants (`at`, RFC 3339), each put off to the next beat of the clock."""
    return [
        {**step, "at": _on_the_beat(start + timedelta(seconds=step["after"]), beat_s).isoformat()} for step in steps
    ]


def _on_the_beat(at: datetime, beat_s: int) -> datetime:
    past = timedelta(seconds=at.timestamp() % beat_s)
    return at if not past else (at - past + timedelta(seconds=beat_s)).replace(microsecond=0)


def hung_up_by_us(at: datetime) -> list[Step]:
    """What is left of a call that we hang up."""
    return [{**_step(0, Kind.ENDED, cause={"reason": "canceled", "party": "us"}), "at": at.isoformat()}]


def _machine(answers_at: int, rng: random.Random) -> list[Step]:
    heard_at = answers_at + rng.randint(2, 4)
    return [
        _step(answers_at, Kind.ANSWERED),
        _step(heard_at, Kind.ANSWERED_BY, answered_by="voicemail"),
        _hangs_up(heard_at + rng.randint(1, 3), "ai"),
    ]


def _person(at: int) -> list[Step]:
    return [_step(at, Kind.ANSWERED_BY, answered_by="human"), _step(at, Kind.VOICE_DETECTED)]


def _judged(at: int, score: int, disposition: str) -> list[Step]:
    facts = {"owns_home": score >= THRESHOLD, "interested": score >= THRESHOLD // 2}
    return [
        _step(at, Kind.DISPOSITION, text=disposition),
        _step(at, Kind.QUALIFICATION, qualification={"score": score, "threshold": THRESHOLD, "facts": facts}),
    ]


def _handover(outcome: str, rng: random.Random) -> list[Step]:
    ringing = _step(1, Kind.TARGET_RINGING)
    decides_at = 1 + rng.randint(3, 12)
    bye = _hangs_up(decides_at + rng.randint(5, 15), "ai")
    match outcome:
        case "target_declines":
            return [ringing, _step(decides_at, Kind.TARGET_DECLINED, cause={"sip": 603, "party": "human"}), bye]
        case "target_no_answer":
            gives_up_at = decides_at + 15
            unanswered = _step(gives_up_at, Kind.TARGET_NO_ANSWER, cause={"sip": 480, "party": "human"})
            return [ringing, unanswered, _hangs_up(gives_up_at + 8, "ai")]
    over_at = decides_at + 1 + rng.randint(60, 240)
    by = rng.choice(("human", "consumer"))
    return [
        ringing,
        _step(decides_at, Kind.TARGET_BRIDGED),
        _step(decides_at + 1, Kind.TRANSFERRED),
        _step(over_at, Kind.TARGET_ENDED, cause={"reason": "normal", "party": by}),
        _hangs_up(over_at, by),
    ]


def _hangs_up(at: int, party: str) -> Step:
    return _step(at, Kind.ENDED, cause={"reason": "normal", "party": party})


def _step(after: int, kind: Kind, **belongs: Any) -> Step:
    return {"after": after, "kind": kind.value, **belongs}
