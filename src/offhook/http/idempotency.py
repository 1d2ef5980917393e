"""Idempotency-Key: the same key and request get the same answer for 24 hours, and the work is done once.

The answer is stored in the transaction of the work, so a crash keeps both or neither; a failure rolls back and stores
nothing, and the same key may be tried again. While the first request runs, its transaction holds an advisory lock on
the key, so a second one learns at once that it is early.

Answers are sealed. One about a person, which names their reference and the last digits of their number, is sealed under
that person's key and gone when it is: the same request is then done anew, and says what there is to say of somebody
erased. All others hold nothing of a person (an endpoint's secret may stand in one) and bear the installation's seal.
"""

from dataclasses import dataclass
from uuid import UUID

import orjson
from fastapi import Request

from offhook import ids
from offhook.db import EngineTx, Tenant, Tx
from offhook.errors import Conflict, Fault, Invalid
from offhook.http import store
from offhook.http.answer import Answer
from offhook.privacy import PersonKey, Vault

HEADER = "Idempotency-Key"
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Once:
    """One keyed request: recognised by its tags, told again from its row."""

    vault: Vault
    key_tag: bytes
    request_tag: bytes

    async def answered(self, tx: Tx) -> Answer | None:
        """What the key was answered before; None when its work is to be done now, under this transaction's claim.

        Raises Conflict `idempotency_in_progress` while another transaction is at it, and Invalid
        `idempotency_mismatch` when the key stood for another request.
        """
        if not await store.claim(tx, self.key_tag):
            raise Conflict(
                "idempotency_in_progress", "The first request with this key is still running; ask again in a moment."
            )
        found = await store.find(tx, self.key_tag)
        if found is None:
            return None
        request_tag, person, sealed = found
        if request_tag != self.request_tag:
            detail = "This key was used for another request within 24 hours; take a new key for a new request."
            raise Invalid([Fault(HEADER, "idempotency_mismatch", detail)])
        opened = await self._opened(tx, person, sealed)
        if opened is None:
            return None
        status, body, headers = orjson.loads(opened)
        return Answer(status, body, {**headers, "Idempotent-Replay": "true"})

    async def keep(self, tx: Tx, answer: Answer) -> None:
        """Store the answer beside the work; of somebody who is erased only that it was given."""
        encoded = orjson.dumps([answer.status, answer.body, dict(answer.headers)])
        person = person_of(answer.body)
        if person is None:
            sealed: bytes | None = self.vault.seal_own(tx, encoded, self.key_tag)
        else:
            key = await self.vault.key(tx, person)
            sealed = key.seal(encoded, self.key_tag) if isinstance(key, PersonKey) else None
        await store.keep(tx, self.key_tag, self.request_tag, answer.status, person, sealed)

    async def _opened(self, tx: Tx, person: UUID | None, sealed: bytes | None) -> bytes | None:
        if sealed is None:
            return None
        if person is None:
            return self.vault.open_own(sealed, self.key_tag)
        key = await self.vault.key(tx, person)
        return key.open(sealed, self.key_tag) if isinstance(key, PersonKey) else None


def person_of(body: object) -> UUID | None:
    """Whom an answer is about: the lead or the call that it shows, a call without a lead being a person of its own. Pure."""
    match body:
        case {"object": "lead", "id": str(lead)} | {"object": "call", "lead_id": str(lead)}:
            return ids.read("lead", lead)
        case {"object": "call", "id": str(call)}:
            return ids.read("call", call)
        case {"object": "scene", "lead": lead}:
            return person_of(lead)
        case _:
            return None


async def once(request: Request, tenant: Tenant, vault: Vault, content: bytes | None = None) -> Once | None:
    """The keyed request, if it is a POST with an Idempotency-Key. Raises Invalid `bad_idempotency_key`.

    `content` is what it is known by instead of its body. A form needs it: its bytes are gone once it was read from the
    stream, and its boundary differs between two sendings.
    """
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return None
    if not (0 < len(key) <= _LONGEST and key.isascii() and key.isprintable()):
        detail = f"The key must be 1 to {_LONGEST} printable ASCII characters, such as a UUID."
        raise Invalid([Fault(HEADER, "bad_idempotency_key", detail)])
    route = getattr(request.scope.get("route"), "path", request.url.path)
    said = "\n".join((request.method, request.url.path, request.url.query, "")).encode()
    return Once(
        vault,
        vault.tag(tenant, "request", f"key\n{route}\n{key}"),
        vault.tag(tenant, "request", said + (await request.body() if content is None else content)),
    )


async def purge_idempotency(tx: EngineTx) -> int:
    """Forget some of what is older than 24 hours, for a periodic job; how many answers that was, 0 when none is left."""
    return await store.purge(tx)
