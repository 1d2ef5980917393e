"""What a voice platform is to us: five verbs out, one kind of report in.

    place ──▶ PlatformRef                          it accepted the dial
      ├──▶ DialRefused     it said no              the call ends with the platform's cause
      ├──▶ DialNotSent     it never heard of it    safe to try again
      └──▶ DialUnknown     it may be ringing       asked about later, never dialed again

    control(Transfer | HangUp | WrapUp | SwitchMode), status, health, read(callback) ──▶ reports

A report says what the platform said, in our words, with its own code beside it. Reports come late, twice and in any
order, some before `place` has answered; each bears a key that is the same whenever the same thing is said again, and
our call id wherever the platform echoes it. What a report *means* is decided in `calls.state`, never in an adapter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol
from uuid import UUID

from offhook.db import Tenant
from offhook.errors import Fault
from offhook.phone import masked


class Capability(StrEnum):
    """What a platform can do; what it lacks is answered 409 `unsupported`."""

    PLACE = "place"
    TRANSFER = "transfer"
    HANG_UP = "hang_up"
    WRAP_UP = "wrap_up"
    SWITCH_MODE = "switch_mode"
    STATUS = "status"
    ANSWER_DETECTION = "answer_detection"
    IDEMPOTENT_PLACE = "idempotent_place"


Evidence = Literal["pretend", "documented", "replayed", "peer", "live"]
"""How we know that an adapter works: it pretends; by documentation; by recorded callbacks; against an open peer; live."""


@dataclass(frozen=True, slots=True)
class PlatformRef:
    """One call at its platform: our id, which we sent along, and the platform's own once it told one."""

    call_id: UUID
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DialOrder:
    """Everything a platform needs to dial. `context_ref` is a claim check: what is behind it stays with us.

    `seed` is the same for the same lead and attempt; `merge_fields` ride along where the platform has room for them.
    """

    call_id: UUID
    account_id: UUID
    to: str
    caller_id: str | None
    mode: str
    ring_timeout_s: int
    max_duration_s: int
    context_ref: str
    seed: str
    merge_fields: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"DialOrder({self.call_id.hex}, to {masked(self.to)})"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Ring this target and hand the consumer over. The same `transfer_id` again is the same transfer."""

    transfer_id: UUID
    kind: Literal["did", "sip", "queue"]
    address: str
    timeout_s: int


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call for everybody. A call that is over already is success."""


@dataclass(frozen=True, slots=True)
class WrapUp:
    """Tell the platform how it went."""

    disposition: str


@dataclass(frozen=True, slots=True)
class SwitchMode:
    """Change who leads the conversation from now on."""

    mode: str


Action = Transfer | HangUp | WrapUp | SwitchMode

