"""One call as a value: what was fixed when it began, what is personal, and how far it has come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.events import Actor, Story
from offhook.phone import masked
from offhook.providers.contract import PlatformRef

Status = Literal["requested", "placed", "ringing", "inbound_ringing", "answered", "ended"]
RANK: Mapping[str, int] = {"requested": 0, "placed": 1, "ringing": 2, "inbound_ringing": 2, "answered": 3, "ended": 9}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What never changes about a call. Plain ids and numbers; nothing here says who the person is."""

    id: UUID
    direction: Literal["outbound", "inbound"]
    person_id: UUID
    lead_id: UUID | None
    campaign_id: UUID | None
    attempt_id: UUID | None
    account_id: UUID
    number_tag: bytes
    provider: str
    attempt_n: int
    ring_timeout_s: int
    max_duration_s: int
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is personal about a call, in clear: sealed in the row, masked in events."""

    phone: str | None = field(repr=False)
    caller_id: str | None = None
    client_ref_id: str | None = None
    merge_fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    lead: Mapping[str, Any] | None = field(default=None, repr=False)
    visitor: Mapping[str, Any] | None = field(default=None, repr=False)

    def sealed_form(self) -> bytes:
        """The bytes that are sealed in the call's row."""
        return orjson.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def of(cls, data: bytes) -> "Told":
        """What `sealed_form` wrote."""
        return cls(**orjson.loads(data))


NOTHING_TOLD = Told(phone=None)
"""An erased person's call: it happened, and nobody can say with whom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One transfer to a human. Its `status` only climbs; `over` is last."""

    id: UUID
    target_id: UUID
    kind: Literal["did", "sip", "queue"]
    address: str
    timeout_s: int
    requested_at: datetime
    status: Literal["initiated", "ringing", "bridged", "completed", "over"] = "initiated"
    ringing_at: datetime | None = None
    bridged_at: datetime | None = None
    completed_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def alone_at(self) -> datetime | None:
        """Since when consumer and human have been together, as far as anybody said."""
        return self.bridged_at or self.completed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How it ended. `inferred` when no platform said so: then a platform's word may still enrich it."""

    reason: str
    detail: str | None
    by: str
    inferred: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Why we want the call gone and, where somebody asked for its hang-up by name, who: what they ask first stands."""

    reason: str
    by: Actor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call and how far it has come. `told` holds nothing when the person was erased."""

    about: About
    told: Told
    mode: str
    status: Status
    platform_ref: str | None = None
    stop_requested_at: datetime | None = None
    stop: Stop | None = None
    """Why we want it gone; None when we do not."""
    placed_at: datetime | None = None
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    answered_by: str = "unknown"
    voice_detected: bool = False
    qualified: bool = False
    opt_out: bool = False
    transferred: bool = False
    late_answer: bool = False
    disposition: str | None = None
    troubles: tuple[str, ...] = ()
    transfer: Handover | None = None
    end: End | None = None
    updated_at: datetime | None = None
    version: int = 1

    @property
    def id(self) -> UUID:
        return self.about.id

    @property
    def over(self) -> bool:
        return self.status == "ended"

    @property
    def erased(self) -> bool:
        """Whether nobody can say any more with whom it was; then nothing more is told about it either."""
        return self.told is NOTHING_TOLD

    @property
    def open_transfer(self) -> Handover | None:
        """The transfer under way; None when there is none or it is over."""
        return self.transfer if self.transfer and self.transfer.status != "over" else None

    @property
    def ref(self) -> PlatformRef:
        return PlatformRef(self.about.id, self.platform_ref)

    @property
    def duration_s(self) -> int | None:
        """From the start to the end; None before the end."""
        return None if self.ended_at is None else seconds(self.about.started_at, self.ended_at)

    @property
    def talk_s(self) -> int | None:
        """From the answer to the end, 0 when nobody answered; None before the end."""
        if self.ended_at is None:
            return None
        return seconds(self.answered_at, self.ended_at) if self.answered_at else 0

    def story(self) -> Story:
        """The context that rides with every event about this call, its numbers masked."""
        told, about = self.told, self.about
        caller, dialed = self._numbers()
        return Story(
            person=about.person_id,
            correlation=ids.show("lead", about.lead_id) if about.lead_id else ids.show("call", about.id),
            call=orjson.dumps({**self.shown(), "merge_fields": told.merge_fields}),
            visitor=orjson.dumps(told.visitor) if told.visitor else None,
            lead=orjson.dumps(told.lead) if told.lead else None,
            hidden={"call.caller_id": caller, "call.dialed_number": dialed},
        )

    def shown(self, *, personal: bool = False) -> dict[str, Any]:
        """The call as events and the API tell it; without `personal` its numbers show their last four digits."""
        about, told = self.about, self.told
        caller, dialed = self._numbers()
        return {
            "call_id": ids.show("call", about.id),
            "direction": about.direction,
            "status": self.status,
            "mode": self.mode,
            "caller_id": _number(caller, personal),
            "dialed_number": _number(dialed, personal),
            "campaign_id": ids.show("cmp", about.campaign_id) if about.campaign_id else None,
            "lead_id": ids.show("lead", about.lead_id) if about.lead_id else None,
            "client_ref_id": told.client_ref_id,
            "attempt_no": about.attempt_n,
            "target_id": ids.show("tgt", self.transfer.target_id) if self.transfer else None,
            "provider": {"key": about.provider, "call_id": self.platform_ref},
            "answered_by": self.answered_by,
            "disposition": self.disposition,
            "started_at": clock.show(about.started_at),
            "answered_at": clock.show_or_null(self.answered_at),
            "ended_at": clock.show_or_null(self.ended_at),
            "duration_s": self.duration_s,
            "talk_s": self.talk_s,
            "participants": [participant.shown() for participant in self.participants()],
        }

    def _numbers(self) -> tuple[str | None, str | None]:
        """Who called, and which number."""
        ours, theirs = self.told.caller_id, self.told.phone
        return (ours, theirs) if self.about.direction == "outbound" else (theirs, ours)

    def participants(self) -> "list[Participant]":
        """Who was on the call, as far as the platform's reports say."""
        consumer = Participant(1, "consumer", None, self.about.started_at, self.answered_at, self.ended_at)
        transfer = self.transfer
        if transfer is None:
            return [consumer]
        return [
            consumer,
            Participant(2, "human", transfer.target_id, transfer.requested_at, transfer.alone_at, transfer.ended_at),
        ]


@dataclass(frozen=True, slots=True)
class Participant:
    """One leg of the call."""

    n: int
    role: Literal["consumer", "human"]
    target_id: UUID | None
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None

    def shown(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "joined_at": clock.show_or_null(self.answered_at),
            "left_at": clock.show_or_null(self.ended_at),
        }


def seconds(since: datetime, until: datetime) -> int:
    """Whole seconds between two instants, never negative: clocks of platforms are not ours."""
    return max(0, round((until - since).total_seconds()))


def _number(e164: str | None, personal: bool) -> str | None:
    return e164 if e164 is None or personal else masked(e164)
