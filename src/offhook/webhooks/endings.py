"""What a result changes beyond the delivery's own row: dead letters, the health of endpoints.

All in one transaction of the tenant, with the facts that tell of it. A delivery dies once: by deleting its due row under
its fence.
"""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from offhook import ids
from offhook.db import EngineTx, Tx
from offhook.events import Fact, Log, Transition
from offhook.events.catalogue.webhooks import WebhookDeadLettered, WebhookEndpointDisabled, WebhookEndpointUpdated
from offhook.privacy import Vault
from offhook.webhooks import health, outcome_store, response, store
from offhook.webhooks.directory import Directory
from offhook.webhooks.endpoint_settings import settings_of
from offhook.webhooks.health import Health
from offhook.webhooks.outcome_store import Written
from offhook.webhooks.parcel import Closed, Dead, Result, Try


class Endings:
    """Concludes results of one tenant."""

    def __init__(self, vault: Vault, log: Log, directory: Directory) -> None:
        self._vault = vault
        self._log = log
        self._directory = directory

    async def conclude(self, tx: Tx, results: Sequence[Result]) -> None:
        """Bury the dead, judge the endpoints, and tell of it."""
        facts = await self._bury(tx, results)
        facts += await self._judge(tx, results)
        await self._log.append(tx, facts)

    async def _bury(self, tx: Tx, results: Sequence[Result]) -> list[Fact]:
        groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
        last_tries = []
        for result in results:
            if isinstance(result.outcome, Dead | Closed):
                status = "dead" if isinstance(result.outcome, Dead) else "discarded"
                groups[status, result.outcome.reason].append(result)
                if result.tried:
                    last_tries.append(sealed(self._vault, tx, result.tried))
        if last_tries:
            await outcome_store.insert_tries(tx, last_tries)
        facts: list[Fact] = []
        for (status, reason), group in groups.items():
            moved = await outcome_store.close(tx, [result.parcel for result in group], status, reason)
            if status == "dead":
                facts += [_dead_lettered(result, reason) for result in group if result.parcel.delivery in moved]
        return facts

    async def _judge(self, tx: Tx, results: Sequence[Result]) -> list[Fact]:
        tries = defaultdict(list)
        unwanted: dict[UUID, str] = {}
        batches: set[UUID] = set()
        for result in results:
            batch = result.parcel.batch
            # A batch is one request, however many events are in it; and who refuses one message is not in trouble.
            if result.tried and batch not in batches and not result.refused:
                if batch is not None:
                    batches.add(batch)
                tries[result.parcel.endpoint].append((result.tried.at, result.tried.succeeded))
            if result.disables:
                unwanted[result.parcel.endpoint] = result.disables
        facts: list[Fact] = []
        if not tries:
            return facts
        for endpoint, (before, stored) in (await store.lock_health(tx, list(tries))).items():
            after = health.after(before, tries[endpoint], settings_of(stored).patience)
            if endpoint in unwanted:
                after = health.disabled(after, unwanted[endpoint])
            facts += await self._change(tx, endpoint, before, after)
        return facts

    async def _change(self, tx: Tx, endpoint: UUID, before: Health, after: Health) -> list[Fact]:
        if before == after:
            return []
        await store.save_health(tx, endpoint, after)
        if before.status == after.status:
            return []
        await self._directory.changed(tx)
        moved = Transition("status", before.status, after.status, after.reason or "success")
        if after.status != "disabled":
            return [WebhookEndpointUpdated(subject_id=endpoint, transition=moved, changed=["status"])]
        return [WebhookEndpointDisabled(subject_id=endpoint, transition=moved, reason=moved.reason)]


def sealed(vault: Vault, tx: EngineTx, tried: Try) -> Written:
    """The try as it is stored. Its response is under the key of the event's person, or our own when it speaks of nobody."""
    delivery, n, key = tried.parcel.delivery, tried.parcel.tries, tried.parcel.message.key
    request = answered = None
    if tried.request is not None:
        request = vault.seal_own(tx, tried.request, response.place_of_request(delivery, n))
    if tried.response is not None:
        place = response.place(delivery, n)
        answered = key.seal(tried.response, place) if key else vault.seal_own(tx, tried.response, place)
    return Written(tried, request, answered)


def _dead_lettered(result: Result, reason: str) -> Fact:
    parcel = result.parcel
    return WebhookDeadLettered(
        subject_id=parcel.endpoint,
        delivery_id=ids.show("dlv", parcel.delivery),
        event_id=parcel.message.shown_id,
        event_type=parcel.message.type,
        tries=parcel.tries + 1,
        reason=reason,
        last_error=(result.tried and result.tried.error_code) or reason,
    )
