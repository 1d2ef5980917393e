"""The paths under /v1/leads that a lead itself answers; the verbs that touch a cadence are dialing's."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile

from offhook import clock, ids
from offhook.compliance.suppression import taking_turns
from offhook.db import Database, GroupCommit, Tx
from offhook.db.races import unraced
from offhook.errors import Fault, Invalid
from offhook.events import Actor
from offhook.http import Answer, Caller, Door, Page, Wire, caller, listed, page
from offhook.http.batch import RolledBack
from offhook.http.bodies import json_of, sent
from offhook.http.problems import problem
from offhook.http.straight import StraightRouter
from offhook.http.wire import is_ndjson
from offhook.leads import store
from offhook.leads.chunks import Chunks
from offhook.leads.erase import Erasures, Reason
from offhook.leads.files import FieldMapping, read_csv, read_ndjson
from offhook.leads.imports import Imports
from offhook.leads.ingest import RACES, Duplicate, Ingested, Leads, Raced, Refused, Stored, read_lead
from offhook.leads.people import People
from offhook.leads.preflight import Preflight
from offhook.leads.wire import LeadIn

MOST_IN_BATCH = 1000


class Batch(Wire):
    """Up to 1,000 leads, each as `{"op": "create", "body": {…}}`. `atomic`: all of them, or none."""

    operations: list[Any]
    atomic: bool = False


class _Failed(Exception):
    """Undoes an atomic batch and carries its results out."""

    def __init__(self, results: Sequence[Ingested]) -> None:
        super().__init__()
        self.results = results


class EraseIn(Wire):
    """Why, and whether the number is suppressed too; by default a request suppresses it and retention does not."""

    reason: Reason = "request"
    suppress: bool | None = None


def router(
    door: Door, database: Database, leads: Leads, people: People, imports: Imports, erasures: Erasures
) -> APIRouter:
    """The routes under /v1/leads."""
    api = StraightRouter(prefix="/v1/leads", tags=["leads"])
    _add_door(api, door, database, leads)
    _add_import(api, door, imports)
    _add_reading(api, door, people)
    _add_erasing(api, door, people, erasures)
    return api


def _add_door(api: StraightRouter, door: Door, database: Database, leads: Leads) -> None:
    """Where leads come in: one, many, or for a look only. Single leads share their commits."""
    group: GroupCommit[LeadIn, Ingested] = GroupCommit(database, leads.ingest, races=(Raced,))

    known = {200: {"description": "The reference is known: the first lead stands."}}

    @api.straight("POST", "", "leads:write", LeadIn, status_code=201, responses=known)
    async def create(request: Request, who: Caller) -> Response:
        lead = await sent(request, LeadIn)
        if "idempotency-key" in request.headers:
            return await unraced(
                lambda: door.write(request, who, lambda tx: _create_one(tx, leads, lead)), Raced, again=RACES
            )
        return _answer(await unraced(lambda: group.submit(who.tenant, lead), Raced, again=RACES)).response()

    @api.post("/batch")
    async def batch(request: Request, who: Annotated[Caller, caller("leads:write")]) -> Response:
        bodies, atomic = _bodies(await request.body(), request.headers.get("content-type", ""))
        read = [read_lead(body) for body in bodies]

        async def ingest(tx: Tx) -> Answer:
            results = await (_all_or_none if atomic else _each)(tx, leads, read)
            return _nameless([_answer(one) for one in results])

        return _named(await unraced(lambda: door.answer(request, who, ingest), Raced, again=RACES), read).response()

    @api.post("/check")
    async def check(request: Request, lead: LeadIn, who: Annotated[Caller, caller("leads:write")]) -> Response:
        return await door.write(request, who, lambda tx: _check(tx, leads, lead))


def _add_import(api: APIRouter, door: Door, imports: Imports) -> None:
    @api.post("/import", status_code=202)
    async def import_(
        request: Request,
        file: Annotated[UploadFile, File(description="In UTF-8: CSV with a head, or NDJSON by its type or its name.")],
        who: Annotated[Caller, caller("leads:write")],
        mapping: Annotated[
            str | None,
            Form(description="JSON: field of the lead to column or place in the line, or to a constant. CSV needs it."),
        ] = None,
    ) -> Response:
        # A large file takes seconds, in which this process has other requests to answer, and memory that it has not.
        known_by = await asyncio.to_thread(_digest, file, mapping)
        with await asyncio.to_thread(_chunks, file, _mapping(mapping) if mapping is not None else None) as chunks:

            async def start(tx: Tx) -> Answer:
                return Answer(202, {"job_id": ids.show("job", await imports.start(tx, chunks))})

            return await door.write(request, who, start, content=known_by)


def _chunks(file: UploadFile, mapping: FieldMapping | None) -> Chunks:
    file.file.seek(0)
    if _is_ndjson(file):
        return Chunks(read_ndjson(file.file, mapping))
    if mapping is None:
        raise Invalid([Fault("mapping", "missing", "Say which column of the CSV file holds which field of a lead.")])
    return Chunks(read_csv(file.file, mapping))


def _is_ndjson(file: UploadFile) -> bool:
    return is_ndjson(file.content_type or "") or (file.filename or "").lower().endswith((".ndjson", ".jsonl"))


def _digest(file: UploadFile, mapping: str | None) -> bytes:
    """What an import is known by under its Idempotency-Key: the file, how it is read, and the mapping."""
    file.file.seek(0)
    digest = hashlib.sha256()
    while piece := file.file.read(2**20):
        digest.update(piece)
    return digest.digest() + orjson.dumps([_is_ndjson(file), mapping])


def _add_reading(api: APIRouter, door: Door, people: People) -> None:
    @api.get("")
    async def list_(
        page: Annotated[Page, Depends(page)],
        who: Annotated[Caller, caller("leads:read")],
        status: str | None = None,
        campaign_id: str | None = None,
    ) -> Response:
        campaign = _campaign(campaign_id)

        async def read(tx: Tx) -> Answer:
            start = page.start(UUID)
            rows = await store.listed(tx, status, campaign, start[0] if start else None, page.most)
            personal = who.may("leads:read-personal")
            return Answer(
                200,
                listed(
                    await people.open(tx, rows),
                    page,
                    lambda lead: (lead.id,),
                    lambda lead: lead.shown(personal=personal),
                ),
            )

        return await door.read(who, read)

    @api.get("/{ref}")
    async def get(ref: str, who: Annotated[Caller, caller("leads:read")]) -> Response:
        async def read(tx: Tx) -> Answer:
            lead = await people.find(tx, ref)
            return Answer(200, lead.shown(personal=who.may("leads:read-personal")), {"ETag": f'"{lead.row.version}"'})

        return await door.read(who, read)


def _add_erasing(api: APIRouter, door: Door, people: People, erasures: Erasures) -> None:
    @api.post("/{ref}/erase", responses={202: {"description": "Pending: a call is open, or deliveries are."}})
    async def erase(
        ref: str, request: Request, who: Annotated[Caller, caller("leads:erase")], body: EraseIn | None = None
    ) -> Response:
        wish = body or EraseIn()

        async def act(tx: Tx) -> Answer:
            # The number before the row, as a dispatch and an opt-out take them: the other order would embrace one.
            await taking_turns(tx, [(await people.find(tx, ref)).row.number_tag])
            lead = await people.find(tx, ref, lock=True)
            suppressing = wish.reason == "request" if wish.suppress is None else wish.suppress
            actor = Actor("api_key", ids.show("key", who.key_id))
            erasure = await erasures.erase(tx, lead, actor, reason=wish.reason, suppressing=suppressing)
            head = {"id": lead.shown_id, "object": "erasure"}
            if erasure.receipt is None:
                by = clock.show_or_null(erasure.by)
                return Answer(202, {**head, "status": "pending", "no_later_than": by, "receipt": None})
            receipt = erasure.receipt.shown()
            return Answer(200, {**head, "status": "erased", "erased_at": receipt["erased_at"], "receipt": receipt})

        return await door.write(request, who, act)


async def _create_one(tx: Tx, leads: Leads, lead: LeadIn) -> Answer:
    return _answer((await leads.ingest(tx, [lead]))[0])


async def _check(tx: Tx, leads: Leads, lead: LeadIn) -> Answer:
    match (await leads.check(tx, [lead]))[0]:
        case Refused(error):
            raise error
        case Preflight() as matrix:
            return Answer(200, {"object": "preflight", **matrix.shown()})


async def _each(tx: Tx, leads: Leads, read: Sequence[LeadIn | Refused]) -> list[Ingested]:
    good = [lead for lead in read if isinstance(lead, LeadIn)]
    answers = iter(await leads.ingest(tx, good) if good else [])
    return [one if isinstance(one, Refused) else next(answers) for one in read]


async def _all_or_none(tx: Tx, leads: Leads, read: Sequence[LeadIn | Refused]) -> list[Ingested]:
    try:
        async with tx.savepoint():
            results = await _each(tx, leads, read)
            if any(isinstance(one, Refused) for one in results):
                raise _Failed(results)
            return results
    except _Failed as failed:
        return [one if isinstance(one, Refused) else Refused(RolledBack()) for one in failed.results]


def _answer(one: Ingested) -> Answer:
    match one:
        case Stored(_, body):
            return Answer(201, body)
        case Duplicate(body):
            return Answer(200, body)
        case Refused(error):
            return problem(error)


def _nameless(answers: Sequence[Answer]) -> Answer:
    """A batch's answer as it may be kept under its Idempotency-Key: it is about many persons, so it names none."""
    for answer in answers:
        if "client_ref_id" in answer.body:
            answer.body["client_ref_id"] = None
    return Answer(
        200, {"results": [{"index": i, "status": one.status, "body": one.body} for i, one in enumerate(answers)]}
    )


