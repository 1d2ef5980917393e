"""Campaigns and cadences as the API keeps them, and what a new environment is born with."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from offhook import clock, ids
from offhook.db import Tx, Wakeups
from offhook.dialing import store
from offhook.dialing.plans import PlanWire, read_plan
from offhook.dialing.store import CampaignRow
from offhook.errors import Conflict, Fault, Invalid, NotFound, Stale
from offhook.events import Actor, Log, Transition
from offhook.events.catalogue.campaigns import status_fact
from offhook.http import Page, Wire
from offhook.http.resources import External, Ref, ref_of
from offhook.http.wire import Metadata, Name
from offhook.leads import People
from offhook.leads.preflight import Campaign

CallerId = Annotated[str, StringConstraints(pattern=r"^\+[1-9]\d{6,14}$")]
SANDBOX_CALLER_ID = "+12025550100"


class CadenceIn(PlanWire):
    name: Name
    external_id: Name | None = None
    metadata: Metadata = {}


class CadenceChange(Wire):
    name: Name | None = None
    external_id: Name | None = None
    metadata: Metadata | None = None
    plan: PlanWire | None = None


class CadenceBooks:
    """`/v1/cadences`: a change of the plan is a new version; running leads keep theirs, also when their campaign gets another cadence."""

    plural = "cadences"
    object = "cadence"
    prefix: ids.Prefix = "cad"
    read_scope = "campaigns:read"
    write_scope = "campaigns:write"
    Create = CadenceIn
    Change = CadenceChange

    async def create(self, tx: Tx, body: CadenceIn) -> dict[str, Any]:
        id = ids.new()
        plan = body.model_dump(mode="json", include=set(PlanWire.model_fields))
        await store.insert_cadence(
            tx, {"id": id, "external_id": body.external_id, "name": body.name, "metadata": body.metadata}, plan
        )
        return await self.find(tx, id)

    async def find(self, tx: Tx, ref: Ref) -> dict[str, Any]:
        return _cadence(await _find_cadence(tx, ref))

    async def list(self, tx: Tx, page: Page) -> list[dict[str, Any]]:
        return [_cadence(row) for row in await store.list_cadences(tx, _after(page), page.most)]

    async def change(
        self, tx: Tx, ref: Ref, body: CadenceChange, sent: frozenset[str], expected: int | None
    ) -> dict[str, Any]:
        row = await _find_cadence(tx, ref)
        _check_version(row["version"], expected)
        values = {**row, **body.model_dump(include=set(sent) - {"plan"})}
        if body.plan is not None:
            values["latest"] += 1
            await store.insert_cadence_version(tx, row["id"], values["latest"], body.plan.model_dump(mode="json"))
        await store.update_cadence(tx, values)
        return await self.find(tx, row["id"])

    async def delete(self, tx: Tx, ref: Ref) -> None:
        row = await _find_cadence(tx, ref)
        if used := await store.campaigns_of_cadence(tx, row["id"]):
            raise Conflict(
                "in_use", "Campaigns use this cadence.", extra={"references": [ids.show("cmp", one) for one in used]}
            )
        if count := await store.leads_on_cadence(tx, row["id"]):
            raise Conflict("in_use", "Leads were planned by this cadence.", extra={"references": [f"{count} leads"]})
        await store.delete_cadence(tx, row["id"])


class CampaignIn(Wire):
    name: Name
    external_id: Name | None = None
    mode: Literal["ai_only", "ai_first"] = "ai_first"
    is_default: bool = False
    cadence_id: Name | None = None
    provider_account_id: Name | None = None
    max_live_transfers: Annotated[int, Field(ge=0, le=10_000)] | None = 5
    max_concurrent_calls: Annotated[int, Field(ge=0, le=10_000)] = 50
    ring_timeout_s: Annotated[int, Field(ge=15, le=60)] = 25
    max_duration_s: Annotated[int, Field(ge=30, le=14_400)] = 1800
    caller_id: CallerId | None = None
    metadata: Metadata = {}


class CampaignChange(Wire):
    name: Name | None = None
    external_id: Name | None = None
    mode: Literal["ai_only", "ai_first"] | None = None
    is_default: bool | None = None
    cadence_id: Name | None = None
    provider_account_id: Name | None = None
    max_live_transfers: Annotated[int, Field(ge=0, le=10_000)] | None = None
    max_concurrent_calls: Annotated[int, Field(ge=0, le=10_000)] | None = None
    ring_timeout_s: Annotated[int, Field(ge=15, le=60)] | None = None
    max_duration_s: Annotated[int, Field(ge=30, le=14_400)] | None = None
    caller_id: CallerId | None = None
    metadata: Metadata | None = None


_CLEARABLE = {"external_id", "provider_account_id", "max_live_transfers", "caller_id"}
_MOVES = {
    "start": ({"draft", "paused"}, "running"),
    "pause": ({"running"}, "paused"),
    "resume": ({"paused"}, "running"),
    "cancel": ({"draft", "running", "paused"}, "cancelled"),
}


class Campaigns:
    """`/v1/campaigns` and its verbs. Pausing stops new dials at once and leaves live calls alone."""

    plural = "campaigns"
    object = "campaign"
    prefix: ids.Prefix = "cmp"
    read_scope = "campaigns:read"
    write_scope = "campaigns:write"
    Create = CampaignIn
    Change = CampaignChange

    def __init__(self, log: Log, people: People, wakeups: Wakeups) -> None:
        self._log = log
        self._people = people
        self._wakeups = wakeups

    async def create(self, tx: Tx, body: CampaignIn) -> dict[str, Any]:
        id = ids.new()
        values = await self._resolved(tx, {**body.model_dump(), "id": id, "status": "draft"})
        if values["is_default"]:
            await store.undefault_campaigns(tx)
        await store.insert_campaign(tx, values)
        return await self.find(tx, id)

    async def find(self, tx: Tx, ref: Ref) -> dict[str, Any]:
        return _campaign(await find_campaign(tx, ref))

    async def list(self, tx: Tx, page: Page) -> list[dict[str, Any]]:
        return [_campaign(row) for row in await store.list_campaigns(tx, _after(page), page.most)]

    async def change(
        self, tx: Tx, ref: Ref, body: CampaignChange, sent: frozenset[str], expected: int | None
    ) -> dict[str, Any]:
        row = await _in_turn(tx, ref)
        _check_version(row.version, expected)
        new = {
            name: value
            for name, value in body.model_dump(include=set(sent)).items()
            if value is not None or name in _CLEARABLE
        }
        values = await self._resolved(tx, {**{name: getattr(row, name) for name in CampaignRow.__slots__}, **new})
        if row.status == "running":
            _must_have_platform(values["provider_account_id"])
        if new.get("is_default"):
            await store.undefault_campaigns(tx)
        await store.update_campaign(tx, values)
        tx.on_commit(lambda: self._wakeups.send("dial", tx.tenant))
        return await self.find(tx, row.id)

    async def delete(self, tx: Tx, ref: Ref) -> None:
        row = await _in_turn(tx, ref)
        # A dial out of turn lends a lead's attempt to another campaign; what follows is planned for its own again.
        if count := max(await store.lead_count(tx, row.id), await self._people.in_campaign(tx, row.id)):
            raise Conflict(
                "in_use", "The campaign has leads; cancel it instead.", extra={"references": [f"{count} leads"]}
            )
        await store.delete_campaign(tx, row.id)

    async def move(self, tx: Tx, ref: Ref, verb: str, actor: Actor) -> dict[str, Any]:
        """`start`, `pause`, `resume`, `cancel`. Moving to where it stands changes nothing; any other move is a Conflict."""
        row = await _in_turn(tx, ref)
        allowed, to = _MOVES[verb]
        if row.status == to:
            return _campaign(row)
        if row.status not in allowed:
            raise Conflict("bad_transition", f"A campaign that is {row.status} cannot {verb}.")
        if to == "running":
            _must_have_platform(row.provider_account_id)
        await store.set_campaign_status(tx, row.id, to)
        fact = status_fact(verb)
        moved = Transition("status", row.status, to, verb)
        await self._log.append(tx, [fact(subject_id=row.id, transition=moved, actor=actor, name=row.name)])
        tx.on_commit(lambda: self._wakeups.send("dial", tx.tenant))
        return await self.find(tx, row.id)

    async def progress(self, tx: Tx, ref: Ref) -> dict[str, Any]:
        """How many attempts are planned, out and resolved, by outcome."""
        row = await find_campaign(tx, ref)
        counts: dict[str, Any] = {"planned": 0, "dialing": 0, "cancelled": 0, "resolved": {}}
        for state, outcome, count in await store.progress(tx, row.id):
            if state == "resolved":
                counts["resolved"][outcome] = count
            else:
                counts[state] += count
        return {"id": ids.show("cmp", row.id), "object": "campaign_progress", "status": row.status, "attempts": counts}

    async def behind(self, tx: Tx, refs: Sequence[str | None]) -> dict[str | None, Campaign]:
        """The campaigns that leads ask for: by id, by `ext:` and external id, or None for the default one."""
        known = {ref: _read(ref) for ref in refs if ref is not None}
        found = await store.campaigns_and_plans(
            tx,
            by_id=[ref for ref in known.values() if isinstance(ref, UUID)],
            external_ids=[ref.value for ref in known.values() if isinstance(ref, External)],
            default=None in refs,
        )
        by_ref: dict[object, Campaign] = {}
        for row, plan in found:
            campaign = Campaign(row.id, row.status, first_gap=read_plan(plan).gap_before(1))
            by_ref[row.id] = campaign
            if row.external_id:
                by_ref[External(row.external_id)] = campaign
            if row.is_default:
                by_ref[None] = campaign
        return {ref: by_ref[key] for ref in refs if (key := known[ref] if ref is not None else None) in by_ref}

    async def _resolved(self, tx: Tx, values: dict[str, Any]) -> dict[str, Any]:
        """The values with the ids read, the cadence known, and a cadence of its own where none was named."""
        values = {**values, "provider_account_id": _id(values["provider_account_id"], "pac", "provider_account_id")}
        cadence = values["cadence_id"]
        if isinstance(cadence, UUID):
            return values
        if cadence is None:
            return {**values, "cadence_id": await _plain_cadence(tx, values["name"])}
        try:
            return {**values, "cadence_id": (await _find_cadence(tx, ref_of(cadence, "cad")))["id"]}
        except NotFound:
            raise Invalid([Fault("cadence_id", "no_such_cadence", "There is no cadence with this id.")]) from None


async def set_up(tx: Tx, provider_account_id: UUID | None) -> None:
    """What an environment is born with: a default campaign, running on the pretend platform in the sandbox, a draft in live."""
    sandbox = tx.tenant.environment == "sandbox"
    body = CampaignIn(
        name="Default", is_default=True, max_live_transfers=5, caller_id=SANDBOX_CALLER_ID if sandbox else None
    )
    values = {
        **body.model_dump(),
        "id": ids.new(),
        "status": "running" if sandbox else "draft",
        "provider_account_id": provider_account_id,
    }
    await store.insert_campaign(tx, {**values, "cadence_id": await _plain_cadence(tx, "Default")})


async def find_campaign(tx: Tx, ref: Ref) -> CampaignRow:
    """Raises NotFound."""
    if isinstance(ref, External):
        rows = await store.campaigns(tx, external_ids=[ref.value])
    else:
        rows = await store.campaigns(tx, by_id=[ref])
    if not rows:
        raise NotFound("no_such_campaign", "There is no campaign with this id.", param="id")
    return rows[0]


async def _in_turn(tx: Tx, ref: Ref) -> CampaignRow:
    """The campaign once no dispatch of it is under way; none begins before the commit. Raises NotFound."""
    await store.lock_campaign(tx, (await find_campaign(tx, ref)).id)
    return await find_campaign(tx, ref)


async def _find_cadence(tx: Tx, ref: Ref) -> dict[str, Any]:
    found = await (
        store.find_cadence(tx, external_id=ref.value) if isinstance(ref, External) else store.find_cadence(tx, id=ref)
    )
    if found is None:
        raise NotFound("no_such_cadence", "There is no cadence with this id.", param="id")
    return found


async def _plain_cadence(tx: Tx, name: str) -> UUID:
    id = ids.new()
    plan = PlanWire().model_dump(mode="json")
    await store.insert_cadence(tx, {"id": id, "external_id": None, "name": name, "metadata": {}}, plan)
    return id


def _after(page: Page) -> UUID | None:
    start = page.start(UUID)
    return start[0] if start else None


def _read(ref: str) -> Ref | None:
    try:
        return ref_of(ref, "cmp")
    except NotFound:
        return None


def _id(value: str | UUID | None, prefix: ids.Prefix, param: str) -> UUID | None:
    if value is None or isinstance(value, UUID):
        return value
    try:
        return ids.read(prefix, value)
    except ids.NotAnId:
        raise Invalid([Fault(param, "bad_id", f"{param} is not an id of the form {prefix}_….")]) from None


def _must_have_platform(account_id: UUID | None) -> None:
    if account_id is None:
        raise Conflict(
            "no_provider_account", "Give the campaign a provider_account_id first; it has no platform to dial on."
        )


def _check_version(version: int, expected: int | None) -> None:
    if expected is not None and expected != version:
        raise Stale("stale", f"It is at version {version} by now; read it again.")


def _cadence(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": ids.show("cad", row["id"]),
        "object": "cadence",
        **{name: row[name] for name in ("external_id", "name", "metadata", "version")},
        "cadence_version": row["latest"],
        **row["plan"],
        "created_at": clock.show(row["created_at"]),
        "updated_at": clock.show(row["updated_at"]),
    }


def _campaign(row: CampaignRow) -> dict[str, Any]:
    plain = (
        "external_id",
        "name",
        "status",
        "mode",
        "is_default",
        "max_live_transfers",
        "max_concurrent_calls",
        "ring_timeout_s",
    )
    return {
        "id": ids.show("cmp", row.id),
        "object": "campaign",
        **{name: getattr(row, name) for name in (*plain, "max_duration_s", "caller_id", "metadata", "version")},
        "cadence_id": ids.show("cad", row.cadence_id),
        "provider_account_id": ids.show("pac", row.provider_account_id) if row.provider_account_id else None,
        "created_at": clock.show(row.created_at),
        "updated_at": clock.show(row.updated_at),
    }
