"""Leases of slots: how many are free, hold one longer, give one back."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from offhook.db import Tx
from offhook.events import Fact
from offhook.routing import store


async def free_slots(tx: Tx, campaign_id: UUID, cap: int) -> int:
    """How many more slots this campaign may lease now: what the floor has left, at most `cap` less what it holds.

    A transfer may take one a moment later: `choose` counts again, in the campaign's turn to lease.
    """
    free, held = await store.free_and_held(tx, campaign_id)
    return max(0, min(free, cap - held))


async def hold(tx: Tx, call_id: UUID, until: datetime) -> None:
    """Keep the call's slot until `until`; never shortens. Nothing happens when it holds none."""
    await store.extend(tx, call_id, until)


async def call_ended(tx: Tx, facts: Sequence[Fact]) -> list[Fact]:
    """Entails(CallEnded): whatever slot the call held is free again, in the transaction that ends it."""
    await store.release(tx, [fact.subject_id for fact in facts])
    return []


async def release(tx: Tx, calls: Sequence[UUID]) -> int:
    """Give back the slots of these calls; how many there were. Idempotent."""
    return await store.release(tx, calls)
