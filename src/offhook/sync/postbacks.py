"""Post-backs: conversion, dnc, reconnect, disposition."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from offhook import ids
from offhook.compliance.suppression import taking_turns
from offhook.db import EngineTx, Tx
from offhook.errors import Conflict, Fault, Invalid, NotFound
from offhook.events import Actor, Event, Log
from offhook.events.catalogue.leads import (
    LeadAccepted,
    LeadConverted,
    LeadDncAdded,
    LeadReconnectRequested,
    LeadRejected,
)
from offhook.http.wire import Instant
from offhook.leads import Lead, People, settle
from offhook.phone import NotAPhone, parse
from offhook.privacy import Vault
from offhook.sync import store
from offhook.sync.optouts import OptOuts, cancelled_by
from offhook.sync.store import PostBackRow
from offhook.sync.wire import OptOutIn, PostBackIn

KEPT = timedelta(days=30)
"""How long a post-back waits for a lead that has not come yet."""

Reconnect = Callable[[Tx, Lead, datetime, Actor, UUID | None], Awaitable[datetime]]
"""Start the lead's cadence anew from this instant on, because of the event with this id; when its next attempt is due."""
LeadOfCall = Callable[[Tx, UUID], Awaitable[UUID | None]]
SetDisposition = Callable[[Tx, Lead, dict[str, Any], Actor], Awaitable[bool]]
"""Note the disposition on the lead's latest call; whether there was one."""

_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)
_WRONG_NUMBER = "phone cannot be a number; send it like +14155550123."


async def purge_postbacks(tx: EngineTx) -> int:
    """Forget some of what has waited 30 days for its lead, for a periodic job; how many post-backs, 0 when none is left.

    Nothing is left of them: sent once more, each is a new word.
    """
    return await store.purge_postbacks(tx, KEPT)


@dataclass(frozen=True, slots=True)
class _PostBack:
    """A word of the CRM under our id, and by whose key it came; `causation` is the coming of the lead it waited for."""

    id: UUID
    said: PostBackIn
    actor: Actor
    causation: UUID | None = None


