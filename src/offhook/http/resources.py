"""Resources: a room says what its objects are, and gets list, create, get, patch, delete and batch.

A reference is our id or the customer's own (`ext:ACME-7`). PATCH is a JSON merge patch: what is absent stays, what is
null is cleared. `If-Match` on the version guards against lost updates: requests that change one object take turns, so
the version that is compared is the one that is changed or deleted. `?dry_run=true` answers and undoes. In a batch each
operation stands alone (a savepoint each), or, when atomic, all or none; the answer is always 200 with one result per
operation, in order.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from offhook import ids
from offhook.db import Tx
from offhook.errors import NotFound, Stale
from offhook.http import store
from offhook.http.answer import Answer
from offhook.http.batch import Batch, Batches, Operation
from offhook.http.door import Caller, Door, caller
from offhook.http.pages import Page, listed, page
from offhook.http.wire import Wire

Shown = dict[str, Any]
DryRun = Annotated[bool, Query(description="Validate and preview; nothing is kept.")]
IfMatch = Annotated[str | None, Header(description="The ETag that was read; 412 when it changed since.")]


@dataclass(frozen=True, slots=True)
class External:
    """The customer's own id of an object."""

    value: str


Ref = UUID | External


def ref_of(text: str, prefix: ids.Prefix) -> Ref:
    """The reference in a path: `tgt_01k…` or `ext:ACME-7`. Raises NotFound when it is neither."""
    if text.startswith("ext:") and "\0" not in text:
        return External(text.removeprefix("ext:"))
    try:
        return ids.read(prefix, text)
    except ids.NotAnId as why:
        raise NotFound("no_such_id", f"This is {why}, nor ext: with an id of your own.", param="id") from None


class Resource(Protocol):
    """What a room tells about its objects. Each method gets the caller's transaction and answers objects as shown."""

    plural: str
    object: str
    prefix: ids.Prefix
    read_scope: str
    write_scope: str
    Create: type[Any]
    Change: type[Any]

    async def create(self, tx: Tx, body: Any) -> Shown:
        """Make one. Raises Invalid or Conflict."""
        ...

    async def find(self, tx: Tx, ref: Ref) -> Shown:
        """The one with this reference. Raises NotFound."""
        ...

    async def list(self, tx: Tx, page: Page) -> list[Shown]:
        """Up to `page.most` in the order of their ids, after the id that `page.start(UUID)` gives."""
        ...

    async def change(self, tx: Tx, ref: Ref, body: Any, sent: frozenset[str], expected: int | None) -> Shown:
        """Set the `sent` fields. Raises NotFound, or Stale when it is not at the `expected` version."""
        ...

    async def delete(self, tx: Tx, ref: Ref) -> None:
        """Remove it. Raises NotFound, or Conflict with `references` while something uses it."""
        ...


Allow = Callable[[Caller, Wire], None]
For = Callable[[Caller], Resource]
"""The resource, acting for this caller, where the room tells who did what."""


def anybody(who: Caller, body: Wire) -> None:
    """Whoever bears the scope may write any body."""


async def take_turn(tx: Tx, resource: Resource, ref: Ref) -> UUID:
    """The object's id, once no other request is changing it; none begins before the commit. Raises NotFound.

    For a room's own verbs, beside PATCH and DELETE.
    """
    id = _id(resource, await resource.find(tx, ref))
    await store.take_turn(tx, id)
    return id


def resource_router(
    door: Door, resource: Resource, *, allow: Allow = anybody, acting_for: For | None = None
) -> APIRouter:
    """The routes of a resource. `allow` may refuse what a caller wants to write, by raising Forbidden."""
    api = APIRouter(prefix=f"/v1/{resource.plural}", tags=[resource.plural])
    routes = _Routes(door, resource, allow, acting_for or (lambda who: resource))
    _add_reads(api, routes)
    _add_create(api, routes)
    _add_change(api, routes)
    _add_delete(api, routes)
    _add_batch(api, routes)
    return api


@dataclass(frozen=True, slots=True)
class _Routes:
    """What the routes of one resource share."""

    door: Door
    resource: Resource
    allow: Allow
    acting_for: For

    def ref(self, text: str) -> Ref:
        return ref_of(text, self.resource.prefix)

    def reads(self) -> Any:
        return caller(self.resource.read_scope)

    def writes(self) -> Any:
        return caller(self.resource.write_scope)

    async def write(
        self, request: Request, who: Caller, work: Callable[[Tx], Awaitable[Answer]], *, dry_run: bool
    ) -> Response:
        return await (self.door.preview(who, work) if dry_run else self.door.write(request, who, work))


def _add_reads(api: APIRouter, routes: _Routes) -> None:
    resource = routes.resource

    @api.get("", name=f"List {resource.plural}")
    async def list_(page: Annotated[Page, Depends(page)], who: Annotated[Caller, routes.reads()]) -> Response:
        async def read(tx: Tx) -> Answer:
            return Answer(200, listed(await resource.list(tx, page), page, lambda one: (_id(resource, one),)))

        return await routes.door.read(who, read)

    @api.get("/{ref}", name=f"Get one of {resource.plural}")
    async def get(ref: str, who: Annotated[Caller, routes.reads()]) -> Response:
        async def read(tx: Tx) -> Answer:
            return _tagged(200, await resource.find(tx, routes.ref(ref)))

        return await routes.door.read(who, read)


