"""Events about calls: from the dial to the last word about it. Exactly one `call.started` and one `call.ended` each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from offhook import ids
from offhook.events.fact import Fact, Transition


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFact(Fact):
    subject_type: ClassVar[str] = "call"
    subject_prefix: ClassVar[ids.Prefix] = "call"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(CallFact):
    """The call exists: the dial is committed and the platform not yet asked, or a platform received it."""

    type: ClassVar[str] = "call.started"
    once: ClassVar[bool] = True
    example: ClassVar = {"start_kind": "placed"}
    example_transition: ClassVar = Transition("status", None, "requested", "dial_committed")

    start_kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlaced(CallFact):
    """The platform accepted the dial."""

    type: ClassVar[str] = "call.placed"
    kind: ClassVar[str | None] = "placed"
    example: ClassVar = {"ring_timeout_s": 25, "max_duration_s": 1800}
    example_transition: ClassVar = Transition("status", "requested", "placed", "accepted_by_platform")

    ring_timeout_s: int
    max_duration_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInboundRinging(CallFact):
    """Somebody calls one of our numbers."""

    type: ClassVar[str] = "call.inbound_ringing"
    kind: ClassVar[str | None] = "inbound_ringing"
    example: ClassVar = {"did": "+13125550100"}

    did: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRinging(CallFact):
    """The far end rings."""

    type: ClassVar[str] = "call.ringing"
    example: ClassVar = {"sip_code": 180}
    example_transition: ClassVar = Transition("status", "placed", "ringing", "far_end_rings")

    sip_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(CallFact):
    """Somebody or something picked up; who it was may become known later."""

    type: ClassVar[str] = "call.answered"
    kind: ClassVar[str | None] = "answered"
    example: ClassVar = {"answered_by": "unknown", "post_dial_delay_ms": 9000}
    example_transition: ClassVar = Transition("status", "ringing", "answered", "far_end_answered")

    answered_by: str
    post_dial_delay_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallVoiceDetected(CallFact):
    """The first live human voice; `since_answer_ms` is null when the answer is not known."""

    type: ClassVar[str] = "call.voice_detected"
    example: ClassVar = {"since_answer_ms": 1000}

    since_answer_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallVoicemailDetected(CallFact):
    """A machine picked up. It changes nothing by itself; `human_bridged` is an alarm: a person of yours talks to it."""

    type: ClassVar[str] = "call.voicemail_detected"
    kind: ClassVar[str | None] = "voicemail"
    example: ClassVar = {"answer_class": "voicemail", "human_bridged": False}

    answer_class: str
    human_bridged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNoAnswer(CallFact):
    """Nobody picked up; the end follows. `cause` is the platform's own code."""

    type: ClassVar[str] = "call.no_answer"
    kind: ClassVar[str | None] = "no_answer"
    example: ClassVar = {"ring_s": 20, "cause": "sip:480"}

    ring_s: int | None
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBusy(CallFact):
    """The line was busy; the end follows. `cause` is the platform's own code."""

    type: ClassVar[str] = "call.busy"
    kind: ClassVar[str | None] = "busy"
    example: ClassVar = {"ring_s": None, "cause": "sip:486"}

    ring_s: int | None
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallError(CallFact):
    """The platform reports an error. When `fatal` the end follows, else the call goes on."""

    type: ClassVar[str] = "call.error"
    kind: ClassVar[str | None] = "error"
    example: ClassVar = {"error_code": "invalid_number", "provider_code": "sip:404", "fatal": True}

    error_code: str
    provider_code: str | None
    fatal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDispositionSet(CallFact):
    """Somebody said how the call went, or corrected it."""

    type: ClassVar[str] = "call.disposition_set"
    example: ClassVar = {"code": "QUAL", "previous": None, "set_by": "provider"}
    example_transition: ClassVar = Transition("disposition", None, "QUAL", "set")

    code: str
    previous: str | None
    set_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptOutDetected(CallFact):
    """The consumer asked not to be called again, in these words; null of one who was erased before it was heard."""

    type: ClassVar[str] = "call.opt_out_detected"
    example: ClassVar = {"phrase": "please stop calling me", "method": "engine"}

    phrase: str | None
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallQualificationThresholdMet(CallFact):
    """The conversation crossed its threshold for the first time: this consumer may be handed to a human."""

    type: ClassVar[str] = "call.qualification_threshold_met"
    example: ClassVar = {"score": 82, "threshold": 70, "facts": {"owns_home": True}, "decided_by": "engine"}

    score: int
    threshold: int
    facts: Mapping[str, Any]
    decided_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(CallFact):
    """All legs are gone. Told once; `end_reason` is one of 24 words, `end_detail` the platform's own code beside it."""

    type: ClassVar[str] = "call.ended"
    once: ClassVar[bool] = True
    kind: ClassVar[str | None] = "ended"
    example: ClassVar = {
        "end_reason": "consumer_hangup",
        "end_detail": None,
        "ended_by": "consumer",
        "answered": True,
        "answered_by": "human",
        "disposition": "QUAL",
        "duration_s": 214,
        "talk_s": 205,
        "transferred": True,
        "qualified": True,
        "opt_out": False,
    }
    example_transition: ClassVar = Transition("status", "answered", "ended", "consumer_hangup")

    end_reason: str
    end_detail: str | None
    ended_by: str
    answered: bool
    answered_by: str
    disposition: str | None
    duration_s: int
    talk_s: int
    transferred: bool
    qualified: bool
    opt_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinalized(CallFact):
    """Everything that belongs to the call is in; `missing` names what never came."""

    type: ClassVar[str] = "call.finalized"
    example: ClassVar = {"complete": True, "missing": []}

    complete: bool
    missing: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUpdated(CallFact):
    """Something became known after the end. `alert` asks a person to look: a call that ended was answered late."""

    type: ClassVar[str] = "call.updated"
    example: ClassVar = {"changes": [{"path": "answered_by", "from": "unknown", "to": "voicemail"}], "alert": False}

    changes: list[dict[str, Any]]
    alert: bool
