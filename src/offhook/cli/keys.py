"""`offhook keys`: the keys of a workspace, over its database, for whoever has lost the last one or has none yet.

It asks the running database, embedded or named, and starts none.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from offhook import ids
from offhook.access import Authenticator
from offhook.access.keys import ApiKeys, KeyIn
from offhook.cli import store
from offhook.cli.database import found, lacking
from offhook.cli.screen import machine, say, table
from offhook.db import Database, Tenant, Wakeups
from offhook.db.connection import Environment
from offhook.errors import CannotStart, Fault, Invalid, NotFound
from offhook.http import Page
from offhook.settings import Settings

Shown = dict[str, Any]
Answer = TypeVar("Answer")

_ENVIRONMENTS: tuple[Environment, ...] = ("live", "sandbox")
_MOST = Page(limit=1000)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The key that is asked for."""

    name: str
    environment: Environment
    scopes: Sequence[str]
    rate_per_s: int


@dataclass(frozen=True, slots=True)
class Cabinet:
    """The keys of one workspace."""

    database: Database
    keys: ApiKeys
    workspace: UUID

    async def all(self) -> list[Shown]:
        """Every key of both environments, revoked ones too."""
        shown: list[Shown] = []
        for environment in _ENVIRONMENTS:
            async with self.database.transaction(Tenant(self.workspace, environment)) as tx:
                shown += [{**key, "environment": environment} for key in await self.keys.list(tx, _MOST)]
        return shown

    async def make(self, wanted: Wanted) -> Shown:
        """A new key, with the secret itself under `key`. Raises Invalid, naming every scope that does not exist."""
        body = KeyIn.read({"name": wanted.name, "scopes": list(wanted.scopes), "rate_per_s": wanted.rate_per_s})
        async with self.database.transaction(Tenant(self.workspace, wanted.environment)) as tx:
            return {**await self.keys.create(tx, body), "environment": wanted.environment}

    async def revoke(self, id: UUID) -> Shown:
        """The key, revoked, in whichever environment it is. Raises NotFound."""
        for environment in _ENVIRONMENTS:
            async with self.database.transaction(Tenant(self.workspace, environment)) as tx:
                try:
                    await self.keys.delete(tx, id)
                except NotFound:
                    continue
                return {**await self.keys.find(tx, id), "environment": environment}
        raise NotFound("no_such_api_key", "This workspace has no such key; `offhook keys list` tells them.")


def list_keys(settings: Settings, workspace: str | None, *, as_json: bool) -> None:
    """Tell every key, by its hint."""
    found_keys = _asked(settings, workspace, Cabinet.all)
    if as_json:
        machine(found_keys)
        return
    for key in found_keys:
        _tell(key)
    if not found_keys:
        say("There are none; `offhook keys create` makes one.")


def create_key(settings: Settings, workspace: str | None, wanted: Wanted, *, as_json: bool) -> None:
    """Make a key, and tell it in full."""
    key = _asked(settings, workspace, lambda cabinet: cabinet.make(wanted))
    if as_json:
        machine(key)
        return
    table({"Key": key["key"], "Id": key["id"], "Environment": key["environment"], "Scopes": ", ".join(key["scopes"])})
    say("It is shown this once; Offhook keeps only its hash.")


def revoke_key(settings: Settings, workspace: str | None, key_id: str, *, as_json: bool) -> None:
    """Revoke a key, and tell since when."""
    try:
        id = ids.read("key", key_id)
    except ids.NotAnId as why:
        raise Invalid([Fault("KEY_ID", "bad_id", f"This is {why}.")]) from None
    key = _asked(settings, workspace, lambda cabinet: cabinet.revoke(id))
    if as_json:
        machine(key)
    else:
        say(f"{key['id']} is revoked since {key['revoked_at']}.")


def _asked(settings: Settings, workspace: str | None, ask: Callable[[Cabinet], Awaitable[Answer]]) -> Answer:
    url = found(settings)
    if missing := lacking(url):
        raise CannotStart("migrations_behind", f"The database lacks {', '.join(missing)}. Run `offhook migrate` first.")

    async def asking() -> Answer:
        async with _opened(url, workspace) as cabinet:
            return await ask(cabinet)

    return asyncio.run(asking())


@asynccontextmanager
async def _opened(url: str, workspace: str | None) -> AsyncIterator[Cabinet]:
    database = Database(url, pool_size=2)
    await database.open()
    try:
        # These wake-ups are never sent: a running process believes a key for a second at most, and asks again.
        keys = ApiKeys(Authenticator(database, Wakeups(url)))
        yield Cabinet(database, keys, await _meant(database, workspace))
    finally:
        await database.close()


async def _meant(database: Database, workspace: str | None) -> UUID:
    async with database.engine() as tx:
        there = {ids.show("ws", id): id for id, _ in await store.workspaces(tx)}
    if workspace is None and len(there) == 1:
        return next(iter(there.values()))
    if workspace in there:
        return there[workspace]
    if not there:
        raise NotFound("no_workspace", "There is no workspace yet. `offhook up` makes the first one.")
    said = f"There is no workspace {workspace}." if workspace else "There are several workspaces."
    raise Invalid([Fault("--workspace", "which_workspace", f"{said} Name one of: {', '.join(there)}.")])


def _tell(key: Shown) -> None:
    state = f"revoked {key['revoked_at']}" if key["revoked_at"] else f"{key['rate_per_s']}/s"
    say(f"{key['id']}  {key['environment']:8}  …{key['hint']}  {state}  {key['name']}  [{', '.join(key['scopes'])}]")
