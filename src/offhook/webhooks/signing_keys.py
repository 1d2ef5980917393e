"""The keys that sign, as their owners write them: `whsec_…`, `whsk_…`, and what other systems gave out."""

import base64
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SECRET, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
_SHORTEST, _LONGEST = 24, 64  # bytes, as the specification has it
_SEED = 32
_TEXT_CAP = 512


class NotASecret(ValueError):
    """The text is no key of this kind; `str()` of it says what is wrong and never shows the text."""


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
        key = _decoded(text, _SECRET, "a secret")
        if not _SHORTEST <= len(key) <= _LONGEST:
            raise NotASecret(f"a secret holds {_SHORTEST} to {_LONGEST} bytes, this one {len(key)}")
        return cls(key)

    def reveal(self) -> str:
        """The secret as its owner keeps it: `whsec_` and base64."""
        return _SECRET + base64.b64encode(self.key).decode()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key: whoever has its public half can verify and cannot sign. Only `reveal` shows it."""

    seed: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "SigningKey":
        """A fresh one."""
        return cls(secrets.token_bytes(_SEED))

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """The key that `whsk_…` spells: 32 bytes of seed, then its 32 bytes of public key. Raises NotASecret."""
        pair = _decoded(text, _PRIVATE, "a signing key")
        if len(pair) != 2 * _SEED:
            raise NotASecret(f"a signing key holds {2 * _SEED} bytes, seed and public key; this one {len(pair)}")
        key = cls(pair[:_SEED])
        if key._public_bytes() != pair[_SEED:]:
            raise NotASecret("the two halves of the signing key do not belong together")
        return key

    @property
    def public(self) -> str:
        """What receivers verify with: `whpk_` and base64. No secret."""
        return _PUBLIC + base64.b64encode(self._public_bytes()).decode()

    def reveal(self) -> str:
        """The key as its owner keeps it: `whsk_` and base64 of seed and public key."""
        return _PRIVATE + base64.b64encode(self.seed + self._public_bytes()).decode()

    def _public_bytes(self) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()


@dataclass(frozen=True, slots=True)
class SecondKey:
    """A key of a second signature, as another system gave it out: any text of 1 to 512 bytes. Only `reveal` shows it.

    The key is the text's UTF-8, but for `whsec_…`, which is decoded as Standard Webhooks says; unless `verbatim`, for
    systems that put `whsec_` before a key and mean every letter of it, as Stripe does. Make one by `new` or `parse`.
    """

    text: str = field(repr=False)
    verbatim: bool = False

    @classmethod
    def new(cls) -> "SecondKey":
        """A fresh one of 32 random bytes, as 43 letters, digits, `-` and `_`."""
        return cls(secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str, *, verbatim: bool = False) -> "SecondKey":
        """The key that this text is. Raises NotASecret."""
        key = cls(text, verbatim)
        try:
            length = len(key.key)
        except UnicodeEncodeError:
            raise NotASecret("a key's text can be written in UTF-8, this one cannot") from None
        if not 1 <= length <= _TEXT_CAP:
            raise NotASecret(f"a key holds 1 to {_TEXT_CAP} bytes, this one {length}")
        return key

    @property
    def key(self) -> bytes:
        """What the signature is keyed with."""
        decoded = self.text.startswith(_SECRET) and not self.verbatim
        return Secret.parse(self.text).key if decoded else self.text.encode()

    def reveal(self) -> str:
        """The key as its owner keeps it."""
        return self.text


def _decoded(text: str, prefix: str, what: str) -> bytes:
    if not text.startswith(prefix):
        raise NotASecret(f"{what} begins with {prefix}")
    spelt = text.removeprefix(prefix).rstrip("=")
    try:
        return base64.b64decode(spelt + "=" * (-len(spelt) % 4), validate=True)
    except ValueError:
        raise NotASecret(f"what follows {prefix} is not base64") from None
