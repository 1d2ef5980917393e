"""What is due and leased to nobody: retries, what a dead process left, what there was no room for."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from offhook import ids
from offhook.db import Database, Tenant
from offhook.errors import OffhookError
from offhook.events.types import shown_subject
from offhook.log import get
from offhook.privacy import PersonKey, Vault
from offhook.webhooks import lane_store
from offhook.webhooks.lane_store import Claimed, Waiting
from offhook.webhooks.parcel import Message, Parcel


@dataclass(frozen=True, slots=True)
class Claim:
    """What was leased; `short` are the endpoints that may have more than there was room for."""

    parcels: list[Parcel]
    short: frozenset[UUID]


class Claims:
    """Leases due deliveries to this process, a little of every endpoint, so that no backlog hides another's single row."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def claim(self, tenant: Tenant | None, room: Callable[[UUID], int], *, but: Collection[Tenant] = ()) -> Claim:
        """What is due now, of one tenant when one is named, of none in `but`; up to `room` of each endpoint."""
        async with self._database.engine() as tx:
            waiting = [one for one in await lane_store.waiting(tx, tenant) if one.tenant not in but]
            wanted = {endpoint.endpoint: max(room(endpoint.endpoint), 0) for endpoint in waiting}
            claimed = (
                await lane_store.claim(tx, [(e, wanted[e.endpoint]) for e in waiting]) if any(wanted.values()) else []
            )
        taken = Counter(row.endpoint for row in claimed)
        short = frozenset(endpoint for endpoint, free in wanted.items() if taken[endpoint] == free)
        return Claim(self._parcels(waiting, claimed), short)

    def _parcels(self, waiting: Sequence[Waiting], claimed: Sequence[Claimed]) -> list[Parcel]:
        ahead = {endpoint.endpoint: endpoint.ahead for endpoint in waiting}
        parcels = []
        for row in claimed:
            try:
                message = self._message(row)
            except OffhookError as failure:
                # A key ring that lacks an epoch is mended by the operator; until then the delivery waits, lease by lease.
                get("webhooks").error("cannot_open", delivery=row.delivery.hex, code=failure.code)
                continue
            parcels.append(
                Parcel(
                    tenant=row.tenant,
                    delivery=row.delivery,
                    endpoint=row.endpoint,
                    message=message,
                    offset=ahead[row.endpoint],
                    leased_until=row.leased_until,
                    fence=row.fence,
                    tries=row.tries,
                    tries_of_round=row.tries_of_round,
                    first_try_at=row.first_try_at,
                    replay=row.replay,
                )
            )
        return parcels

    def _message(self, row: Claimed) -> Message:
        key = self._key(row)
        erased = row.person is not None and key is None
        return Message(
            id=row.event,
            shown_id=ids.show("evt", row.event),
            type=row.type,
            subject_type=row.subject_type,
            subject_shown_id=shown_subject(row.subject_type, row.subject),
            sequence=row.sequence,
            occurred_at=row.occurred_at,
            person=row.person,
            key=key,
            body=None if erased else key.open(row.body, row.event.bytes) if key else row.body,
        )

    def _key(self, row: Claimed) -> PersonKey | None:
        if row.person is None or row.epoch is None or row.wrapped is None:
            return None
        return self._vault.unwrap(row.tenant, row.person, "operational", row.epoch, row.wrapped)