Party = Literal["consumer", "ai", "human", "carrier", "platform", "us", "unknown"]
AnsweredBy = Literal["human", "voicemail", "screening", "ivr", "fax", "unknown"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something ended or failed. `reason` is a word of `causes.csv` or the platform's own, kept as it came."""

    reason: str | None = None
    sip: int | None = None
    q850: int | None = None
    code: str | None = None
    party: Party = "unknown"

    @property
    def detail(self) -> str | None:
        """The rawest thing known, for the event: the platform's code, else the SIP or Q.850 number, else the word."""
        if self.code is not None:
            return self.code
        if self.sip is not None:
            return f"sip:{self.sip}"
        return self.reason if self.q850 is None else f"q850:{self.q850}"


class Kind(StrEnum):
    """What a report says. The consumer's leg alone moves the call; a target's leg moves the transfer."""

    PLACED = "placed"
    INBOUND_RINGING = "inbound_ringing"
    RINGING = "ringing"
    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    ERROR = "error"
    ENDED = "ended"
    NOT_FOUND = "not_found"  # the platform surely knows no such call
    UNSURE = "unsure"  # the platform cannot say

    TROUBLE = "trouble"  # an error that the call survives
    ANSWERED_BY = "answered_by"
    VOICE_DETECTED = "voice_detected"
    QUALIFICATION = "qualification"
    OPT_OUT_PHRASE = "opt_out_phrase"
    DISPOSITION = "disposition"

    TARGET_RINGING = "target_ringing"
    TARGET_BRIDGED = "target_bridged"
    TRANSFERRED = "transferred"  # the AI left; consumer and human are alone
    TARGET_DECLINED = "target_declined"
    TARGET_NO_ANSWER = "target_no_answer"
    TARGET_FAILED = "target_failed"
    TARGET_ENDED = "target_ended"


@dataclass(frozen=True, slots=True)
class Qualification:
    """How far the conversation has come: integer points, the threshold they are held against, and what was learnt."""

    score: int
    threshold: int
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class InboundCall:
    """Who calls whom, on a call that the platform received."""

    caller: str | None = field(repr=False)
    dialed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """One thing a platform said about one call.

    `key` is the same whenever the same thing is said again (a retried callback) and differs otherwise. `at` is the
    platform's clock, None where it tells none. `text` is the phrase of an opt-out or the code of a disposition.
    """

    key: str
    kind: Kind
    call_id: UUID | None = None
    platform_ref: str | None = None
    at: datetime | None = None
    cause: Cause | None = None
    answered_by: AnsweredBy | None = None
    qualification: Qualification | None = None
    text: str = field(default="", repr=False)
    inbound: InboundCall | None = None
    source: Literal["webhook", "stream", "poll", "reconciler", "command"] = "webhook"
    confidence: Literal["observed", "inferred"] = "observed"


@dataclass(frozen=True, slots=True)
class Inbound:
    """A callback as it arrived: headers in lower case, the raw body, and the public URL the platform called."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the platform can be reached with these credentials; `problem` is a code, never a foreign text."""

    ok: bool
    problem: str | None = None
    latency_ms: int | None = None


class DialRefused(Exception):
    """The platform said no; nothing rings."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.detail)
        self.cause = cause


class DialNotSent(Exception):
    """The order never reached the platform, or it answered that it did not take it; trying again is safe."""


class DialUnknown(Exception):
    """The platform may be dialing: the answer is missing. Never try again; ask."""


class ControlRefused(Exception):
    """The platform will not do that to this call; `code` is its own word for it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class PlatformAway(Exception):
    """The platform did not answer; every action but `place` may be tried again."""


class BadSignature(Exception):
    """The callback is not from the platform, is too old, or no secret is configured to tell."""


class VoiceProvider(Protocol):
    """One account at one platform."""

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    async def place(self, order: DialOrder) -> PlatformRef:
        """Dial. Raises DialRefused, DialNotSent or DialUnknown; whatever else it raises counts as DialUnknown."""
        ...

    async def control(self, ref: PlatformRef, action: Action) -> None:
        """Act on a call; the same action again changes nothing. Raises ControlRefused or PlatformAway."""
        ...

    async def status(self, ref: PlatformRef) -> CallReport:
        """How the call stands, as a report of source `poll`. Raises PlatformAway."""
        ...

    async def health(self) -> Health:
        """Whether these credentials reach the platform. Never raises."""
        ...

    def read(self, inbound: Inbound) -> list[CallReport]:
        """Verify a callback, then translate it. Raises BadSignature. No I/O."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """One set of credentials at one platform. `secret` is opened; it never shows in a repr."""

    tenant: Tenant
    id: UUID
    platform: str
    name: str
    settings: Mapping[str, Any] = field(repr=False)
    secret: Mapping[str, str] = field(repr=False)
    callback_url: str


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform we have an adapter for. `build` makes the adapter of one account; `capabilities` is what any can do.

    `faults_of` says what is wrong with a tenant's settings of an account; one with faults is not stored.
    """

    key: str
    title: str
    capabilities: frozenset[Capability]
    evidence: Evidence
    build: Callable[[Account], VoiceProvider] = field(repr=False)
    faults_of: Callable[[Tenant, Mapping[str, Any]], Sequence[Fault]] = field(default=lambda *_: (), repr=False)
