"""What is told of an event whose person was erased: that it happened, when, and nothing of whom."""

from datetime import datetime
from uuid import UUID

import orjson

from offhook import clock, ids
from offhook.db import Tenant
from offhook.events.fact import SCHEMA_VERSION


def tombstone(
    event_id: UUID,
    type: str,
    subject_type: str,
    subject_shown_id: str,
    sequence: int,
    occurred_at: datetime,
    tenant: Tenant,
) -> bytes:
    """The envelope in an erased event's place: the same `event_id`, type, subject and sequence; the same bytes each time."""
    return orjson.dumps(
        {
            "event_id": ids.show("evt", event_id),
            "type": type,
            "schema_version": SCHEMA_VERSION,
            "occurred_at": clock.show(occurred_at),
            "workspace_id": ids.show("ws", tenant.workspace),
            "environment": tenant.environment,
            "subject": {"type": subject_type, "id": subject_shown_id},
            "sequence": sequence,
            "data": {"erased": True},
        }
    )
