"""`Providers`: from an account's row to the adapter that speaks for it, kept while the row stays the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any
from uuid import UUID

import orjson

from offhook import ids
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.errors import CannotStart, Conflict, Invalid, NotFound
from offhook.privacy import Vault
from offhook.providers import store
from offhook.providers.contract import Account, Platform, VoiceProvider

GROUP = "offhook.providers"
_PLACE = b"provider_account"


@dataclass(frozen=True, slots=True)
class _Kept:
    account: Account
    provider: VoiceProvider


class Providers:
    """The platforms we can speak to, and the adapter of each account. One per process, built in wiring."""

    def __init__(self, vault: Vault, wakeups: Wakeups, builtin: Sequence[Platform], public_url: str) -> None:
        self._vault = vault
        self._wakeups = wakeups
        self._public_url = public_url.rstrip("/")
        self._kept: dict[tuple[Tenant, UUID], _Kept] = {}
        self._tenants: dict[tuple[UUID, str], Tenant] = {}
        self.platforms: Mapping[str, Platform] = {platform.key: platform for platform in (*_installed(), *builtin)}
        wakeups.hear("provider_account", lambda _: self._kept.clear())
        wakeups.on_reconnect(self._kept.clear)

    def platform(self, key: str) -> Platform:
        """The platform behind a key. Raises NotFound."""
        if key not in self.platforms:
            raise NotFound("no_such_provider", "There is no adapter for this platform.", param="key")
        return self.platforms[key]

    async def account(self, tx: Tx, account_id: UUID) -> Account:
        """The account with its secret open. Raises NotFound."""
        return (await self._keep(tx, account_id)).account

    async def for_account(self, tx: Tx, account_id: UUID) -> VoiceProvider:
        """The adapter of this account. Raises NotFound when the account, or the adapter of its platform, is gone."""
        return (await self._keep(tx, account_id)).provider

    async def preferred(self, tx: Tx, platform: str | None = None) -> Account | None:
        """The account to use where none is named: the default, else the oldest; None when there is none."""
        found = await store.preferred(tx, platform)
        return await self.account(tx, found) if found else None

    async def add(
        self,
        tx: Tx,
        platform: str,
        name: str,
        *,
        settings: Mapping[str, Any] | None = None,
        secret: Mapping[str, str] | None = None,
        is_default: bool = False,
    ) -> UUID:
        """Store an account, its secret sealed; its id.

        Raises NotFound for an unknown platform, Invalid for settings it does not take, Conflict for a name taken.
        """
        self.check(tx, platform, settings or {})
        id = ids.new()
        sealed = self.sealed(tx, id, secret) if secret else None
        if not await store.insert(tx, id, platform, name, dict(settings or {}), sealed, is_default=is_default):
            raise Conflict("name_taken", "This platform has an account of that name already.", param="name")
        return id

    def check(self, tx: Tx, platform: str, settings: Mapping[str, Any]) -> None:
        """Raises NotFound for an unknown platform, Invalid for settings that it does not take of this tenant."""
        if faults := self.platform(platform).faults_of(tx.tenant, settings):
            raise Invalid(faults)

    def sealed(self, tx: Tx, account_id: UUID, secret: Mapping[str, str]) -> bytes:
        """The secret as it is stored."""
        return self._vault.seal_own(tx, orjson.dumps(dict(secret)), _PLACE + account_id.bytes)

    def opened(self, row: store.Row) -> dict[str, str]:
        """The secret in clear; empty when the account has none."""
        if row.secret is None:
            return {}
        secret: dict[str, str] = orjson.loads(self._vault.open_own(row.secret, _PLACE + row.id.bytes))
        return secret

    def changed(self, tx: Tx) -> None:
        """Have every process build its adapters anew once this commits."""
        tx.on_commit(self._kept.clear)
        tx.on_commit(lambda: self._wakeups.send("provider_account"))

    async def whose(self, database: Database, account_id: UUID, platform: str) -> Tenant:
        """Whose account a callback is for. Raises NotFound when that platform has no such account."""
        if (account_id, platform) not in self._tenants:
            async with database.engine() as tx:
                tenant = await store.tenant_of(tx, account_id, platform)
            if tenant is None:
                raise NotFound("no_such_provider_account", "There is no such account.", param="account")
            self._tenants[account_id, platform] = tenant
        return self._tenants[account_id, platform]

    def public(self, path: str, query: str = "") -> str:
        """The URL under which a platform reaches a path of ours: what it signed, whatever stands in between."""
        return f"{self._public_url}{path}" + (f"?{query}" if query else "")

    async def _keep(self, tx: Tx, account_id: UUID) -> _Kept:
        place = (tx.tenant, account_id)
        if place not in self._kept:
            row = await store.find(tx, account_id)
            if row is None:
                raise NotFound("no_such_provider_account", "There is no provider account with this id.", param="id")
            account = Account(
                tenant=tx.tenant,
                id=row.id,
                platform=row.platform,
                name=row.name,
                settings=row.settings,
                secret=self.opened(row),
                callback_url=self.public(f"/in/{row.platform}/{ids.show('pac', row.id)}"),
            )
            self._kept[place] = _Kept(account, self.platform(row.platform).build(account))
        return self._kept[place]


def _installed() -> list[Platform]:
    platforms = []
    for entry in entry_points(group=GROUP):
        platform = entry.load()
        if not isinstance(platform, Platform):
            raise CannotStart("bad_provider", f"The installed provider {entry.name} is not a Platform.")
        platforms.append(platform)
    return platforms
