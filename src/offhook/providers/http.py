"""The provider doors: the six paths of the integration guide, verbatim, and the door by which platforms call back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from fastapi import APIRouter, Request, Response

from offhook import ids
from offhook.db import Database, GroupCommit, Tx
from offhook.errors import Conflict, Fault, Invalid, NotFound, Unauthenticated
from offhook.http import Answer, Caller, Door, Wire, caller
from offhook.providers import store
from offhook.providers.contract import BadSignature, CallReport, Capability, Inbound, Platform
from offhook.providers.one_off import DialOne, OneOffIn, Text, id_in
from offhook.providers.registry import Providers

Report = Callable[[Tx, UUID, Sequence[CallReport]], Awaitable[int]]


class Verbs(Protocol):
    """What these doors do with a call; the room of calls keeps it. Each answers the call as the API shows it."""

    async def show(self, tx: Tx, call_id: UUID, *, personal: bool) -> dict[str, Any]: ...

    async def transfer(self, tx: Tx, call_id: UUID, reason: str) -> dict[str, Any]: ...

    async def wrap_up(self, tx: Tx, call_id: UUID, disposition: str, key_id: UUID) -> dict[str, Any]: ...


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
class Doors:
    """What the doors stand on."""

    door: Door
    database: Database
    providers: Providers
    dial_one: DialOne
    verbs: Verbs


def router(doors: Doors) -> APIRouter:
    """The six paths under `/api/integrations/providers`."""
    api = APIRouter(prefix="/api/integrations/providers", tags=["providers"])
    _add_reads(api, doors)
    _add_calls(api, doors)
    _add_verbs(api, doors)
    return api


def callbacks(database: Database, providers: Providers, report: Report) -> APIRouter:
    """`POST /in/{key}/{account}`: a platform's callback, believed when its signature is right, whoever sends it.

    What it says is durable before it is answered; callbacks that arrive together share their commits.
    """
    api = APIRouter(prefix="/in", tags=["callbacks"])

    async def take(tx: Tx, said: Sequence[tuple[UUID, list[CallReport]]]) -> list[int]:
        return [await report(tx, account, reports) for account, reports in said]

    group: GroupCommit[tuple[UUID, list[CallReport]], int] = GroupCommit(database, take)

    @api.post("/{key}/{account}", name="A platform calls back")
    async def call_back(key: str, account: str, request: Request) -> Response:
        account_id = _account_id(account)
        tenant = await providers.whose(database, account_id, key)
        async with database.transaction(tenant) as tx:
            provider = await providers.for_account(tx, account_id)
        headers = {name.lower(): value for name, value in request.headers.items()}
        url = providers.public(request.url.path, request.url.query)
        try:
            reports = provider.read(Inbound(headers, await request.body(), url))
        except BadSignature:
            raise Unauthenticated("bad_signature", "The callback's signature is missing, wrong or too old.") from None
        new = await group.submit(tenant, (account_id, reports)) if reports else 0
        return Answer(200, {"reports": len(reports), "new": new}).response()

    return api


def _add_reads(api: APIRouter, doors: Doors) -> None:
    @api.get("", name="List platforms")
    async def list_(who: Caller = caller("providers:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            rows = await store.every(tx)
            shown = [
                _shown(platform, [row for row in rows if row.platform == key])
                for key, platform in doors.providers.platforms.items()
            ]
            return Answer(200, {"object": "list", "data": shown, "has_more": False, "next_cursor": None})

        return await doors.door.read(who, read)

    @api.get("/{key}/health", name="Whether we reach the platform")
    async def health(key: str, account: str | None = None, who: Caller = caller("providers:read")) -> Response:
        async with doors.database.transaction(who.tenant) as tx:
            account_id = await _account(tx, doors, key, account)
            provider = await doors.providers.for_account(tx, account_id)
        found = await provider.health()
        body = {"ok": found.ok, "problem": found.problem, "latency_ms": found.latency_ms}
        return Answer(200, {"provider": key, "provider_account_id": ids.show("pac", account_id), **body}).response()

    @api.get("/{key}/calls/{call_id}", name="How a call stands")
    async def status(key: str, call_id: str, who: Caller = caller("calls:read")) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, await _call(tx, doors, key, call_id, personal=who.may("leads:read-personal")))

        return await doors.door.read(who, read)


def _add_calls(api: APIRouter, doors: Doors) -> None:
    @api.post("/{key}/calls", status_code=202, name="Place a call at this platform")
    async def place(key: str, request: Request, body: DialIn, who: Caller = caller("calls:write")) -> Response:
        async def work(tx: Tx) -> Answer:
            account_id = await _account(tx, doors, key, body.account or body.provider_account_id)
            await _require(tx, doors, account_id, Capability.PLACE)
            named = body.model_copy(update={"provider_account_id": ids.show("pac", account_id)})
            return await doors.dial_one(tx, named.asked(request.headers.get("idempotency-key")))

        return await doors.door.write(request, who, work)


def _add_verbs(api: APIRouter, doors: Doors) -> None:
    @api.post("/{key}/transfer", status_code=202, name="Transfer a call")
    async def transfer(key: str, request: Request, body: TransferIn, who: Caller = caller("calls:write")) -> Response:
        async def work(tx: Tx) -> Answer:
            await _call(tx, doors, key, body.call_id, personal=False)
            call_id = id_in("call", body.call_id, "call_id")
            assert call_id is not None
            return Answer(202, await doors.verbs.transfer(tx, call_id, body.reason))

        return await doors.door.write(request, who, work)

    @api.post("/{key}/wrap-up", status_code=202, name="Set the disposition and end the call")
    async def wrap_up(key: str, request: Request, body: WrapUpIn, who: Caller = caller("calls:write")) -> Response:
        async def work(tx: Tx) -> Answer:
            await _call(tx, doors, key, body.call_id, personal=False)
            call_id = id_in("call", body.call_id, "call_id")
            assert call_id is not None
            return Answer(202, await doors.verbs.wrap_up(tx, call_id, body.disposition, who.key_id))

        return await doors.door.write(request, who, work)


async def _call(tx: Tx, doors: Doors, key: str, call_id: str, *, personal: bool) -> dict[str, Any]:
    doors.providers.platform(key)
    try:
        shown = await doors.verbs.show(tx, ids.read("call", call_id), personal=personal)
    except ids.NotAnId:
        raise NotFound("no_such_call", "There is no call with this id.", param="call_id") from None
    if shown["provider"]["key"] != key:
        raise NotFound("no_such_call", "This platform has no call with this id.", param="call_id")
    return shown


async def _account(tx: Tx, doors: Doors, key: str, named: str | None) -> UUID:
    """The account meant: the one named (by its id or name), else the preferred one of the platform."""
    doors.providers.platform(key)
    if named is None:
        if account := await doors.providers.preferred(tx, key):
            return account.id
        raise Conflict("no_account", "There is no account for this platform; make one under /v1/provider-accounts.")
    for row in await store.every(tx):
        if row.platform == key and named in (row.name, ids.show("pac", row.id)):
            return row.id
    raise Invalid([Fault("account", "no_such_provider_account", "This platform has no account of that name or id.")])


async def _require(tx: Tx, doors: Doors, account_id: UUID, capability: Capability) -> None:
    provider = await doors.providers.for_account(tx, account_id)
    if capability not in provider.capabilities:
        raise Conflict("unsupported", f"This platform cannot do that: {capability}.", param="key")


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
