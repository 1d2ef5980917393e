"""An application with one small resource, over a table of its own in the test's database."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import psycopg
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import Field

from offhook import access, clock, ids
from offhook.app import build_app
from offhook.db import Database, Tenant, Tx, Wakeups
from offhook.errors import Conflict, NotFound, Stale
from offhook.http import Answer, Caller, Door, Page, Wire, caller
from offhook.http.resources import External, Ref, resource_router
from offhook.privacy import Vault
from offhook.settings import load

TABLE = """
create table thing (
  workspace_id uuid not null, environment text not null, id uuid not null, external_id text, name text not null,
  created_at timestamptz not null, version int not null default 1,
  primary key (workspace_id, environment, id), unique (workspace_id, environment, external_id));
alter table thing enable row level security;
alter table thing force row level security;
create policy tenant on thing to offhook_app using (
  workspace_id = current_setting('offhook.workspace')::uuid and environment = current_setting('offhook.environment'));
grant select, insert, update, delete on thing to offhook_app;
"""


class Colour(Wire):
    red: Annotated[int, Field(ge=0, le=255)] = 0


class ThingIn(Wire):
    name: Annotated[str, Field(min_length=1, max_length=20)]
    external_id: str | None = None
    colour: Colour = Colour()


class ThingChange(Wire):
    name: str | None = None
    external_id: str | None = None


class Things:
    """A resource as a room would write it, whose changes take as long as a test wants."""

    plural = "things"
    object = "thing"
    prefix: ids.Prefix = "tgt"
    read_scope = "routing:read"
    write_scope = "routing:write"
    Create = ThingIn
    Change = ThingChange

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.changed = asyncio.Event()

    async def create(self, tx: Tx, body: ThingIn) -> dict[str, Any]:
        id = ids.new()
        await tx.run(
            "insert into thing (workspace_id, environment, id, external_id, name, created_at)"
            " values (%(ws)s, %(env)s, %(id)s, %(external)s, %(name)s, %(now)s)",
            {**tx.keys, "id": id, "external": body.external_id, "name": body.name, "now": tx.now},
        )
        if body.name == "unforeseen":
            raise RuntimeError("the secret of Michael, +13125550199")
        return await self.find(tx, id)

    async def find(self, tx: Tx, ref: Ref) -> dict[str, Any]:
        external, id = (ref.value, None) if isinstance(ref, External) else (None, ref)
        row = await tx.row(
            "select id, external_id, name, created_at, version from thing where id = %(id)s or external_id = %(external)s",
            {"id": id, "external": external},
        )
        if row is None:
            raise NotFound("no_such_thing", "There is no thing with this id.", param="id")
        return _shown(row)

    async def list(self, tx: Tx, page: Page) -> list[dict[str, Any]]:
        (after,) = page.start(UUID) or (UUID(int=0),)
        rows = await tx.rows(
            "select id, external_id, name, created_at, version from thing where id > %(after)s order by id limit %(most)s",
            {"after": after, "most": page.most},
        )
        return [_shown(row) for row in rows]

    async def change(
        self, tx: Tx, ref: Ref, body: ThingChange, sent: frozenset[str], expected: int | None
    ) -> dict[str, Any]:
        found = await self.find(tx, ref)
        if expected is not None and expected != found["version"]:
            raise Stale("stale", "It changed since you read it.")
        new = {**found, **body.model_dump(include=set(sent))}
        await tx.run(
            "update thing set name = %(name)s, external_id = %(external)s, version = version + 1 where id = %(id)s",
            {"id": ids.read("tgt", found["id"]), "name": new["name"], "external": new["external_id"]},
        )
        self.changed.set()
        await self.may_end.wait()
        return await self.find(tx, ids.read("tgt", found["id"]))

    async def delete(self, tx: Tx, ref: Ref) -> None:
        found = await self.find(tx, ref)
        if found["name"] == "used":
            raise Conflict("in_use", "A campaign uses it.", extra={"references": ["cmp_1"]})
        await tx.run("delete from thing where id = %(id)s", {"id": ids.read("tgt", found["id"])})


@pytest.fixture
def things(database_url: str) -> Things:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(TABLE)
    return Things()


@pytest.fixture
def door(database: Database, vault: Vault) -> Door:
    return Door(database, vault)


@pytest.fixture
def authenticator(database: Database, wakeups: Wakeups) -> access.Authenticator:
    return access.Authenticator(database, wakeups)


@pytest.fixture
def app(database: Database, door: Door, authenticator: access.Authenticator, things: Things) -> FastAPI:
    async def ready() -> dict[str, str]:
        return {"database": "ok" if await database.alive() else "away"}

    settings = load({"max_body_bytes": 4096}, environ={})
    return build_app(settings, authenticator, database, [resource_router(door, things), _reads(door)], ready)


@pytest.fixture
async def key(database: Database, tenant: Tenant) -> str:
    return await a_key(database, tenant, "routing:*")


@pytest.fixture
def api(app: FastAPI, key: str, client_of: Any) -> Any:
    """A member of the workspace, with a key that may do what the things ask for."""
    return client_of(app, key)


@pytest.fixture
async def owner_key(database: Database, tenant: Tenant) -> str:
    return await a_key(database, tenant, "*")


@pytest.fixture
async def stranger_api(app: FastAPI, database: Database, stranger: Tenant, client_of: Any) -> Any:
    return client_of(app, await a_key(database, stranger, "*"))


async def a_key(database: Database, tenant: Tenant, *scopes: str) -> str:
    async with database.transaction(tenant) as tx:
        return (await access.issue_key(tx, "A key", scopes)).shown


def _reads(door: Door) -> APIRouter:
    api = APIRouter()

    @api.get("/v1/whoami")
    async def whoami(who: Annotated[Caller, caller("leads:read")]) -> Any:
        async def read(tx: Tx) -> Answer:
            return Answer(200, {"environment": tx.tenant.environment})

        return await door.read(who, read)

    return api


def _shown(row: Any) -> dict[str, Any]:
    id, external_id, name, created_at, version = row
    return {
        "id": ids.show("tgt", id),
        "object": "thing",
        "external_id": external_id,
        "name": name,
        "created_at": clock.show(created_at),
        "version": version,
    }
