"""Whether a message is genuine: Standard Webhooks, v1 and v1a, with any of several keys. Pure but for the clock."""

import re
import time
from collections.abc import Iterable
from typing import Protocol

from offhook_receiver import envelope, keys
from offhook_receiver.envelope import Event
from offhook_receiver.rejected import Rejected

TOLERANCE_S = 300
_TIMESTAMP = re.compile(r"[0-9]{1,11}")


class Headers(Protocol):
    """A dict of headers, or what a web framework has in its place."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Names, in any case, and values."""
        ...


class Verifies(Protocol):
    """What an inbox believes."""

    def verify(self, headers: Headers, body: bytes, now: float | None = None) -> tuple[Event, ...]:
        """The events of a genuine message. Raises Rejected."""
        ...


class Verifier:
    """Believes what any of its keys signed within the last five minutes.

    Keys are `whsec_…` secrets and `whpk_…` public keys. During a rotation give both, the old and the new. Raises
    BadKey (a ValueError) for anything else, and ValueError without a key: nothing is believed unsigned.
    """

    def __init__(self, *trusted: str, tolerance_s: int = TOLERANCE_S) -> None:
        if not trusted:
            raise ValueError("a verifier needs a key: the whsec_ or whpk_ that Offhook showed for this endpoint")
        self._keys = [keys.parse(key) for key in trusted]
        self._tolerance_s = tolerance_s

    def verify(self, headers: Headers, body: bytes, now: float | None = None) -> tuple[Event, ...]:
        """The events of the message, of a batch all of them. Raises Rejected, which says why and what to answer.

        `headers` in any case, `body` the raw bytes as they came, `now` in Unix seconds (this machine's clock if left out).
        """
        named = lower_case(headers)
        id, timestamp, signatures = (named.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not (id and timestamp and signatures):
            raise Rejected("missing_header")
        check_age(timestamp, now, self._tolerance_s)
        content = f"{id}.{timestamp}.".encode(errors="replace") + body
        # Every key is asked, also after a match: the time must not tell which it was.
        if not any([key.believes(content, signatures.split()) for key in self._keys]):
            raise Rejected("bad_signature")
        return envelope.read(body)


def lower_case(headers: Headers) -> dict[str, str]:
    """The same headers by their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


def check_age(timestamp: str, now: float | None, tolerance_s: int) -> None:
    """Raises Rejected when this was not said just now."""
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Rejected("bad_timestamp")
    age_s = (time.time() if now is None else now) - int(timestamp)
    if abs(age_s) > tolerance_s:
        raise Rejected("stale" if age_s > 0 else "early")