def _named(answer: Answer, read: Sequence[LeadIn | Refused]) -> Answer:
    """The answer with the references of the request, which the same key stands for again."""
    for lead, result in zip(read, answer.body["results"], strict=True):
        if isinstance(lead, LeadIn) and "client_ref_id" in result["body"]:
            result["body"]["client_ref_id"] = lead.client_ref_id
    return answer


def _bodies(content: bytes, content_type: str) -> tuple[list[object], bool]:
    """The leads of a batch: bare, a line each (NDJSON), or as operations; and whether all are to be taken in or none."""
    atomic = False
    if is_ndjson(content_type):
        bodies = [json_of(line, f"line {n}") for n, line in enumerate(content.splitlines(), start=1) if line.strip()]
    else:
        batch = Batch.read(json_of(content))
        bodies, atomic = [_body(operation, i) for i, operation in enumerate(batch.operations)], batch.atomic
    if len(bodies) > MOST_IN_BATCH:
        raise Invalid(
            [Fault("operations", "too_many", f"A batch takes {MOST_IN_BATCH} leads at most; import a file for more.")]
        )
    return bodies, atomic


def _body(operation: object, index: int) -> object:
    if not isinstance(operation, dict) or operation.get("op") != "create" or set(operation) - {"op", "body"}:
        raise Invalid(
            [Fault(f"operations.{index}", "bad_operation", 'A lead is only created: {"op": "create", "body": {…}}.')]
        )
    return operation.get("body")


def _mapping(text: str) -> FieldMapping:
    mapping = json_of(text.encode(), "mapping")
    if not isinstance(mapping, dict) or not all(isinstance(source, str | dict) for source in mapping.values()):
        raise Invalid(
            [Fault("mapping", "wrong_type", "Send a JSON object: field of the lead to column, or to a constant.")]
        )
    return mapping


def _campaign(shown: str | None) -> UUID | None:
    try:
        return ids.read("cmp", shown) if shown else None
    except ids.NotAnId:
        raise Invalid([Fault("campaign_id", "bad_id", "campaign_id is not the id of a campaign.")]) from None
