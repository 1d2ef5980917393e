"""API keys: issued once, shown once, changed and revoked at once everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from offhook import clock, ids
from offhook.access import store
from offhook.access.authenticator import Authenticator
from offhook.access.scopes import check_scopes
from offhook.access.store import KeyRow
from offhook.access.token import mint
from offhook.db import Tx
from offhook.errors import NotFound, Stale
from offhook.http import Page, Wire
from offhook.http.resources import External, Ref

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Scopes = Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(min_length=1, max_length=100)]
Rate = Annotated[int, Field(ge=1, le=100_000)]


class KeyIn(Wire):
    """A new key of the caller's own environment."""

    name: Name
    scopes: Scopes
    rate_per_s: Rate = 100
    burst: Rate = 200


class KeyChange(Wire):
    name: Name | None = None
    scopes: Scopes | None = None
    rate_per_s: Rate | None = None
    burst: Rate | None = None


@dataclass(frozen=True, slots=True, repr=False)
class IssuedKey:
    """A new key. `shown` is the secret that its owner sends, and is nowhere else from now on."""

    id: UUID
    shown: str


async def issue_key(tx: Tx, name: str, scopes: Sequence[str], *, rate_per_s: int = 100, burst: int = 200) -> IssuedKey:
    """A new key of this transaction's environment. Raises Invalid `unknown_scope`."""
    check_scopes(scopes)
    shown, hash = mint(tx.tenant.environment)
    row = KeyRow(
        id=ids.new(),
        name=name,
        hint=shown[-4:],
        scopes=list(scopes),
        rate_per_s=rate_per_s,
        burst=burst,
        created_at=tx.now,
        updated_at=tx.now,
        revoked_at=None,
        version=1,
    )
    await store.insert_key(tx, row, hash)
    return IssuedKey(row.id, shown)


class ApiKeys:
    """`/v1/api-keys`. DELETE revokes: the row stays, and tells when that was."""

    plural = "api-keys"
    object = "api_key"
    prefix: ids.Prefix = "key"
    read_scope = "access:read"
    write_scope = "access:write"
    Create = KeyIn
    Change = KeyChange

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def create(self, tx: Tx, body: KeyIn) -> dict[str, Any]:
        issued = await issue_key(tx, body.name, body.scopes, rate_per_s=body.rate_per_s, burst=body.burst)
        return {**await self.find(tx, issued.id), "key": issued.shown}

    async def find(self, tx: Tx, ref: Ref) -> dict[str, Any]:
        return _shown(await _find(tx, ref))

    async def list(self, tx: Tx, page: Page) -> list[dict[str, Any]]:
        start = page.start(UUID)
        return [_shown(row) for row in await store.list_keys(tx, start[0] if start else None, page.most)]

    async def change(
        self, tx: Tx, ref: Ref, body: KeyChange, sent: frozenset[str], expected: int | None
    ) -> dict[str, Any]:
        row = await _find(tx, ref)
        if expected is not None and expected != row.version:
            raise Stale("stale", f"It is at version {row.version} by now; read it again.")
        if body.scopes is not None:
            check_scopes(body.scopes)
        await store.update_key(tx, row.id, body.model_dump(include=set(sent), exclude_none=True))
        self._authenticator.changed(tx, row.id)
        return await self.find(tx, row.id)

    async def delete(self, tx: Tx, ref: Ref) -> None:
        row = await _find(tx, ref)
        await store.revoke_key(tx, row.id)
        self._authenticator.changed(tx, row.id)


async def _find(tx: Tx, ref: Ref) -> KeyRow:
    row = None if isinstance(ref, External) else await store.find_key(tx, ref)
    if row is None:
        raise NotFound("no_such_api_key", "There is no API key with this id.", param="id")
    return row


def _shown(row: KeyRow) -> dict[str, Any]:
    return {
        "id": ids.show("key", row.id),
        "object": "api_key",
        "name": row.name,
        "hint": row.hint,
        "scopes": row.scopes,
        "rate_per_s": row.rate_per_s,
        "burst": row.burst,
        "created_at": clock.show(row.created_at),
        "updated_at": clock.show(row.updated_at),
        "revoked_at": clock.show_or_null(row.revoked_at),
        "version": row.version,
    }
