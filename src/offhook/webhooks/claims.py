"""What is due and leased to nobody: retries, what a dead process left, what there was no room for."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from offhook import ids
from offhook.db import Database, EngineTx, Tenant
from offhook.errors import OffhookError
from offhook.events.envelope import envelope_of
from offhook.events.types import shown_subject
from offhook.log import get
from offhook.privacy import PersonKey, Vault
from offhook.webhooks import claim_store
from offhook.webhooks.claim_store import Claimed, Waiting
from offhook.webhooks.directory import lease_for
from offhook.webhooks.parcel import Message, Parcel, place
from offhook.webhooks.rendering import USUAL_HEADERS, Rendered


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

    async def claim(
        self, tenant: Tenant | None, room: Callable[[Waiting], int | None], *, but: Collection[Tenant] = ()
    ) -> Claim:
        """What is due now, of one tenant when one is named, of none in `but`; up to `room` of each endpoint.

        Room of None: the endpoint is another process's.
        """
        # Looking changes nothing and claiming is one statement, so they need no transaction around them. What was claimed
        # by a statement whose answer is lost waits for the end of its lease, as after a lost commit.
        async with self._database.engine_each() as tx:
            waiting = [one for one in await claim_store.waiting(tx, tenant) if one.tenant not in but]
            ours = [(one, free) for one in waiting if (free := room(one)) is not None]
            claimed, early = await self._lease(tx, [(one, free) for one, free in ours if free > 0])
        taken = Counter(row.endpoint for row in claimed)
        short = frozenset(one.endpoint for one, free in ours if taken[one.endpoint] >= free)
        return Claim(self._parcels(waiting, claimed, early), short)

    async def _lease(self, tx: EngineTx, wanted: Sequence[tuple[Waiting, int]]) -> tuple[list[Claimed], set[UUID]]:
        leases = {one.endpoint: lease_for(one.timeout_s) for one, _ in wanted}
        free = [(one, room, leases[one.endpoint]) for one, room in wanted if not one.in_order]
        claimed = await claim_store.claim(tx, free) if free else []
        early: set[UUID] = set()
        for one, room in wanted:
            if one.in_order:
                rows, ahead = await claim_store.claim_in_order(tx, one, room, leases[one.endpoint])
                claimed += rows
                early |= ahead
        batches: dict[timedelta, set[UUID]] = defaultdict(set)
        for row in claimed:
            if row.batch is not None:
                batches[leases[row.endpoint]].add(row.batch)
        for lease, bound in batches.items():
            claimed += await claim_store.claim_rest(tx, list(bound), lease)
        return claimed, early

    def _parcels(self, waiting: Sequence[Waiting], claimed: Sequence[Claimed], early: Collection[UUID]) -> list[Parcel]:
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
                    test=row.test,
                    ordered=row.ordered,
                    out_of_order=row.delivery in early,
                    batch=row.batch,
                )
            )
        return parcels


class _Opened:
    """The events of one claim, each opened once for all its endpoints, and each person's key for all their events."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._messages: dict[tuple[UUID, str | None], Message] = {}
        self._keys: dict[UUID, PersonKey] = {}

    def message(self, tenant: Tenant, row: Claimed) -> Message:
        """The event of this row. Raises OffhookError when it cannot be opened."""
        if (known := self._messages.get((row.event, row.word))) is not None:
            return known
        key = self._key(tenant, row)
        message = self._messages[row.event, row.word] = Message(
            id=row.event,
            shown_id=ids.show("evt", row.event),
            type=row.type,
            subject_type=row.subject_type,
            subject_shown_id=shown_subject(row.subject_type, row.subject),
            sequence=row.sequence,
            occurred_at=row.occurred_at,
            person=row.person,
            key=key,
            rendered=self._rendered(row, key),
            word=row.word,
        )
        return message

    def _rendered(self, row: Claimed, key: PersonKey | None) -> Rendered | None:
        if row.person is not None and key is None:
            return None
        if row.body is None:
            raise OffhookError("rendering_gone", "The bytes of this event for its endpoint are not kept any more.")
        opened = key.open(row.body, place(row.event, row.word)) if key else row.body
        return Rendered(USUAL_HEADERS, envelope_of(opened)) if row.word is None else Rendered.unpack(opened)

    def _key(self, tenant: Tenant, row: Claimed) -> PersonKey | None:
        if row.person is None or row.epoch is None or row.wrapped is None:
            return None
        if (known := self._keys.get(row.person)) is not None:
            return known
        key = self._keys[row.person] = self._vault.unwrap(tenant, row.person, "operational", row.epoch, row.wrapped)
        return key
