"""From what a CRM sent to leads stored once, batch by batch.

Everything of a batch happens in the caller's transaction: keys, rows, events, planned attempts and deliveries, or
nothing. Two batches that race for one reference or one number are told apart by the table's own constraints: the loser
raises `Raced`, rolls back and runs again, when it sees the winner. The same constraint makes a lead and a word about it
(`store.hold_refs`) wait for each other.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.compliance import locate
from offhook.db import Tx
from offhook.errors import Conflict, Fault, Invalid, OffhookError
from offhook.events import Fact, Log
from offhook.events.catalogue.leads import LeadAccepted, LeadDuplicateIgnored, LeadRejected
from offhook.leads import store
from offhook.leads.people import email_tag, preflight_of, story
from offhook.leads.preflight import Campaign, Candidate, Check, CheckResult, Preflight, run
from offhook.leads.store import Row
from offhook.leads.wire import LeadIn
from offhook.phone import NotAPhone, Phone, masked, parse
from offhook.privacy import PersonKey, Vault

FindCampaigns = Callable[[Tx, Sequence[str | None]], Awaitable[dict[str | None, Campaign]]]
"""The campaigns behind these references (None: the default one); a reference without one is missing in the answer."""

RACES = 5
"""How often whoever is `Raced` runs again."""

_NOT_A_PHONE = {
    "unparsable": "contact.phone cannot be read as a number; send it like +14155550123.",
    "impossible": "contact.phone has too few or too many digits; send it like +14155550123.",
    "invalid": "contact.phone is a number that nobody can have; check its area code and exchange.",
}


class Raced(OffhookError):
    """Another request took the same reference or number at this very moment; run again."""

    status = 409
    title = "Try again"


@dataclass(frozen=True, slots=True)
class Stored:
    """A new lead, accepted, held or rejected."""

    id: UUID
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The reference is known; `body` tells of the first lead."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was stored; `error` says what to mend."""

    error: OffhookError


Ingested = Stored | Duplicate | Refused


