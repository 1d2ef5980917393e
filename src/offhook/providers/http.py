"""The provider doors: the six paths of the integration guide, verbatim, and the door by which platforms call back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import APIRouter, Request, Response

from offhook import ids
from offhook.db import Database, GroupCommit, Tx
from offhook.errors import Conflict, Fault, Invalid, NotFound, Unauthenticated
from offhook.events import Actor
from offhook.http import Answer, Caller, Door, Wire, caller
from offhook.providers import store
from offhook.providers.contract import BadSignature, CallReport, Capability, Inbound, Platform
from offhook.providers.one_off import DialOne, OneOffIn, Text
from offhook.providers.registry import Providers


class Calls(Protocol):
    """What these doors need of the room of calls."""

    async def report_all(self, tx: Tx, said: Sequence[tuple[UUID, Sequence[CallReport]]]) -> list[int]: ...

    async def shown(self, tx: Tx, call_id: UUID, *, personal: bool) -> dict[str, Any]: ...

    async def transfer(self, tx: Tx, call_id: UUID, reason: str, by: Actor) -> object: ...

    async def wrap_up(self, tx: Tx, call_id: UUID, code: str, by: Actor) -> object: ...


class DialIn(OneOffIn):
    """A one-off dial at this platform; `account` names one of several accounts there."""

    account: Text | None = None


class TransferIn(Wire):
    call_id: Text
    reason: Text = "requested"


class WrapUpIn(Wire):
    call_id: Text
    disposition: Text


@dataclass(frozen=True, slots=True)
class _Rooms:
    door: Door
    database: Database
    providers: Providers
    calls: Calls
    dial_one: DialOne


def router(door: Door, database: Database, providers: Providers, calls: Calls, dial_one: DialOne) -> APIRouter:
    """The six paths and the callbacks. `dial_one` is the gate's, as for every door that dials."""
    rooms = _Rooms(door, database, providers, calls, dial_one)
    api = APIRouter()
    six = APIRouter(prefix="/api/integrations/providers", tags=["providers"])
    _add_reads(six, rooms)
    _add_dial(six, rooms)
    _add_verbs(six, rooms)
    api.include_router(six)
    _add_callbacks(api, rooms)
    return api


def _add_callbacks(api: APIRouter, rooms: _Rooms) -> None:
    # Callbacks that arrive together share their commits; each is durable before it is answered.
    group: GroupCommit[tuple[UUID, list[CallReport]], int] = GroupCommit(rooms.database, rooms.calls.report_all)

    @api.post("/in/{key}/{account}", tags=["callbacks"], name="A platform calls back")
    async def call_back(key: str, account: str, request: Request) -> Response:
        """Believed when its signature is right, whoever sends it."""
        account_id = _account_id(account)
        tenant = await rooms.providers.whose(rooms.database, account_id, key)
        async with rooms.database.transaction(tenant) as tx:
            provider = await rooms.providers.for_account(tx, account_id)
        headers = {name.lower(): value for name, value in request.headers.items()}
        url = rooms.providers.public(request.url.path, request.url.query)
        try:
            reports = provider.read(Inbound(headers, await request.body(), url))
        except BadSignature:
            raise Unauthenticated("bad_signature", "The callback's signature is missing, wrong or too old.") from None
        new = await group.submit(tenant, (account_id, reports)) if reports else 0
        return Answer(200, {"reports": len(reports), "new": new}).response()


def _add_reads(api: APIRouter, rooms: _Rooms) -> None:
    @api.get("", name="List platforms")
    async def list_(who: Annotated[Caller, caller("providers:read")]) -> Response:
        async def read(tx: Tx) -> Answer:
            rows = await store.every(tx)
            shown = [
                _shown(platform, [row for row in rows if row.platform == key])
                for key, platform in rooms.providers.platforms.items()
            ]
            return Answer(200, {"object": "list", "data": shown, "has_more": False, "next_cursor": None})

        return await rooms.door.read(who, read)

    @api.get("/{key}/health", name="Whether we reach the platform")
    async def health(
        key: str, who: Annotated[Caller, caller("providers:read")], account: str | None = None
    ) -> Response:
        async with rooms.database.transaction(who.tenant) as tx:
            account_id = await _account(tx, rooms, key, account)
            provider = await rooms.providers.for_account(tx, account_id)
        found = await provider.health()
        body = {"ok": found.ok, "problem": found.problem, "latency_ms": found.latency_ms}
        return Answer(200, {"provider": key, "provider_account_id": ids.show("pac", account_id), **body}).response()

    @api.get("/{key}/calls/{call_id}", name="How a call stands")
    async def status(key: str, call_id: str, who: Annotated[Caller, caller("calls:read")]) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await _call(tx, rooms, key, call_id, personal=who.may("leads:read-personal")))

        return await rooms.door.read(who, read)


