"""The second signature, for receivers that cannot change theirs. Take the standard one when you can choose.

Offhook sends it beside the standard one, in a header of your choice. The key is the text of the secret as it was
agreed, in UTF-8; what follows `whsec_` is base64, unless `verbatim`, where its every letter is meant. While it is
rotated there is one signature for each secret.
"""

import hashlib
import hmac
from collections.abc import Sequence

from offhook_receiver import envelope, keys
from offhook_receiver.envelope import Event
from offhook_receiver.rejected import Rejected
from offhook_receiver.verifier import TOLERANCE_S, Headers, check_age, lower_case


class TimestampedHex:
    """`t=<unix>,v1=<hex>`, where the hex is the HMAC-SHA256 of `t.body`."""

    def __init__(self, header: str, *secrets: str, verbatim: bool = False, tolerance_s: int = TOLERANCE_S) -> None:
        self._header = header.lower()
        self._secrets = _keyed(secrets, verbatim)
        self._tolerance_s = tolerance_s

    def verify(self, headers: Headers, body: bytes, now: float | None = None) -> tuple[Event, ...]:
        """As `Verifier.verify`."""
        pairs = [part.strip().partition("=") for part in _header(headers, self._header).split(",")]
        timestamp = next((value for name, _, value in pairs if name == "t"), "")
        check_age(timestamp, now, self._tolerance_s)
        offered = [value for name, _, value in pairs if name == "v1"]
        _check(self._secrets, f"{timestamp}.".encode() + body, offered)
        return envelope.read(body)


class PlainHex:
    """The hex of the HMAC-SHA256 of the body, after a `prefix` such as `sha256=`.

    It signs no time: who once heard a message can say it again at any time. Only `first_time` or an inbox notices.
    """

    def __init__(self, header: str, *secrets: str, prefix: str = "", verbatim: bool = False) -> None:
        self._header = header.lower()
        self._secrets = _keyed(secrets, verbatim)
        self._prefix = prefix

    def verify(self, headers: Headers, body: bytes, now: float | None = None) -> tuple[Event, ...]:
        """As `Verifier.verify`, but `now` tells nothing."""
        told = [part.strip() for part in _header(headers, self._header).split(",")]
        offered = [part.removeprefix(self._prefix) for part in told if part.startswith(self._prefix)]
        _check(self._secrets, body, offered)
        return envelope.read(body)


def _keyed(secrets: Sequence[str], verbatim: bool) -> list[bytes]:
    if not secrets or not all(secrets):
        raise ValueError("a verifier needs a secret, and none that is empty")
    return [_key(secret, verbatim) for secret in secrets]


def _key(secret: str, verbatim: bool) -> bytes:
    key = keys.parse(secret) if secret.startswith("whsec_") and not verbatim else None
    return key.secret if isinstance(key, keys.Shared) else secret.encode()


def _header(headers: Headers, name: str) -> str:
    found = lower_case(headers).get(name)
    if not found:
        raise Rejected("missing_header")
    return found


def _check(secrets: Sequence[bytes], content: bytes, offered: Sequence[str]) -> None:
    expected = [hmac.digest(secret, content, hashlib.sha256).hex().encode() for secret in secrets]
    spelt = [one.encode(errors="replace") for one in offered]
    # Every pair is compared, also after a match: the time must not tell which it was.
    if not any([hmac.compare_digest(ours, theirs) for ours in expected for theirs in spelt]):
        raise Rejected("bad_signature")
