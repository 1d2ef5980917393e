"""The SQL of claiming: which endpoints have something due, and the leasing of it.

Written so that no plan, however old, scans or hash-joins a whole table: see `lane_store`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, LiteralString, NamedTuple
from uuid import UUID

from offhook.db import EngineTx, Tenant
from offhook.webhooks import held_store
from offhook.webhooks.lane_store import ORDER_WAIT
from offhook.webhooks.parcel import Parcel

Only = Literal["retries", "tests", "fresh"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An endpoint that has something due. `ahead` is how far its environment's clock is ahead of the real one.

    `owned`: only its owner may send to it. `in_order`: the events of a subject wait for one another. `takes`: False while
    it is sent nothing but tests. What was opened before `fresh_from` is given up.
    """

    tenant: Tenant
    endpoint: UUID
    ahead: timedelta
    timeout_s: int
    owned: bool
    in_order: bool
    takes: bool
    enabled_at: datetime | None
    fresh_from: datetime | None

    @property
    def only(self) -> Only | None:
        """What of it may be claimed; None: all that is due."""
        if not self.takes:
            return "tests"
        return "fresh" if self.fresh_from else None


HEADS: LiteralString = (
    "with recursive head as ("
    "  (select endpoint_id, workspace_id, environment, due_at from due order by endpoint_id, due_at limit 1)"
    "  union all select n.* from head cross join lateral (select endpoint_id, workspace_id, environment, due_at from due"
    "   where endpoint_id > head.endpoint_id order by endpoint_id, due_at limit 1) n)"
)
"""The first due row of every endpoint: from one to the next by the index, so that no backlog is walked through."""
TAKING: LiteralString = (
    " cross join lateral (select enabled_at from endpoint p where p.workspace_id = h.workspace_id and p.environment = h.environment"
    "  and p.id = h.endpoint_id and p.status in ('active', 'failing') and not exists (select from given_up k"
    "   where k.workspace_id = h.workspace_id and k.environment = h.environment and k.endpoint_id = h.endpoint_id) offset 0) p"
)
"""The endpoint of row `h`, where all of it is to be sent."""
# What is due for an endpoint that is gone is claimed, and closed by whoever claims it.
_WAITING: LiteralString = (
    "select h.workspace_id, h.environment, h.endpoint_id, v.clock_offset, coalesce(p.timeout_s, 10), coalesce(p.needs_owner, false),"
    " coalesce(p.in_order, false), coalesce(p.takes, true), p.enabled_at, k.before"
)
_AS_SET: LiteralString = (
    " left join lateral (select needs_owner, (settings->>'timeout_s')::int as timeout_s, settings->>'ordering' = 'per_subject' as in_order,"
    "   status in ('active', 'failing') as takes, enabled_at from endpoint p where p.workspace_id = h.workspace_id"
    "   and p.environment = h.environment and p.id = h.endpoint_id offset 0) p on true"
    " left join lateral (select before from given_up k where k.workspace_id = h.workspace_id and k.environment = h.environment"
    "   and k.endpoint_id = h.endpoint_id offset 0) k on true"
    " left join lateral (select due_at from due where endpoint_id = h.endpoint_id and test and not p.takes order by due_at limit 1) t on true"
    " where case when p.takes is false then t.due_at else h.due_at end <= now() + v.clock_offset"
    # Where order is wanted, what is fresh waits until what was given up before it is gone.
    " and (p.in_order and p.takes and k.before is not null) is not true"
)
WAITING = (
    f"{HEADS} {_WAITING} from head h cross join lateral"
    " (select clock_offset from environment e where e.workspace_id = h.workspace_id and e.environment = h.environment offset 0) v"
    f"{_AS_SET}"
)
WAITING_OF_TENANT = (
    f"{_WAITING} from environment v cross join lateral (select q.workspace_id, q.environment, q.id as endpoint_id, n.due_at from endpoint q"
    "  cross join lateral (select due_at from due d where d.endpoint_id = q.id order by due_at limit 1) n"
    "  where q.workspace_id = v.workspace_id and q.environment = v.environment offset 0) h"
    f"{_AS_SET} and v.workspace_id = %(ws)s and v.environment = %(env)s"
)


