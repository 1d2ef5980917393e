"""The paths of the pretend world. A live key is refused: there is nothing to pretend about."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from offhook import access, clock, ids, jobs
from offhook.db import Database, Tenant, Tx
from offhook.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from offhook.events import Log, sample_of
from offhook.http import Answer, Caller, Door, Page, Wire, caller, listed, page
from offhook.http.wire import Instant
from offhook.jobs import Job, progress
from offhook.jobs.outcome import Done, Outcome, RetryAt
from offhook.leads import LeadIn, Leads
from offhook.leads.ingest import Refused, Stored
from offhook.sandbox.clock import BUDGET_S, VirtualClock
from offhook.sandbox.inbox import Inbox
from offhook.sandbox.people import synthetic
from offhook.sandbox.reset_store import forget
from offhook.sandbox.scenes import SCENES
from offhook.sandbox.script import MEANINGS

ADVANCE = "sandbox.advance"
FARTHEST = timedelta(days=400)

Verify = Callable[[Tx, Any, bytes], Awaitable[bool]]
"""Whether these headers and this body bear the signature of one of the tenant's endpoints."""


class AdvanceIn(Wire):
    seconds: Annotated[float, Field(gt=0, le=FARTHEST.total_seconds())] | None = None
    to: Instant | None = None


class ResetIn(Wire):
    now: Instant


class LeadsIn(Wire):
    count: Annotated[int, Field(ge=1, le=1000)] = 10
    mix: dict[str, Annotated[int, Field(ge=0, le=1000)]] = {}
    campaign_id: str | None = None


class EventIn(Wire):
    type: Annotated[str, Field(max_length=100)]


class Advances:
    """Advances that outlive their request, as durable jobs.

    They wait in the queue of the workspace's live half, whose time is the real one: in the sandbox's own queue the job
    would be among the work that it waits for.
    """

    def __init__(self, database: Database, clock: VirtualClock) -> None:
        self._database = database
        self._clock = clock

    async def run(self, job: Job) -> Outcome:
        """The job: go on until the clock has reached its goal."""
        to = datetime.fromisoformat(job.args["to"])
        sandbox = Tenant(job.tenant.workspace, "sandbox")
        reached = await self._clock.advance(sandbox, to, budget_s=BUDGET_S / 2)
        async with self._database.transaction(sandbox) as tx:
            status = "done" if reached.settled else "running"
            result = {"now": clock.show(reached.now), "steps": reached.steps}
            await progress.report(tx, job.id, done=reached.steps, result=result, status=status)
            return Done() if reached.settled else RetryAt(tx.wall, "not there yet")


def router(
    door: Door, database: Database, virtual: VirtualClock, leads: Leads, log: Log, inbox: Inbox, verify: Verify
) -> APIRouter:
    """`/v1/sandbox/…` and the inbox's own door."""
    api = APIRouter(tags=["sandbox"])
    _add_clock(api, door, database, virtual)
    _add_people(api, door, leads)
    _add_samples(api, door, log)
    _add_inbox(api, door, database, inbox, verify)
    return api


