"""What the sender carries: one event for one endpoint, and what became of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from offhook.db import Tenant
from offhook.privacy import PersonKey
from offhook.webhooks.schedule import Delivered

TEST = "webhook.test"


@dataclass(frozen=True, slots=True)
class Message:
    """An event as endpoints are told of it. Shared by its parcels. `body` is None when its person was erased."""

    id: UUID
    shown_id: str
    type: str
    subject_type: str
    subject_shown_id: str
    sequence: int
    occurred_at: datetime
    person: UUID | None
    key: PersonKey | None = field(repr=False)
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One delivery in the hands of this process, until `leased_until` of the real clock.

    `tries` were made before this one; `tries_of_round` of them since the first try or the latest replay, which is what
    the schedule counts. `offset` is how far the environment's clock was ahead of the real one.
    """

    tenant: Tenant
    delivery: UUID
    endpoint: UUID
    message: Message
    offset: timedelta
    leased_until: datetime
    fence: int = 0
    tries: int = 0
    tries_of_round: int = 0
    first_try_at: datetime | None = None
    replay: bool = False

    @property
    def is_test(self) -> bool:
        return self.message.type == TEST


@dataclass(frozen=True, slots=True)
class Try:
    """One request of a delivery. `at` is the environment's time, `written_at` the real one; both when it began."""

    parcel: Parcel
    at: datetime
    written_at: datetime
    status_code: int | None
    error_code: str | None
    error_text: str | None
    timing_ms: tuple[float | None, ...]
    tombstone: bool
    response: bytes | None = field(repr=False)
    """Headers and body in clear (`response.pack`); None when there is nothing worth keeping."""

    @property
    def succeeded(self) -> bool:
        return self.error_code is None


@dataclass(frozen=True, slots=True)
class Again:
    """Try once more at `at`, the environment's time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Dead:
    """No further try; it waits among the dead letters. `disables` its endpoint when the receiver said 410."""

    reason: str
    disables: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """It ends without a dead letter to look at: `reason` says why."""

    reason: Literal["endpoint_deleted", "test_failed"]


@dataclass(frozen=True, slots=True)
class Kept:
    """Not sent: its endpoint takes nothing at the moment, so it is held."""


@dataclass(frozen=True, slots=True)
class Left:
    """Not sent: our lease is over or nearly, or this process ends. Whoever claims it next sends it."""


Outcome = Delivered | Again | Dead | Closed | Kept | Left


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a parcel; `tried` is None when nothing was sent."""

    parcel: Parcel
    outcome: Outcome
    tried: Try | None = None
