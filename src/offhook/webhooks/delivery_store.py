"""The SQL of deliveries as people see them: lists, single ones with their tries, dead letters, replays."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal, LiteralString
from uuid import UUID

from offhook.db import Tx
from offhook.webhooks import held_store

Status = Literal["pending", "held", "retrying", "delivered", "dead", "discarded"]


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery, with what its open row or its dead letter says."""

    id: UUID
    written_at: datetime
    event_id: UUID
    event_at: datetime
    endpoint_id: UUID
    type: str
    subject_type: str
    subject_id: UUID
    sequence: int
    status: Status
    tries: int
    due_at: datetime | None
    replay: bool
    reason: str | None
    died_at: datetime | None
    last_error: str | None
    told_at: datetime | None
    """When its event was recorded, or occurred: see `TOLD_AT`. None where that is gone."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries; None is any. `type` is a pattern of LIKE; they were told `from` an instant on and before another
    (`to`), by the clock of which `live` tells: see `TOLD_AT`.

    Of dead letters only: their `reason`, the `cause` (the error code of the last try), and when they died.
    """

    endpoint: UUID | None = None
    status: Status | None = None
    type: str | None = None
    subject: UUID | None = None
    died_from: datetime | None = None
    died_to: datetime | None = None
    told_from: datetime | None = None
    told_to: datetime | None = None
    reason: str | None = None
    cause: str | None = None
    live: bool = True

    @property
    def parameters(self) -> dict[str, object]:
        return asdict(self)


STATUS: LiteralString = "coalesce(l.status, o.status, 'delivered')"
# The event is asked for by order and bound, not by equality alone, for which a plan that was made while the day's partition
# was empty may take any index that knows the tenant.
TOLD_AT: LiteralString = (
    "case when %(live)s then d.event_at else (select v.occurred_at from (select e.id, e.occurred_at from event e"
    "  where e.workspace_id = d.workspace_id and e.environment = d.environment and e.written_at = d.event_at and e.id >= d.event_id"
    "  order by e.id limit 1) v where v.id = d.event_id) end"
)
"""When the event of delivery `d` was recorded. In a sandbox, whose clock is moved, only when it occurred is known."""
# A machine whose clock is behind the database's may have dated a try before its delivery.
CAUSE: LiteralString = (
    "(select t.error_code from try t where t.delivery_id = d.id and t.written_at >= d.written_at - interval '1 hour'"
    " order by t.n desc limit 1)"
)
"""The error code of the last try of delivery `d`; null when it succeeded."""
# Constants put together from constants: what a caller says goes into parameters only.
_SHOWN: LiteralString = (
    "select d.id, d.written_at, d.event_id, d.event_at, d.endpoint_id, d.type, (select e.subject_type from event e"
    "  where e.workspace_id = d.workspace_id and e.environment = d.environment and e.written_at = d.event_at and e.id = d.event_id),"
    f" d.subject_id, d.sequence, {STATUS} as status, (select coalesce(max(n) + 1, 0) from try t where t.delivery_id = d.id)::int,"
    " case when o.status in ('pending', 'retrying') then o.due_at end, o.replayed_at is not null,"
    " coalesce(l.reason, case o.status when 'discarded' then o.reason end), coalesce(l.died_at, case o.status when 'discarded' then o.at end),"
    f" {CAUSE}, {TOLD_AT}"
)
OPEN: LiteralString = (
    f" left join lateral (select {held_store.STATUS} as status, u.due_at, u.replayed_at, coalesce(k.reason, 'endpoint_deleted') as reason, k.at"
    f"  from due u{held_store.OF_ENDPOINT} where u.delivery_id = d.id offset 0) o on true"
    " left join lateral (select status, reason, died_at from dead_letter z where z.workspace_id = d.workspace_id"
    "  and z.environment = d.environment and z.delivery_id = d.id offset 0) l on true"
)
_FILTER = (
    " where d.workspace_id = %(ws)s and d.environment = %(env)s and (%(endpoint)s::uuid is null or d.endpoint_id = %(endpoint)s)"
    " and (%(type)s::text is null or d.type like %(type)s) and (%(subject)s::uuid is null or d.subject_id = %(subject)s)"
    f" and (%(status)s::text is null or {STATUS} = %(status)s)"
    f" and (%(told_from)s::timestamptz is null or {TOLD_AT} >= %(told_from)s)"
    f" and (%(told_to)s::timestamptz is null or {TOLD_AT} < %(told_to)s)"
)
_ALL = f"{_SHOWN} from delivery d{OPEN}{_FILTER}"
# A page looks at so many rows at most. What is open or dead is found from the small tables that hold it, however many
# were delivered since, as long as those are small; else, as all that was delivered is, from the deliveries in order.
LOOKED_AT = 2000
# Where no clock is moved, a delivery is written when its event is recorded, and the days outside are left alone.
_WITHIN = (
    " and (not %(live)s or %(told_from)s::timestamptz is null or x.written_at >= %(told_from)s)"
    " and (not %(live)s or %(told_to)s::timestamptz is null or x.written_at < %(told_to)s)"
    " and (%(after)s::timestamptz is null or x.written_at <= %(after)s)"
)
_IN_ORDER = (
    "select * from delivery x where x.workspace_id = %(ws)s and x.environment = %(env)s and (%(endpoint)s::uuid is null"
    f" or x.endpoint_id = %(endpoint)s){_WITHIN} and (%(after)s::timestamptz is null or (x.written_at, x.id) < (%(after)s, %(after_id)s))"
    f" order by x.written_at desc, x.id desc limit {LOOKED_AT}"
)
_FROM_ORDER = f"{_SHOWN} from ({_IN_ORDER}) d{OPEN}{_FILTER}"


