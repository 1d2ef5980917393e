"""Opt-outs by any channel: one transaction from the word *stop* to silence.

The number's turn is taken before anything else, so a dial of that number either committed before (and its call is cut)
or finds the suppression.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.compliance.suppression import Identifier, suppress, suppressed, taking_turns
from offhook.db import Tx
from offhook.errors import Fault, Invalid
from offhook.events import Actor, Event, Fact, Log
from offhook.events.catalogue.calls import CallOptOutDetected
from offhook.events.catalogue.leads import LeadCadenceCompleted, LeadOptedOut
from offhook.leads import Lead, People, settle
from offhook.phone import NotAPhone, parse
from offhook.privacy import PersonKey, Vault
from offhook.sync import store
from offhook.sync.wire import OptOutIn

CutCalls = Callable[[Tx, bytes, str], Awaitable[Sequence[UUID]]]
"""Request the stop of every open call to this number tag, for this reason; their ids."""


class OptOuts:
    """Obeys opt-outs. One per process, built in wiring."""

    def __init__(self, vault: Vault, log: Log, people: People, cut_calls: CutCalls) -> None:
        self._vault = vault
        self._log = log
        self._people = people
        self._cut_calls = cut_calls

    async def take(self, tx: Tx, wish: OptOutIn) -> tuple[bool, dict[str, Any]]:
        """Obey; whether it is new, and the answer. The same wish again is answered like the first time.

        All numbers of the person, all channels, for the seller by default. An unknown number is suppressed as well.
        """
        identifiers, lead = await self._who(tx, wish)
        for identifier in identifiers:
            await taking_turns(tx, [identifier.tag])
        known = await store.find_opt_out(tx, identifiers[0].tag, wish.scope, wish.channel)
        if known and len(await suppressed(tx, [one.tag for one in identifiers])) == len(identifiers):
            return False, known[1]
        answer = await self._obey(tx, known[0] if known else ids.new(), identifiers, wish.channel, wish.scope)
        if known is None:
            await self._keep(tx, wish, identifiers[0].tag, lead, answer)
        return known is None, answer

    async def heard(self, tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
        """Entails(CallOptOutDetected): the person said it in the call."""
        for fact in facts:
            person = fact.story.person
            leads = await self._people.of(tx, [person]) if person else {}
            for lead in leads.values():
                phrase = cast(CallOptOutDetected, fact).phrase
                wish = OptOutIn(
                    channel="voice",
                    lead_id=lead.shown_id,
                    evidence={"phrase": phrase, "event_id": ids.show("evt", fact.id)},
                )
                await self.take(tx, wish)
        return []

    async def suppress_lead(self, tx: Tx, lead: Lead, source: str) -> tuple[list[UUID], list[UUID]]:
        """Suppress the lead's numbers and cut its open calls: (suppressions, calls)."""
        number = Identifier("phone", lead.row.number_tag)
        made = await suppress(
            tx, self._log, [number], scope="seller", source=source, tag_version=self._vault.tag_version
        )
        return made, list(await self._cut_calls(tx, number.tag, source))

    async def _obey(
        self, tx: Tx, id: UUID, identifiers: Sequence[Identifier], channel: str, scope: Any
    ) -> dict[str, Any]:
        made = await suppress(
            tx, self._log, identifiers, scope=scope, source=channel, tag_version=self._vault.tag_version
        )
        shown = [ids.show("sup", one) for one in made]
        cut: list[UUID] = []
        cancelled = 0
        for identifier in identifiers:
            if identifier.kind == "phone":
                cut += await self._cut_calls(tx, identifier.tag, "opt_out")
                cancelled += await self._stop_leads(tx, identifier.tag, channel, scope, shown)
        return {
            "id": ids.show("opt", id),
            "object": "opt_out",
            "effective_at": clock.show(tx.now),
            "suppression_ids": shown,
            "attempts_cancelled": cancelled,
            "calls_cut": [ids.show("call", call) for call in cut],
        }

    async def _stop_leads(self, tx: Tx, tag: bytes, channel: str, scope: str, suppressions: list[str]) -> int:
        cancelled = 0
        for lead in await self._people.with_number(tx, tag):
            if not lead.details or lead.row.status in ("opted_out", "rejected"):
                continue
            await settle(tx, lead.id, "opted_out", "opt_out", tx.now)
            fact = LeadOptedOut(
                subject_id=lead.id,
                story=lead.story(status="opted_out"),
                actor=Actor("consumer"),
                channel=channel,
                scope=scope,
                suppression_ids=suppressions,
                effective_at=tx.now,
            )
            cancelled += cancelled_by(await self._log.append(tx, [fact]))
        return cancelled

    async def _who(self, tx: Tx, wish: OptOutIn) -> tuple[list[Identifier], Lead | None]:
        if wish.email:
            return [self._email(tx, wish.email)], None
        if wish.phone:
            phone = parse(wish.phone)
            if isinstance(phone, NotAPhone):
                raise Invalid(
                    [Fault("phone", phone.code, "phone cannot be a number; send it like +14155550123.")],
                    code="invalid_phone",
                )
            return [Identifier("phone", self._vault.tag(tx.tenant, "phone", phone.e164))], None
        lead = await self._people.find(tx, wish.lead_id or f"ext:{wish.client_ref_id}")
        email = lead.details.get("contact", {}).get("email")
        return [Identifier("phone", lead.row.number_tag), *([self._email(tx, email)] if email else [])], lead

    def _email(self, tx: Tx, address: str) -> Identifier:
        return Identifier("email", self._vault.tag(tx.tenant, "email", address.strip().lower()))

    async def _keep(self, tx: Tx, wish: OptOutIn, tag: bytes, lead: Lead | None, answer: dict[str, Any]) -> None:
        id = ids.read("opt", answer["id"])
        # Who is known by a number or an address alone becomes a person by this: proof needs a key that can be destroyed.
        person = lead.id if lead else id
        await self._vault.create(tx, [person], classes=("evidence",))
        key = await self._vault.key(tx, person, "evidence")
        assert isinstance(key, PersonKey)
        proof = orjson.dumps({"evidence": wish.evidence, "occurred_at": clock.show_or_null(wish.occurred_at)})
        await store.insert_opt_out(
            tx,
            id=id,
            channel=wish.channel,
            scope=wish.scope,
            tag=tag,
            person=person,
            evidence=key.seal(proof, b"opt_out" + id.bytes),
            answer=answer,
        )


def cancelled_by(events: Sequence[Event]) -> int:
    """How many planned attempts these events cancelled."""
    return sum(event.fact.attempts_cancelled for event in events if isinstance(event.fact, LeadCadenceCompleted))
