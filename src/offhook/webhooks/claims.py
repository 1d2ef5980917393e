"""What is due and leased to nobody: retries, what a dead process left, what there was no room for."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from random import sample
from time import monotonic
from uuid import UUID

from offhook import ids
from offhook.db import Database, EngineTx, Tenant
from offhook.errors import OffhookError
from offhook.events.envelope import envelope_of
from offhook.events.types import shown_subject
from offhook.log import get
from offhook.privacy import PersonKey, Vault
from offhook.webhooks import claim_store, counts, outcome_store
from offhook.webhooks.claim_store import Claimed, Waiting, Wanted
from offhook.webhooks.directory import lease_for
from offhook.webhooks.parcel import Message, Parcel, place
from offhook.webhooks.queues import Room
from offhook.webhooks.rendering import USUAL_HEADERS, Rendered

AT_ONCE = 1000
"""How many rows one claim leases at most, of all endpoints together: it must end well within a statement's time."""
_LEAST_SHARE = 8
_LATE = timedelta(seconds=1)
"""What was due longer ago than that is a backlog."""


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
        self, tenant: Tenant | None, room: Callable[[Waiting], Room | None], *, but: Collection[Tenant] = ()
    ) -> Claim:
        """What is due now, of one tenant when one is named, of none in `but`; up to `room` of each endpoint.

        Room of None: the endpoint is another process's.
        """
        # Looking changes nothing and claiming is one statement, so they need no transaction around them. What was claimed
        # by a statement whose answer is lost waits for the end of its lease, as after a lost commit.
        async with self._database.engine_each() as tx:
            waiting = [one for one in await claim_store.waiting(tx, tenant) if one.tenant not in but]
            ours = shared([(one, free) for one in waiting if (free := room(one)) is not None], AT_ONCE)
            asked_at = monotonic()
            claimed, early = await self._lease(tx, [(one, free) for one, free in ours if free.newest or free.oldest])
        counts.claimed.inc(len(claimed))
        taken = Counter(row.endpoint for row in claimed)
        short = frozenset(one.endpoint for one, free in ours if taken[one.endpoint] >= free.newest + free.oldest)
        return Claim(self._parcels(waiting, claimed, early, asked_at), short)

    async def _lease(self, tx: EngineTx, ours: Sequence[tuple[Waiting, Room]]) -> tuple[list[Claimed], set[UUID]]:
        claimed = await self._lease_freely(tx, [(one, room) for one, room in ours if not (one.only or one.in_order)])
        for only in ("tests", "fresh"):
            if wanted := [_wanted(one, room) for one, room in ours if one.only == only]:
                claimed += await claim_store.claim(tx, wanted, only=only)
        early: set[UUID] = set()
        for one, room in ours:
            if one.in_order and not one.only:
                rows, ahead = await self._lease_in_order(tx, one, room)
                claimed += rows
                early |= ahead
        if bound := {row.batch for row in claimed if row.batch is not None}:
            claimed = await self._whole(tx, claimed, bound, {one.endpoint: lease_for(one.timeout_s) for one, _ in ours})
        return claimed, early

    async def _lease_freely(self, tx: EngineTx, ours: Sequence[tuple[Waiting, Room]]) -> list[Claimed]:
        wanted = [_wanted(one, room) for one, room in ours]
        probes: list[Claimed] = []
        if probed := [one for one, (_, room) in zip(wanted, ours, strict=True) if room.probing]:
            # A retry that is due has waited for this; only where there is none something fresh is risked.
            probes = await claim_store.claim(tx, probed, only="retries")
            found = Counter(row.endpoint for row in probes)
            wanted = [one._replace(oldest=one.oldest - found[one.endpoint.endpoint]) for one in wanted]
            wanted = [one for one in wanted if one.newest or one.oldest]
        return probes + (await claim_store.claim(tx, wanted) if wanted else [])

    async def _lease_in_order(self, tx: EngineTx, one: Waiting, room: Room) -> tuple[list[Claimed], frozenset[UUID]]:
        free = room.newest + room.oldest
        while True:
            looked = await claim_store.put_off(tx, one)
            if looked.subjects:
                # What they wait for may have ended while they were being put off.
                await outcome_store.let_follow(tx, [(one.endpoint, subject) for subject in looked.subjects])
            if looked.is_enough(free):
                break
        return await claim_store.claim_in_order(tx, one, free, lease_for(one.timeout_s), probing=room.probing)

    async def _whole(
        self, tx: EngineTx, claimed: list[Claimed], bound: Collection[UUID], leases: dict[UUID, timedelta]
    ) -> list[Claimed]:
        """With the rest of these batches; a batch of which somebody else holds a part waits until it is let go."""
        by_lease: dict[timedelta, set[UUID]] = defaultdict(set)
        for row in claimed:
            if row.batch is not None:
                by_lease[leases[row.endpoint]].add(row.batch)
        for lease, batches in by_lease.items():
            claimed += await claim_store.claim_rest(tx, list(batches), lease)
        ours = Counter(row.batch for row in claimed)
        sizes = await claim_store.sizes(tx, list(bound))
        torn = {batch for batch in bound if ours[batch] != sizes[batch]}
        for row in claimed:
            if row.batch in torn:
                await outcome_store.give_back(tx, row.fence, [row.delivery])
        return [row for row in claimed if row.batch not in torn]

    def _parcels(
        self, waiting: Sequence[Waiting], claimed: Sequence[Claimed], early: Collection[UUID], asked_at: float
    ) -> list[Parcel]:
        known = {one.endpoint: one for one in waiting}
        opened = _Opened(self._vault)
        parcels = []
        shut: set[UUID | None] = set()
        for row in claimed:
            endpoint = known[row.endpoint]
            lease = lease_for(endpoint.timeout_s)
            try:
                message = opened.message(endpoint.tenant, row)
            except OffhookError as failure:
                shut.add(row.batch)
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
                    ours_until=asked_at + lease.total_seconds(),
                    fence=row.fence,
                    tries=row.tries,
                    tries_of_round=row.tries_of_round,
                    first_try_at=row.first_try_at,
                    replay=row.replay,
                    test=row.test,
                    ordered=row.ordered,
                    out_of_order=row.delivery in early,
                    batch=row.batch,
                    late=row.due_at < row.leased_until - lease + endpoint.ahead - _LATE,
                )
            )
        # A batch goes together or not at all.
        return [parcel for parcel in parcels if parcel.batch is None or parcel.batch not in shut]


def shared(ours: Sequence[tuple[Waiting, Room]], most: int) -> list[tuple[Waiting, Room]]:
    """The same, with no more room together than `most`: tenants in turn, and within a tenant its endpoints, by lot.

    Each has an equal share, of a few at least. Whose turn does not come has room for none, and another time comes first.
    """
    turns: dict[Tenant, list[tuple[Waiting, Room]]] = defaultdict(list)
    for one in sample(ours, len(ours)):
        turns[one[0].tenant].append(one)
    in_turn = [one for round in zip_longest(*turns.values()) for one in round if one is not None]
    share, left = max(most // max(len(ours), 1), _LEAST_SHARE), most
    allotted = []
    for waiting, room in in_turn:
        here = min(share, left)
        newest = min(room.newest, max(here // 2, here - room.oldest))
        oldest = min(room.oldest, here - newest)
        left -= newest + oldest
        allotted.append((waiting, room._replace(newest=newest, oldest=oldest)))
    return allotted


def _wanted(one: Waiting, room: Room) -> Wanted:
    return Wanted(one, room.newest, room.oldest, lease_for(one.timeout_s))


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