_ITS_ENDPOINTS: LiteralString = (
    "(select id, status in ('active', 'failing') as takes from endpoint where workspace_id = %(ws)s and environment = %(env)s"
    " and (%(endpoint)s::uuid is null or id = %(endpoint)s) offset 0) p"
)


def _that_go(limit: LiteralString) -> LiteralString:
    """What is open and not held, by the tenant's endpoints, for `due` is in nobody's order but theirs."""
    return (
        f"{_ITS_ENDPOINTS} cross join lateral ((select * from due where endpoint_id = p.id and p.takes {limit})"
        f" union all (select * from due where endpoint_id = p.id and test and not p.takes {limit})) x"
    )


def _held(limit: LiteralString) -> LiteralString:
    return f"{_ITS_ENDPOINTS} cross join lateral (select * from due where endpoint_id = p.id and not p.takes {limit}) x"


def _discarded(limit: LiteralString) -> LiteralString:
    """Those that are moved already, and those that wait for it."""
    key: LiteralString = "workspace_id, environment, written_at, delivery_id"
    return (
        f"((select {key} from dead_letter where workspace_id = %(ws)s and environment = %(env)s {limit}) union all"
        f" select y.* from (select endpoint_id from given_up where workspace_id = %(ws)s and environment = %(env)s offset 0) k"
        f" cross join lateral (select {key} from due where due.endpoint_id = k.endpoint_id {limit}) y) x"
    )


