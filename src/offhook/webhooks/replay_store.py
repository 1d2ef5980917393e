"""The rows of replays and cancellations."""

from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from offhook.db import Tx
from offhook.events import Actor
from offhook.webhooks.replay import Replay
from offhook.webhooks.replay_filter import Filter, Verb

_COLUMNS = (
    "id, verb, status, filter, missing, rate_per_s, actor_type, actor_id, until, position_at, position_id, next_at, total, total_is_exact,"
    " done, opened, passed_over, untold, error, created_at, started_at, ended_at, updated_at"
)


async def insert(tx: Tx, replay: Replay) -> None:
    await tx.run(
        f"insert into replay (workspace_id, environment, {_COLUMNS}) values (%(ws)s, %(env)s, %(id)s, %(verb)s, %(status)s, %(filter)s,"
        " %(missing)s, %(rate)s, %(actor_type)s, %(actor_id)s, %(until)s, %(position_at)s, %(position_id)s, %(next_at)s, %(total)s,"
        " %(total_is_exact)s, %(done)s, %(opened)s, %(passed_over)s, %(untold)s, %(error)s, %(created_at)s, %(started_at)s, %(ended_at)s,"
        " %(updated_at)s)",
        {
            **tx.keys,
            **_changing(replay),
            "verb": replay.verb,
            "filter": Jsonb(replay.filter.kept()),
            "missing": replay.missing,
            "rate": replay.rate_per_s,
            "actor_type": replay.actor.type,
            "actor_id": replay.actor.id,
            "until": replay.until,
            "total": replay.total,
            "total_is_exact": replay.total_is_exact,
            "created_at": replay.created_at,
        },
    )


async def find(tx: Tx, id: UUID, *, lock: bool = False) -> Replay | None:
    """`lock`: until the commit nobody else changes it, nor does a page of it."""
    row = await tx.row(
        f"select {_COLUMNS} from replay where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s"
        + (" for update" if lock else ""),
        {**tx.keys, "id": id},
    )
    return _replay(row) if row else None


async def page(tx: Tx, verb: Verb, before: UUID | None, most: int) -> list[Replay]:
    """The newest first."""
    rows = await tx.rows(
        f"select {_COLUMNS} from replay where workspace_id = %(ws)s and environment = %(env)s and verb = %(verb)s"
        " and (%(before)s::uuid is null or id < %(before)s) order by id desc limit %(most)s",
        {**tx.keys, "verb": verb, "before": before, "most": most},
    )
    return [_replay(row) for row in rows]


async def save(tx: Tx, replay: Replay) -> None:
    """Write how far it is. To be called with its row locked."""
    await tx.run(
        "update replay set status = %(status)s, position_at = %(position_at)s, position_id = %(position_id)s, next_at = %(next_at)s,"
        " done = %(done)s, opened = %(opened)s, passed_over = %(passed_over)s, untold = %(untold)s, error = %(error)s,"
        " started_at = %(started_at)s, ended_at = %(ended_at)s, updated_at = %(updated_at)s"
        " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, **_changing(replay)},
    )


async def all_is_seen(tx: Tx, id: UUID) -> bool:
    """Whether every transaction that wrote before this replay was asked for is over, so that nothing comes in behind it.

    After a minute this is taken for granted: no transaction lasts longer, and a restored dump counts its own anew.
    """
    row = await tx.row(
        "select pg_snapshot_xmin(pg_current_snapshot()) > xid or %(wall)s > until + interval '60 s' from replay"
        " where workspace_id = %(ws)s and environment = %(env)s and id = %(id)s",
        {**tx.keys, "id": id, "wall": tx.wall},
    )
    return bool(row and row[0])


def _changing(replay: Replay) -> dict[str, Any]:
    return {
        "id": replay.id,
        "status": replay.status,
        "position_at": replay.position[0],
        "position_id": replay.position[1],
        "next_at": replay.next_at,
        "done": replay.done,
        "opened": replay.opened,
        "passed_over": Jsonb(dict(replay.passed_over)),
        "untold": Jsonb({endpoint.hex: count for endpoint, count in replay.untold.items()}),
        "error": replay.error,
        "started_at": replay.started_at,
        "ended_at": replay.ended_at,
        "updated_at": replay.updated_at,
    }


def _replay(row: tuple[Any, ...]) -> Replay:
    named = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Replay(
        actor=Actor(named.pop("actor_type"), named.pop("actor_id")),
        position=(named.pop("position_at"), named.pop("position_id")),
        filter=Filter.read(named.pop("filter")),
        untold={UUID(endpoint): count for endpoint, count in named.pop("untold").items()},
        **named,
    )