class Leads:
    """The door for leads. One per process, built in wiring."""

    def __init__(self, vault: Vault, log: Log, checks: Sequence[Check], find_campaigns: FindCampaigns) -> None:
        self._vault = vault
        self._log = log
        self._checks = checks
        self._find_campaigns = find_campaigns

    async def ingest(self, tx: Tx, leads: Sequence[LeadIn]) -> list[Ingested]:
        """One answer per lead, in order. Idempotent by `client_ref_id`, also within the batch."""
        campaigns = await self._find_campaigns(tx, list({lead.campaign_id for lead in leads}))
        candidates = [self._candidate(tx, lead, campaigns) for lead in leads]
        good = [candidate for candidate in candidates if isinstance(candidate, Candidate)]
        known = await store.by_refs(tx, [candidate.ref_tag for candidate in good])
        fresh = _first_of_each_ref(good, known)
        matrices = _within_batch(fresh, await run(tx, self._checks, fresh))
        await self._store(tx, fresh, matrices)
        first = {candidate.ref_tag: candidate for candidate in fresh}
        later = await self._tell_duplicates(tx, good, first, known)
        bodies = await self._bodies(tx, fresh, matrices)
        return [self._answer(candidate, bodies, later) for candidate in candidates]

    async def check(self, tx: Tx, leads: Sequence[LeadIn]) -> list[Preflight | Refused]:
        """The matrix of each lead as it would be now; nothing is stored."""
        campaigns = await self._find_campaigns(tx, list({lead.campaign_id for lead in leads}))
        candidates = [self._candidate(tx, lead, campaigns) for lead in leads]
        good = [candidate for candidate in candidates if isinstance(candidate, Candidate)]
        matrices = iter(_within_batch(good, await run(tx, self._checks, good)))
        return [candidate if isinstance(candidate, Refused) else next(matrices) for candidate in candidates]

    def _candidate(self, tx: Tx, lead: LeadIn, campaigns: dict[str | None, Campaign]) -> Candidate | Refused:
        phone = parse(lead.contact.phone)
        if isinstance(phone, NotAPhone):
            fault = Fault("contact.phone", phone.code, _NOT_A_PHONE[phone.code])
            return Refused(Invalid([fault], code="invalid_phone"))
        campaign = campaigns.get(lead.campaign_id)
        if campaign is None:
            return Refused(_no_campaign(lead.campaign_id))
        address, email = lead.contact.address, (lead.contact.email or "").strip()
        payload = lead.model_dump(mode="json")
        return Candidate(
            lead,
            ids.new(),
            phone,
            details=_details(payload, phone),
            ref_tag=self._vault.tag(tx.tenant, "ref", lead.client_ref_id),
            payload_tag=self._vault.tag(tx.tenant, "payload", orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)),
            number_tag=self._vault.tag(tx.tenant, "phone", phone.e164),
            email_tag=email_tag(self._vault, tx, email) if email else None,
            location=locate(phone, state=address.state if address else None),
            campaign=campaign,
        )

    async def _store(self, tx: Tx, fresh: Sequence[Candidate], matrices: Sequence[Preflight]) -> None:
        if not fresh:
            return
        await self._vault.create(tx, [candidate.id for candidate in fresh])
        operational = await self._vault.keys(tx, [candidate.id for candidate in fresh])
        evidence = await self._vault.keys(tx, [candidate.id for candidate in fresh], "evidence")
        pairs = list(zip(fresh, matrices, strict=True))
        rows = [_row(tx, c, m, _present(operational[c.id]), _present(evidence[c.id])) for c, m in pairs]
        claims = [(candidate.number_tag, candidate.id) for candidate, matrix in pairs if matrix.decision != "reject"]
        if not await store.insert(tx, rows, claims):
            raise Raced("raced", "The same lead came in twice at the same moment; send it again.")
        facts = [_came_in(tx, candidate, matrix) for candidate, matrix in pairs]
        await self._log.append(tx, facts, born=[candidate.id for candidate in fresh])

    async def _tell_duplicates(
        self, tx: Tx, good: Sequence[Candidate], first: dict[bytes, Candidate], known: dict[bytes, Row]
    ) -> dict[UUID, dict[str, Any]]:
        again = [candidate for candidate in good if first.get(candidate.ref_tag) is not candidate]
        missing = [candidate.ref_tag for candidate in again if candidate.ref_tag not in known]
        rows = {**known, **(await store.by_refs(tx, missing) if missing else {})}
        alive = [candidate for candidate in again if rows[candidate.ref_tag].erased_at is None]
        await self._log.append(tx, [_came_again(candidate, rows[candidate.ref_tag]) for candidate in alive])
        return {candidate.id: _duplicate_body(candidate, rows[candidate.ref_tag]) for candidate in again}

    async def _bodies(
        self, tx: Tx, fresh: Sequence[Candidate], matrices: Sequence[Preflight]
    ) -> dict[UUID, dict[str, Any]]:
        # Read back whom something has moved already: what the CRM had said before its lead came is applied by now.
        moved = store.moved(tx) & {candidate.id for candidate in fresh}
        states = await store.states(tx, list(moved)) if moved else {}
        bodies = {}
        for candidate, matrix in zip(fresh, matrices, strict=True):
            status, next_attempt_at = states.get(candidate.id) or _born(tx, candidate, matrix)
            created = clock.show(tx.now)
            told = {
                "duplicate": False,
                "payload_differs": False,
                "next_attempt_at": clock.show_or_null(next_attempt_at),
            }
            bodies[candidate.id] = {
                **_head(candidate.id, candidate.lead.client_ref_id, status),
                **told,
                "created_at": created,
                "preflight": matrix.shown(),
            }
        return bodies

    def _answer(
        self, candidate: Candidate | Refused, bodies: dict[UUID, dict[str, Any]], later: dict[UUID, dict[str, Any]]
    ) -> Ingested:
        if isinstance(candidate, Refused):
            return candidate
        if body := bodies.get(candidate.id):
            return Stored(candidate.id, body)
        return Duplicate(later[candidate.id])


def _no_campaign(ref: str | None) -> OffhookError:
    if ref is None:
        return Conflict(
            "no_default_campaign", "There is no default campaign; name one in campaign_id.", param="campaign_id"
        )
    return Invalid([Fault("campaign_id", "no_such_campaign", "There is no campaign with this id.")])


def _first_of_each_ref(candidates: Sequence[Candidate], known: dict[bytes, Row]) -> list[Candidate]:
    first: dict[bytes, Candidate] = {}
    for candidate in candidates:
        if candidate.ref_tag not in known:
            first.setdefault(candidate.ref_tag, candidate)
    return list(first.values())


def _within_batch(candidates: Sequence[Candidate], matrices: Sequence[Preflight]) -> list[Preflight]:
    """The matrices, where a number that an earlier lead of the same batch takes is a duplicate as well."""
    taken: set[bytes] = set()
    judged = []
    for candidate, matrix in zip(candidates, matrices, strict=True):
        if candidate.number_tag in taken:
            checks = [_as_duplicate(check) if check.name == "duplicate_phone" else check for check in matrix.checks]
            matrix = Preflight(tuple(checks))
        elif matrix.decision != "reject":
            taken.add(candidate.number_tag)
        judged.append(matrix)
    return judged


