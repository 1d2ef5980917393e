"""Events about leads: how each came in, what was planned, what became of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from offhook import ids
from offhook.events.fact import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadFact(Fact):
    subject_type: ClassVar[str] = "lead"
    subject_prefix: ClassVar[ids.Prefix] = "lead"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadAccepted(LeadFact):
    """The lead passed its pre-flight, is sealed and stored once; its cadence takes it from here."""

    type: ClassVar[str] = "lead.accepted"
    example: ClassVar = {
        "client_ref_id": "LD-9938-XYZ",
        "campaign_id": "cmp_01k…",
        "phone": "***0199",
        "decision": "hold",
        "codes": ["WINDOW_CLOSED"],
        "hold_until": "2026-11-23T14:00:00.000Z",
        "timezones": ["America/Chicago"],
        "next_attempt_at": "2026-11-23T14:00:00.000Z",
    }

    client_ref_id: str
    campaign_id: str
    phone: str
    decision: str
    codes: list[str]
    hold_until: datetime | None
    timezones: list[str]
    next_attempt_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadRejected(LeadFact):
    """A check of the pre-flight forbids this lead; it is kept to explain why and will never be dialed."""

    type: ClassVar[str] = "lead.rejected"
    example: ClassVar = {"client_ref_id": "LD-9938-XYZ", "codes": ["CONSENT_NO_ARTIFICIAL_VOICE", "DUPLICATE_PHONE"]}

    client_ref_id: str
    codes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadDuplicateIgnored(LeadFact):
    """The same `client_ref_id` came again; the first lead stands, whatever the second one said."""

    type: ClassVar[str] = "lead.duplicate_ignored"
    example: ClassVar = {"payload_differs": True, "first_seen_at": "2026-11-20T15:02:11.000Z"}

    payload_differs: bool
    first_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCadenceStarted(LeadFact):
    """The first attempt is planned; the lead keeps this version of its cadence."""

    type: ClassVar[str] = "lead.cadence_started"
    example: ClassVar = {"cadence_id": "cad_01k…", "version": 1}

    cadence_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadScheduled(LeadFact):
    """The next attempt is planned: not before this instant."""

    type: ClassVar[str] = "lead.scheduled"
    example: ClassVar = {"attempt_no": 2, "not_before": "2026-11-23T16:00:00.000Z", "reason": "no_answer"}

    attempt_no: int
    not_before: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadDeferred(LeadFact):
    """An attempt was due and not dialed: what stands in its way, and until when where that is known."""

    type: ClassVar[str] = "lead.deferred"
    example: ClassVar = {
        "attempt_no": 1,
        "blockers": [{"kind": "window", "rule": "US-PA.hours.voice", "until": "2026-11-23T14:00:00.000Z"}],
    }

    attempt_no: int
    blockers: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadAttempted(LeadFact):
    """An attempt is over: how it ended and what comes next."""

    type: ClassVar[str] = "lead.attempted"
    example: ClassVar = {"attempt_no": 1, "call_id": "call_01k…", "outcome": "no_answer", "next_action": "retry"}

    attempt_no: int
    call_id: str
    outcome: str
    next_action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadQualified(LeadFact):
    """The conversation qualified the lead."""

    type: ClassVar[str] = "lead.qualified"
    example: ClassVar = {"call_id": "call_01k…"}

    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadDisqualified(LeadFact):
    """The conversation showed that the lead does not qualify; it is not dialed again."""

    type: ClassVar[str] = "lead.disqualified"
    example: ClassVar = {"call_id": "call_01k…"}

    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadConverted(LeadFact):
    """Sold, says the CRM. No attempt follows."""

    type: ClassVar[str] = "lead.converted"
    example: ClassVar = {"postback_id": "psb_01k…", "value_micros": 129000000, "currency": "USD"}

    postback_id: str | None
    value_micros: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadReconnectRequested(LeadFact):
    """The CRM wants the person called again; the cadence starts anew."""

    type: ClassVar[str] = "lead.reconnect_requested"
    example: ClassVar = {"postback_id": "psb_01k…", "due_at": "2026-11-24T15:00:00.000Z"}

    postback_id: str | None
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCallbackScheduled(LeadFact):
    """Somebody asked to be called at a certain time."""

    type: ClassVar[str] = "lead.callback_scheduled"
    example: ClassVar = {"due_at": "2026-11-24T15:00:00.000Z", "source": "api_key"}

    due_at: datetime
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadOptedOut(LeadFact):
    """The person said stop, on some channel; no dial begins on any channel from this instant."""

    type: ClassVar[str] = "lead.opted_out"
    example: ClassVar = {
        "channel": "sms",
        "scope": "seller",
        "suppression_ids": ["sup_01k…"],
        "effective_at": "2026-11-21T17:03:34.000Z",
    }

    channel: str
    scope: str
    suppression_ids: list[str]
    effective_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadDncAdded(LeadFact):
    """The CRM put the number on its do-not-call list."""

    type: ClassVar[str] = "lead.dnc_added"
    example: ClassVar = {"postback_id": "psb_01k…", "scope": "seller", "suppression_ids": ["sup_01k…"]}

    postback_id: str | None
    scope: str
    suppression_ids: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCadencePaused(LeadFact):
    """No attempt begins until the lead is resumed."""

    type: ClassVar[str] = "lead.cadence_paused"
    example: ClassVar = {"reason": "api_key"}

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCadenceCompleted(LeadFact):
    """The cadence is over: won, stopped or exhausted."""

    type: ClassVar[str] = "lead.cadence_completed"
    example: ClassVar = {"attempts_made": 3, "outcome": "exhausted", "attempts_cancelled": 0}

    attempts_made: int
    outcome: str
    attempts_cancelled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadErased(LeadFact):
    """The person's key was destroyed; nothing personal is left, and this event holds nothing of them."""

    type: ClassVar[str] = "lead.erased"
    once: ClassVar[bool] = True
    example: ClassVar = {"reason": "request", "receipt_id": "rcp_01k…", "suppression_kept": True}

    reason: str
    receipt_id: str
    suppression_kept: bool