def _add_clock(api: APIRouter, door: Door, database: Database, virtual: VirtualClock) -> None:
    @api.get("/v1/sandbox/clock")
    async def read_clock(who: Annotated[Caller, caller("sandbox:read")]) -> Response:
        _must_be_sandbox(who)
        return await door.read(who, lambda tx: _clock(tx, virtual))

    @api.post("/v1/sandbox/clock/advance", responses={202: {"description": "It goes on as a job."}})
    async def advance(request: Request, wish: AdvanceIn, who: Annotated[Caller, caller("sandbox:write")]) -> Response:
        """Let everything happen until then. The same Idempotency-Key again goes to the same goal, and no further."""
        _must_be_sandbox(who)

        async def aim(tx: Tx) -> Answer:
            return Answer(200, {"to": _goal(tx, wish).isoformat()})

        aimed = await door.answer(request, who, aim)
        to = datetime.fromisoformat(aimed.body["to"])
        reached = await virtual.advance(who.tenant, to)
        async with database.transaction(who.tenant) as tx:
            shown = {**(await _clock(tx, virtual)).body, "steps": reached.steps}
        if reached.settled:
            return Answer(200, shown, aimed.headers).response()
        job = await _go_on_later(database, who.tenant, to)
        return Answer(202, {**shown, "job_id": ids.show("job", job)}, aimed.headers).response()

    @api.post("/v1/sandbox/reset")
    async def reset(request: Request, wish: ResetIn, who: Annotated[Caller, caller("sandbox:write")]) -> Response:
        _must_be_sandbox(who)

        async def act(tx: Tx) -> Answer:
            await forget(tx)
            await access.set_clock(tx, wish.now - tx.wall)
            return Answer(
                200,
                {
                    "object": "sandbox_clock",
                    "now": clock.show(wish.now),
                    "offset_s": (wish.now - tx.wall).total_seconds(),
                },
            )

        return await door.write(request, who, act)


def _add_people(api: APIRouter, door: Door, leads: Leads) -> None:
    @api.post("/v1/sandbox/leads", status_code=201)
    async def make_leads(request: Request, wish: LeadsIn, who: Annotated[Caller, caller("sandbox:write")]) -> Response:
        _must_be_sandbox(who)
        if unknown := sorted(wish.mix.keys() - MEANINGS.keys()):
            detail = f"There is no outcome {unknown[0]}; there are: {', '.join(MEANINGS)}."
            raise Invalid([Fault("mix", "no_such_outcome", detail)])
        return await door.write(request, who, lambda tx: _make_leads(tx, leads, wish))

    @api.get("/v1/sandbox/scenes")
    async def scenes(who: Annotated[Caller, caller("sandbox:read")]) -> Response:
        _must_be_sandbox(who)
        data = [{"scene": scene.name, "what": scene.what, "last_digit": scene.digit} for scene in SCENES.values()]
        return Answer(200, {"object": "list", "data": data, "has_more": False, "next_cursor": None}).response()

    @api.post("/v1/sandbox/simulate/{scene}", status_code=201)
    async def simulate(scene: str, request: Request, who: Annotated[Caller, caller("sandbox:write")]) -> Response:
        _must_be_sandbox(who)
        if scene not in SCENES:
            raise NotFound(
                "no_such_scene", f"There is no scene of that name; there are: {', '.join(SCENES)}.", param="scene"
            )

        async def act(tx: Tx) -> Answer:
            people = synthetic(tx.now, f"SCENE-{ids.new().hex[-12:]}", None, digit=SCENES[scene].digit)
            (made,) = await leads.ingest(tx, await _unknown_yet(tx, leads, people, 1))
            if not isinstance(made, Stored):
                raise Conflict("lead_not_made", "The scene's lead was not accepted; try again.")
            return Answer(201, {"object": "scene", "scene": scene, "what": SCENES[scene].what, "lead": made.body})

        return await door.write(request, who, act)


def _add_samples(api: APIRouter, door: Door, log: Log) -> None:
    @api.post("/v1/sandbox/events", status_code=201)
    async def make_event(request: Request, wish: EventIn, who: Annotated[Caller, caller("sandbox:write")]) -> Response:
        """An event of any type, about nobody: told to every endpoint that listens, and nothing else comes of it."""
        _must_be_sandbox(who)

        async def act(tx: Tx) -> Answer:
            try:
                sample = sample_of(wish.type, tx.now)
            except NotFound as unknown:  # the path is there; what its body says is wrong
                raise Invalid([Fault("type", "unknown_event_type", unknown.detail)]) from None
            (made,) = await log.append(tx, [sample], born=[sample.subject_id])
            see = f"/v1/events/{made.shown_id}"
            shown = {"object": "sample", "event_id": made.shown_id, "see": see, "event": orjson.loads(made.body)}
            return Answer(201, shown)

        return await door.write(request, who, act)


