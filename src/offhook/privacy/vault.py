"""Seal, open, shred.

A sealed value is a version byte, a nonce of 12 bytes and AES-256-GCM's answer. Its associated data names the tenant,
the person and the place, so it opens nowhere else. The person stands in the row beside it.
"""

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from offhook import clock, ids
from offhook.db import EngineTx, Tenant, Tx, Wakeups
from offhook.errors import OffhookError
from offhook.privacy import store
from offhook.privacy.receipt import Receipt
from offhook.privacy.ring import TAG_VERSION, KeyRing

KeyClass = Literal["operational", "evidence"]
EVIDENCE_KEPT = timedelta(days=5 * 365 + 2)
"""Call detail, consent and do-not-call requests: 16 CFR 310.5, five years."""

_VERSION = b"\x01"
_CACHED = 20_000


class Erased:
    """The answer where a person's key is gone. Falsy, so `if key` reads as it should."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "ERASED"


ERASED = Erased()


@dataclass(frozen=True, slots=True, repr=False)
class PersonKey:
    """One data key of one person, unwrapped. Lives in memory only. `owner` is `owner_of(tenant, person)`."""

    tenant: Tenant
    owner: bytes
    cipher: AESGCM

    def seal(self, data: bytes, place: bytes) -> bytes:
        """`data`, readable only with this key at this `place`."""
        nonce = os.urandom(12)
        return _VERSION + nonce + self.cipher.encrypt(nonce, data, self.owner + place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """What was sealed at this `place`. Raises OffhookError `sealed_elsewhere` when it was not sealed there."""
        try:
            return self.cipher.decrypt(sealed[1:13], sealed[13:], self.owner + place)
        except InvalidTag:
            raise OffhookError("sealed_elsewhere", "A sealed value was found where it was not sealed.") from None


class Vault:
    """The keys of all persons, opened with the ring. One per process."""

    def __init__(self, ring: KeyRing, wakeups: Wakeups) -> None:
        self._ring = ring
        self._wakeups = wakeups
        self._cache: OrderedDict[tuple[UUID, KeyClass], PersonKey] = OrderedDict()
        self._made: WeakKeyDictionary[Tx, dict[tuple[UUID, KeyClass], PersonKey]] = WeakKeyDictionary()
        self._shredded: OrderedDict[UUID, None] = OrderedDict()
        wakeups.hear("person", lambda person: self._forget(UUID(person)))
        wakeups.on_reconnect(self._cache.clear)

    async def create(
        self, tx: Tx, persons: Sequence[UUID], *, classes: Sequence[KeyClass] = ("operational", "evidence")
    ) -> None:
        """Give these new persons their keys, in one statement. Idempotent for a person who has them."""
        epoch = self._ring.epoch_for(tx.wall.date())
        wrap = self._ring.epoch(epoch)
        whom = [(person, kind) for person in persons for kind in classes]
        made, rows = {}, []
        for (person, kind), raw, nonce in zip(whom, _random(32, len(whom)), _random(12, len(whom)), strict=True):
            owner = owner_of(tx.tenant, person)
            made[person, kind] = PersonKey(tx.tenant, owner, AESGCM(raw))
            rows.append((person, kind, nonce + wrap.encrypt(nonce, raw, owner + kind.encode())))
        for known in made.keys() - await store.insert_keys(tx, epoch, rows):
            del made[known]
        # Until the commit the keys are this transaction's alone: one that rolls back must not seal anything afterwards.
        self._made.setdefault(tx, {}).update(made)
        tx.on_commit(lambda: self._remember(made))

    async def keys(
        self, tx: Tx, persons: Iterable[UUID], kind: KeyClass = "operational"
    ) -> dict[UUID, PersonKey | Erased]:
        """The key of each person, or ERASED. One statement for those not at hand."""
        found: dict[UUID, PersonKey | Erased] = {}
        missing = []
        made = self._made.get(tx, {})
        for person in set(persons):
            key = made.get((person, kind)) or self._cache.get((person, kind))
            if key and key.tenant == tx.tenant:
                found[person] = key
            else:
                found[person] = ERASED
                missing.append(person)
        if missing:
            for person, epoch, wrapped in await store.keys(tx, missing, kind):
                found[person] = self.unwrap(tx.tenant, person, kind, epoch, wrapped)
        return found

    async def key(self, tx: Tx, person: UUID, kind: KeyClass = "operational") -> PersonKey | Erased:
        """One person's key, or ERASED."""
        return (await self.keys(tx, [person], kind))[person]

    def unwrap(self, tenant: Tenant, person: UUID, kind: KeyClass, epoch: str, wrapped: bytes) -> PersonKey:
        """The key in a row of person_key. Raises OffhookError `no_epoch_key` when the ring lacks its epoch."""
        owner = owner_of(tenant, person)
        try:
            raw = self._ring.epoch(epoch).decrypt(wrapped[:12], wrapped[12:], owner + kind.encode())
        except KeyError:
            raise OffhookError("no_epoch_key", f"The key ring lacks the epoch {epoch}; restore the ring.") from None
        key = PersonKey(tenant, owner, AESGCM(raw))
        self._remember({(person, kind): key})
        return key

    async def shred(self, tx: Tx, person: UUID, *, reason: str, kept: Sequence[str]) -> Receipt:
        """Destroy the person's operational key; the signed receipt. Idempotent: the first receipt stands.

        `kept` names what outlives it (the suppression's hash, the reference's hash). After the commit every process
        forgets the key and empties its queues of that person.
        """
        if receipt := await self.receipt_of(tx, person):
            return receipt
        epoch = await store.delete_operational(tx, person)
        self._made.get(tx, {}).pop((person, "operational"), None)
        receipt = self._receipt(tx, person, reason, kept, epoch=epoch)
        await store.insert_receipt(tx, person, receipt)
        tx.on_commit(lambda: self._wakeups.send(f"person:{person}"))
        return receipt

    async def receipt_of(self, tx: Tx, person: UUID) -> Receipt | None:
        """The receipt of a person who was erased; None when nobody was."""
        return await store.receipt_of(tx, person)

    async def receipt(self, tx: Tx, id: UUID) -> Receipt | None:
        """The receipt with this id; None when there is none."""
        return await store.receipt(tx, id)

    def was_shredded(self, person: UUID) -> bool:
        """Whether this process has heard of the person's erasure: what is in memory about them must not be sent."""
        return person in self._shredded

    def tag(
        self,
        tenant: Tenant,
        kind: Literal["phone", "email", "ref", "payload", "external", "request", "mask"],
        value: str | bytes,
    ) -> bytes:
        """The blind index of a value within its tenant: equal for equal values, meaningless without the ring."""
        plain = value.encode() if isinstance(value, str) else value
        return self._ring.tag(tenant.workspace.bytes, tenant.environment.encode(), kind.encode(), plain)

    @property
    def tag_version(self) -> int:
        return TAG_VERSION

    def seal_own(self, tx: EngineTx, data: bytes, place: bytes) -> bytes:
        """Seal a secret of the installation's own (an endpoint's secret, a stored answer) under the present epoch."""
        epoch = self._ring.epoch_for(tx.wall.date())
        nonce = os.urandom(12)
        head = _VERSION + bytes([len(epoch)]) + epoch.encode()
        return head + nonce + self._ring.epoch(epoch).encrypt(nonce, data, place)

    def open_own(self, sealed: bytes, place: bytes) -> bytes:
        """What `seal_own` sealed at this place. Raises OffhookError `no_epoch_key` when its epoch is gone."""
        end = 2 + sealed[1]
        try:
            cipher = self._ring.epoch(sealed[2:end].decode())
        except KeyError:
            raise OffhookError(
                "no_epoch_key", "The key ring lacks an epoch that still seals a secret; restore the ring."
            ) from None
        return cipher.decrypt(sealed[end : end + 12], sealed[end + 12 :], place)

    def _receipt(self, tx: Tx, person: UUID, reason: str, kept: Sequence[str], *, epoch: str | None) -> Receipt:
        document = {
            "person": person.hex,
            "environment": tx.tenant.environment,
            "reason": reason,
            "erased_at": clock.show(tx.now),
            "method": "the operational data key (AES-256-GCM) was deleted; Offhook cannot read what it sealed from this moment on",
            "epoch": epoch,
            "irrecoverable_when": (
                "no earlier than the destruction of the epoch key named here in the key ring; until then a copy of the deleted row in the"
                " database's log, dead rows or your backups, together with that epoch key, could still be opened"
            ),
            "kept": list(kept),
            "evidence_until": clock.show(tx.now + EVIDENCE_KEPT),
            "signed_by": self._ring.public_key.hex(),
        }
        encoded = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        return Receipt(ids.new(), encoded, self._ring.sign(encoded))

    def _remember(self, keys: Mapping[tuple[UUID, KeyClass], PersonKey]) -> None:
        for (person, kind), key in keys.items():
            # The news of a shredding may overtake the row that was read before it.
            if kind == "evidence" or person not in self._shredded:
                self._cache[person, kind] = key
        while len(self._cache) > _CACHED:
            self._cache.popitem(last=False)

    def _forget(self, person: UUID) -> None:
        self._shredded[person] = None
        if len(self._shredded) > _CACHED:
            self._shredded.popitem(last=False)
        self._cache.pop((person, "operational"), None)


def owner_of(tenant: Tenant, person: UUID) -> bytes:
    """Whose a sealed value is, as its associated data begins."""
    return tenant.workspace.bytes + tenant.environment.encode() + person.bytes


def _random(size: int, count: int) -> Iterator[bytes]:
    """So many values of `size` random bytes. Drawn at once: asking the system is what costs."""
    drawn = os.urandom(size * count)
    return (drawn[at : at + size] for at in range(0, size * count, size))
