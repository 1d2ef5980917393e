"""Endpoints in trouble: when it began, how often since, and when it was over. Told once when it begins, as an event.

    a fact about the endpoint ──opens──▶ open ──the endpoint is active again, or nothing for an hour──▶ over

Whoever wants to be woken is told by `alerting`, grouped and not too often.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from offhook import jobs
from offhook.db import Tx
from offhook.events import Fact
from offhook.events.catalogue.webhooks import (
    WebhookDeadLettered,
    WebhookDeliveryAlert,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointUpdated,
)
from offhook.webhooks import incident_store
from offhook.webhooks.incident_store import About, Seen

KIND = "webhooks.alert"
GROUPED = timedelta(seconds=30)
"""How long what goes wrong together is gathered before anybody is woken."""
QUIET = timedelta(hours=1)


async def notice(tx: Tx, facts: Sequence[Fact]) -> Sequence[Fact]:
    """What these facts say of endpoints in trouble, written down; an alert for each trouble that begins."""
    over = [fact.subject_id for fact in facts if _is_well(fact)]
    if over:
        await end(tx, over, ("failing", "disabled", "lagging"))
    return await begin(tx, _seen(facts))


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