_OF_SMALL = (
    " cross join lateral (select * from delivery y where y.workspace_id = x.workspace_id and y.environment = x.environment"
    " and y.written_at = x.written_at and y.id = x.delivery_id offset 0) d"
)
_AFTER = " and (%(after)s::timestamptz is null or (d.written_at, d.id) < (%(after)s, %(after_id)s))"
_FEW: LiteralString = f"limit {LOOKED_AT + 1}"
_SMALL: dict[Status, LiteralString] = {
    "pending": _that_go("offset 0"),
    "retrying": _that_go("offset 0"),
    "held": _held("offset 0"),
    "dead": "dead_letter x",
    "discarded": _discarded("offset 0"),
}
_PROBES: dict[Status, LiteralString] = {
    "pending": _that_go(_FEW),
    "retrying": _that_go(_FEW),
    "held": _held(_FEW),
    "dead": "dead_letter x where x.workspace_id = %(ws)s and x.environment = %(env)s",
    "discarded": _discarded(_FEW),
}
# The events of a subject lead to its deliveries, which were written in the same transactions.
_TOLD_OF = (
    "select x.written_at from event x where x.workspace_id = %(ws)s and x.environment = %(env)s and x.subject_id = %(subject)s"
    f"{_WITHIN} order by x.sequence desc limit {LOOKED_AT}"
)
_FROM_SUBJECT = (
    f"{_SHOWN} from (select distinct written_at from ({_TOLD_OF}) e) q cross join lateral (select * from delivery x"
    "  where x.workspace_id = %(ws)s and x.environment = %(env)s and x.written_at = q.written_at and x.subject_id = %(subject)s offset 0) d"
    f"{OPEN}{_FILTER}"
)
_END_OF_ORDER = f"select written_at, id from ({_IN_ORDER}) x offset {LOOKED_AT - 1} limit 1"
# Behind the last transaction that was looked at: no id is less than this one.
_END_OF_SUBJECT = f"select min(written_at), '00000000-0000-0000-0000-000000000000'::uuid from ({_TOLD_OF}) x having count(*) = {LOOKED_AT}"


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found. `end` is where it gave up before it had found enough; None: it did not."""

    rows: list[DeliveryRow]
    end: tuple[datetime, UUID] | None


async def look(tx: Tx, wanted: Wanted, after: tuple[datetime, UUID] | None, most: int) -> Looked:
    """The newest first, after the one written then with that id; a few thousand rows are looked at, however few match."""
    parameters = {**tx.keys, **wanted.parameters, **_after(after), "most": most}
    source, end = await _source(tx, wanted.status, parameters)
    rows = await tx.rows(f"{source}{_AFTER} order by d.written_at desc, d.id desc limit %(most)s", parameters)
    found = [DeliveryRow(*row) for row in rows]
    ended = await tx.row(end, parameters) if end and len(found) < most else None
    return Looked(found, (ended[0], ended[1]) if ended else None)


async def _source(
    tx: Tx, status: Status | None, parameters: dict[str, object]
) -> tuple[LiteralString, LiteralString | None]:
    """Where to look, and how to ask where a look that found too little has ended; None: it has seen everything."""
    if parameters["subject"]:
        return _FROM_SUBJECT, _END_OF_SUBJECT
    if status in _SMALL:
        row = await tx.row(
            f"select count(*) <= {LOOKED_AT} from (select from {_PROBES[status]} limit {LOOKED_AT + 1}) x", parameters
        )
        if row and row[0]:
            return f"{_SHOWN} from {_SMALL[status]}{_OF_SMALL}{OPEN}{_FILTER}{_WITHIN}", None
    return _FROM_ORDER, _END_OF_ORDER


async def page(tx: Tx, wanted: Wanted, after: tuple[datetime, UUID] | None, most: int) -> list[DeliveryRow]:
    """What a look finds."""
    return (await look(tx, wanted, after, most)).rows


_DEATHS: LiteralString = (
    "select * from dead_letter z where z.workspace_id = %(ws)s and z.environment = %(env)s"
    " and (%(died_from)s::timestamptz is null or z.died_at >= %(died_from)s) and (%(died_to)s::timestamptz is null or z.died_at < %(died_to)s)"
    " and (%(after)s::timestamptz is null or (z.died_at, z.delivery_id) < (%(after)s, %(after_id)s))"
)
_BY_DEATH: LiteralString = f" order by z.died_at desc, z.delivery_id desc limit {LOOKED_AT}"
_ALL_DEATHS: LiteralString = f"{_DEATHS}{_BY_DEATH}"
_DEATHS_OF_ONE: LiteralString = f"{_DEATHS} and z.endpoint_id = %(endpoint)s and z.status = 'dead'{_BY_DEATH}"


async def dead_letters(tx: Tx, wanted: Wanted, after: tuple[datetime, UUID] | None, most: int) -> Looked:
    """In the order of their death, the latest first, after the one that died then with that id; as bounded as `look`."""
    deaths = _DEATHS_OF_ONE if wanted.endpoint else _ALL_DEATHS
    parameters = {**tx.keys, **wanted.parameters, **_after(after), "most": most}
    # Asked for first: whatever dies or is replayed in between, nothing before it is left out or told twice.
    end = await tx.row(f"select died_at, delivery_id from ({deaths}) z offset {LOOKED_AT - 1} limit 1", parameters)
    rows = await tx.rows(
        f"{_SHOWN} from ({deaths}) q cross join lateral (select * from delivery x where x.workspace_id = q.workspace_id"
        f"  and x.environment = q.environment and x.written_at = q.written_at and x.id = q.delivery_id offset 0) d{OPEN}{_FILTER}"
        " and (%(end)s::timestamptz is null or (q.died_at, q.delivery_id) >= (%(end)s, %(end_id)s))"
        f" and (%(reason)s::text is null or q.reason = %(reason)s) and (%(cause)s::text is null or {CAUSE} = %(cause)s)"
        " order by q.died_at desc, q.delivery_id desc limit %(most)s",
        {**parameters, "end": end and end[0], "end_id": end and end[1]},
    )
    found = [DeliveryRow(*row) for row in rows]
    return Looked(found, (end[0], end[1]) if end and len(found) < most else None)


def _after(after: tuple[datetime, UUID] | None) -> dict[str, object]:
    return {"after": after[0] if after else None, "after_id": after[1] if after else None}


# From the subjects' own events, not from what is open: a held endpoint may have millions open.
ANY_OPEN = (
    "select exists (select from (select distinct written_at from event where workspace_id = %(ws)s and environment = %(env)s"
    "  and subject_id = any(%(subjects)b::uuid[])) e cross join lateral (select id from delivery d where d.workspace_id = %(ws)s"
    "  and d.environment = %(env)s and d.written_at = e.written_at and d.subject_id = any(%(subjects)b::uuid[]) offset 0) d"
    " cross join lateral (select from due where due.delivery_id = d.id limit 1) o)"
)


async def any_open(tx: Tx, subjects: Sequence[UUID]) -> bool:
    row = await tx.row(ANY_OPEN, {**tx.keys, "subjects": list(subjects)})
    return bool(row and row[0])


async def find(tx: Tx, delivery: UUID) -> DeliveryRow | None:
    row = await tx.row(
        f"{_ALL} and d.id = %(id)s",
        {**tx.keys, **Wanted(live=tx.tenant.environment == "live").parameters, "id": delivery},
    )
    return DeliveryRow(*row) if row else None


@dataclass(frozen=True, slots=True)
class TryRow:
    """A try as it is stored; `response` is sealed."""

    n: int
    at: datetime
    written_at: datetime
    status_code: int | None
    error_code: str | None
    error_text: str | None
    timing_ms: list[float | None]
    replay: bool
    tombstone: bool
    batch: UUID | None
    request: bytes | None = field(repr=False)
    response: bytes | None = field(repr=False)


async def tries(tx: Tx, delivery: UUID) -> list[TryRow]:
    rows = await tx.rows(
        "select n, at, written_at, status_code, error_code, error_text, timing_ms, replay, tombstone, batch_id, request, response"
        " from try where workspace_id = %(ws)s and environment = %(env)s and delivery_id = %(id)s order by written_at",
        {**tx.keys, "id": delivery},
    )
    return [TryRow(*row) for row in rows]


async def person_of(tx: Tx, delivery: DeliveryRow) -> UUID | None:
    """Whose key seals the event, and with it the responses."""
    row = await tx.row(
        "select person_id from event where workspace_id = %(ws)s and environment = %(env)s and written_at = %(at)s and id = %(id)s",
        {**tx.keys, "at": delivery.event_at, "id": delivery.event_id},
    )
    return row[0] if row else None


Place = tuple[datetime, UUID]
"""Where a delivery stands: when it was written, and its id."""


async def replay(tx: Tx, deliveries: Sequence[Place]) -> dict[UUID, UUID]:
    """Open these again, due now; the endpoint of each that was opened.

    Passed over: what is open already, and what belongs to an endpoint that is gone. What is given up is to be moved before.
    """
    rows = await tx.rows(
        "with d as materialized (select d.* from unnest(%(at)b::timestamptz[], %(id)b::uuid[]) x(at, id) cross join lateral"
        "   (select * from delivery y where y.workspace_id = %(ws)s and y.environment = %(env)s and y.written_at = x.at and y.id = x.id"
        "    offset 0) d),"
        " o as (insert into due (workspace_id, environment, delivery_id, written_at, event_id, event_at, endpoint_id, due_at, tries, replayed_at,"
        "   fence, rendering, subject_id, sequence, ordered_until)"
        "   select d.workspace_id, d.environment, d.id, d.written_at, d.event_id, d.event_at, d.endpoint_id,"
        "   %(now)s, (select coalesce(max(n) + 1, 0) from try t where t.delivery_id = d.id), %(wall)s,"
        # A fence that whoever still has a cancelled round of it in hand cannot know.
        "   (extract(epoch from %(wall)s::timestamptz) - 1577836800)::int, d.rendering,"
        "   case when e.in_order then d.subject_id end, case when e.in_order then d.sequence end,"
        "   case when e.in_order then %(now)s + interval '60 s' end"
        "   from d cross join lateral (select coalesce(p.settings->>'ordering' = 'per_subject', false) as in_order from endpoint p"
        "    where p.workspace_id = d.workspace_id and p.environment = d.environment and p.id = d.endpoint_id offset 0) e"
        "   on conflict (delivery_id) do nothing returning delivery_id, endpoint_id),"
        " l as (delete from dead_letter where workspace_id = %(ws)s and environment = %(env)s"
        "   and delivery_id = any(array(select delivery_id from o)))"
        " select delivery_id, endpoint_id from o",
        {
            **tx.keys,
            "at": [at for at, _ in deliveries],
            "id": [id for _, id in deliveries],
            "now": tx.now,
            "wall": tx.wall,
        },
    )
    return dict(rows)


async def discard(tx: Tx, delivery: UUID) -> bool:
    """Whether it was a dead letter; it is discarded from now on."""
    return bool(
        await tx.count(
            "update dead_letter set status = 'discarded' where workspace_id = %(ws)s and environment = %(env)s"
            " and delivery_id = %(id)s",
            {**tx.keys, "id": delivery},
        )
    )
