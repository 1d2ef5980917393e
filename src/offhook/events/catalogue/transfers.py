"""Events about the hand-over to a human. Their subject is the call; `transfer_id` tells several hand-overs apart."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from offhook import ids
from offhook.events.fact import Fact, Transition


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFact(Fact):
    subject_type: ClassVar[str] = "call"
    subject_prefix: ClassVar[ids.Prefix] = "call"


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTransferFact(TransferFact):
    transfer_id: str
    target_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferInitiated(TransferFact):
    """It was decided to hand the consumer over, and somebody is free to take them."""

    type: ClassVar[str] = "transfer.initiated"
    example: ClassVar = {"transfer_id": "trf_01k…", "reason": "qualified", "qualified": True}
    example_transition: ClassVar = Transition("transfer", None, "initiated", "qualified")

    transfer_id: str
    reason: str
    qualified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRouted(OneTransferFact):
    """The target is chosen; the decision says why this one."""

    type: ClassVar[str] = "transfer.routed"
    example: ClassVar = {"transfer_id": "trf_01k…", "target_id": "tgt_01k…", "decision_id": "dec_01k…"}

    decision_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReserved(OneTransferFact):
    """A human's slot is leased for this consumer, again, before anything is promised."""

    type: ClassVar[str] = "transfer.reserved"
    example: ClassVar = {
        "transfer_id": "trf_01k…",
        "target_id": "tgt_01k…",
        "expires_at": "2026-11-21T17:05:00.000Z",
    }

    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReleased(OneTransferFact):
    """The slot is free again."""

    type: ClassVar[str] = "transfer.released"
    example: ClassVar = {"transfer_id": "trf_01k…", "target_id": "tgt_01k…", "reason": "declined"}

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRinging(OneTransferFact):
    """The target rings."""

    type: ClassVar[str] = "transfer.ringing"
    example: ClassVar = {"transfer_id": "trf_01k…", "target_id": "tgt_01k…", "timeout_s": 30}
    example_transition: ClassVar = Transition("transfer", "initiated", "ringing", "target_rings")

    timeout_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferBridged(OneTransferFact):
    """Consumer and human hear each other; `wait_s` is how long the consumer waited since it was decided."""

    type: ClassVar[str] = "transfer.bridged"
    example: ClassVar = {"transfer_id": "trf_01k…", "target_id": "tgt_01k…", "wait_s": 7}
    example_transition: ClassVar = Transition("transfer", "ringing", "bridged", "target_answered")

    wait_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCompleted(OneTransferFact):
    """The AI left; consumer and human are alone."""

    type: ClassVar[str] = "transfer.completed"
    kind: ClassVar[str | None] = "transferred"
    example: ClassVar = {"transfer_id": "trf_01k…", "target_id": "tgt_01k…"}
    example_transition: ClassVar = Transition("transfer", "bridged", "completed", "ai_left")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferDeclined(OneTransferFact):
    """The target said no; the consumer is still with the AI."""

    type: ClassVar[str] = "transfer.declined"
    example: ClassVar = {"transfer_id": "trf_01k…", "target_id": "tgt_01k…", "code": "sip:603"}
    example_transition: ClassVar = Transition("transfer", "ringing", "declined", "target_declined")

    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferNoAnswer(OneTransferFact):
    """The target did not pick up; the consumer is still with the AI."""

    type: ClassVar[str] = "transfer.no_answer"
    example: ClassVar = {"transfer_id": "trf_01k…", "target_id": "tgt_01k…", "code": "sip:480"}
    example_transition: ClassVar = Transition("transfer", "ringing", "no_answer", "target_no_answer")

    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFailed(OneTransferFact):
    """The hand-over did not come about: an error, or the consumer left before."""

    type: ClassVar[str] = "transfer.failed"
    example: ClassVar = {"transfer_id": "trf_01k…", "target_id": "tgt_01k…", "code": "consumer_gone"}
    example_transition: ClassVar = Transition("transfer", "ringing", "failed", "target_failed")

    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferNoCapacity(TransferFact):
    """The consumer qualified and nobody can take them; `blockers` says why, target by target."""

    type: ClassVar[str] = "transfer.no_capacity"
    example: ClassVar = {"reason": "qualified", "blockers": ["tgt_01k…: no_free_slot"], "decision_id": "dec_01k…"}

    reason: str
    blockers: list[str]
    decision_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferEnded(OneTransferFact):
    """The human's leg is over after `talk_s` seconds; `ended_by` says who left first, where that is known."""

    type: ClassVar[str] = "transfer.ended"
    example: ClassVar = {"transfer_id": "trf_01k…", "target_id": "tgt_01k…", "talk_s": 180, "ended_by": "consumer"}
    example_transition: ClassVar = Transition("transfer", "completed", "ended", "target_ended")

    talk_s: int
    ended_by: str
