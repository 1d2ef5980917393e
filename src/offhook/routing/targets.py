"""`/v1/targets`: where qualified callers are sent."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from offhook import clock, ids
from offhook.db import Tx, Wakeups
from offhook.errors import Conflict, Fault, Invalid, NotFound, Stale
from offhook.http import Page, Wire
from offhook.http.resources import Ref
from offhook.http.wire import Metadata, Name
from offhook.phone import NotAPhone, parse
from offhook.routing import store

Kind = Literal["did", "sip", "queue"]


class TargetIn(Wire):
    """A DID (E.164), a SIP address or a queue's name, and how many humans answer there."""

    name: Name
    external_id: Name | None = None
    kind: Kind
    address: Name
    priority: Annotated[int, Field(ge=1, le=1000)] = 1
    slots: Annotated[int, Field(ge=0, le=10_000)] = 1
    timeout_s: Annotated[int, Field(ge=1, le=300)] = 30
    status: Literal["active", "paused"] = "active"
    metadata: Metadata = {}


class TargetChange(Wire):
    name: Name | None = None
    external_id: Name | None = None
    kind: Kind | None = None
    address: Name | None = None
    priority: Annotated[int, Field(ge=1, le=1000)] | None = None
    slots: Annotated[int, Field(ge=0, le=10_000)] | None = None
    timeout_s: Annotated[int, Field(ge=1, le=300)] | None = None
    status: Literal["active", "paused"] | None = None
    metadata: Metadata | None = None


class Targets:
    """The targets of a tenant. Pausing one gives no new lease; live calls finish."""

    plural = "targets"
    object = "target"
    prefix: ids.Prefix = "tgt"
    read_scope = "routing:read"
    write_scope = "routing:write"
    Create = TargetIn
    Change = TargetChange

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups

    async def create(self, tx: Tx, body: TargetIn) -> dict[str, Any]:
        _check_address(body.kind, body.address)
        id = ids.new()
        await store.insert_target(tx, {**body.model_dump(), "id": id})
        tx.on_commit(lambda: self._wakeups.send("dial", tx.tenant))
        return await self.find(tx, id)

    async def find(self, tx: Tx, ref: Ref) -> dict[str, Any]:
        return _shown(await _find(tx, ref))

    async def list(self, tx: Tx, page: Page) -> list[dict[str, Any]]:
        start = page.start(UUID)
        return [_shown(row) for row in await store.list_targets(tx, start[0] if start else None, page.most)]

    async def change(
        self, tx: Tx, ref: Ref, body: TargetChange, sent: frozenset[str], expected: int | None
    ) -> dict[str, Any]:
        row = await _find(tx, ref)
        if expected is not None and expected != row["version"]:
            raise Stale("stale", f"It is at version {row['version']} by now; read it again.")
        new = {
            name: value
            for name, value in body.model_dump(include=set(sent)).items()
            if value is not None or name == "external_id"
        }
        changed = {**row, **new}
        _check_address(changed["kind"], changed["address"])
        await store.update_target(tx, changed)
        tx.on_commit(lambda: self._wakeups.send("dial", tx.tenant))
        return await self.find(tx, row["id"])

    async def delete(self, tx: Tx, ref: Ref) -> None:
        row = await _find(tx, ref)
        if held := await store.delete_target(tx, row["id"]):
            calls = [ids.show("call", call) for call in held]
            raise Conflict("in_use", "Calls hold slots of this target; pause it and wait.", extra={"references": calls})


async def set_up(tx: Tx) -> None:
    """The target with five slots that the sandbox is born with."""
    body = TargetIn(name="Sales floor", kind="did", address="+12025550111", slots=5)
    await store.insert_target(tx, {**body.model_dump(), "id": ids.new()})


async def _find(tx: Tx, ref: Ref) -> dict[str, Any]:
    if isinstance(ref, UUID):
        found = await store.find_target(tx, id=ref)
    else:
        found = await store.find_target(tx, external_id=ref.value)
    if found is None:
        raise NotFound("no_such_target", "There is no target with this id.", param="id")
    return found


def _check_address(kind: Kind, address: str) -> None:
    if kind == "did" and isinstance(parse(address), NotAPhone):
        raise Invalid([Fault("address", "bad_did", "The address of a did is its number, like +13125550100.")])
    if kind == "sip" and not address.startswith(("sip:", "sips:")):
        raise Invalid([Fault("address", "bad_sip", "The address of a sip target begins with sip: or sips:.")])


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    plain = (
        "external_id",
        "name",
        "kind",
        "address",
        "priority",
        "slots",
        "status",
        "timeout_s",
        "metadata",
        "version",
    )
    return {
        "id": ids.show("tgt", row["id"]),
        "object": "target",
        **{name: row[name] for name in plain},
        "created_at": clock.show(row["created_at"]),
        "updated_at": clock.show(row["updated_at"]),
    }
