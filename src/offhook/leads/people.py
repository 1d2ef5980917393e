"""The lead as a person: what was sealed, opened for those who may see it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.db import Tx
from offhook.errors import NotFound
from offhook.events import Story
from offhook.leads import store
from offhook.leads.preflight import CheckResult, Preflight, Result
from offhook.leads.store import Row
from offhook.phone import masked
from offhook.privacy import PersonKey, Vault

_NULLS = {
    "client_ref_id": None,
    "contact": None,
    "consent": None,
    "visitor": None,
    "merge_fields": None,
    "metadata": None,
}
_FREE: dict[str, Any] = {"visitor": {}, "merge_fields": {}, "metadata": {}}


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead with its details in clear; `details` is empty when the person was erased."""

    row: Row
    details: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> UUID:
        return self.row.id

    @property
    def shown_id(self) -> str:
        return ids.show("lead", self.row.id)

    @property
    def phone(self) -> str:
        """E.164, in clear: for the dial order and nothing else."""
        return str(self.details["contact"]["phone"])

    def story(self, *, status: str | None = None) -> Story:
        """The context that rides with every event about this lead."""
        return story(self.row.id, self.details, status or self.row.status, self.row.zones)

    def shown(self, *, personal: bool) -> dict[str, Any]:
        """The lead as the API tells it. Without `personal` its number is masked, its consents bear no evidence, and what the
        CRM may write freely is empty; after erasure all of it is null.
        """
        row = self.row
        return {
            "id": self.shown_id,
            "object": "lead",
            "external_id": self.details.get("client_ref_id"),
            "status": row.status,
            "campaign_id": ids.show("cmp", row.campaign_id),
            **self._personal(personal),
            "timezones": row.zones,
            "jurisdictions": row.jurisdictions,
            "preflight": preflight_of(row).shown(),
            "next_attempt_at": clock.show_or_null(row.next_attempt_at),
            "erased_at": clock.show_or_null(row.erased_at),
            "created_at": clock.show(row.created_at),
            "updated_at": clock.show(row.updated_at),
            "version": row.version,
        }

    def _personal(self, personal: bool) -> dict[str, Any]:
        if not self.details:
            return _NULLS
        shown = {name: self.details.get(name) for name in _NULLS}
        if personal:
            return shown
        consent = [{**one, "evidence": None} for one in self.details["consent"]]
        return {**shown, **_FREE, "contact": {"phone": masked(self.phone)}, "consent": consent}


class People:
    """Opens leads. One per process, built in wiring."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def open(self, tx: Tx, rows: Sequence[Row]) -> list[Lead]:
        """The leads in clear, those of erased persons empty."""
        keys = await self._vault.keys(tx, [row.id for row in rows])
        return [Lead(row, _details(row, keys[row.id])) for row in rows]

    async def of(self, tx: Tx, ids: Sequence[UUID], *, lock: bool = False) -> dict[UUID, Lead]:
        """The leads with these ids, in clear; with `lock` nobody else changes them before the commit."""
        rows = await store.by_ids(tx, ids, lock=lock)
        return {lead.id: lead for lead in await self.open(tx, list(rows.values()))}

    async def with_number(self, tx: Tx, number_tag: bytes) -> list[Lead]:
        """Every lead with this number, in the order in which they came."""
        return list((await self.of(tx, await store.with_number(tx, number_tag))).values())

    def email_tag(self, tx: Tx, address: str) -> bytes:
        """The tag of this e-mail address, however it is written."""
        return email_tag(self._vault, tx, address)

    async def numbers_with_emails(self, tx: Tx, email_tags: Sequence[bytes]) -> list[bytes]:
        """The tags of the numbers of every lead, whatever became of it, that has one of these e-mail addresses."""
        return await store.numbers_with_emails(tx, email_tags) if email_tags else []

    async def hold_refs(self, tx: Tx, ref_tags: Sequence[bytes]) -> None:
        """No lead with one of these references comes before the commit; one that is just coming is waited for.

        To be held before the turns of numbers are taken.
        """
        if ref_tags:
            await store.hold_refs(tx, ref_tags)

    async def in_campaign(self, tx: Tx, campaign_id: UUID) -> int:
        """How many leads belong to this campaign, beside those that were rejected or erased."""
        return await store.in_campaign(tx, campaign_id)

    async def find(self, tx: Tx, ref: str, *, lock: bool = False) -> Lead:
        """The lead by its id or by `ext:` and its client_ref_id. Raises NotFound."""
        if ref.startswith("ext:"):
            tag = self._vault.tag(tx.tenant, "ref", ref.removeprefix("ext:"))
            row = (await store.by_refs(tx, [tag])).get(tag)
        else:
            row = await self._by_id(tx, ref)
        if row and lock:
            row = await store.lock(tx, row.id)
        if row is None:
            raise NotFound("no_such_lead", "There is no lead with this id or reference.", param="id")
        return (await self.open(tx, [row]))[0]

    async def _by_id(self, tx: Tx, ref: str) -> Row | None:
        try:
            id = ids.read("lead", ref)
        except ids.NotAnId:
            return None
        return (await store.by_ids(tx, [id])).get(id)


def email_tag(vault: Vault, tx: Tx, address: str) -> bytes:
    """The keyed hash by which an e-mail address is found, however it is written."""
    return vault.tag(tx.tenant, "email", address.strip().lower())


def story(lead_id: UUID, details: dict[str, Any], status: str, zones: Sequence[str]) -> Story:
    """The context of a lead for its events."""
    shown = ids.show("lead", lead_id)
    about = {
        "lead_id": shown,
        "client_ref_id": details["client_ref_id"],
        "status": status,
        "timezone": zones[0] if len(zones) == 1 else None,
        "metadata": details["metadata"],
    }
    visitor = details["visitor"]
    return Story(
        lead_id,
        shown,
        lead=orjson.dumps(about),
        visitor=orjson.dumps(visitor) if visitor else None,
        hidden={"data.phone": details["contact"]["phone"]} if "contact" in details else {},
    )


def preflight_of(row: Row) -> Preflight:
    """The matrix as it was when the lead came in."""
    return Preflight(tuple(_check(*told) for told in row.preflight))


def _check(
    name: str, result: Result, code: str | None, rule: str | None, detail: str | None, until: str | None
) -> CheckResult:
    return CheckResult(name, result, code, rule, detail, datetime.fromisoformat(until) if until else None)


def _details(row: Row, key: object) -> dict[str, Any]:
    if row.details is None or not isinstance(key, PersonKey):
        return {}
    opened: dict[str, Any] = orjson.loads(key.open(row.details, b"lead.details"))
    return opened
