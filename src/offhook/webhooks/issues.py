"""`/v1/delivery-issues`: the failures of an endpoint that have one cause, as one thing to be done.

    open ──resolve──▶ resolved ──fails so again──▶ open        any ──ignore──▶ ignored ──reopen──▶ open
      └──the endpoint succeeds, and nothing waits for its next try──▶ resolved, by itself

A cause is the error code of its tries: `http_503`, `timeout`, `tls`, `dns`. Figures as of a second ago, see
`aggregates`; an ignored issue goes on counting, and stays ignored.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from offhook import clock, ids
from offhook.db import Tx
from offhook.errors import Conflict, NotFound
from offhook.events import Actor
from offhook.webhooks import issue_store
from offhook.webhooks.issue_store import IssueRow, Status

Shown = dict[str, Any]
StartReplay = Callable[[Tx, UUID, str, Actor], Awaitable[Shown]]
"""Starts a replay of the dead letters of this endpoint that died of this cause; the replay as `/v1/replays/{id}` shows it."""


async def find(tx: Tx, issue: UUID) -> Shown:
    """Raises NotFound."""
    return shown(await _row(tx, issue))


async def turn(tx: Tx, issue: UUID, status: Status) -> Shown:
    """Resolve, ignore or reopen it. Idempotent. Raises NotFound, or Conflict for one whose endpoint is well again."""
    row = await _row(tx, issue)
    if status == "open" and row.overcome:
        raise Conflict(
            "issue_overcome",
            "Its endpoint has succeeded since, so nothing is left to do; it opens when it fails so again.",
        )
    if status != row.status:
        await issue_store.turn(tx, issue, status)
    return await find(tx, issue)


async def replay(tx: Tx, issue: UUID, actor: Actor, start: StartReplay) -> Shown:
    """Send once more what died of it; the job. Raises NotFound."""
    row = await _row(tx, issue)
    return await start(tx, row.endpoint, row.cause, actor)


async def _row(tx: Tx, issue: UUID) -> IssueRow:
    row = await issue_store.find(tx, issue)
    if row is None:
        raise NotFound("no_such_issue", "There is no delivery issue with this id.", param="id")
    return row


def shown(row: IssueRow) -> Shown:
    """The issue as the API shows it.

    `deliveries_at_least` are those whose very first try failed so; `sample_delivery_id` is one of the latest.
    """
    by = "success" if row.overcome else "request"
    return {
        "id": ids.show("iss", row.id),
        "object": "delivery_issue",
        "webhook_endpoint_id": ids.show("whe", row.endpoint),
        "cause": row.cause,
        "status": row.status,
        "resolved_by": by if row.status == "resolved" else None,
        "resolved_at": clock.show_or_null(row.resolved_at),
        "count": row.count,
        "deliveries_at_least": row.first_tries,
        "dead": row.dead,
        "sample_delivery_id": ids.show("dlv", row.sample),
        "first_seen_at": clock.show(row.first_seen_at),
        "last_seen_at": clock.show(row.last_seen_at),
        "version": row.version,
    }
