"""`/v1/alerts`: who is told when endpoints are in trouble, and how."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from offhook import ids
from offhook.db import Tx
from offhook.errors import Conflict, Fault, Invalid, NotFound, Stale
from offhook.http import Page
from offhook.http.resources import Ref, ref_of
from offhook.privacy import Vault
from offhook.webhooks import alert_store, alert_targets, incidents
from offhook.webhooks.alert_store import AlertRow
from offhook.webhooks.alert_wire import AlertChange, AlertIn, ToEmail, ToEndpoint, ToSlack, alert_shown
from offhook.webhooks.endpoints import Endpoints
from offhook.webhooks.incident_store import Incident
from offhook.webhooks.merging import merged

Shown = dict[str, Any]
MOST = 100
"""How many alerts an environment has at most."""
_MASKED = "***"


class Alerts:
    """The alerts of a tenant."""

    plural = "alerts"
    object = "alert"
    prefix: ids.Prefix = "alr"
    read_scope = "webhooks:read"
    write_scope = "webhooks:write"
    Create = AlertIn
    Change = AlertChange

    def __init__(self, vault: Vault, endpoints: Endpoints, *, has_mail: bool) -> None:
        """`has_mail`: whether the operator has set a mail server."""
        self._vault = vault
        self._endpoints = endpoints
        self._has_mail = has_mail

    async def create(self, tx: Tx, body: AlertIn) -> Shown:
        """Whom to tell from now on.

        Raises Invalid, or Conflict for a taken external id, for one alert too many, or where no mail can go.
        """
        if await alert_store.count(tx) >= MOST:
            why = f"There are {MOST} alerts, which is the most; delete one, or let one tell of more endpoints."
            raise Conflict("too_many_alerts", why)
        id = ids.new()
        row = AlertRow(
            id=id,
            external_id=body.external_id,
            name=body.name,
            about=list(body.about),
            endpoints=await self._ids(tx, body.endpoints),
            target_type=body.to.type,
            target=await self._sealed(tx, id, body.to),
            every_s=body.every_minutes * 60,
            told_until=tx.now,
            metadata=body.metadata,
            created_at=tx.now,
            updated_at=tx.now,
        )
        self._check_ways(row)
        if not await alert_store.insert(tx, row):
            raise _taken()
        return await self._shown(tx, row)

    async def find(self, tx: Tx, ref: Ref) -> Shown:
        """Raises NotFound."""
        return await self._shown(tx, await self._row(tx, ref))

    async def list(self, tx: Tx, page: Page) -> list[Shown]:
        start = page.start(UUID)
        rows = await alert_store.page(tx, start[0] if start else None, page.most)
        named = {endpoint for row in rows for endpoint in row.endpoints or ()}
        of_named = await incidents.open_ones(tx, list(named)) if named else []
        of_any = await incidents.open_ones(tx) if any(row.endpoints is None for row in rows) else []
        return [self._told(row, of_any if row.endpoints is None else of_named) for row in rows]

    async def change(self, tx: Tx, ref: Ref, body: AlertChange, sent: frozenset[str], expected: int | None) -> Shown:
        """Set what was sent. Raises NotFound, Stale, Invalid, or Conflict as `create` does."""
        row = await self._row(tx, ref, lock=True)
        if expected is not None and expected != row.version:
            raise Stale("stale", f"It is at version {row.version} by now; read it again.")
        new = merged(AlertIn, body, sent)
        if "endpoints" in new:
            new["endpoints"] = await self._ids(tx, new["endpoints"])
        if "every_minutes" in new:
            new["every_s"] = new.pop("every_minutes") * 60
        if "to" in new:
            to = new.pop("to")
            new |= {"target_type": to.type, "target": await self._sealed(tx, row.id, to)}
        after = replace(row, **new)
        self._check_ways(after)
        if not await alert_store.update(tx, after):
            raise _taken()
        return await self._shown(tx, await self._row(tx, row.id))

    async def delete(self, tx: Tx, ref: Ref) -> None:
        """Tell nobody any more. Raises NotFound."""
        await alert_store.delete(tx, (await self._row(tx, ref)).id)

    async def _shown(self, tx: Tx, row: AlertRow) -> Shown:
        return self._told(row, await incidents.open_ones(tx, row.endpoints))

    def _told(self, row: AlertRow, open_ones: Sequence[Incident]) -> Shown:
        to = {"type": row.target_type, **alert_targets.opened(self._vault, row)}
        if "url" in to:
            to["url"] = _MASKED
        return alert_shown(row, to, open_ones)

    async def _sealed(self, tx: Tx, id: UUID, to: ToEmail | ToSlack | ToEndpoint) -> bytes:
        told = to.model_dump(exclude={"type"})
        if isinstance(to, ToEmail) and not self._has_mail:
            raise Conflict("no_mail_server", "No mail server is set; the operator sets OFFHOOK_SMTP_URL.", param="to")
        if isinstance(to, ToEndpoint):
            told = {"webhook_endpoint_id": ids.show("whe", await self._id(tx, to.webhook_endpoint_id, "to"))}
        return alert_targets.seal(self._vault, tx, id, told)

    def _check_ways(self, row: AlertRow) -> None:
        told = alert_targets.endpoint_of(self._vault, row)
        if told is not None and row.endpoints is not None and set(row.endpoints) == {told}:
            why = "An endpoint in trouble cannot be told of it, so nobody would be; tell another one, or of others too."
            raise Invalid([Fault("to", "alerts_itself", why)])

    async def _ids(self, tx: Tx, refs: Sequence[str] | None) -> Sequence[UUID] | None:
        if refs is None:
            return None
        return [await self._id(tx, ref, f"endpoints.{n}") for n, ref in enumerate(refs)]

    async def _id(self, tx: Tx, ref: str, param: str) -> UUID:
        try:
            return await self._endpoints.id_of(tx, ref_of(ref, "whe"))
        except NotFound as why:
            raise Invalid([Fault(param, why.code, why.detail)]) from None

    async def _row(self, tx: Tx, ref: Ref, *, lock: bool = False) -> AlertRow:
        found = (
            await alert_store.find(tx, id=ref, lock=lock)
            if isinstance(ref, UUID)
            else await alert_store.find(tx, external_id=ref.value, lock=lock)
        )
        if found is None:
            raise NotFound("no_such_alert", "There is no alert with this id.", param="id")
        return found


def _taken() -> Conflict:
    return Conflict("external_id_taken", "Another alert has this external id.", param="external_id")
