"""Replays and cancellations as the API takes them."""

from typing import Annotated

from pydantic import Field, StringConstraints

from offhook.http import Wire
from offhook.http.wire import Instant, Name
from offhook.webhooks.replay_filter import Ended, Open

Glob = Annotated[str, StringConstraints(pattern=r"^[a-z_.*]{1,100}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,100}$")]
Rate = Annotated[int, Field(ge=1, le=10_000)]


class FilterIn(Wire):
    """Which deliveries. `from` and `to` bound when the event was recorded (`recorded_at`; in a sandbox `occurred_at`): from
    that instant on, before that one. `cause` is the error code of the last try, as `http_503`.
    """

    endpoint: Annotated[Name | None, Field(description="whe_… or ext:…")] = None
    type: Annotated[Glob, Field(description="A type, or a glob like lead.*")] = "*"
    subject: Annotated[Name | None, Field(description="The id of a lead, a call, …")] = None
    cause: Annotated[Code | None, Field(description="The error code of the last try.")] = None
    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None
    died_from: Annotated[Instant | None, Field(description="Of dead letters: died then or later.")] = None
    died_to: Annotated[Instant | None, Field(description="Of dead letters: died before.")] = None


class EndedIn(FilterIn):
    """Which ended deliveries; dead letters where no status is named."""

    status: Ended | None = None


class OpenIn(FilterIn):
    """Which open deliveries, or which dead letters."""

    status: Open = "open"


class ReplaysIn(Wire):
    """What to replay. `missing`: instead of deliveries, the events that the endpoint has none of, also from before it was.

    At most `rate_per_s` deliveries are opened in a second; null bounds nothing.
    """

    filter: EndedIn
    missing: bool = False
    rate_per_s: Rate | None = None


class CancellationsIn(Wire):
    """What to cancel: open deliveries end as discarded, for the reason `cancelled`; dead letters are put aside."""

    filter: OpenIn
    rate_per_s: Rate | None = None