async def waiting(tx: EngineTx, tenant: Tenant | None) -> list[Waiting]:
    """The endpoints that have something due; of one tenant when one is named."""
    if tenant is None:
        rows = await tx.rows(WAITING)
    else:
        rows = await tx.rows(WAITING_OF_TENANT, {"ws": tenant.workspace, "env": tenant.environment})
    return [Waiting(Tenant(workspace, environment), *rest) for workspace, environment, *rest in rows]


class Claimed(NamedTuple):
    """A due row that is ours until `leased_until`, with its event as stored and its person's wrapped key.

    `body` is the log's own, or the rendering's where there is a `word`; None when that rendering is not kept any more.
    """

    delivery: UUID
    endpoint: UUID
    event: UUID
    due_at: datetime
    leased_until: datetime
    fence: int
    tries: int
    tries_of_round: int
    first_try_at: datetime | None
    replay: bool
    test: bool
    word: str | None
    ordered: UUID | None
    batch: UUID | None
    type: str
    subject_type: str
    subject: UUID
    sequence: int
    occurred_at: datetime
    person: UUID | None
    body: bytes | None
    epoch: str | None
    wrapped: bytes | None


# The event is asked for by order and bound, not by equality alone: a plan made while the day's partition was empty would
# else take any index that knows the tenant, and walk through all of its events once the partition is full.
_WITH_EVENTS: LiteralString = (
    " select u.delivery_id, u.endpoint_id, u.event_id, u.due_at, u.leased_until, u.fence, u.tries,"
    "  case when u.first_try_at is null then 0 when u.replayed_at is null then u.tries else"
    "   (select count(*) from try t where t.delivery_id = u.delivery_id and t.at >= u.first_try_at)::int end,"
    "  u.first_try_at, u.replayed_at is not null, u.test, u.rendering, u.subject_id, u.batch_id, v.type, v.subject_type, v.subject_id,"
    "  v.sequence, v.occurred_at, v.person_id, case when u.rendering is null then v.body else"
    "   (select r.body from rendering r where r.workspace_id = u.workspace_id and r.environment = u.environment"
    "    and r.written_at = u.event_at and r.event_id = u.event_id and r.word = u.rendering) end,"
    "  k.epoch, k.wrapped"
    " from u cross join lateral (select * from event e where e.workspace_id = u.workspace_id and e.environment = u.environment"
    "   and e.written_at = u.event_at and e.id >= u.event_id order by e.id limit 1) v"
    " left join lateral (select epoch, wrapped from person_key p where p.workspace_id = u.workspace_id and p.environment = u.environment"
    "   and p.person_id = v.person_id and p.class = 'operational' offset 0) k on true"
    " where v.id = u.event_id"
)
# The rows of a batch are claimed by the first of them, and the others with it, so that two processes never share one.
_WHOLE: LiteralString = "(batch_id is null or not exists (select from due b where b.batch_id = due.batch_id and b.delivery_id < due.delivery_id))"
_DUE: LiteralString = (
    f"from due where endpoint_id = e.id and due_at <= now() + e.ahead and {held_store.FREE} and {_WHOLE}"
)
_LEASED: LiteralString = (
    " u as (update due set leased_until = now() + (%(lease)b::interval[])[array_position(%(endpoint)b::uuid[], endpoint_id)],"
    f"  fence = fence + 1 where delivery_id = any(array(select delivery_id from c)) returning *){_WITH_EVENTS}"
)
CLAIM = (
    "with c as materialized (select x.delivery_id from"
    " unnest(%(endpoint)b::uuid[], %(newest)b::int[], %(oldest)b::int[], %(ahead)b::interval[]) e(id, newest, oldest, ahead)"
    " cross join lateral ("
    f"  select * from (select delivery_id {_DUE} order by due_at desc limit e.newest for update skip locked) n"
    f"  union all select * from (select delivery_id {_DUE} order by due_at limit e.oldest for update skip locked) o) x),{_LEASED}"
)


