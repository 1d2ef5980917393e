"""Telling people that endpoints are in trouble: grouped, not too often, by a way that does not lead over the trouble.

One job per tenant. It wakes half a minute after something went wrong, tells everyone who has not been told for their
own interval of all that is new to them, and comes back for the others. What cannot be told is tried again, ever more
slowly, and stands at the alert until it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from offhook import clock, ids
from offhook.db import Database, Tx
from offhook.events import Log
from offhook.events.catalogue.alerts import AlertRaised
from offhook.jobs import Job, Outside
from offhook.jobs.outcome import Done, Outcome, RetryAt
from offhook.outbound import Answer, Outbound
from offhook.outbound.mail import MailServer, NotSent
from offhook.privacy import Vault
from offhook.webhooks import alert_store, alert_targets, incident_store, incidents, store
from offhook.webhooks.alert_store import AlertRow
from offhook.webhooks.alert_wire import incident_shown
from offhook.webhooks.directory import SENDABLE
from offhook.webhooks.incident_store import Incident
from offhook.webhooks.reach import Reaches

_TIMEOUT_S = 10.0
_MOST_TOLD = 50
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
_WORDS = {
    "failing": "fails",
    "disabled": "was disabled, and its events are held",
    "lagging": "lags: what is due is not sent",
    "dead_letters": "has dead letters",
}


@dataclass(frozen=True, slots=True)
class News:
    """What one alert has to tell."""

    alert: AlertRow
    incidents: Sequence[Incident]


class Alerting:
    """Sends alerts."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        log: Log,
        outbound: Outbound,
        reaches: Reaches,
        mail: MailServer | None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._log = log
        self._outbound = outbound
        self._reaches = reaches
        self._mail = mail

    @property
    def handlers(self) -> Mapping[str, Outside]:
        """The one job of it."""
        return {incidents.KIND: Outside(self.run)}

    async def run(self, job: Job) -> Outcome:
        """Tell whoever is due; at least once, for what was told is written down after it was."""
        async with self._database.transaction(job.tenant, reading=True) as tx:
            now = tx.now
            news = await self._news(tx)
        due = [one for one in news if _due_at(one.alert, now) <= now]
        for one in due:
            trouble = await self._tell(job, one)
            async with self._database.transaction(job.tenant) as tx:
                trouble = trouble or await self._deaf(tx, one.alert)
                if trouble is None:
                    await alert_store.told(tx, [one.alert.id], now)
                    await self._log.append(tx, [self._raised(one)])
                else:
                    await alert_store.failed(tx, one.alert.id, trouble)
        async with self._database.transaction(job.tenant, reading=True) as tx:
            later = [_due_at(one.alert, tx.now) for one in await self._news(tx)]
        return RetryAt(max(min(later), now + timedelta(seconds=1)), "more_to_tell") if later else Done()

    async def _news(self, tx: Tx) -> list[News]:
        """What every alert has yet to tell; an endpoint hears nothing of its own trouble, which would be told over it."""
        alerts = await alert_store.every(tx)
        if not alerts:
            return []
        incidents = await incident_store.since(tx, min(alert.told_until for alert in alerts))
        news = []
        for alert in alerts:
            told = alert_targets.endpoint_of(self._vault, alert)
            new = [one for one in incidents if alert.yet_to_tell(one) and one.endpoint != told]
            if new:
                news.append(News(alert, new))
        return news

    async def _deaf(self, tx: Tx, alert: AlertRow) -> str | None:
        """Why the endpoint that this alert tells would not hear of it now; None where it would, or none is told."""
        told = alert_targets.endpoint_of(self._vault, alert)
        if told is None:
            return None
        endpoint = await store.find(tx, told)
        if endpoint is None:
            return "the endpoint that it tells is not there any more; name another one"
        # What is held is told when it is enabled, if ever: on-call has to hear of trouble while it lasts.
        return None if endpoint.status in SENDABLE else f"the endpoint that it tells is {endpoint.status}; enable it"

    async def _tell(self, job: Job, news: News) -> str | None:
        """Why they could not be told; None when they were."""
        target = alert_targets.opened(self._vault, news.alert)
        match news.alert.target_type:
            case "email":
                if self._mail is None:
                    return "no mail server is set"
                sent = await self._mail.send(target["addresses"], _subject(news), text_of(news.incidents))
                return sent.text if isinstance(sent, NotSent) else None
            case "slack":
                body = orjson.dumps({"text": f"*{_subject(news)}*\n{text_of(news.incidents)}"})
                answer = await self._outbound.post(
                    target["url"],
                    body,
                    {"content-type": "application/json"},
                    timeout_s=_TIMEOUT_S,
                    reach=self._reaches.of(job.tenant),
                )
                if isinstance(answer, Answer):
                    return None if 200 <= answer.status < 300 else f"it answered {answer.status}"
                return answer.text
            case _:
                return None  # told by the event itself, which is for that endpoint

    def _raised(self, news: News) -> AlertRaised:
        row = news.alert
        return AlertRaised(
            subject_id=row.id,
            only_for=alert_targets.endpoint_of(self._vault, row),
            name=row.name,
            to=row.target_type,
            text=text_of(news.incidents),
            incidents=[incident_shown(one) for one in news.incidents[:_MOST_TOLD]],
        )


def _due_at(alert: AlertRow, now: datetime) -> datetime:
    """When whoever it tells may be told again."""
    if alert.failures:
        return (alert.failed_at or now) + min(_FIRST_WAIT * (1 << min(alert.failures - 1, 16)), _LONGEST_WAIT)
    return now if alert.told_at is None else alert.told_at + timedelta(seconds=alert.every_s)


def text_of(incidents: Sequence[Incident]) -> str:
    """What went wrong, for people: a line for each endpoint and trouble."""
    lines = [_line(one) for one in incidents[:_MOST_TOLD]]
    if more := len(incidents) - _MOST_TOLD:
        lines += [f"and {more} more"] if more > 0 else []
    return "\n".join(lines)


def _line(one: Incident) -> str:
    endpoint = ids.show("whe", one.endpoint)
    if one.over_at is not None:
        return f"- {endpoint} is well again since {clock.show(one.over_at)}; it was {one.about} since {clock.show(one.since)}."
    often = f", {one.count} times" if one.count > 1 else ""
    return f"- {endpoint} {_WORDS[one.about]} since {clock.show(one.since)}{often} ({one.detail})."


def _subject(news: News) -> str:
    count = len({one.endpoint for one in news.incidents if one.over_at is None})
    if not count:
        return "Offhook: webhook endpoints are well again"
    return f"Offhook: {count} webhook endpoint{'s' if count > 1 else ''} in trouble"