class PostBacks:
    """Applies post-backs. One per process, built in wiring."""

    def __init__(
        self,
        vault: Vault,
        log: Log,
        people: People,
        opt_outs: OptOuts,
        *,
        reconnect: Reconnect,
        lead_of_call: LeadOfCall,
        set_disposition: SetDisposition,
    ) -> None:
        self._vault = vault
        self._log = log
        self._people = people
        self._opt_outs = opt_outs
        self._reconnect = reconnect
        self._lead_of_call = lead_of_call
        self._set_disposition = set_disposition

    async def take(self, tx: Tx, said: PostBackIn, actor: Actor) -> tuple[int, dict[str, Any]]:
        """Apply what `actor` posted: the HTTP status (201 new, 200 repeated, 202 its lead is not here yet) and the answer.

        Raises Conflict `suppressed` or `converted` for a reconnect that is not allowed, Invalid for one at no instant;
        nothing is kept of it then.
        """
        _must_be_clear(said)
        external = self._external(tx, said)
        if external:
            await store.take_turns(tx, [external])
            if known := await store.find_postback(tx, said.type, external):
                return 200, {**known[1], "duplicate": True}
        id, ref = ids.new(), self._ref(tx, said)
        lead = await self._find(tx, said)
        if lead is None and ref:
            # Whoever is bringing it has looked for words about it before this one is there to be found.
            await self._people.hold_refs(tx, ref)
            lead = await self._find(tx, said)
        content = None if lead else self._vault.seal_own(tx, _kept(said, actor), _place(id))
        answer = await self._apply(tx, _PostBack(id, said, actor), lead)
        row = PostBackRow(
            id=id,
            type=said.type,
            external_tag=external,
            ref_tag=next(iter(ref), None),
            lead_id=lead.id if lead else None,
            content=content if not answer["applied"] else None,
            occurred_at=said.occurred_at or tx.now,
            answer=answer,
        )
        await store.insert_postback(tx, row)
        return 201 if lead or answer["applied"] else 202, {**answer, "duplicate": False}

    async def take_turns(self, tx: Tx, words: Sequence[PostBackIn]) -> None:
        """Take the turns of all that these speak of, before the first of many is taken in one transaction.

        References, theirs and those of leads, then numbers, each in the one order that everybody keeps: taken word by
        word, two batches, or a batch and a dispatch, or one of words and one of leads, would embrace.
        """
        await store.take_turns(tx, [tag for said in words if (tag := self._external(tx, said))])
        await self._people.hold_refs(tx, [tag for said in words for tag in self._ref(tx, said)])
        await taking_turns(tx, [tag for said in words if (tag := await self._number(tx, said))])

    async def lead_came(self, tx: Tx, events: Sequence[Event]) -> None:
        """Within(LeadAccepted), Within(LeadRejected): apply what the CRM said before the lead itself came, in its name.

        Of a rejected one too: its number may be another lead's.
        """
        came = {self._vault.tag(tx.tenant, "ref", _came(one).client_ref_id): one for one in events}
        since = tx.now - KEPT
        for tag in await store.refs_waiting(tx, list(came), since):
            lead_came = came[tag].fact
            for id, sealed in await store.waiting(tx, tag, since):
                lead = (await self._people.of(tx, [lead_came.subject_id]))[lead_came.subject_id]
                kept = self._vault.open_own(sealed, _place(id))
                await store.answer_postback(tx, id, lead.id, await self._apply_late(tx, id, kept, lead, lead_came.id))

    async def _apply_late(self, tx: Tx, id: UUID, kept: bytes, lead: Lead, causation: UUID) -> dict[str, Any]:
        try:
            return await self._apply(tx, _PostBack(id, *_read(kept), causation=causation), lead)
        except (Conflict, Invalid) as refusal:
            # A word that cannot be read or obeyed must not keep the lead out.
            return _answer(id, lead.row.status, applied=False, reason=refusal.code)

    async def _apply(self, tx: Tx, post_back: _PostBack, lead: Lead | None) -> dict[str, Any]:
        id, said = post_back.id, post_back.said
        if lead is None:
            return await self._apply_to_nobody(tx, post_back)
        if not lead.details:
            return await self._apply_to_erased(tx, post_back, lead)
        match said.type:
            case "conversion":
                return await self._convert(tx, post_back, lead)
            case "dnc":
                return await self._dnc(tx, post_back, lead)
            case "reconnect":
                return await self._connect_again(tx, post_back, lead)
            case "disposition":
                noted = await self._set_disposition(tx, lead, said.data, post_back.actor)
                return _answer(id, lead.row.status, applied=noted, reason=None if noted else "no_call_yet")

    async def _apply_to_nobody(self, tx: Tx, post_back: _PostBack) -> dict[str, Any]:
        id, said = post_back.id, post_back.said
        if said.type == "dnc" and said.phone:
            _, stopped = await self._opt_outs.take(tx, OptOutIn(channel="crm", phone=said.phone), post_back.actor)
            return _answer(id, None, cancelled=stopped["attempts_cancelled"], cut=len(stopped["calls_cut"]))
        if said.type == "dnc" and said.call_id:
            with suppress(NotFound):
                _, stopped = await self._opt_outs.take_of_call(tx, ids.read("call", said.call_id), post_back.actor)
                return _answer(id, None, cancelled=stopped["attempts_cancelled"], cut=len(stopped["calls_cut"]))
        return _answer(id, None, applied=False, reason="unknown_lead")

    async def _apply_to_erased(self, tx: Tx, post_back: _PostBack, lead: Lead) -> dict[str, Any]:
        if post_back.said.type == "dnc":
            # The number's tag outlives the person, and so must the word: somebody may send the number again.
            _, cut = await self._opt_outs.suppress_lead(tx, lead, "crm", post_back.actor, post_back.causation)
            return _answer(post_back.id, "erased", cut=len(cut))
        return _answer(post_back.id, "erased", applied=False, reason="erased")

    async def _convert(self, tx: Tx, post_back: _PostBack, lead: Lead) -> dict[str, Any]:
        id, said = post_back.id, post_back.said
        if lead.row.status == "converted" or _older(said, lead):
            return _answer(
                id,
                lead.row.status,
                applied=False,
                reason="already_converted" if lead.row.status == "converted" else "outdated",
            )
        suppressed = lead.row.status in ("opted_out", "dnc")
        if not suppressed:
            await settle(tx, lead.id, "converted", "conversion", said.occurred_at or tx.now)
        status = lead.row.status if suppressed else "converted"
        value, currency = said.data.get("value_micros"), said.data.get("currency")
        fact = LeadConverted(
            subject_id=lead.id,
            story=lead.story(status=status),
            actor=post_back.actor,
            causation=post_back.causation,
            postback_id=ids.show("psb", id),
            value_micros=value if isinstance(value, int) else None,
            currency=currency if isinstance(currency, str) else None,
        )
        events = await self._log.append(tx, [fact])
        return _answer(id, status, cancelled=cancelled_by(events))

    async def _dnc(self, tx: Tx, post_back: _PostBack, lead: Lead) -> dict[str, Any]:
        id = post_back.id
        # Of a lead that was stopped before nothing is told; else the suppression follows from what is told of it.
        told = None if lead.row.status in ("dnc", "opted_out") else ids.new()
        made, cut = await self._opt_outs.suppress_lead(tx, lead, "crm", post_back.actor, told)
        if told is None:
            return _answer(id, lead.row.status, cut=len(cut))
        await settle(tx, lead.id, "dnc", "dnc", tx.now)
        fact = LeadDncAdded(
            id=told,
            subject_id=lead.id,
            story=lead.story(status="dnc"),
            actor=post_back.actor,
            causation=post_back.causation,
            postback_id=ids.show("psb", id),
            scope="seller",
            suppression_ids=[ids.show("sup", one) for one in made],
        )
        events = await self._log.append(tx, [fact])
        return _answer(id, "dnc", cancelled=cancelled_by(events), cut=len(cut))

    async def _connect_again(self, tx: Tx, post_back: _PostBack, lead: Lead) -> dict[str, Any]:
        id, said = post_back.id, post_back.said
        if lead.row.status in ("opted_out", "dnc"):
            raise Conflict("suppressed", "The person said stop; a suppression is never undone by a post-back.")
        if lead.row.status == "rejected":
            raise Conflict("rejected", "The lead was rejected at its pre-flight; GET it to see why.")
        if lead.row.status == "converted" and said.data.get("reopen") is not True:
            raise Conflict("converted", "The lead is converted; send data.reopen: true to call it again.")
        if _older(said, lead):
            return _answer(id, lead.row.status, applied=False, reason="outdated")
        at = _instant(said.data.get("at")) or tx.now
        due_at = await self._reconnect(tx, lead, at, post_back.actor, post_back.causation)
        await settle(tx, lead.id, "scheduled", "reconnect", said.occurred_at or tx.now, next_attempt_at=due_at)
        fact = LeadReconnectRequested(
            subject_id=lead.id,
            story=lead.story(status="scheduled"),
            actor=post_back.actor,
            causation=post_back.causation,
            postback_id=ids.show("psb", id),
            due_at=due_at,
        )
        await self._log.append(tx, [fact])
        return _answer(id, "scheduled")

    def _external(self, tx: Tx, said: PostBackIn) -> bytes | None:
        ref = said.external_ref
        return self._vault.tag(tx.tenant, "external", f"{said.type}:{ref}") if ref else None

    def _ref(self, tx: Tx, said: PostBackIn) -> list[bytes]:
        return [self._vault.tag(tx.tenant, "ref", said.client_ref_id)] if said.client_ref_id else []

    async def _number(self, tx: Tx, said: PostBackIn) -> bytes | None:
        """The tag of the number that it speaks of; None where nobody knows it, or it cannot be read."""
        if said.phone:
            phone = parse(said.phone)
            return None if isinstance(phone, NotAPhone) else self._vault.tag(tx.tenant, "phone", phone.e164)
        try:
            found = await self._named(tx, said)
        except Invalid:
            return None
        return found.row.number_tag if found else None

    async def _find(self, tx: Tx, said: PostBackIn) -> Lead | None:
        """The lead that it speaks of, its number's turn taken before its row, as a dispatch does."""
        found = await self._named(tx, said)
        if found is None:
            return None
        await taking_turns(tx, [found.row.number_tag])
        return await self._people.find(tx, found.shown_id, lock=True)

    async def _named(self, tx: Tx, said: PostBackIn) -> Lead | None:
        if said.phone:
            return await self._by_phone(tx, said.phone)
        if said.call_id:
            return await self._by_call(tx, said.call_id)
        try:
            return await self._people.find(tx, said.lead_id or f"ext:{said.client_ref_id}")
        except NotFound:
            return None

    async def _by_phone(self, tx: Tx, raw: str) -> Lead | None:
        phone = parse(raw)
        if isinstance(phone, NotAPhone):
            raise Invalid([Fault("phone", phone.code, _WRONG_NUMBER)], code="invalid_phone")
        leads = await self._people.with_number(tx, self._vault.tag(tx.tenant, "phone", phone.e164))
        alive = [lead for lead in leads if lead.details and lead.row.status != "rejected"]
        return alive[-1] if alive else None

    async def _by_call(self, tx: Tx, shown: str) -> Lead | None:
        try:
            lead = await self._lead_of_call(tx, ids.read("call", shown))
        except ids.NotAnId:
            raise Invalid([Fault("call_id", "bad_id", "call_id is not the id of a call.")]) from None
        except NotFound:
            return None
        return (await self._people.of(tx, [lead])).get(lead) if lead else None


