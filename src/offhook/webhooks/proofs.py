"""What proves who sent a request: the keys that sign, the credentials, the client certificate. Sealed as one.

Nothing of it is ever shown again but by type and name. It opens at its own endpoint only.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson

from offhook.db import Tx
from offhook.outbound.identity import Identity
from offhook.privacy import Vault
from offhook.webhooks.credentials import Credentials, NoCredentials, packed, unpacked
from offhook.webhooks.rotation import Keys
from offhook.webhooks.signing import SecondSignature, Signer


@dataclass(frozen=True, slots=True)
class Proofs:
    """All that an endpoint's requests are proved with."""

    keys: Keys
    credentials: Credentials = NoCredentials()
    identity: Identity | None = None

    @property
    def usual(self) -> bool:
        """Whether a v1 signature is all."""
        return isinstance(self.credentials, NoCredentials) and self.keys.signing_keys is None

    def seal(self, vault: Vault, tx: Tx, endpoint: UUID) -> bytes:
        """As it is stored."""
        identity = self.identity
        told = {
            "keys": self.keys.to_json().decode(),
            "credentials": packed(self.credentials),
            "identity": identity and [identity.certificate, identity.private_key, identity.ca],
        }
        return vault.seal_own(tx, orjson.dumps(told), _place(endpoint))

    @classmethod
    def open(cls, vault: Vault, endpoint: UUID, sealed: bytes) -> "Proofs":
        """What `seal` sealed. Raises OffhookError when it was sealed for another endpoint."""
        told = orjson.loads(vault.open_own(sealed, _place(endpoint)))
        return cls(
            Keys.from_json(told["keys"].encode()),
            unpacked(told["credentials"]),
            Identity(*told["identity"]) if told["identity"] else None,
        )


def changed_proofs(before: Proofs, after: Proofs) -> list[str]:
    """The names, as the API has them, of what differs."""
    pairs = {
        "ed25519": (before.keys.signing_keys, after.keys.signing_keys),
        "second_signature_key": (before.keys.second, after.keys.second),
        "authentication": (before.credentials, after.credentials),
        "tls": (before.identity, after.identity),
    }
    return [name for name, (old, new) in pairs.items() if old != new]


@dataclass(slots=True)
class Signing:
    """The signer of an endpoint at any moment: while keys retire, it changes by itself."""

    keys: Keys = field(repr=False)
    second: SecondSignature | None
    _signer: Signer | None = field(default=None, init=False, repr=False)
    _until: datetime | None = field(default=None, init=False)

    def at(self, now: datetime) -> Signer:
        if self._signer is None or (self._until is not None and now >= self._until):
            self._signer = self.keys.signer(now, self.second)
            self._until = self.keys.changes_at(now)
        return self._signer


def _place(endpoint: UUID) -> bytes:
    return b"endpoint:" + endpoint.bytes
