"""The pre-flight matrix: every check is asked, every failing code is told at once.

A check is `pass`, `warn`, `defer` (not now) or `block` (never). Any block rejects, else any defer holds. The checks run
in the order of `wiring.checks`; each answers for a whole batch, so a check that needs the database asks it once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from offhook import clock
from offhook.compliance import Location, RuleBook, Unresolvable, may_dial
from offhook.compliance.suppression import suppressed
from offhook.compliance.verdict import Never, Wait
from offhook.db import Tx
from offhook.leads import store
from offhook.leads.wire import Consent, LeadIn
from offhook.phone import NumberClass, Phone

Result = Literal["pass", "block", "warn", "defer"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check says of one lead. `rule` names what to read up; `until` is when a deferral ends, if that is known."""

    name: str
    result: Result
    code: str | None = None
    rule: str | None = None
    detail: str | None = None
    until: datetime | None = None

    def shown(self) -> dict[str, Any]:
        return {"name": self.name, "result": self.result, "code": self.code, "rule": self.rule, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Campaign:
    """The campaign that a lead asks for, as far as the door must know it: `first_gap` passes before its first attempt."""

    id: UUID
    status: str
    first_gap: timedelta


@dataclass(slots=True)
class Candidate:
    """A lead at the door: read, tagged and placed, not yet judged."""

    lead: LeadIn
    id: UUID
    phone: Phone
    details: dict[str, Any]
    """What is kept of it, as JSON."""
    ref_tag: bytes
    payload_tag: bytes
    number_tag: bytes
    email_tag: bytes | None
    location: Location | Unresolvable
    campaign: Campaign


Check = Callable[[Tx, Sequence[Candidate]], Awaitable[Sequence[CheckResult]]]


@dataclass(frozen=True, slots=True)
class Preflight:
    """The matrix of one lead: the decision, all failing codes, and until when it is held where that is known."""

    checks: tuple[CheckResult, ...]

    @property
    def decision(self) -> Literal["accept", "hold", "reject"]:
        results = {check.result for check in self.checks}
        return "reject" if "block" in results else "hold" if "defer" in results else "accept"

    @property
    def codes(self) -> list[str]:
        return [check.code for check in self.checks if check.code and check.result != "pass"]

    @property
    def hold_until(self) -> datetime | None:
        """The latest end of the deferrals; None when one of them has no known end, or nothing is deferred."""
        ends = [check.until for check in self.checks if check.result == "defer"]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None

    def shown(self) -> dict[str, Any]:
        """The shape pinned in the API."""
        return {
            "decision": self.decision,
            "codes": self.codes,
            "hold_until": clock.show_or_null(self.hold_until),
            "checks": [check.shown() for check in self.checks],
        }


async def run(tx: Tx, checks: Sequence[Check], candidates: Sequence[Candidate]) -> list[Preflight]:
    """Ask every check about every candidate."""
    columns = [await check(tx, candidates) for check in checks]
    return [Preflight(tuple(column[i] for column in columns)) for i in range(len(candidates))]


async def number_class(tx: Tx, candidates: Sequence[Candidate]) -> list[CheckResult]:
    """A person's own line; and fictitious numbers in the sandbox only, nothing else there."""
    return [_number_class(candidate.phone.number_class, tx.tenant.environment == "sandbox") for candidate in candidates]


def _number_class(kind: NumberClass, sandbox: bool) -> CheckResult:
    if kind is NumberClass.FICTITIOUS:
        if sandbox:
            return CheckResult("number", "pass")
        return CheckResult(
            "number",
            "block",
            "NUMBER_FICTITIOUS",
            detail="555-0100 to 555-0199 are nobody's; they work in the sandbox.",
        )
    if sandbox:
        return CheckResult(
            "number",
            "block",
            "NUMBER_NOT_FICTITIOUS",
            detail="The sandbox takes 555-0100 to 555-0199 only, in any area code.",
        )
    if kind is NumberClass.ORDINARY:
        return CheckResult("number", "pass")
    return CheckResult(
        "number",
        "block",
        "NUMBER_CLASS_DENIED",
        detail=f"The number is of class {kind.value}, not a person's own line.",
    )


async def duplicate_phone(tx: Tx, candidates: Sequence[Candidate]) -> list[CheckResult]:
    """No second lead with a number that a lead which was not rejected holds already."""
    holders = await store.number_holders(tx, [candidate.number_tag for candidate in candidates])
    return [
        CheckResult("duplicate_phone", "block", "DUPLICATE_PHONE", detail="Another lead has this number.")
        if candidate.number_tag in holders
        else CheckResult("duplicate_phone", "pass")
        for candidate in candidates
    ]


async def suppression(tx: Tx, candidates: Sequence[Candidate]) -> list[CheckResult]:
    """Neither the number nor the e-mail address on the workspace's or the seller's own do-not-call list."""
    numbers = [candidate.number_tag for candidate in candidates]
    emails = [candidate.email_tag for candidate in candidates if candidate.email_tag]
    listed = await suppressed(tx, [*numbers, *emails])
    return [_suppression(candidate, listed) for candidate in candidates]


def _suppression(candidate: Candidate, listed: Mapping[bytes, str]) -> CheckResult:
    for what, tag in (("number", candidate.number_tag), ("e-mail address", candidate.email_tag)):
        if tag and (scope := listed.get(tag)):
            rule, detail = f"suppression.{scope}", f"The {what} is suppressed."
            return CheckResult("suppression", "block", "DNC_INTERNAL", rule, detail)
    return CheckResult("suppression", "pass")


async def consent(tx: Tx, candidates: Sequence[Candidate]) -> list[CheckResult]:
    """Consent to marketing calls with an artificial voice (47 CFR 64.1200(a)(1), FCC 24-17)."""
    return [_consent([one for one in candidate.lead.consent if one.channel == "voice"]) for candidate in candidates]


def _consent(given: Sequence[Consent]) -> CheckResult:
    rule = "US.consent.artificial_voice"
    if not given:
        return CheckResult("consent", "block", "CONSENT_MISSING", rule, "No consent to voice calls was sent.")
    if not any(one.artificial_voice for one in given):
        return CheckResult(
            "consent", "block", "CONSENT_NO_ARTIFICIAL_VOICE", rule, "The consent does not cover an artificial voice."
        )
    return CheckResult("consent", "pass", rule=rule)


async def zone(tx: Tx, candidates: Sequence[Candidate]) -> list[CheckResult]:
    """The number's clocks are known; unknown means silence."""
    return [_zone(candidate.location) for candidate in candidates]


def _zone(location: Location | Unresolvable) -> CheckResult:
    if isinstance(location, Unresolvable):
        what = {
            "area_code": "The area code is tied to no place.",
            "state": "contact.address.state is no state that is known.",
        }
        return CheckResult("zone", "block", "TZ_UNRESOLVABLE", detail=what[location.why])
    if location.conflict:
        return CheckResult(
            "zone", "warn", "JURISDICTION_CONFLICT", detail="The state is not the area code's; the rules of both apply."
        )
    return CheckResult("zone", "pass")


def window(rules: RuleBook) -> Check:
    """The check of legal hours by this rule book: now, in every zone and jurisdiction where the number may ring."""

    async def check(tx: Tx, candidates: Sequence[Candidate]) -> list[CheckResult]:
        return [_window(candidate.location, tx.now, rules) for candidate in candidates]

    return check


def _window(location: Location | Unresolvable, now: datetime, rules: RuleBook) -> CheckResult:
    if isinstance(location, Unresolvable):
        return CheckResult("window", "defer", "WINDOW_UNKNOWN", detail="Without a zone no hour is known to be legal.")
    match may_dial(location, now, rules):
        case Wait(until, rule, code):
            return CheckResult("window", "defer", code, rule, f"Legal again at {clock.show(until)}.", until)
        case Never(rule, code):
            return CheckResult("window", "block", code, rule, "No legal hour is known in the next 14 days.")
        case allowed:
            return CheckResult("window", "pass", rule=", ".join(allowed.rules))


async def campaign(tx: Tx, candidates: Sequence[Candidate]) -> list[CheckResult]:
    """The campaign takes leads: running now, or to be started."""
    return [_campaign(candidate.campaign.status) for candidate in candidates]


def _campaign(status: str) -> CheckResult:
    if status in ("draft", "paused"):
        return CheckResult(
            "campaign", "defer", "CAMPAIGN_PAUSED", detail=f"The campaign is {status}; the lead waits for its start."
        )
    if status != "running":
        return CheckResult("campaign", "block", "CAMPAIGN_ENDED", detail=f"The campaign is {status}.")
    return CheckResult("campaign", "pass")
