"""Where alerts tell. It is sealed, for an incoming webhook of Slack is a secret and an address a person's."""

from typing import Any
from uuid import UUID

import orjson

from offhook import ids
from offhook.db import Tx
from offhook.privacy import Vault
from offhook.webhooks import alert_store
from offhook.webhooks.alert_store import AlertRow

Target = dict[str, Any]
"""`addresses`, `url`, or `webhook_endpoint_id`, in clear."""


def seal(vault: Vault, tx: Tx, alert: UUID, target: Target) -> bytes:
    """The target as the alert keeps it."""
    return vault.seal_own(tx, orjson.dumps(target), _place(alert))


def opened(vault: Vault, row: AlertRow) -> Target:
    """Where this alert tells."""
    found: Target = orjson.loads(vault.open_own(row.target, _place(row.id)))
    return found


def endpoint_of(vault: Vault, row: AlertRow) -> UUID | None:
    """The endpoint that this alert tells; None where it tells somebody else."""
    return ids.read("whe", opened(vault, row)["webhook_endpoint_id"]) if row.target_type == "webhook_endpoint" else None


async def telling(tx: Tx, vault: Vault, endpoint: UUID) -> list[str]:
    """The ids, as they are shown, of the alerts that tell this endpoint."""
    rows = await alert_store.telling_endpoints(tx)
    return [ids.show("alr", row.id) for row in rows if endpoint_of(vault, row) == endpoint]


def _place(alert: UUID) -> bytes:
    return b"alert:" + alert.bytes
