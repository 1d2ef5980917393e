"""What a key looks like, and by what it is found: 32 random bytes, told apart by environment.

Only the SHA-256 of a key is stored. It needs no salt and no slow or keyed hash, for nobody can try out 2²⁵⁶ values; a
copy of the table opens nothing.
"""

import base64
import hashlib
import secrets

from offhook.db.connection import Environment

_HEADS: dict[Environment, str] = {"live": "ofk_live_", "sandbox": "ofk_test_"}
_LENGTH = 43


def mint(environment: Environment) -> tuple[str, bytes]:
    """A new key as its owner sends it, and its hash."""
    secret = secrets.token_bytes(32)
    return _HEADS[environment] + base64.urlsafe_b64encode(secret).rstrip(b"=").decode(), _hash(secret)


def hash_of(shown: str) -> tuple[Environment, bytes] | None:
    """The environment that a key claims and the hash it is found by; None when it has not the form of a key."""
    for environment, head in _HEADS.items():
        if shown.startswith(head) and len(shown) == len(head) + _LENGTH:
            try:
                return environment, _hash(base64.b64decode(shown[len(head) :] + "=", altchars=b"-_", validate=True))
            except ValueError:
                return None
    return None


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
