"""Opt-outs by any channel: one transaction from the word *stop* to silence.

The turns of the numbers, then of the e-mail addresses, are taken before anything else, so a dial either committed
before (and its call is cut) or finds the suppression. Whose address is stopped is stopped with all their numbers.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.compliance.suppression import Identifier, Stop, suppress, suppressed, taking_turns
from offhook.db import Tx
from offhook.errors import Fault, Invalid
from offhook.events import Actor, Event, Fact, Log
from offhook.events.catalogue.calls import CallOptOutDetected
from offhook.events.catalogue.leads import LeadCadenceCompleted, LeadOptedOut
from offhook.leads import Lead, People, settle
from offhook.phone import NotAPhone, parse
from offhook.privacy import PersonKey, Vault
from offhook.sync import store
from offhook.sync.store import OptOutRow
from offhook.sync.wire import OptOutIn

CutCalls = Callable[[Tx, bytes, str], Awaitable[Sequence[UUID]]]
"""Request the stop of every open call with this number tag, for this reason; their ids."""
NumberOfCall = Callable[[Tx, UUID], Awaitable[bytes]]
"""The tag of the number at the far end of a call; of a withheld number, one that this call alone has."""


@dataclass(frozen=True, slots=True)
class _OptOut:
    """A stop by the channel that is its source, and what proves it: evidence about `person` where one is known."""

    stop: Stop
    person: UUID | None
    occurred_at: datetime | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict, repr=False)


class OptOuts:
    """Obeys opt-outs. One per process, built in wiring."""

    def __init__(
        self, vault: Vault, log: Log, people: People, *, cut_calls: CutCalls, number_of_call: NumberOfCall
    ) -> None:
        self._vault = vault
        self._log = log
        self._people = people
        self._cut_calls = cut_calls
        self._number_of_call = number_of_call

    async def take(self, tx: Tx, wish: OptOutIn, actor: Actor) -> tuple[bool, dict[str, Any]]:
        """Obey what `actor` passes on; whether it is new, and the answer. The same wish again is answered like the first time.

        All numbers of the person, all channels, for the seller by default. An unknown number is suppressed as well.
        """
        identifiers, lead = await self._who(tx, wish)
        stop = Stop(identifiers, wish.channel, wish.scope, actor)
        return await self._take(tx, _OptOut(stop, lead.id if lead else None, wish.occurred_at, wish.evidence))

    async def take_of_call(self, tx: Tx, call_id: UUID, actor: Actor) -> tuple[bool, dict[str, Any]]:
        """`take` for the number at the far end of this call, whoever it is. Raises NotFound when there is no such call."""
        number = Identifier("phone", await self._number_of_call(tx, call_id))
        return await self._take(tx, _OptOut(Stop([number], "crm", actor=actor), None))

    async def heard(self, tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
        """Entails(CallOptOutDetected): the person said it in the call, whoever called whom.

        The number of the call is suppressed, every lead that has it is stopped, and its open calls are cut, this one
        among them and also when the number said so before. Of a lead whom we called the e-mail address is stopped too;
        of somebody erased the number alone.
        """
        for fact in facts:
            number = Identifier("phone", await self._number_of_call(tx, fact.subject_id))
            person = fact.story.person
            lead = (await self._people.of(tx, [person])).get(person) if person else None
            heard = [number, *(_email_of(lead) if lead else [])]
            # Nobody passed it on: we heard it from the person.
            stop = Stop(heard, "voice", actor=Actor("consumer"), causation=fact.id)
            proof = {"phrase": cast(CallOptOutDetected, fact).phrase, "event_id": ids.show("evt", fact.id)}
            new, _ = await self._take(tx, _OptOut(stop, person, evidence=proof))
            if not new:
                await self._cut_calls(tx, number.tag, "opt_out")
        return []

    async def suppress_lead(
        self, tx: Tx, lead: Lead, source: str, actor: Actor, causation: UUID | None
    ) -> tuple[list[UUID], list[UUID]]:
        """Suppress how the lead is reached and cut its open calls: (suppressions, calls). `causation` is what entails it."""
        number = Identifier("phone", lead.row.number_tag)
        stop = Stop([number, *_email_of(lead)], source, actor=actor, causation=causation)
        made = await suppress(tx, self._log, stop, tag_version=self._vault.tag_version)
        return made, list(await self._cut_calls(tx, number.tag, source))

    async def _take(self, tx: Tx, opt_out: _OptOut) -> tuple[bool, dict[str, Any]]:
        stop = await self._with_every_number(tx, opt_out.stop)
        known = await store.find_opt_out(tx, stop.tags[0], stop.scope, stop.source)
        if known and len(await suppressed(tx, stop.tags)) == len(stop.tags):
            return False, known[1]
        answer = await self._obey(tx, known[0] if known else ids.new(), stop)
        if known is None:
            await self._keep(tx, opt_out, answer)
        return known is None, answer

    async def _with_every_number(self, tx: Tx, stop: Stop) -> Stop:
        """The stop, of every number of the leads that have its addresses too; the turn of each is taken."""
        numbers = [one.tag for one in stop.identifiers if one.kind == "phone"]
        emails = [one.tag for one in stop.identifiers if one.kind == "email"]
        theirs = await self._people.numbers_with_emails(tx, emails)
        await taking_turns(tx, [*numbers, *theirs])
        await taking_turns(tx, emails)
        # Whoever came while we waited may have been dialed by now; who comes from now on finds the address suppressed.
        theirs = await self._people.numbers_with_emails(tx, emails)
        await taking_turns(tx, theirs)
        more = [Identifier("phone", tag) for tag in sorted(set(theirs) - set(numbers))]
        return replace(stop, identifiers=[*stop.identifiers, *more])

    async def _obey(self, tx: Tx, id: UUID, stop: Stop) -> dict[str, Any]:
        numbers = [identifier.tag for identifier in stop.identifiers if identifier.kind == "phone"]
        cut = [call for tag in numbers for call in await self._cut_calls(tx, tag, "opt_out")]
        # What is told of each lead has its id before it is written, for the suppressions follow from it.
        leads = {ids.new(): lead for lead in await self._to_stop(tx, numbers)}
        following = replace(stop, causation=stop.causation or next(iter(leads), None))
        made = await suppress(tx, self._log, following, tag_version=self._vault.tag_version)
        shown = [ids.show("sup", one) for one in made]
        cancelled = sum([await self._stop_lead(tx, fact, lead, stop, shown) for fact, lead in leads.items()])
        return {
            "id": ids.show("opt", id),
            "object": "opt_out",
            "effective_at": clock.show(tx.now),
            "suppression_ids": shown,
            "attempts_cancelled": cancelled,
            "calls_cut": [ids.show("call", call) for call in cut],
        }

    async def _to_stop(self, tx: Tx, numbers: Sequence[bytes]) -> list[Lead]:
        found = [lead for tag in numbers for lead in await self._people.with_number(tx, tag)]
        return [lead for lead in found if lead.details and lead.row.status not in ("opted_out", "rejected")]

    async def _stop_lead(self, tx: Tx, fact_id: UUID, lead: Lead, stop: Stop, suppressions: list[str]) -> int:
        await settle(tx, lead.id, "opted_out", "opt_out", tx.now)
        fact = LeadOptedOut(
            id=fact_id,
            subject_id=lead.id,
            story=lead.story(status="opted_out"),
            actor=stop.actor,
            causation=stop.causation,
            channel=stop.source,
            scope=stop.scope,
            suppression_ids=suppressions,
            effective_at=tx.now,
        )
        return cancelled_by(await self._log.append(tx, [fact]))

    async def _who(self, tx: Tx, wish: OptOutIn) -> tuple[list[Identifier], Lead | None]:
        if wish.email:
            return [Identifier("email", self._people.email_tag(tx, wish.email))], None
        if wish.phone:
            phone = parse(wish.phone)
            if isinstance(phone, NotAPhone):
                raise Invalid(
                    [Fault("phone", phone.code, "phone cannot be a number; send it like +14155550123.")],
                    code="invalid_phone",
                )
            return [Identifier("phone", self._vault.tag(tx.tenant, "phone", phone.e164))], None
        lead = await self._people.find(tx, wish.lead_id or f"ext:{wish.client_ref_id}")
        return [Identifier("phone", lead.row.number_tag), *_email_of(lead)], lead

    async def _keep(self, tx: Tx, opt_out: _OptOut, answer: dict[str, Any]) -> None:
        id = ids.read("opt", answer["id"])
        # Who is known by a number or an address alone becomes a person by this: proof needs a key that can be destroyed.
        person = opt_out.person or id
        await self._vault.create(tx, [person], classes=("evidence",))
        key = await self._vault.key(tx, person, "evidence")
        assert isinstance(key, PersonKey)
        proof = orjson.dumps({"evidence": opt_out.evidence, "occurred_at": clock.show_or_null(opt_out.occurred_at)})
        row = OptOutRow(
            id=id,
            channel=opt_out.stop.source,
            scope=opt_out.stop.scope,
            tag=opt_out.stop.tags[0],
            person_id=person,
            evidence=key.seal(proof, b"opt_out" + id.bytes),
            answer=answer,
        )
        await store.insert_opt_out(tx, row)


def _email_of(lead: Lead) -> list[Identifier]:
    return [Identifier("email", lead.row.email_tag)] if lead.row.email_tag else []


def cancelled_by(events: Sequence[Event]) -> int:
    """How many planned attempts these events cancelled."""
    return sum(event.fact.attempts_cancelled for event in events if isinstance(event.fact, LeadCadenceCompleted))
