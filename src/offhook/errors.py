"""What can go wrong, as one tree. Each error knows its stable code and the HTTP status that tells it.

    OffhookError
    ├── Invalid            422  the request cannot be understood; lists every place at once
    ├── Unauthenticated    401  ├── Forbidden 403  names the scope that is missing
    ├── NotFound           404  ├── Conflict  409  names the rule that refuses
    ├── Stale              412  the object changed since it was read
    ├── TooMany            429  says when to come back
    ├── Unavailable        503  a part is away for the moment; nothing was done
    │   └── Slow                its statement took longer than it may, and may do so again
    └── CannotStart         –   the installation is not fit to run; says what to mend

An error never holds a personal value: not a number, a name, an address, nor somebody else's exception text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong place in a request: where, which rule, and how to mend it."""

    param: str
    code: str
    detail: str


class OffhookError(Exception):
    """The root. `code` is stable for machines, `detail` says it to people."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, code: str, detail: str, *, param: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.param = param


class Invalid(OffhookError):
    """The request cannot be understood. `faults` holds every wrong place, not only the first."""

    status = 422
    title = "The request is not valid"

    def __init__(self, faults: Sequence[Fault], *, code: str | None = None, status: int = 422) -> None:
        first = faults[0]
        super().__init__(code or first.code, first.detail, param=first.param)
        self.faults = tuple(faults)
        self.http_status = status


class Unauthenticated(OffhookError):
    status = 401
    title = "Who is asking?"


class Forbidden(OffhookError):
    status = 403
    title = "This key may not do that"


class NotFound(OffhookError):
    status = 404
    title = "There is no such thing"


class Conflict(OffhookError):
    """A rule refuses. `extra` goes into the answer beside code and detail (references, codes)."""

    status = 409
    title = "The present state does not allow that"

    def __init__(self, code: str, detail: str, *, param: str | None = None, extra: dict[str, object] | None = None):
        super().__init__(code, detail, param=param)
        self.extra = extra or {}


class Stale(OffhookError):
    status = 412
    title = "It changed since you read it"


class TooMany(OffhookError):
    """Past a rate limit; `retry_after_s` says when a token will be there."""

    status = 429
    title = "Too many requests"

    def __init__(self, code: str, detail: str, *, retry_after_s: int) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s


class Unavailable(OffhookError):
    status = 503
    title = "A part is away for the moment"


class Slow(Unavailable):
    """A statement took longer than it may. The database is there: what is asked of it alone is at fault, or may be."""


def is_away(failure: BaseException) -> bool:
    """Whether it tells that everything has to wait, and not only what was asked: a part is away, and not merely slow."""
    return isinstance(failure, Unavailable) and not isinstance(failure, Slow)


class CannotStart(OffhookError):
    """The installation is not fit to run. `detail` says what to mend."""