def _add_dial(api: APIRouter, rooms: _Rooms) -> None:
    @api.post("/{key}/calls", status_code=202, name="Place a call at this platform")
    async def place(
        key: str, request: Request, body: DialIn, who: Annotated[Caller, caller("calls:write")]
    ) -> Response:
        async def work(tx: Tx) -> Answer:
            account_id = await _account(tx, rooms, key, body.account or body.provider_account_id)
            await _require(tx, rooms, account_id, Capability.PLACE)
            named = body.model_copy(update={"provider_account_id": ids.show("pac", account_id)})
            return await rooms.dial_one(tx, named.asked(request.headers.get("idempotency-key"), _actor(who)))

        return await rooms.door.write(request, who, work)


def _add_verbs(api: APIRouter, rooms: _Rooms) -> None:
    @api.post("/{key}/transfer", status_code=202, name="Transfer a call")
    async def transfer(
        key: str, request: Request, body: TransferIn, who: Annotated[Caller, caller("calls:write")]
    ) -> Response:
        async def work(tx: Tx) -> Answer:
            call_id = ids.read("call", (await _call(tx, rooms, key, body.call_id, personal=False))["id"])
            await rooms.calls.transfer(tx, call_id, body.reason, _actor(who))
            return Answer(202, await rooms.calls.shown(tx, call_id, personal=False))

        return await rooms.door.write(request, who, work)

    @api.post("/{key}/wrap-up", status_code=202, name="Set the disposition and end the call")
    async def wrap_up(
        key: str, request: Request, body: WrapUpIn, who: Annotated[Caller, caller("calls:write")]
    ) -> Response:
        async def work(tx: Tx) -> Answer:
            call_id = ids.read("call", (await _call(tx, rooms, key, body.call_id, personal=False))["id"])
            await rooms.calls.wrap_up(tx, call_id, body.disposition, _actor(who))
            return Answer(202, await rooms.calls.shown(tx, call_id, personal=False))

        return await rooms.door.write(request, who, work)


async def _call(tx: Tx, rooms: _Rooms, key: str, call_id: str, *, personal: bool) -> dict[str, Any]:
    rooms.providers.platform(key)
    try:
        shown = await rooms.calls.shown(tx, ids.read("call", call_id), personal=personal)
    except ids.NotAnId:
        raise NotFound("no_such_call", "There is no call with this id.", param="call_id") from None
    if shown["provider"]["key"] != key:
        raise NotFound("no_such_call", "This platform has no call with this id.", param="call_id")
    return shown


async def _account(tx: Tx, rooms: _Rooms, key: str, named: str | None) -> UUID:
    """The account meant: the one named (by its id or name), else the preferred one of the platform."""
    rooms.providers.platform(key)
    if named is None:
        if account := await rooms.providers.preferred(tx, key):
            return account.id
        raise Conflict("no_account", "There is no account for this platform; make one under /v1/provider-accounts.")
    for row in await store.every(tx):
        if row.platform == key and named in (row.name, ids.show("pac", row.id)):
            return row.id
    raise Invalid([Fault("account", "no_such_provider_account", "This platform has no account of that name or id.")])


async def _require(tx: Tx, rooms: _Rooms, account_id: UUID, capability: Capability) -> None:
    provider = await rooms.providers.for_account(tx, account_id)
    if capability not in provider.capabilities:
        raise Conflict("unsupported", f"This platform cannot do that: {capability}.", param="key")


def _actor(who: Caller) -> Actor:
    return Actor("api_key", ids.show("key", who.key_id))


def _account_id(text: str) -> UUID:
    try:
        return ids.read("pac", text)
    except ids.NotAnId:
        raise NotFound("no_such_provider_account", "There is no such account.", param="account") from None


def _shown(platform: Platform, rows: Sequence[store.Row]) -> dict[str, Any]:
    accounts = [{"id": ids.show("pac", row.id), "name": row.name, "is_default": row.is_default} for row in rows]
    return {
        "key": platform.key,
        "object": "provider",
        "title": platform.title,
        "enabled": bool(rows),
        "capabilities": sorted(platform.capabilities),
        "evidence": platform.evidence,
        "accounts": accounts,
    }
