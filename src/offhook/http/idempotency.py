"""Idempotency-Key: the same key and request get the same answer for 24 hours, and the work is done once.

The answer is stored in the transaction of the work, so a crash keeps both or neither; a failure rolls back and stores
nothing, and the same key may be tried again. While the first request runs, its transaction holds an advisory lock on
the key, so a second one learns at once that it is early. Answers are sealed: an endpoint's secret may stand in one.
"""

from dataclasses import dataclass

import orjson
from fastapi import Request

from offhook.db import EngineTx, Tenant, Tx
from offhook.errors import Conflict, Fault, Invalid
from offhook.http import store
from offhook.http.answer import Answer
from offhook.privacy import Vault

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
        request_tag, sealed = found
        if request_tag != self.request_tag:
            detail = "This key was used for another request within 24 hours; take a new key for a new request."
            raise Invalid([Fault(HEADER, "idempotency_mismatch", detail)])
        status, body, headers = orjson.loads(self.vault.open_own(sealed, self.key_tag))
        return Answer(status, body, {**headers, "Idempotent-Replay": "true"})

    async def keep(self, tx: Tx, answer: Answer) -> None:
        """Store the answer beside the work."""
        encoded = orjson.dumps([answer.status, answer.body, dict(answer.headers)])
        sealed = self.vault.seal_own(tx, encoded, self.key_tag)
        await store.keep(tx, self.key_tag, self.request_tag, answer.status, sealed)


async def once(request: Request, tenant: Tenant, vault: Vault) -> Once | None:
    """The keyed request, if it is a POST with an Idempotency-Key. Raises Invalid `bad_idempotency_key`."""
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
        vault.tag(tenant, "request", said + await _content(request)),
    )


async def purge_idempotency(tx: EngineTx) -> int:
    """Forget what is older than 24 hours, for a periodic job; how many answers that was."""
    return await store.purge(tx)


async def _content(request: Request) -> bytes:
    # A form was parsed from the stream and its bytes are gone; its boundary differs between two sendings anyway.
    if request.headers.get("content-type", "").startswith("multipart/"):
        return request.headers.get("content-length", "").encode()
    return await request.body()