def _came(event: Event) -> LeadAccepted | LeadRejected:
    return cast(LeadAccepted | LeadRejected, event.fact)


def _older(said: PostBackIn, lead: Lead) -> bool:
    settled = lead.row.settled_at
    return said.occurred_at is not None and settled is not None and said.occurred_at < settled


def _must_be_clear(said: PostBackIn) -> None:
    """Refuse now what could not be obeyed later, when its lead comes and nobody is there to be told."""
    if said.type == "reconnect":
        _instant(said.data.get("at"))


def _instant(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        return _INSTANT.validate_python(text)
    except ValidationError:
        detail = "data.at must be an instant of this century with its offset from UTC, like 2026-11-24T15:00:00Z."
        raise Invalid([Fault("data.at", "bad_instant", detail)]) from None


def _answer(
    id: UUID, status: str | None, *, applied: bool = True, cancelled: int = 0, cut: int = 0, reason: str | None = None
) -> dict[str, Any]:
    return {
        "id": ids.show("psb", id),
        "object": "postback",
        "applied": applied,
        "effect": {"lead_status": status, "attempts_cancelled": cancelled, "calls_cut": cut},
        "reason": reason,
    }


def _kept(said: PostBackIn, actor: Actor) -> bytes:
    """The word as it waits for its lead, with whose it is."""
    return orjson.dumps({"said": said.model_dump(mode="json"), "actor": [actor.type, actor.id]})


def _read(kept: bytes) -> tuple[PostBackIn, Actor]:
    found = orjson.loads(kept)
    return PostBackIn.read(found["said"]), Actor(*found["actor"])


def _place(id: UUID) -> bytes:
    return b"postback" + id.bytes
