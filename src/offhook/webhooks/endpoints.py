"""`/v1/webhook-endpoints`: who is told, of what, and where.

    pending_test ──2xx of a test──▶ active ⇄ failing      see `health`
         any ──pause──▶ paused        any ──disable, 410, days of failures──▶ disabled        any ──enable──▶ active

While an endpoint is paused or disabled its events are held; `enable` sends or discards them. None of that touches a
delivery, so it takes no longer however many are open; they are counted to 100,000. Every change raises the tenant's
generation in its transaction, so that from its commit on no process tells by the old settings, and wakes whoever sends.
"""

from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from offhook import ids
from offhook.db import Tx
from offhook.errors import Conflict, Forbidden, Invalid, NotFound, Stale
from offhook.events import ENGINE, Actor, Fact, Log, Transition, sample_of
from offhook.events.catalogue.webhooks import (
    WebhookEndpointCreated,
    WebhookEndpointDeleted,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointSecretRotated,
    WebhookEndpointUpdated,
    WebhookTest,
)
from offhook.events.hearing import Hearing
from offhook.events.types import every_type
from offhook.http import Page
from offhook.http.resources import Ref
from offhook.privacy import Vault
from offhook.webhooks import alert_targets, globs, held_store, proving, store
from offhook.webhooks.credentials import ClientCredentials
from offhook.webhooks.destinations.registry import Destinations
from offhook.webhooks.directory import SENDABLE, Directory
from offhook.webhooks.endpoint_settings import EndpointSettings, changed_settings, patched, seen_anew, settings_of
from offhook.webhooks.messages import lets_through
from offhook.webhooks.proofs import Proofs, changed_proofs
from offhook.webhooks.reach import verdict_on
from offhook.webhooks.store import EndpointRow
from offhook.webhooks.wire import EndpointChange, EndpointIn, Held, Rotation, endpoint_shown

Shown = dict[str, Any]
_USUAL = Rotation()
_DISCARDED = "discarded_on_enable"
_DEFAULTS = EndpointSettings()


