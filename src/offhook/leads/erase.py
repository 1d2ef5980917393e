"""Erasing a lead: the row emptied, the key destroyed, a signed receipt left.

A live call is hung up first: then the erasure waits (`pending`) and happens in the transaction that ends the call.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from offhook import ids
from offhook.compliance.suppression import Identifier, suppress
from offhook.db import Tx
from offhook.events import Log, Story
from offhook.events.catalogue.leads import LeadErased
from offhook.jobs import Inside, Job, enqueue
from offhook.jobs.outcome import Done, Outcome, RetryAt
from offhook.leads import store
from offhook.leads.store import Row
from offhook.privacy import Receipt, Vault

Reason = Literal["request", "retention"]
KIND = "leads.erase"
LOOK = timedelta(seconds=2)
HangUp = Callable[[Tx, UUID], Awaitable[bool]]
"""Ask for the hang-up of the lead's open calls; whether there were any."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure came to: a receipt, or `None` while a call is still being hung up."""

    lead_id: UUID
    receipt: Receipt | None


class Erasures:
    """Erases leads. One per process, built in wiring."""

    def __init__(self, vault: Vault, log: Log, hang_up: HangUp) -> None:
        self._vault = vault
        self._log = log
        self._hang_up = hang_up

    @property
    def handlers(self) -> dict[str, Inside]:
        """The job of this part, for the runner."""
        return {KIND: Inside(self.finish)}

    async def erase(self, tx: Tx, lead: Row, *, reason: Reason, suppressing: bool) -> Erasure:
        """Erase now, or as soon as its open call has ended. Idempotent: the first receipt stands.

        `suppressing` also puts the number on the do-not-call list, where only its keyed hash outlives the person.
        """
        if suppressing:
            number = Identifier("phone", lead.number_tag)
            await suppress(
                tx, self._log, [number], scope="seller", source="erasure", tag_version=self._vault.tag_version
            )
        if lead.erased_at is not None:
            return Erasure(lead.id, await self._vault.receipt_of(tx, lead.id))
        if await self._hang_up(tx, lead.id):
            args = {"lead": lead.id.hex, "reason": reason, "suppress": suppressing}
            await enqueue(tx, KIND, args, key=lead.id.hex, run_at=tx.now + LOOK)
            return Erasure(lead.id, None)
        return Erasure(lead.id, await self._shred(tx, lead, reason, suppressing))

    async def finish(self, tx: Tx, waiting: Sequence[Job]) -> list[Outcome]:
        """The job: shred whoever's call has ended meanwhile; the others wait on."""
        return [await self._finish_one(tx, job) for job in waiting]

    async def _finish_one(self, tx: Tx, job: Job) -> Outcome:
        lead = await store.lock(tx, UUID(job.args["lead"]))
        if lead is None or lead.erased_at is not None:
            return Done()
        if await self._hang_up(tx, lead.id):
            return RetryAt(tx.now + LOOK, "a call is being hung up")
        await self._shred(tx, lead, job.args["reason"], job.args["suppress"])
        return Done()

    async def _shred(self, tx: Tx, lead: Row, reason: Reason, suppressing: bool) -> Receipt:
        kept = ["client_ref_id as a keyed hash", "number and consent under the evidence key"]
        kept += ["the suppression's keyed hash"] if suppressing else []
        receipt = await self._vault.shred(tx, lead.id, reason=reason, kept=kept)
        await store.erase(tx, lead.id)
        fact = LeadErased(
            subject_id=lead.id,
            # No person stands behind it any more, so nothing could seal it, and nothing personal is in it.
            story=Story(person=None, correlation=ids.show("lead", lead.id)),
            reason=reason,
            receipt_id=ids.show("rcp", receipt.id),
            suppression_kept=suppressing,
        )
        await self._log.append(tx, [fact])
        return receipt
