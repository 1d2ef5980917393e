"""Keys of Standard Webhooks and what they sign. Pure.

whsec_…   a shared secret: HMAC-SHA256, `v1,…`
whpk_…    a public key: ed25519, `v1a,…`; needs the extra `offhook-receiver[ed25519]`
whsk_…    its private half, which only Offhook holds (and your tests)
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class BadKey(ValueError):
    """The text is no key that can be used here; `str()` of it says what is wrong and never shows the text."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A secret that both sides know."""

    secret: bytes = field(repr=False)

    def sign(self, content: bytes) -> str:
        """`v1,…` as it stands in the header."""
        return "v1," + base64.b64encode(hmac.digest(self.secret, content, hashlib.sha256)).decode()

    def believes(self, content: bytes, signatures: Sequence[str]) -> bool:
        """Whether one of the signatures is of this key. In constant time for a given number of them."""
        ours = self.sign(content).encode()
        # Every one is compared, also after a match: the time must not tell which it was.
        return any([hmac.compare_digest(ours, theirs.encode(errors="replace")) for theirs in signatures])


@dataclass(frozen=True, slots=True)
class Public:
    """The public half of an ed25519 key."""

    key: "Ed25519PublicKey" = field(repr=False)

    def believes(self, content: bytes, signatures: Sequence[str]) -> bool:
        """Whether one of the signatures is of this key."""
        return any(self._signed(content, spelt[4:]) for spelt in signatures if spelt.startswith("v1a,"))

    def _signed(self, content: bytes, spelt: str) -> bool:
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(base64.b64decode(spelt, validate=True), content)
        except (InvalidSignature, ValueError):
            return False
        return True


Key = Shared | Public


def parse(text: str) -> Key:
    """The key that a receiver was given. Raises BadKey; ImportError for a public key without the extra."""
    kind, _, spelt = text.partition("_")
    match kind:
        case "whsec":
            return Shared(_decoded(spelt, "whsec_", 24, 64))
        case "whpk":
            key = _decoded(spelt, "whpk_", 32, 32)
            return Public(_ed25519().Ed25519PublicKey.from_public_bytes(key))
        case "whsk":
            raise BadKey("whsk_ is the private key, which stays with Offhook; a receiver needs the public one, whpk_")
    raise BadKey("a key begins with whsec_ (a shared secret) or whpk_ (a public key)")


def private(text: str) -> "Ed25519PrivateKey":
    """The private key that `whsk_…` spells: the seed, then the public half. Raises BadKey, ImportError."""
    if not text.startswith("whsk_"):
        raise BadKey("a private key begins with whsk_")
    seed_and_public = _decoded(text.removeprefix("whsk_"), "whsk_", 64, 64)
    key: Ed25519PrivateKey = _ed25519().Ed25519PrivateKey.from_private_bytes(seed_and_public[:32])
    if key.public_key().public_bytes_raw() != seed_and_public[32:]:
        raise BadKey("the two halves of this private key do not belong together")
    return key


def _decoded(spelt: str, prefix: str, shortest: int, longest: int) -> bytes:
    bare = spelt.rstrip("=")
    try:
        key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadKey(f"what follows {prefix} is not base64") from None
    if not shortest <= len(key) <= longest:
        raise BadKey(f"a key of the kind {prefix} holds {shortest} to {longest} bytes, this one {len(key)}")
    return key


def _ed25519() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise ImportError("a whpk_ key needs the extra: pip install 'offhook-receiver[ed25519]'") from None
    return ed25519
