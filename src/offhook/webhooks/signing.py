"""Who sent it, and that nobody changed it on the way.

Standard Webhooks v1 is HMAC-SHA256 over `id.timestamp.body`, the body byte for byte; v1a is Ed25519 over the same. While
a key is rotated, every message bears one signature for each key, so receivers change over when they like. Receivers
that cannot read these get a second signature beside them, in the form that they know. The same signatures come in from
platforms that call us back; there a timestamp more than five minutes off is a replay and counts for nothing.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from offhook.webhooks.headers import header_fault
from offhook.webhooks.signing_keys import NotASecret, SecondKey, Secret, SigningKey

__all__ = [
    "TOLERANCE",
    "Genuine",
    "NotASecret",
    "NotGenuine",
    "SecondKey",
    "SecondSignature",
    "Secret",
    "Signer",
    "SigningKey",
]

TOLERANCE = timedelta(minutes=5)
_TIMESTAMP = re.compile(r"[0-9]{1,11}")
_PREFIX = re.compile(r"[!-+\--~]{0,32}")  # visible, and no comma, which parts the signatures
_MOST_V1A = 8  # verifying one costs 0.15 ms, so a header full of them would hold everybody up


@dataclass(frozen=True, slots=True)
class SecondSignature:
    """A signature for receivers that know neither v1 nor v1a: HMAC-SHA256, in hex, one for each key.

    `timestamped_hex`: `t=<Unix seconds>,v1=<hex>` over `<Unix seconds>.<body>`, as Stripe has it; one `v1=` for each key.
    `plain_hex`: `<prefix><hex>` over the body, as GitHub has it with `sha256=`; `, ` between those of several keys.
    Raises ValueError for a header that cannot be chosen, or a prefix that the style or the header cannot bear.
    """

    header: str
    style: Literal["timestamped_hex", "plain_hex"]
    prefix: str = ""

    def __post_init__(self) -> None:
        if fault := header_fault(self.header):
            raise ValueError(fault)
        if not _PREFIX.fullmatch(self.prefix) or (self.prefix and self.style != "plain_hex"):
            raise ValueError("a prefix stands before plain_hex only, of at most 32 visible characters but the comma")


@dataclass(frozen=True, slots=True)
class Genuine:
    """Signed with one of the secrets, just now."""


@dataclass(frozen=True, slots=True)
class NotGenuine:
    """Not to be believed: stale or from the future, unreadable, or signed by somebody else."""

    code: Literal["bad_timestamp", "stale", "early", "bad_signature"]


class Signer:
    """Signs with every key it was given, the newest first, and believes any of them."""

    def __init__(
        self,
        keys: Sequence[Secret],
        signing_keys: Sequence[SigningKey] = (),
        second: SecondSignature | None = None,
        second_keys: Sequence[SecondKey] = (),
    ) -> None:
        """Raises ValueError without a secret, as nothing leaves unsigned, and for a second signature without a key."""
        if not keys:
            raise ValueError("a signer needs a secret")
        if (second is None) != (not second_keys):
            raise ValueError("a second signature needs a key, and its keys need the signature")
        # Copying a keyed HMAC saves the two hash blocks that its key costs each time.
        self._keyed = [_keyed(secret.key) for secret in keys]
        self._second_keyed = [_keyed(key.key) for key in second_keys]
        self._second = second
        self._signing_keys = tuple(signing_keys)

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """Every header of one try that holds a signature. `timestamp` in Unix seconds."""
        signed = {"webhook-signature": self.sign(message_id, timestamp, body)}
        if self._second is not None:
            signed[self._second.header] = self._sign_second(self._second, timestamp, body)
        return signed

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """The `webhook-signature` header: `v1,…` for each secret, then `v1a,…` for each Ed25519 key, blanks between."""
        head = _head(message_id, timestamp)
        spelt = ["v1," + one for one in self._spell(head, body)]
        if self._signing_keys:
            message = head + body
            spelt += ["v1a," + _base64(private.sign(message)) for private in self._private]
        return " ".join(spelt)

    def verify(
        self, message_id: str, timestamp: str, signatures: str, body: bytes, now: datetime
    ) -> Genuine | NotGenuine:
        """Whether the three headers vouch for `body` at `now`, by v1 or by one of the first eight v1a.

        v1 is compared in constant time for a given number of signatures.
        """
        if not _TIMESTAMP.fullmatch(timestamp):
            return NotGenuine("bad_timestamp")
        age = now - (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(timestamp)))
        if abs(age) > TOLERANCE:
            return NotGenuine("stale" if age > TOLERANCE else "early")
        head = _head(message_id, timestamp)
        offered = [one.partition(",") for one in signatures.split()]
        v1 = [spelt.encode() for version, _, spelt in offered if version == "v1"]
        # Every pair is compared, also after a match: the time must not tell which secret it was.
        matches = [hmac.compare_digest(ours.encode(), theirs) for ours in self._spell(head, body) for theirs in v1]
        v1a = [spelt for version, _, spelt in offered if version == "v1a"][:_MOST_V1A]
        genuine = any(matches) or self._any_verifies(v1a, head + body)
        return Genuine() if genuine else NotGenuine("bad_signature")

    @cached_property
    def _private(self) -> list[Ed25519PrivateKey]:
        # When first needed: each takes as long to make as to sign with, and a tenant's endpoints are all read at once.
        return [Ed25519PrivateKey.from_private_bytes(key.seed) for key in self._signing_keys]

    def _spell(self, head: bytes, body: bytes) -> list[str]:
        spelt = []
        for keyed in self._keyed:
            digest = keyed.copy()
            digest.update(head)
            digest.update(body)
            spelt.append(_base64(digest.digest()))
        return spelt

    def _sign_second(self, second: SecondSignature, timestamp: int, body: bytes) -> str:
        if second.style == "plain_hex":
            return ", ".join([second.prefix + one for one in self._spell_hex(b"", body)])
        spelt = self._spell_hex(f"{timestamp}.".encode(), body)
        return ",".join([f"t={timestamp}", *["v1=" + one for one in spelt]])

    def _spell_hex(self, head: bytes, body: bytes) -> list[str]:
        spelt = []
        for keyed in self._second_keyed:
            digest = keyed.copy()
            digest.update(head)
            digest.update(body)
            spelt.append(digest.hexdigest())
        return spelt

    def _any_verifies(self, signatures: Iterable[str], message: bytes) -> bool:
        if not self._signing_keys:
            return False
        publics = [private.public_key() for private in self._private]
        return any(_verifies(public, one, message) for one in signatures for public in publics)


def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod=hashlib.sha256)


def _head(message_id: str, timestamp: int | str) -> bytes:
    return f"{message_id}.{timestamp}.".encode(errors="surrogateescape")


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _verifies(public: Ed25519PublicKey, signature: str, message: bytes) -> bool:
    try:
        public.verify(base64.b64decode(signature, validate=True), message)
    except (ValueError, InvalidSignature):
        return False
    return True
