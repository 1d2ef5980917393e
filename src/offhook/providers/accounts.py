"""`/v1/provider-accounts`: the credentials with which we speak to platforms. A secret goes in and is never shown."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from offhook import clock, ids
from offhook.db import Tx
from offhook.errors import Conflict, Fault, Invalid, NotFound, Stale
from offhook.http import Page, Wire
from offhook.http.resources import Ref
from offhook.http.wire import Metadata, Name
from offhook.providers import store
from offhook.providers.registry import Providers

Secret = Annotated[dict[Name, Annotated[str, StringConstraints(max_length=10_000)]], Field(max_length=20)]


class AccountIn(Wire):
    """An account at a platform. `settings` are plain (a region, a URL), `secret` is sealed and never shown again."""

    provider: Name
    name: Name
    settings: Metadata = {}
    secret: Secret = Field(default_factory=dict, repr=False)
    is_default: bool = False


class AccountChange(Wire):
    name: Name | None = None
    settings: Metadata | None = None
    secret: Secret | None = Field(None, repr=False)
    is_default: bool | None = None


class ProviderAccounts:
    """The provider accounts of a tenant. A change is used by the very next call."""

    plural = "provider-accounts"
    object = "provider_account"
    prefix: ids.Prefix = "pac"
    read_scope = "providers:read"
    write_scope = "providers:write"
    Create = AccountIn
    Change = AccountChange

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    async def create(self, tx: Tx, body: AccountIn) -> dict[str, Any]:
        if body.provider not in self._providers.platforms:
            known = ", ".join(sorted(self._providers.platforms))
            raise Invalid([Fault("provider", "no_such_provider", f"There is no adapter for it. There are: {known}.")])
        id = await self._providers.add(
            tx, body.provider, body.name, settings=body.settings, secret=body.secret, is_default=body.is_default
        )
        self._providers.changed(tx)
        return await self.find(tx, id)

    async def find(self, tx: Tx, ref: Ref) -> dict[str, Any]:
        return self._shown(await self._row(tx, ref))

    async def list(self, tx: Tx, page: Page) -> list[dict[str, Any]]:
        start = page.start(UUID)
        return [self._shown(row) for row in await store.every(tx, start[0] if start else None, page.most)]

    async def change(
        self, tx: Tx, ref: Ref, body: AccountChange, sent: frozenset[str], expected: int | None
    ) -> dict[str, Any]:
        row = await self._row(tx, ref)
        if expected is not None and expected != row.version:
            raise Stale("stale", f"It is at version {row.version} by now; read it again.")
        new = {name: value for name, value in body.model_dump(include=set(sent)).items() if value is not None}
        if "settings" in new and new["settings"] != row.settings:
            self._providers.check(tx, row.platform, new["settings"])
        if "secret" in new:
            # A merge patch: the parts of the secret that were not sent stay as they are.
            new["secret"] = self._providers.sealed(tx, row.id, {**self._providers.opened(row), **new["secret"]})
        await store.update(tx, replace(row, **new))
        self._providers.changed(tx)
        return await self.find(tx, row.id)

    async def delete(self, tx: Tx, ref: Ref) -> None:
        row = await self._row(tx, ref)
        if used_by := await store.delete(tx, row.id):
            raise Conflict("in_use", "Campaigns or open calls use this account.", extra={"references": used_by})
        self._providers.changed(tx)

    async def _row(self, tx: Tx, ref: Ref) -> store.Row:
        row = await store.find(tx, ref) if isinstance(ref, UUID) else None
        if row is None:
            raise NotFound("no_such_provider_account", "There is no provider account with this id.", param="id")
        return row

    def _shown(self, row: store.Row) -> dict[str, Any]:
        return {
            "id": ids.show("pac", row.id),
            "object": "provider_account",
            "external_id": None,
            "provider": row.platform,
            "name": row.name,
            "settings": row.settings,
            "secret": dict.fromkeys(self._providers.opened(row), "***"),
            "is_default": row.is_default,
            "created_at": clock.show(row.created_at),
            "updated_at": clock.show(row.updated_at),
            "version": row.version,
        }
