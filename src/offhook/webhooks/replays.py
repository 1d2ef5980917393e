"""`/v1/replays` and `/v1/cancellations`: many deliveries at once, as durable work that can be seen, paused and called off.

Each is a row and a job of its key: see `replay` for the states, `replay_pages` for the pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from offhook import clock, ids
from offhook.db import Tx, Wakeups
from offhook.errors import NotFound
from offhook.events import ENGINE, Actor
from offhook.jobs import enqueue
from offhook.webhooks import replay_match_store, replay_store
from offhook.webhooks.deliveries import Deliveries
from offhook.webhooks.replay import Replay, beginning, end, shown
from offhook.webhooks.replay_filter import Filter, Verb, check
from offhook.webhooks.replay_match_store import Counted
from offhook.webhooks.replay_missing import Missing
from offhook.webhooks.replay_pages import told

KIND = "webhooks.replay"
COUNTED = 10_000
"""How many deliveries are looked at to count what fits: some tenths of a second."""
COUNTED_MISSING = 5
"""How many looks at the log that takes, for there every event is opened."""
_MOST_MISSING = 2_000

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody wants done. `missing`: events that the endpoint has no delivery of."""

    verb: Verb
    filter: Filter
    missing: bool = False
    rate_per_s: int | None = None


class Replays:
    """The replays and cancellations of a tenant."""

    def __init__(self, deliveries: Deliveries, missing: Missing, wakeups: Wakeups) -> None:
        self._deliveries = deliveries
        self._missing = missing
        self._wakeups = wakeups

    async def start(self, tx: Tx, asked: Asked, actor: Actor) -> Shown:
        """Do it to all that fits and was recorded until now; the replay, which a job works off. Raises Invalid."""
        replay, counted = await self._planned(tx, asked, actor)
        replay = replace(replay, total=sum(one.count for one in counted.endpoints), total_is_exact=counted.exact)
        await replay_store.insert(tx, replay)
        await self._go_on(tx, replay)
        return shown(replay)

    async def start_of_cause(self, tx: Tx, endpoint: UUID, cause: str, actor: Actor) -> Shown:
        """Replay the dead letters of this endpoint whose last try failed so."""
        return await self.start(
            tx, Asked(verb="replay", filter=Filter(endpoint=endpoint, status="dead", cause=cause)), actor
        )

    async def preview(self, tx: Tx, asked: Asked) -> Shown:
        """What `start` would do, as far as can be counted in a moment; nothing is done. Raises Invalid.

        Past that, `count` and `newest_at` are null: there may be any number more than `count_at_least`, which may be 0.
        """
        _, counted = await self._planned(tx, asked, ENGINE)
        endpoints = [one for one in counted.endpoints if one.count]
        oldest = min((one.oldest_at for one in endpoints if one.oldest_at), default=None)
        newest = max((one.newest_at for one in endpoints if one.newest_at), default=None)
        return {
            "object": "replay_preview" if asked.verb == "replay" else "cancellation_preview",
            "filter": asked.filter.shown(),
            **_counts(sum(one.count for one in endpoints), counted.exact),
            "oldest_at": clock.show_or_null(oldest),
            "newest_at": clock.show_or_null(newest if counted.exact else None),
            "endpoints": [
                {"webhook_endpoint_id": ids.show("whe", one.endpoint), **_counts(one.count, counted.exact)}
                for one in endpoints
            ],
        }

    async def find(self, tx: Tx, verb: Verb, id: UUID) -> Shown:
        """How far it is. Raises NotFound."""
        return shown(await _found(tx, verb, id))

    async def list(self, tx: Tx, verb: Verb, before: UUID | None, most: int) -> list[Replay]:
        """The newest first, begun before that one."""
        return await replay_store.page(tx, verb, before, most)

    async def pause(self, tx: Tx, verb: Verb, id: UUID) -> Shown:
        """Do nothing more once its page is over, until it is resumed. Idempotent. Raises NotFound, or Conflict when it ended."""
        return await self._save(tx, (await _found(tx, verb, id, lock=True)).paused(tx.now))

    async def resume(self, tx: Tx, verb: Verb, id: UUID) -> Shown:
        """Go on behind the last page. Idempotent. Raises NotFound, or Conflict when it ended."""
        replay = (await _found(tx, verb, id, lock=True)).resumed(tx.now)
        await self._go_on(tx, replay)
        return await self._save(tx, replay)

    async def cancel(self, tx: Tx, verb: Verb, id: UUID) -> Shown:
        """Do nothing more, for good; what was done stays done, and is told. Idempotent. Raises NotFound, or Conflict."""
        replay = (await _found(tx, verb, id, lock=True)).cancelled(tx.now)
        return await self._save(tx, await told(tx, self._deliveries, replay))

    async def _planned(self, tx: Tx, asked: Asked, actor: Actor) -> tuple[Replay, "_Count"]:
        check(asked.filter)
        await replay_match_store.plan_anew(tx)
        live, wanted = tx.tenant.environment == "live", asked.filter
        position = beginning(wanted, live=live)
        if asked.verb == "cancel" and wanted.endpoint and not wanted.of_the_dead:
            oldest = await replay_match_store.none_open_before(tx, wanted.endpoint, COUNTED)
            position = max(position, (oldest or tx.wall, UUID(int=0)))
        replay = Replay(
            id=ids.new(),
            verb=asked.verb,
            status="queued",
            filter=wanted,
            missing=asked.missing,
            rate_per_s=asked.rate_per_s,
            actor=actor,
            until=end(wanted, tx.wall, live=live),
            position=position,
            total=0,
            total_is_exact=False,
            created_at=tx.now,
            updated_at=tx.now,
        )
        return replay, await (self._count_missing(tx, replay) if asked.missing else _counted(tx, replay))

    async def _count_missing(self, tx: Tx, replay: Replay) -> "_Count":
        endpoint = replay.filter.endpoint
        assert endpoint is not None
        instants: list[datetime] = []
        count, more = 0, True
        for _ in range(COUNTED_MISSING):
            found = await self._missing.find(tx, replay, _MOST_MISSING - count)
            live = tx.tenant.environment == "live"
            instants += [one.event.written_at if live else one.event.occurred_at for one in found.missed]
            count, more = count + len(found.missed), found.more
            if not more or count >= _MOST_MISSING:
                break
            replay = replace(replay, position=found.position)
        oldest, newest = (min(instants), max(instants)) if instants else (None, None)
        return _Count([Counted(endpoint, count, oldest, newest, count)], not more)

    async def _go_on(self, tx: Tx, replay: Replay) -> None:
        await enqueue(tx, KIND, {"replay": replay.id.hex}, key=replay.id.hex)
        tx.on_commit(lambda: self._wakeups.send("jobs", tx.tenant))

    async def _save(self, tx: Tx, replay: Replay) -> Shown:
        await replay_store.save(tx, replay)
        return shown(replay)


@dataclass(frozen=True, slots=True)
class _Count:
    endpoints: Sequence[Counted]
    exact: bool


def _counts(count: int, exact: bool) -> Shown:
    return {"count": count if exact else None, "count_at_least": count}


async def _counted(tx: Tx, replay: Replay) -> _Count:
    endpoints = await replay_match_store.count(tx, replay, COUNTED)
    return _Count(endpoints, sum(one.looked for one in endpoints) < COUNTED)


async def _found(tx: Tx, verb: Verb, id: UUID, *, lock: bool = False) -> Replay:
    replay = await replay_store.find(tx, id, lock=lock)
    if replay is None or replay.verb != verb:
        raise NotFound("no_such_replay", f"There is no {_NAMES[verb]} with this id.", param="id")
    return replay


_NAMES = {"replay": "replay", "cancel": "cancellation"}
