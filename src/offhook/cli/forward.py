"""Events carried on to a URL of the developer's own, as webhooks that Offhook's sender would have sent.

They go one after the other, in the order of the log. Where nobody listens, or whoever did is gone in the middle of it,
the event is tried again for half a minute, in which a program can be started anew; then it is let go, and those behind
it are tried once each until somebody answers. Whatever is answered, the event is not sent again: here one looks at what
a receiver does, good or bad.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from offhook.errors import Fault, Invalid
from offhook.outbound import AddressFine, Answer, NameUnknown, NoAnswer, Outbound, Reach
from offhook.webhooks import Secret, Signer

PATIENCE_S = 30.0
_TIMEOUT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 2.0
# Not a time-out: whoever halts a program in a debugger does not want the event a second time.
_NOBODY_THERE = ("connect_refused", "connect_timeout", "dns", "reset")
# The developer says where; only what cannot be one machine's, and the metadata services of clouds, stay closed.
_ANYWHERE = Reach(True, (ip_network("0.0.0.0/0"), ip_network("::/0")), plain_http=True)

Rest = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What came of an event at its target. `status` is None when nothing was answered; then `error` says why."""

    status: int | None
    error: str | None
    ms: float
    tries: int


def secret_for(given: str | None, key: str) -> Secret:
    """The secret that `given` spells, else one that is always the same for that key. Raises Invalid.

    It is derived, so that it need be kept nowhere; nobody gets from it to the key.
    """
    if given is None:
        return Secret(hmac.digest(key.encode(), b"offhook listen", hashlib.sha256))
    try:
        return Secret.parse(given)
    except ValueError as why:
        raise Invalid([Fault("--secret", "bad_secret", f"This is none: {why}.")]) from None


async def check_target(outbound: Outbound, given: str) -> str:
    """The URL that is meant: without a scheme, plain HTTP. Raises Invalid when nothing can be sent there."""
    url = given if "://" in given else f"http://{given}"
    match await outbound.resolve_and_judge(url, _ANYWHERE):
        case AddressFine() | NameUnknown():  # a name may come to be known, as a program may come to listen
            return url
        case refused:
            raise Invalid([Fault("--forward-to", "bad_target", f"Nothing can be sent there: {refused.why}.")])


def pause_s(tries: int, away_s: float) -> float | None:
    """Seconds until the next try of an event at a target that has been away for `away_s`; None: let it go."""
    left = PATIENCE_S - away_s
    return min(_FIRST_PAUSE_S * 2.0 ** min(tries - 1, 10), _LONGEST_PAUSE_S, left) if left > 0 else None


class Forwarder:
    """Sends each event to one URL, signed, and waits for its answer."""

    def __init__(
        self,
        outbound: Outbound,
        url: str,
        secret: Secret,
        note: Callable[[str], None],
        *,
        rest: Rest = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbound = outbound
        self._url = url
        self._signer = Signer([secret])
        self._note = note
        self._rest = rest
        self._clock = clock
        self._away_since: float | None = None

    async def forward(self, event: dict[str, Any], body: bytes) -> Forwarded:
        """Send it, again while nobody is there and patience lasts; what came of it."""
        tries = 0
        while True:
            answer = await self._send(event, body, tries)
            tries += 1
            if isinstance(answer, Answer):
                self._away_since = None
                return Forwarded(answer.status, None, answer.timing_ms.total, tries)
            pause = self._pause_s(answer, tries)
            if pause is None:
                return Forwarded(None, answer.code, answer.timing_ms.total, tries)
            await self._rest(pause)

    def _pause_s(self, answer: NoAnswer, tries: int) -> float | None:
        if answer.code not in _NOBODY_THERE:
            self._away_since = None
            return None
        if self._away_since is None:
            self._away_since = self._clock()
            self._note(f"{answer.text.capitalize()}; trying again for {PATIENCE_S:.0f} s.")
        return pause_s(tries, self._clock() - self._away_since)

    async def _send(self, event: dict[str, Any], body: bytes, n: int) -> Answer | NoAnswer:
        timestamp = int(datetime.now(UTC).timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "Offhook",
            "webhook-id": event["event_id"],
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signer.sign(event["event_id"], timestamp, body),
            "offhook-try": str(n),
        }
        if event["data"] == {"erased": True}:
            headers["offhook-tombstone"] = "1"
        return await self._outbound.post(self._url, body, headers, timeout_s=_TIMEOUT_S, reach=_ANYWHERE)