def _only(which: LiteralString) -> LiteralString:
    return (
        "with c as materialized (select x.delivery_id from unnest(%(endpoint)b::uuid[], %(oldest)b::int[], %(ahead)b::interval[],"
        "  %(fresh)b::timestamptz[]) e(id, oldest, ahead, fresh) cross join lateral"
        f" (select delivery_id {_DUE} and {which} order by due_at limit e.oldest for update skip locked) x),{_LEASED}"
    )


CLAIM_ONLY: dict[Only, LiteralString] = {
    "retries": _only("tries > 0"),
    "tests": _only("test"),
    # A clock goes back only where nothing is open, so nothing fresh was due before: what is given up is not walked through.
    "fresh": _only(f"due_at >= e.fresh + e.ahead and {held_store.OPENED_AT} >= e.fresh"),
}


class Wanted(NamedTuple):
    """So many due rows of an endpoint, of the newest and of the oldest, leased for so long."""

    endpoint: Waiting
    newest: int
    oldest: int
    lease: timedelta


async def claim(tx: EngineTx, wanted: Sequence[Wanted], *, only: Only | None = None) -> list[Claimed]:
    """Lease due rows of each endpoint (of some, only the oldest); what others hold is passed over."""
    parameters = {
        "endpoint": [one.endpoint.endpoint for one in wanted],
        "newest": [one.newest for one in wanted],
        "oldest": [one.oldest for one in wanted],
        "ahead": [one.endpoint.ahead for one in wanted],
        "fresh": [one.endpoint.fresh_from for one in wanted],
        "lease": [one.lease for one in wanted],
    }
    rows = await tx.rows(CLAIM_ONLY[only] if only else CLAIM, parameters)
    return [Claimed._make(row) for row in rows]


_LOOKED_AT: LiteralString = (
    "with c as materialized (select delivery_id, subject_id, sequence, tries,"
    "   greatest(ordered_until, %(since)s::timestamptz + %(wait)s) as ordered_until from due where endpoint_id = %(endpoint)s"
    f"   and due_at <= now() + %(ahead)s and {held_store.FREE} and {_WHOLE} order by due_at, sequence limit %(look)s for update skip locked),"
    " j as materialized (select c.*, exists (select from due p where p.endpoint_id = %(endpoint)s and p.subject_id = c.subject_id"
    "   and p.sequence < c.sequence) as behind from c),"
)
# What must wait for an earlier event of its subject is put off until it has waited long enough, so that it stands before
# nobody; what was held waits as long anew from when its endpoint was enabled. When the earlier one ends,
# `outcome_store.let_follow` brings it forward again. Only the owner comes here.
PUT_OFF = (
    f"{_LOOKED_AT} w as (update due set (due_at, ordered_until) = (select ordered_until, ordered_until from j"
    "    where j.delivery_id = due.delivery_id)"
    "   where delivery_id = any(array(select delivery_id from j where behind and ordered_until > now() + %(ahead)s)) returning subject_id)"
    " select (select count(*) from c), (select count(*) from w), array(select distinct subject_id from w)"
)
CLAIM_IN_ORDER = (
    f"{_LOOKED_AT} f as materialized (select delivery_id from j where not behind or ordered_until <= now() + %(ahead)s"
    "   order by case when %(probing)s then (tries = 0)::int end, sequence limit %(room)s),"
    " u as (update due set leased_until = now() + %(lease)s, fence = fence + 1"
    f"   where delivery_id = any(array(select delivery_id from f)) returning *){_WITH_EVENTS}"
)
_BEHIND: LiteralString = (
    "select d.delivery_id from unnest(%(d)b::uuid[]) x(id) cross join lateral (select * from due where delivery_id = x.id offset 0) d"
    " where exists (select from due p where p.endpoint_id = d.endpoint_id and p.subject_id = d.subject_id and p.sequence < d.sequence)"
)
_LOOK = 1000


