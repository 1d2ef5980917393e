"""Endpoints in trouble: when it began, how often since, and when it was over. Told once when it begins, as an event.

    a fact about the endpoint ──opens──▶ open ──the endpoint is active again──▶ over ──30 days──▶ forgotten
                                               ──no dead letter for an hour──▶

Only dead letters are over by silence: what failed or was disabled an hour ago does so still, though nothing new is told
of it. An endpoint that is deleted takes its troubles along. Whoever wants to be woken is told by `alerting`, grouped and not too often.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from offhook import jobs
from offhook.db import EngineTx, Tx
from offhook.events import Fact
from offhook.events.catalogue.webhooks import (
    WebhookDeadLettered,
    WebhookDeliveryAlert,
    WebhookEndpointDeleted,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointUpdated,
)
from offhook.webhooks import incident_store
from offhook.webhooks.incident_store import About, Incident, Seen

KIND = "webhooks.alert"
GROUPED = timedelta(seconds=30)
"""How long what goes wrong together is gathered before anybody is woken."""
QUIET = timedelta(hours=1)
"""How long after the latest of its dead letters an endpoint is in trouble for them."""
KEPT = timedelta(days=30)
"""How long what is over is remembered."""


async def notice(tx: Tx, facts: Sequence[Fact]) -> Sequence[Fact]:
    """What these facts say of endpoints in trouble, written down; an alert for each trouble that begins."""
    over = [fact.subject_id for fact in facts if _is_well(fact)]
    if over:
        await end(tx, over, ("failing", "disabled", "lagging"))
    if gone := {fact.subject_id for fact in facts if isinstance(fact, WebhookEndpointDeleted)}:
        await incident_store.drop(tx, list(gone))
    return await begin(tx, [one for one in _seen(facts) if one.endpoint not in gone])


async def begin(tx: Tx, seen: Sequence[Seen]) -> list[Fact]:
    """Write down what went wrong; an alert for each trouble that begins by it."""
    if not seen:
        return []
    opened = await incident_store.saw(tx, seen, quiet=QUIET)
    await jobs.enqueue(tx, KIND, {}, key="tenant", run_at=tx.now + GROUPED)
    return [
        WebhookDeliveryAlert(
            subject_id=one.endpoint, about=one.about, since=one.since, count=one.count, detail=one.detail
        )
        for one in opened
    ]


async def end(tx: Tx, endpoints: Sequence[UUID], abouts: Sequence[About]) -> None:
    """These troubles of these endpoints are over; whoever was told of them is told of that too."""
    if await incident_store.end(tx, endpoints, abouts):
        await jobs.enqueue(tx, KIND, {}, key="tenant", run_at=tx.now + GROUPED)


async def open_ones(tx: Tx, endpoints: Sequence[UUID] | None = None) -> list[Incident]:
    """What is wrong now: all of it with these endpoints, or a thousand troubles of whichever."""
    return await incident_store.open_ones(tx, endpoints, quiet=QUIET)


async def purge(tx: EngineTx) -> int:
    """Forget what is over for 30 days, and what is left of endpoints that are gone; how many troubles that was."""
    return await incident_store.purge(tx, quiet=QUIET, kept=KEPT)


def _seen(facts: Sequence[Fact]) -> list[Seen]:
    seen = []
    dead: dict[UUID, Counter[str]] = {}
    for fact in facts:
        match fact:
            case WebhookEndpointDisabled(subject_id=endpoint, reason=reason) if reason != "by_request":
                seen.append(Seen(endpoint, "disabled", 1, reason))
            case WebhookEndpointUpdated(subject_id=endpoint, transition=moved) if moved and moved.to == "failing":
                seen.append(Seen(endpoint, "failing", 1, moved.reason))
            case WebhookDeadLettered(subject_id=endpoint, last_error=error):
                dead.setdefault(endpoint, Counter())[error] += 1
    return seen + [Seen(endpoint, "dead_letters", sum(why.values()), _most(why)) for endpoint, why in dead.items()]


def _most(why: Counter[str]) -> str:
    return why.most_common(1)[0][0]


def _is_well(fact: Fact) -> bool:
    if isinstance(fact, WebhookEndpointEnabled):
        return True
    return isinstance(fact, WebhookEndpointUpdated) and fact.transition is not None and fact.transition.to == "active"
