"""Decision records, for whoever asks why a call went where it went."""

from typing import Any
from uuid import UUID

from offhook import clock, ids
from offhook.db import Tx
from offhook.routing import store


async def decisions(tx: Tx, call_id: UUID) -> list[dict[str, Any]]:
    """Every decision about this call, in order: what was considered, and who was chosen."""
    return [
        {
            "id": ids.show("dec", id),
            "object": "decision",
            "purpose": purpose,
            "target_id": ids.show("tgt", target) if target else None,
            **record,
            "decided_at": clock.show(decided_at),
        }
        for id, purpose, target, record, decided_at in await store.decisions(tx, call_id)
    ]
