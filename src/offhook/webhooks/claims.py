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
        # Looking changes nothing and claiming is one statement, so they need no transaction around them. What was claimed
        # by a statement whose answer is lost waits for the end of its lease, as after a lost commit.
        async with self._database.engine_each() as tx:
            waiting = [one for one in await lane_store.waiting(tx, tenant) if one.tenant not in but]
            wanted = {endpoint.endpoint: max(room(endpoint.endpoint), 0) for endpoint in waiting}
            claimed = (
                await lane_store.claim(tx, [(e, wanted[e.endpoint]) for e in waiting]) if any(wanted.values()) else []
            )
        taken = Counter(row.endpoint for row in claimed)
        short = frozenset(endpoint for endpoint, free in wanted.items() if taken[endpoint] == free)
        return Claim(self._parcels(waiting, claimed), short)

    def _parcels(self, waiting: Sequence[Waiting], claimed: Sequence[Claimed]) -> list[Parcel]:
        known = {one.endpoint: one for one in waiting}
        opened = _Opened(self._vault)
        parcels = []
        for row in claimed:
            endpoint = known[row.endpoint]
            try:
                message = opened.message(endpoint.tenant, row)
            except OffhookError as failure:
                # A key ring that lacks an epoch is mended by the operator; until then the delivery waits, lease by lease.
                get("webhooks").error("cannot_open", delivery=row.delivery.hex, code=failure.code)
                continue
            parcels.append(
                Parcel(
                    tenant=endpoint.tenant,
                    delivery=row.delivery,
                    endpoint=endpoint.endpoint,
                    message=message,
                    offset=endpoint.ahead,
                    leased_until=row.leased_until,
                    fence=row.fence,
                    tries=row.tries,
                    tries_of_round=row.tries_of_round,
                    first_try_at=row.first_try_at,
                    replay=row.replay,
                )
            )
        return parcels


class _Opened:
    """The events of one claim, each opened once for all its endpoints, and each person's key for all their events."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._messages: dict[UUID, Message] = {}
        self._keys: dict[UUID, PersonKey] = {}

    def message(self, tenant: Tenant, row: Claimed) -> Message:
        """The event of this row. Raises OffhookError when it cannot be opened."""
        if (known := self._messages.get(row.event)) is not None:
            return known
        key = self._key(tenant, row)
        erased = row.person is not None and key is None
        message = self._messages[row.event] = Message(
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
        return message

    def _key(self, tenant: Tenant, row: Claimed) -> PersonKey | None:
        if row.person is None or row.epoch is None or row.wrapped is None:
            return None
        if (known := self._keys.get(row.person)) is not None:
            return known
        key = self._keys[row.person] = self._vault.unwrap(tenant, row.person, "operational", row.epoch, row.wrapped)
        return key
