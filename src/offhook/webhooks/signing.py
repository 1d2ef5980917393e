"""Standard Webhooks v1: who sent it, and that nobody changed it on the way.

The signature is HMAC-SHA256 over `id.timestamp.body`, the body byte for byte. While a secret is rotated, every message
bears one signature for each secret, so receivers change over when they like. The same signatures come in from
platforms that call us back; there a timestamp more than five minutes off is a replay and counts for nothing.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

TOLERANCE = timedelta(minutes=5)
_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # bytes, as the specification has it
_TIMESTAMP = re.compile(r"[0-9]{1,11}")


class NotASecret(ValueError):
    """The text is not a `whsec_` secret; `str()` of it says what is wrong and never shows the text."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A shared key of 24 to 64 bytes. Only `reveal` shows it."""

    key: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "Secret":
        """A fresh one of 32 random bytes."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def parse(cls, text: str) -> "Secret":
        """The secret that `whsec_…` spells, with or without its padding. Raises NotASecret."""
        if not text.startswith(_PREFIX):
            raise NotASecret(f"a secret begins with {_PREFIX}")
        spelt = text.removeprefix(_PREFIX).rstrip("=")
        try:
            key = base64.b64decode(spelt + "=" * (-len(spelt) % 4), validate=True)
        except ValueError:
            raise NotASecret(f"what follows {_PREFIX} is not base64") from None
        if not _SHORTEST <= len(key) <= _LONGEST:
            raise NotASecret(f"a secret holds {_SHORTEST} to {_LONGEST} bytes, this one {len(key)}")
        return cls(key)

    def reveal(self) -> str:
        """The secret as its owner keeps it: `whsec_` and base64."""
        return _PREFIX + base64.b64encode(self.key).decode()


@dataclass(frozen=True, slots=True)
class Genuine:
    """Signed with one of the secrets, just now."""


@dataclass(frozen=True, slots=True)
class NotGenuine:
    """Not to be believed: stale or from the future, unreadable, or signed by somebody else."""

    code: Literal["bad_timestamp", "stale", "early", "bad_signature"]


class Signer:
    """Signs with every secret it was given, the newest first, and believes any of them."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        """Raises ValueError without a secret: nothing leaves unsigned."""
        if not keys:
            raise ValueError("a signer needs a secret")
        # Copying a keyed HMAC saves the two hash blocks that its key costs each time.
        self._keyed = [hmac.new(secret.key, digestmod=hashlib.sha256) for secret in keys]

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """The `webhook-signature` header: `v1,…`, one for each secret with a blank between. `timestamp` in Unix seconds."""
        return " ".join(
            [
                "v1," + spelt
                for spelt in self._spell(f"{message_id}.{timestamp}.".encode(errors="surrogateescape"), body)
            ]
        )

    def verify(
        self, message_id: str, timestamp: str, signatures: str, body: bytes, now: datetime
    ) -> Genuine | NotGenuine:
        """Whether the three headers vouch for `body` at `now`. In constant time for a given number of signatures."""
        if not _TIMESTAMP.fullmatch(timestamp):
            return NotGenuine("bad_timestamp")
        age = now - (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(timestamp)))
        if abs(age) > TOLERANCE:
            return NotGenuine("stale" if age > TOLERANCE else "early")
        expected = self._spell(f"{message_id}.{timestamp}.".encode(errors="surrogateescape"), body)
        offered = [
            spelt.encode()
            for version, _, spelt in (one.partition(",") for one in signatures.split())
            if version == "v1"
        ]
        # Every pair is compared, also after a match: the time must not tell which secret it was.
        matches = [hmac.compare_digest(ours.encode(), theirs) for ours in expected for theirs in offered]
        return Genuine() if any(matches) else NotGenuine("bad_signature")

    def _spell(self, head: bytes, body: bytes) -> list[str]:
        spelt = []
        for keyed in self._keyed:
            digest = keyed.copy()
            digest.update(head)
            digest.update(body)
            spelt.append(binascii.b2a_base64(digest.digest(), newline=False).decode())
        return spelt