def _as_duplicate(check: CheckResult) -> CheckResult:
    return CheckResult(check.name, "block", "DUPLICATE_PHONE", check.rule, "Another lead has this number.")


def _details(payload: dict[str, Any], phone: Phone) -> dict[str, Any]:
    """What is kept of a lead: what the CRM sent, with its number as everybody writes it."""
    kept = {name: value for name, value in payload.items() if name != "campaign_id"}
    return {**kept, "contact": {**payload["contact"], "phone": phone.e164}}


def _born(tx: Tx, candidate: Candidate, matrix: Preflight) -> tuple[str, datetime | None]:
    """(status, next_attempt_at) of a new lead. An accepted one has its first attempt planned in this very transaction."""
    if matrix.decision == "reject":
        return "rejected", None
    return "held" if matrix.decision == "hold" else "scheduled", _first_attempt(tx, candidate, matrix)


def _first_attempt(tx: Tx, candidate: Candidate, matrix: Preflight) -> datetime:
    """When a lead that was not rejected is first dialed, as far as the campaign's cadence and the law are known."""
    return max(tx.now + candidate.campaign.first_gap, matrix.hold_until or tx.now)


def _row(
    tx: Tx,
    candidate: Candidate,
    matrix: Preflight,
    operational: PersonKey,
    evidence: PersonKey,
) -> dict[str, Any]:
    place = candidate.location
    kept = orjson.dumps({"phone": candidate.phone.e164, "consent": candidate.details["consent"]})
    status, next_attempt_at = _born(tx, candidate, matrix)
    return {
        "id": candidate.id,
        "ref_tag": candidate.ref_tag,
        "payload_tag": candidate.payload_tag,
        "campaign_id": candidate.campaign.id,
        "status": status,
        "next_attempt_at": next_attempt_at,
        "number_tag": candidate.number_tag,
        "email_tag": candidate.email_tag,
        "zones": getattr(place, "zones", ()),
        "jurisdictions": getattr(place, "jurisdictions", ()),
        "preflight": [
            [check.name, check.result, check.code, check.rule, check.detail, check.until and check.until.isoformat()]
            for check in matrix.checks
        ],
        "details": operational.seal(orjson.dumps(candidate.details), b"lead.details"),
        "evidence": evidence.seal(kept, b"lead.evidence"),
    }


def _present(key: object) -> PersonKey:
    if not isinstance(key, PersonKey):
        raise OffhookError("no_person_key", "A person who was just made has no key.")
    return key


def _came_in(tx: Tx, candidate: Candidate, matrix: Preflight) -> Fact:
    status = {"accept": "accepted", "hold": "held", "reject": "rejected"}[matrix.decision]
    zones = getattr(candidate.location, "zones", ())
    about = story(candidate.id, candidate.details, status, zones)
    ref = candidate.lead.client_ref_id
    if matrix.decision == "reject":
        return LeadRejected(subject_id=candidate.id, story=about, client_ref_id=ref, codes=matrix.codes)
    return LeadAccepted(
        subject_id=candidate.id,
        story=about,
        client_ref_id=ref,
        campaign_id=ids.show("cmp", candidate.campaign.id),
        phone=masked(candidate.phone.e164),
        decision=matrix.decision,
        codes=matrix.codes,
        hold_until=matrix.hold_until,
        timezones=list(zones),
        next_attempt_at=_first_attempt(tx, candidate, matrix),
    )


def _came_again(candidate: Candidate, row: Row) -> Fact:
    details: dict[str, Any] = {"client_ref_id": candidate.lead.client_ref_id, "metadata": {}, "visitor": None}
    return LeadDuplicateIgnored(
        subject_id=row.id,
        story=story(row.id, details, row.status, row.zones),
        payload_differs=row.payload_tag != candidate.payload_tag,
        first_seen_at=row.created_at,
    )


def _duplicate_body(candidate: Candidate, row: Row) -> dict[str, Any]:
    return {
        **_head(row.id, candidate.lead.client_ref_id, row.status),
        "duplicate": True,
        "payload_differs": row.payload_tag != candidate.payload_tag,
        "next_attempt_at": clock.show_or_null(row.next_attempt_at),
        "created_at": clock.show(row.created_at),
        "preflight": preflight_of(row).shown(),
    }


def _head(id: UUID, ref: str, status: str) -> dict[str, Any]:
    return {"id": ids.show("lead", id), "object": "lead", "client_ref_id": ref, "status": status}


def read_lead(body: object) -> LeadIn | Refused:
    """The lead in a body, or every fault in it at once."""
    try:
        return LeadIn.read(body)
    except Invalid as wrong:
        return Refused(wrong)