def _add_inbox(api: APIRouter, door: Door, database: Database, inbox: Inbox, verify: Verify) -> None:
    @api.get("/v1/sandbox/inbox")
    async def read_inbox(
        page: Annotated[Page, Depends(page)], who: Annotated[Caller, caller("sandbox:read")]
    ) -> Response:
        """What arrived, the newest first. `withheld` says why a message is shown without its body."""
        _must_be_sandbox(who)

        async def read(tx: Tx) -> Answer:
            start = page.start(str)
            messages = await inbox.shown(tx, ids.read("inb", start[0]) if start else None, page.most)
            return Answer(200, listed(messages, page, lambda message: (message["id"],)))

        return await door.read(who, read)

    @api.post("/inbox/{workspace}", status_code=204, include_in_schema=False)
    async def receive(workspace: str, request: Request) -> Response:
        tenant = Tenant(_workspace(workspace), "sandbox")
        body = await request.body()
        async with database.transaction(tenant) as tx:
            verified = await verify(tx, request.headers, body)
            if not verified:
                raise Forbidden("bad_signature", "No endpoint of this sandbox signed that message.")
            await inbox.keep(tx, request.headers, body, verified=verified)
        return Response(status_code=204)


def _must_be_sandbox(who: Caller) -> None:
    if who.tenant.environment != "sandbox":
        raise Forbidden("live_key", "This key is of the live environment; use the test key (ofk_test_…).")


async def _clock(tx: Tx, virtual: VirtualClock) -> Answer:
    due = await virtual.next_due(tx)
    shown = {"object": "sandbox_clock", "now": clock.show(tx.now), "offset_s": tx.offset.total_seconds()}
    return Answer(200, {**shown, "next_due_at": clock.show_or_null(due)})


def _goal(tx: Tx, wish: AdvanceIn) -> datetime:
    if (wish.seconds is None) == (wish.to is None):
        raise Invalid([Fault("seconds", "one_of", "Send either seconds or to.")])
    if wish.seconds is not None:
        return tx.now + timedelta(seconds=wish.seconds)
    assert wish.to is not None
    if not tx.now <= wish.to <= tx.now + FARTHEST:
        raise Invalid(
            [Fault("to", "out_of_range", "to must lie ahead, at most 400 days; only /v1/sandbox/reset goes back.")]
        )
    return wish.to


async def _go_on_later(database: Database, tenant: Tenant, to: datetime) -> UUID:
    live = Tenant(tenant.workspace, "live")
    async with database.transaction(live) as real, database.transaction(tenant) as tx:
        job = await jobs.enqueue(real, ADVANCE, {"to": to.isoformat()})
        await progress.start(tx, job, ADVANCE, total=None)
    return job


async def _make_leads(tx: Tx, leads: Leads, wish: LeadsIn) -> Answer:
    people = synthetic(tx.now, f"SYN-{ids.new().hex[-12:]}", wish.mix or None)
    made = [lead.model_copy(update={"campaign_id": wish.campaign_id}) for lead in people]
    stored = await leads.ingest(tx, await _unknown_yet(tx, leads, made, wish.count))
    return Answer(201, {"object": "list", "data": [one.body for one in stored if isinstance(one, Stored)]})


async def _unknown_yet(tx: Tx, leads: Leads, people: Iterable[LeadIn], count: int) -> list[LeadIn]:
    """`count` of these people, those first whom nothing keeps out: no other lead has their number, nobody said stop."""
    made = list(people)
    matrices = await leads.check(tx, made)
    out = [isinstance(matrix, Refused) or matrix.decision == "reject" for matrix in matrices]
    return [lead for _, lead in sorted(zip(out, made, strict=True), key=itemgetter(0))][:count]


def _workspace(shown: str) -> UUID:
    try:
        return ids.read("ws", shown)
    except ids.NotAnId:
        raise NotFound("no_such_inbox", "There is no inbox of this name.") from None
