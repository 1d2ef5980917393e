"""`/v1/events`, `/v1/events/stream` and `/v1/event-types`."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from offhook import ids
from offhook.db import Tx
from offhook.errors import Fault, Invalid, NotFound
from offhook.events import store, types
from offhook.events.hearing import Hearing, look
from offhook.events.reading import opened, read
from offhook.events.store import BEGINNING, EventRow, Looked, Wanted
from offhook.events.stream import Streams
from offhook.http import Answer, Caller, Door, Page, caller, page
from offhook.http.pages import cursor
from offhook.http.resources import Ref, ref_of
from offhook.privacy import Vault

HearingOf = Callable[[Tx, Ref], Awaitable[Hearing]]
"""What that endpoint listens to. Raises NotFound."""

LOOK = 200
"""So many rows are opened at most to find the page of an endpoint that has a filter; such a page may be short."""

Globs = Annotated[
    Sequence[Annotated[str, StringConstraints(max_length=100)]],
    Query(
        alias="type", max_length=50, description="An event type, or a glob like `lead.*`; may be given several times."
    ),
]
_EVERY = ("*",)


@dataclass(frozen=True, slots=True)
class Asked:
    """What part of the log a request asks for."""

    types: Globs = _EVERY
    subject: Annotated[str | None, Query(max_length=100, description="The id of a lead, a call, an endpoint …")] = None
    after_sequence: Annotated[int | None, Query(ge=0, lt=2**31, description="Only later ones of the subject.")] = None
    webhook_endpoint: Annotated[
        str | None, Query(max_length=300, description="Only what this endpoint should have got.")
    ] = None

    def subject_id(self) -> UUID | None:
        """Raises Invalid when the subject is no id, or when a sequence is asked for without a subject."""
        if self.subject is None:
            if self.after_sequence is not None:
                raise Invalid([Fault("after_sequence", "needs_subject", "A sequence belongs to a subject; name it.")])
            return None
        return types.read_subject(self.subject, "subject")

    async def hearing(self, tx: Tx, hearing_of: HearingOf) -> Hearing:
        """What the named endpoint listens to, everything where none is named. Raises NotFound."""
        if self.webhook_endpoint is None:
            return Hearing()
        return await hearing_of(tx, ref_of(self.webhook_endpoint, "whe"))


def router(door: Door, vault: Vault, streams: Streams, hearing_of: HearingOf) -> APIRouter:
    """The routes of the log."""
    api = APIRouter(prefix="/v1", tags=["events"])
    _add_list(api, door, vault, hearing_of)
    _add_stream(api, streams)
    _add_one(api, door, vault)
    _add_types(api)
    return api


def _add_list(api: APIRouter, door: Door, vault: Vault, hearing_of: HearingOf) -> None:
    @api.get("/events")
    async def list_(
        asked: Annotated[Asked, Depends()],
        page: Annotated[Page, Depends(page)],
        who: Annotated[Caller, caller("events:read")],
    ) -> Response:
        """In the order of the log, or of a subject's sequence.

        A page may have few or none, and `has_more`, where few of very many match: go on.
        """
        _check(asked.types)
        subject = asked.subject_id()

        async def answer(tx: Tx) -> Answer:
            hearing = await asked.hearing(tx, hearing_of)
            wanted = Wanted(asked.types, hearing)
            most = page.most if hearing.asks is None else LOOK + 1
            if subject is None:
                found = await store.after_position(tx, wanted, page.start(int, int, UUID) or BEGINNING, most)
                return await _listed(tx, vault, found, page, hearing, lambda row: row.position)
            (after,) = page.start(int) or (asked.after_sequence or 0,)
            found = await store.after_sequence(tx, subject, wanted, after, most)
            return await _listed(tx, vault, found, page, hearing, lambda row: (row.sequence,))

        return await door.read(who, answer)


def _add_stream(api: APIRouter, streams: Streams) -> None:
    @api.get("/events/stream", response_class=StreamingResponse)
    async def stream(
        who: Annotated[Caller, caller("events:read")],
        type: Globs = _EVERY,
        last_event_id: Annotated[str | None, Header(max_length=500, description="Go on behind this message.")] = None,
    ) -> StreamingResponse:
        """Events as they happen, as server-sent events; each message's id is a cursor for Last-Event-ID.

        An id alone tells how far the log was read for events that were not asked for. 429 while 100 streams are open.
        """
        _check(type)
        streams.check_room(who)
        position = Page(after=last_event_id).start(int, int, UUID)
        messages = streams.follow(who, Wanted(type), position and (position[0], position[1], position[2]))
        unbuffered = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(messages, media_type="text/event-stream", headers=unbuffered)


def _add_one(api: APIRouter, door: Door, vault: Vault) -> None:
    @api.get("/events/{id}")
    async def get(id: str, who: Annotated[Caller, caller("events:read")]) -> Response:
        async def read(tx: Tx) -> Answer:
            row = await store.find(tx, _event_id(id))
            if row is None:
                raise _no_such_event()
            return Answer(200, (await opened(tx, vault, [row]))[0])

        return await door.read(who, read)


def _add_types(api: APIRouter) -> None:
    @api.get("/event-types")
    async def event_types(who: Annotated[Caller, caller("events:read")]) -> Response:
        every = [types.described(fact) for fact in types.every_type().values()]
        return Answer(200, {"object": "list", "data": every, "has_more": False, "next_cursor": None}).response()

    @api.get("/event-types/{type}/schema")
    async def schema(type: str, who: Annotated[Caller, caller("events:read")]) -> Response:
        return Answer(200, types.schema(types.fact_of(type)), {"Content-Type": "application/schema+json"}).response()


def _check(globs: Sequence[str]) -> None:
    for glob in globs:
        types.check_glob(glob, "type")


async def _listed(
    tx: Tx,
    vault: Vault,
    found: Looked,
    page: Page,
    hearing: Hearing,
    cursor_of: Callable[[EventRow], Sequence[int | UUID]],
) -> Answer:
    """The page in these rows. The next one begins behind the last row that was looked at, whether it was told or not."""
    asks = hearing.asks
    rows = found.rows
    told = await read(tx, vault, rows[: page.limit if asks is None else LOOK])
    # What is for one endpoint alone is told whatever its filter says.
    fits = (asks is None or row.only_for is not None or one.fits(asks) for row, one in zip(rows, told, strict=False))
    fitting, looked_at = look(fits, page.limit)
    last = rows[looked_at - 1] if looked_at < len(rows) else found.last
    has_more = looked_at < len(rows) or found.more
    return Answer(
        200,
        {
            "object": "list",
            "data": [orjson.Fragment(told[n].envelope) for n in fitting],
            "has_more": has_more,
            "next_cursor": cursor(cursor_of(last)) if has_more and last else None,
        },
    )


def _event_id(text: str) -> UUID:
    try:
        return ids.read("evt", text)
    except ids.NotAnId:
        raise _no_such_event() from None


def _no_such_event() -> NotFound:
    return NotFound("no_such_event", "There is no event with this id, or its days are over.", param="id")


async def told_of(tx: Tx, vault: Vault, subjects: Sequence[UUID], most: int = 1000) -> list[Any]:
    """Every event about these subjects, as the endpoints got them, in the order of the log."""
    rows = [
        row for subject in subjects for row in (await store.after_sequence(tx, subject, store.Wanted(), 0, most)).rows
    ]
    rows.sort(key=lambda row: row.position)
    return await opened(tx, vault, rows)