def _add_create(api: APIRouter, routes: _Routes) -> None:
    resource = routes.resource
    Create = resource.Create

    @api.post("", status_code=201, name=f"Create one of {resource.plural}")
    async def create(
        request: Request,
        body: Create,  # type: ignore[valid-type]  # FastAPI reads the room's own model here
        who: Annotated[Caller, routes.writes()],
        dry_run: DryRun = False,
    ) -> Response:
        routes.allow(who, body)

        async def work(tx: Tx) -> Answer:
            made = await routes.acting_for(who).create(tx, body)
            return _tagged(201, made, {"Location": f"/v1/{resource.plural}/{made['id']}"})

        return await routes.write(request, who, work, dry_run=dry_run)


def _add_change(api: APIRouter, routes: _Routes) -> None:
    resource = routes.resource
    Change = resource.Change

    @api.patch("/{ref}", name=f"Change one of {resource.plural}")
    async def change(
        request: Request,
        ref: str,
        body: Change,  # type: ignore[valid-type]  # FastAPI reads the room's own model here
        who: Annotated[Caller, routes.writes()],
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> Response:
        routes.allow(who, body)
        sent = frozenset(body.model_fields_set)  # type: ignore[attr-defined]

        async def work(tx: Tx) -> Answer:
            id = await take_turn(tx, resource, routes.ref(ref))
            return _tagged(200, await routes.acting_for(who).change(tx, id, body, sent, _version(if_match)))

        return await routes.write(request, who, work, dry_run=dry_run)


def _add_delete(api: APIRouter, routes: _Routes) -> None:
    resource = routes.resource

    @api.delete("/{ref}", status_code=204, name=f"Delete one of {resource.plural}")
    async def delete(
        request: Request, ref: str, who: Annotated[Caller, routes.writes()], if_match: IfMatch = None
    ) -> Response:
        async def work(tx: Tx) -> Answer:
            id = await take_turn(tx, resource, routes.ref(ref))
            found = await resource.find(tx, id)
            if (expected := _version(if_match)) is not None and expected != found.get("version"):
                raise Stale("stale", "It changed since you read it; read it again.")
            await routes.acting_for(who).delete(tx, id)
            return Answer(204, None)

        return await routes.door.write(request, who, work)


def _add_batch(api: APIRouter, routes: _Routes) -> None:
    resource = routes.resource

    @api.post("/batch", name=f"Many operations on {resource.plural}")
    async def batch(
        request: Request, body: Batch, who: Annotated[Caller, routes.writes()], dry_run: DryRun = False
    ) -> Response:
        batches = Batches(lambda tx, operation: _run(tx, routes, who, operation))

        async def work(tx: Tx) -> Answer:
            return Answer(200, await batches.run(tx, body))

        return await routes.write(request, who, work, dry_run=dry_run)


async def _run(tx: Tx, routes: _Routes, who: Caller, operation: Operation) -> Answer:
    """One operation of a batch, as the request of its own that it could have been."""
    resource = routes.resource
    match operation.op:
        case "create":
            return await _create(tx, routes, who, operation.body)
        case "update":
            return await _change(tx, routes, who, operation)
        case "delete":
            id = await take_turn(tx, resource, routes.ref(operation.ref))
            await routes.acting_for(who).delete(tx, id)
            return Answer(204, None)
    try:
        await resource.find(tx, routes.ref(operation.ref))
    except NotFound:
        ref = routes.ref(operation.ref)
        if not isinstance(ref, External):
            raise
        return await _create(tx, routes, who, {"external_id": ref.value, **operation.body})
    return await _change(tx, routes, who, operation)


async def _create(tx: Tx, routes: _Routes, who: Caller, sent: dict[str, Any]) -> Answer:
    body = routes.resource.Create.read(sent)
    routes.allow(who, body)
    return Answer(201, await routes.acting_for(who).create(tx, body))


async def _change(tx: Tx, routes: _Routes, who: Caller, operation: Operation) -> Answer:
    body = routes.resource.Change.read(operation.body)
    routes.allow(who, body)
    sent = frozenset(body.model_fields_set)
    id = await take_turn(tx, routes.resource, routes.ref(operation.ref))
    return Answer(200, await routes.acting_for(who).change(tx, id, body, sent, None))


def _id(resource: Resource, shown: Shown) -> UUID:
    return ids.read(resource.prefix, shown["id"])


def _tagged(status: int, shown: Shown, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, shown, {"ETag": f'"{shown["version"]}"', **(headers or {})})


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    number = if_match.strip().removeprefix("W/").strip('"')
    # A tag that is none of ours matches no version: none is below 1.
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