class Endpoints:
    """The endpoints of a tenant, changed by the house itself or `by` somebody."""

    plural = "webhook-endpoints"
    object = "webhook_endpoint"
    prefix: ids.Prefix = "whe"
    read_scope = "webhooks:read"
    write_scope = "webhooks:write"
    Create = EndpointIn
    Change = EndpointChange

    def __init__(
        self,
        vault: Vault,
        log: Log,
        directory: Directory,
        destinations: Destinations,
        actor: Actor = ENGINE,
        *,
        may_unmask: bool = True,
    ) -> None:
        self._vault = vault
        self._log = log
        self._directory = directory
        self._destinations = destinations
        self._actor = actor
        self._may_unmask = may_unmask

    def by(self, actor: Actor, *, may_unmask: bool = True) -> "Endpoints":
        """The same endpoints; the events about their changes say that it was this actor.

        `may_unmask`: whether the actor may see what events mask, and so may have it told, or asked by a filter.
        """
        return Endpoints(self._vault, self._log, self._directory, self._destinations, actor, may_unmask=may_unmask)

    async def create(self, tx: Tx, body: EndpointIn) -> Shown:
        """A new endpoint, with its keys, which are shown this once.

        Raises Invalid, Forbidden when it tells, or asks, what the actor may not see, or Conflict for a taken external id.
        """
        settings, id, proved = body.settings, ids.new(), proving.made(body, tx.wall)
        ssrf = _checked(body.url, body.events, settings, proved.proofs, self._destinations)
        self._check_unmasking(seen_anew(_DEFAULTS, settings))
        row = EndpointRow(
            id=id,
            external_id=body.external_id,
            url=body.url,
            events=body.events,
            description=body.description,
            settings=settings.different(),
            needs_owner=settings.needs_owner,
            secret=proved.proofs.seal(self._vault, tx, id),
            status="active" if body.activate else "pending_test",
            metadata=body.metadata,
            created_at=tx.now,
            updated_at=tx.now,
        )
        if not await store.insert(tx, row):
            raise _taken()
        await self._tell(tx, WebhookEndpointCreated(subject_id=id, status=row.status, events=row.events))
        return {**endpoint_shown(row, proved.proofs, tx.wall), **proved.shown, "ssrf": ssrf}

    async def find(self, tx: Tx, ref: Ref) -> Shown:
        """Raises NotFound."""
        return self._shown(tx, await self._row(tx, ref))

    async def list(self, tx: Tx, page: Page) -> list[Shown]:
        start = page.start(UUID)
        return [self._shown(tx, row) for row in await store.page(tx, start[0] if start else None, page.most)]

    async def change(self, tx: Tx, ref: Ref, body: EndpointChange, sent: frozenset[str], expected: int | None) -> Shown:
        """Set what was sent; new keys are shown this once.

        Raises NotFound, Stale, Invalid, Forbidden as `create` does, or Conflict for a taken external id.
        """
        row = await self._row(tx, ref, lock=True)
        if expected is not None and expected != row.version:
            raise Stale("stale", f"It is at version {row.version} by now; read it again.")
        settings, as_was = patched(row.settings, body.patch()), settings_of(row.settings)
        before = Proofs.open(self._vault, row.id, row.secret)
        proved = proving.changed(before, settings, body, sent, tx.wall)
        new = body.plain(sent)
        changed = [name for name, value in new.items() if value != getattr(row, name)]
        changed += changed_settings(as_was, settings) + changed_proofs(before, proved.proofs)
        if not changed:
            return self._shown(tx, row)
        self._check_unmasking(seen_anew(as_was, settings, moved="url" in changed))
        secret = row.secret if proved.proofs == before else proved.proofs.seal(self._vault, tx, row.id)
        after = replace(row, **new, settings=settings.different(), needs_owner=settings.needs_owner, secret=secret)
        ssrf = _checked(after.url, after.events, settings, proved.proofs, self._destinations)
        if faults := proving.astray(row.url, after.url, before, sent):
            raise Invalid(faults)
        saved = await self._save(tx, after, WebhookEndpointUpdated(subject_id=row.id, changed=sorted(changed)))
        return {**saved, **proved.shown, **({"ssrf": ssrf} if {"url", "authentication"} & set(changed) else {})}

    async def delete(self, tx: Tx, ref: Ref) -> None:
        """Remove it; what was still open for it is discarded from now on.

        Raises NotFound, or Conflict while an alert tells it.
        """
        row = await self._row(tx, ref, lock=True)
        if alerts := await alert_targets.telling(tx, self._vault, row.id):
            why = "Alerts tell this endpoint; have them tell somebody else, or delete them, first."
            raise Conflict("in_use", why, extra={"references": alerts})
        discarded = await held_store.give_up(tx, row.id, "endpoint_deleted")
        await store.delete(tx, row.id)
        await self._tell(tx, WebhookEndpointDeleted(subject_id=row.id, deliveries_discarded=discarded))

    async def pause(self, tx: Tx, ref: Ref) -> Shown:
        """Hold its events until it is enabled. Idempotent. Raises NotFound, or Conflict when it is disabled."""
        row = await self._row(tx, ref, lock=True)
        if row.status == "disabled":
            raise Conflict("endpoint_disabled", "It is disabled, which holds its events as well; enable it first.")
        return await self._stop(tx, row, "paused")

    async def disable(self, tx: Tx, ref: Ref) -> Shown:
        """Send nothing to it until it is enabled. Idempotent. Raises NotFound."""
        return await self._stop(tx, await self._row(tx, ref, lock=True), "disabled")

    async def enable(self, tx: Tx, ref: Ref, held: Held) -> Shown:
        """Tell it of events again, and send or discard what was held. Idempotent. Raises NotFound."""
        row = await self._row(tx, ref, lock=True)
        if row.status == "active":
            return self._shown(tx, row)
        count = 0
        if row.status not in SENDABLE:
            count = await (
                held_store.count(tx, row.id) if held == "send" else held_store.give_up(tx, row.id, _DISCARDED)
            )
        moved = Transition("status", row.status, "active", "by_request")
        fact = WebhookEndpointEnabled(subject_id=row.id, transition=moved, held=held, deliveries=count)
        after = replace(
            row, status="active", status_reason=None, failures_in_row=0, failing_since=None, enabled_at=tx.now
        )
        return await self._save(tx, after, fact)

    async def rotate_secret(self, tx: Tx, ref: Ref, body: Rotation = _USUAL) -> Shown:
        """A new key, shown this once; every request from the commit on is signed with it, and for a while with the old one.

        Raises NotFound, Invalid, or Conflict when the endpoint has no such key.
        """
        row = await self._row(tx, ref, lock=True)
        before = Proofs.open(self._vault, row.id, row.secret)
        rotated = proving.rotated(before, settings_of(row.settings), body, tx.wall)
        after = replace(row, secret=replace(before, keys=rotated.keys).seal(self._vault, tx, row.id))
        fact = WebhookEndpointSecretRotated(subject_id=row.id, key=body.key, old_key_expires_at=rotated.old_expires_at)
        return {**await self._save(tx, after, fact), **rotated.shown}

    async def test(self, tx: Tx, ref: Ref, type: str = WebhookTest.type) -> UUID:
        """Send it a test, whatever its state: `webhook.test`, or a sample of that type; the delivery's id.

        Raises NotFound.
        """
        row = await self._row(tx, ref)
        if type == WebhookTest.type:
            fact: Fact = WebhookTest(subject_id=row.id, only_for=row.id, test=True)
        else:
            fact = sample_of(type, tx.now, only_for=row.id)
        await self._log.append(tx, [replace(fact, actor=self._actor)])
        return ids.delivery_of(fact.id, row.id)

    async def hearing_of(self, tx: Tx, ref: Ref) -> Hearing:
        """What it should get. Raises NotFound."""
        row = await self._row(tx, ref)
        asked = settings_of(row.settings).compiled
        return Hearing(row.id, row.events, partial(lets_through, asked) if asked else None)

    async def id_of(self, tx: Tx, ref: Ref) -> UUID:
        """Its own id. Raises NotFound."""
        return (await self._row(tx, ref)).id

    async def _stop(self, tx: Tx, row: EndpointRow, status: str) -> Shown:
        if row.status == status:
            return self._shown(tx, row)
        moved = Transition("status", row.status, status, "by_request")
        fact: Fact = WebhookEndpointUpdated(subject_id=row.id, transition=moved, changed=["status"])
        if status == "disabled":
            fact = WebhookEndpointDisabled(subject_id=row.id, transition=moved, reason="by_request")
        return await self._save(tx, replace(row, status=status, status_reason="by_request"), fact)

    async def _row(self, tx: Tx, ref: Ref, *, lock: bool = False) -> EndpointRow:
        row = await (
            store.find(tx, ref, lock=lock)
            if isinstance(ref, UUID)
            else store.find_by_external_id(tx, ref.value, lock=lock)
        )
        if row is None:
            raise NotFound("no_such_endpoint", "There is no webhook endpoint with this id.", param="id")
        return row

    async def _save(self, tx: Tx, row: EndpointRow, fact: Fact) -> Shown:
        if not await store.update(tx, row):
            raise _taken()
        await self._tell(tx, fact)
        return self._shown(tx, await self._row(tx, row.id))

    def _shown(self, tx: Tx, row: EndpointRow) -> Shown:
        return endpoint_shown(row, Proofs.open(self._vault, row.id, row.secret), tx.wall)

    def _check_unmasking(self, by: str | None) -> None:
        if by and not self._may_unmask:
            detail = "To have numbers told in full, or chosen by a filter, takes the scope leads:read-personal."
            raise Forbidden("missing_scope", detail, param=by)

    async def _tell(self, tx: Tx, fact: Fact) -> None:
        await self._directory.changed(tx)
        await self._log.append(tx, [replace(fact, actor=self._actor)])


def _checked(
    url: str, events: list[str], settings: EndpointSettings, proofs: Proofs, destinations: Destinations
) -> Shown:
    """What was found out about its URLs, as it is shown. Raises Invalid for all that keeps the endpoint from being told."""
    verdict = verdict_on(url)
    shown: Shown = verdict.shown()
    faults = [*verdict.faults("url"), *globs.faults(events, every_type()), *proving.unfit(url, settings, proofs)]
    if fault := destinations.check(url, settings, proofs.credentials):
        faults.append(fault)
    if isinstance(proofs.credentials, ClientCredentials):
        of_tokens = verdict_on(proofs.credentials.token_url)
        faults += of_tokens.faults("authentication.token_url")
        shown["token_url"] = of_tokens.shown()
    if faults:
        raise Invalid(faults)
    return shown


def _taken() -> Conflict:
    return Conflict("external_id_taken", "Another endpoint has this external id.", param="external_id")