class PutOff(NamedTuple):
    """How many due rows were looked at, how many of them wait for an earlier one, and the subjects of these."""

    looked_at: int
    put_off: int
    subjects: list[UUID]

    def is_enough(self, room: int) -> bool:
        """Whether what may be claimed stands before everything else that is due."""
        return self.looked_at < _LOOK or self.looked_at - self.put_off >= room


async def put_off(tx: EngineTx, endpoint: Waiting) -> PutOff:
    """Put off what must wait for an earlier event of its subject, as far as one look goes.

    What the earlier one ends meanwhile is to be let follow afterwards: who let it follow then has not seen it waiting.
    """
    row = await tx.row(PUT_OFF, _looked_at(endpoint))
    assert row is not None
    return PutOff._make(row)


def _looked_at(endpoint: Waiting) -> dict[str, object]:
    return {
        "endpoint": endpoint.endpoint,
        "ahead": endpoint.ahead,
        "since": endpoint.enabled_at,
        "wait": ORDER_WAIT,
        "look": _LOOK,
    }


async def claim_in_order(
    tx: EngineTx, endpoint: Waiting, room: int, lease: timedelta, *, probing: bool
) -> tuple[list[Claimed], frozenset[UUID]]:
    """As `claim`, for one endpoint, but no event before an earlier one of its subject, unless it has waited its time.

    With it, the deliveries that go before an earlier one. `probing`: retries first.
    """
    rows = await tx.rows(
        CLAIM_IN_ORDER,
        {
            **_looked_at(endpoint),
            "room": room,
            "lease": lease,
            "probing": probing,
        },
    )
    claimed = [Claimed._make(row) for row in rows]
    early = await tx.rows(_BEHIND, {"d": [row.delivery for row in claimed]}) if claimed else []
    return claimed, frozenset(row[0] for row in early)


REST_OF_BATCHES = (
    "with c as materialized (select x.delivery_id from unnest(%(batch)b::uuid[]) b(id) cross join lateral"
    f"  (select delivery_id from due where batch_id = b.id and {held_store.FREE} for update skip locked) x),"
    " u as (update due set leased_until = now() + %(lease)s, fence = fence + 1"
    f"   where delivery_id = any(array(select delivery_id from c)) returning *){_WITH_EVENTS}"
)
SIZES = (
    "select b.id, s.size from unnest(%(batch)b::uuid[]) b(id) cross join lateral"
    " (select count(*) as size from due where batch_id = b.id) s"
)


async def claim_rest(tx: EngineTx, batches: Sequence[UUID], lease: timedelta) -> list[Claimed]:
    """Lease what is left of these batches, as far as nobody else holds it."""
    rows = await tx.rows(REST_OF_BATCHES, {"batch": list(batches), "lease": lease})
    return [Claimed._make(row) for row in rows]


async def sizes(tx: EngineTx, batches: Sequence[UUID]) -> dict[UUID, int]:
    """How many deliveries of each of these batches are open."""
    return dict(await tx.rows(SIZES, {"batch": list(batches)}))


BIND = (
    "update due set batch_id = %(batch)s, fence = %(fence)s where delivery_id = any(%(d)b::uuid[]) and batch_id is null"
    " and fence = (%(f)b::int[])[array_position(%(d)b::uuid[], delivery_id)] returning delivery_id"
)


async def bind(tx: EngineTx, batch: UUID, fence: int, parcels: Sequence[Parcel]) -> set[UUID]:
    """Bind these rows into a batch: on every try they go together, under its id and one fence. Which were still ours."""
    rows = await tx.rows(
        BIND,
        {
            "batch": batch,
            "fence": fence,
            "d": [parcel.delivery for parcel in parcels],
            "f": [parcel.fence for parcel in parcels],
        },
    )
    return {row[0] for row in rows}
