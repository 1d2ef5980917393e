"""Erasing a lead: the row emptied, the key destroyed, a signed receipt left.

    by request ─────┬──────────────────────────────────────────▶ shredded
                    └─ a call is open: pending, it is hung up ─▶ in the seconds after its end
    by retention ───┬──────────────────────────────────────────▶ shredded
                    └─ a call or a delivery about the person is open: pending, for 48 hours at most,
                       then whatever is still to be told goes out as tombstones

While an erasure is pending no attempt begins, and none is planned. A request hurries what retention let wait.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from offhook import ids
from offhook.compliance.suppression import Identifier, Stop, suppress, suppressed
from offhook.db import Tx
from offhook.events import Actor, Log, Story
from offhook.events.catalogue.leads import LeadErased
from offhook.jobs import Inside, Job, enqueue
from offhook.jobs.outcome import Done, Outcome, RetryAt
from offhook.leads import store
from offhook.leads.people import Lead
from offhook.leads.store import Row
from offhook.privacy import Receipt, Vault

Reason = Literal["request", "retention"]
KIND = "leads.erase"
LOOK = timedelta(seconds=2)
RETENTION_WAITS = timedelta(hours=48)
"""As long as the last try of a delivery may come after its first."""
SOONEST = timedelta(seconds=10)
LATEST = timedelta(hours=1)
HangUp = Callable[[Tx, UUID], Awaitable[bool]]
"""Ask for the hang-up of the lead's open calls; whether there were any."""
Unfinished = Callable[[Tx, UUID], Awaitable[bool]]
"""Whether a call of this lead is open, or a delivery of an event about it or its calls."""
CallOff = Callable[[Tx, Lead, Actor], Awaitable[None]]
"""Cancel what is planned for this lead, and let nothing be planned any more, because the actor erases it."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure came to: a receipt; or `None` while it is pending, by retention until `by` at the latest."""

    lead_id: UUID
    receipt: Receipt | None
    by: datetime | None = None


def look_again(now: datetime, by: datetime) -> datetime:
    """When to look whether a pending erasure may happen: the longer it waits the less often, at last at `by`. Pure."""
    waited = RETENTION_WAITS - (by - now)
    return min(by, now + min(LATEST, max(SOONEST, waited)))


class Erasures:
    """Erases leads. One per process, built in wiring."""

    def __init__(self, vault: Vault, log: Log, *, hang_up: HangUp, unfinished: Unfinished, call_off: CallOff) -> None:
        self._vault = vault
        self._log = log
        self._hang_up = hang_up
        self._unfinished = unfinished
        self._call_off = call_off

    @property
    def handlers(self) -> dict[str, Inside]:
        """The job of this part, for the runner."""
        return {KIND: Inside(self.finish, endless=True)}  # who was promised an erasure is not forgotten

    async def erase(self, tx: Tx, lead: Lead, actor: Actor, *, reason: Reason, suppressing: bool) -> Erasure:
        """Erase now, or as soon as what must end before has ended. Idempotent: the first receipt and the first deadline stand.

        The caller holds the lead's row. Every event of it names `actor`. `suppressing` also puts the number on the do-not-call list, where only its
        keyed hash outlives the person.
        """
        row = lead.row
        if suppressing:
            stop = Stop([Identifier("phone", row.number_tag)], "erasure", actor=actor)
            await suppress(tx, self._log, stop, tag_version=self._vault.tag_version)
        if row.erased_at is not None:
            return Erasure(row.id, await self._vault.receipt_of(tx, row.id))
        if reason == "retention" and await self._unfinished(tx, row.id):
            by = row.erase_by or tx.now + RETENTION_WAITS
            if row.erase_by is None:
                await self._wait(tx, lead, actor, reason, by)
            else:
                await self._look(tx, row.id, actor, reason, by)
            return Erasure(row.id, None, by)
        if await self._hang_up(tx, row.id):
            await self._wait(tx, lead, actor, reason, tx.now)
            return Erasure(row.id, None)
        return Erasure(row.id, await self._shred(tx, row, actor, reason))

    async def _wait(self, tx: Tx, lead: Lead, actor: Actor, reason: Reason, by: datetime) -> None:
        await self._call_off(tx, lead, actor)
        await store.erase_by(tx, lead.id, by)
        await self._look(tx, lead.id, actor, reason, by)

    async def _look(self, tx: Tx, lead_id: UUID, actor: Actor, reason: Reason, by: datetime) -> None:
        """See to it that a job looks whether it may happen; what is asked by retention takes over nothing that waits."""
        args = {"lead": lead_id.hex, "reason": reason, "actor": [actor.type, actor.id]}
        look_at = tx.now + LOOK if by <= tx.now else look_again(tx.now, by)
        first_args = reason == "retention"
        await enqueue(tx, KIND, args, key=lead_id.hex, run_at=look_at, first_args=first_args)

    async def finish(self, tx: Tx, waiting: Sequence[Job]) -> list[Outcome]:
        """The job: shred whoever need not wait any more; the others wait on."""
        return [await self._finish_one(tx, job) for job in waiting]

    async def _finish_one(self, tx: Tx, job: Job) -> Outcome:
        row = await store.lock(tx, UUID(job.args["lead"]))
        if row is None or row.erased_at is not None or row.erase_by is None:
            return Done()
        if tx.now < row.erase_by and await self._unfinished(tx, row.id):
            return RetryAt(look_again(tx.now, row.erase_by), "a call or a delivery about the person is open")
        if await self._hang_up(tx, row.id):
            return RetryAt(tx.now + LOOK, "a call is being hung up")
        await self._shred(tx, row, Actor(*job.args.get("actor", ["engine"])), job.args["reason"])
        return Done()

    async def _shred(self, tx: Tx, row: Row, actor: Actor, reason: Reason) -> Receipt:
        listed = bool(await suppressed(tx, row.tags))
        kept = ["client_ref_id as a keyed hash", "number, consent and opt-outs under the evidence key"]
        kept += ["the suppression's keyed hash"] if listed else []
        receipt = await self._vault.shred(tx, row.id, reason=reason, kept=kept)
        await store.erase(tx, row.id)
        fact = LeadErased(
            subject_id=row.id,
            # No person stands behind it any more, so nothing could seal it, and nothing personal is in it.
            story=Story(person=None, correlation=ids.show("lead", row.id)),
            actor=actor,
            reason=reason,
            receipt_id=ids.show("rcp", receipt.id),
            suppression_kept=listed,
        )
        await self._log.append(tx, [fact])
        return receipt
