"""Whoever is on call hears of an endpoint in trouble: grouped, not too often, and never through the trouble itself."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from tests.webhooks.conftest import Receiver, Room, Says
from tests.webhooks.on_call import MAIL, OnCall, fails, on_duty

from offhook import ids
from offhook.db import Database
from offhook.errors import Conflict
from offhook.jobs.outcome import Done, RetryAt
from offhook.outbound.mail import MailServer, NotSent, Sent
from offhook.webhooks.alert_wire import AlertChange
from offhook.webhooks.incident_store import Seen
from offhook.webhooks.incidents import begin


@pytest.fixture
async def on_call(room: Room) -> AsyncIterator[OnCall]:
    async with on_duty(room) as on_call:
        yield on_call


async def test_a_failing_endpoint_is_told_of_by_mail_with_what_and_since_when(
    on_call: OnCall, receiver: Receiver
) -> None:
    await on_call.alert(MAIL)
    endpoint = await fails(on_call.room, receiver)

    assert await on_call.run() == Done()

    (letter,) = on_call.inbox.letters
    text = letter.content.decode()
    assert letter.rcpt_tos == ["on.call@example.com"]
    assert "Subject: Offhook: 1 webhook endpoint in trouble" in text
    assert f"{ids.show('whe', endpoint)} fails since" in text


async def test_nobody_is_told_twice_of_the_same_and_news_wait_for_the_interval(
    on_call: OnCall, receiver: Receiver, neighbour: Receiver, clock: Any
) -> None:
    await on_call.alert(MAIL, every_minutes=20)
    await fails(on_call.room, receiver)
    await on_call.run()
    await clock.forward(timedelta(minutes=1))
    await fails(on_call.room, neighbour)

    later = await on_call.run()
    assert isinstance(later, RetryAt)
    assert len(on_call.inbox.letters) == 1

    await clock.to(later.when)
    await on_call.run()
    (_, second) = on_call.inbox.letters
    assert second.content.decode().count("fails since") == 1


async def test_what_goes_wrong_together_is_one_letter(on_call: OnCall, receiver: Receiver, neighbour: Receiver) -> None:
    await on_call.alert(MAIL)
    await fails(on_call.room, receiver)
    await fails(on_call.room, neighbour)

    await on_call.run()

    (letter,) = on_call.inbox.letters
    assert "2 webhook endpoints in trouble" in letter.content.decode()


async def test_slack_is_told_in_its_own_words(on_call: OnCall, receiver: Receiver, neighbour: Receiver) -> None:
    shown = await on_call.alert({"type": "slack", "url": neighbour.url})
    await fails(on_call.room, receiver)

    await on_call.run()

    (told,) = [orjson.loads(one.body) for one in neighbour.received]
    assert set(told) == {"text"}
    assert "fails since" in told["text"]
    assert shown["to"] == {"type": "slack", "url": "***"}


async def test_another_endpoint_is_told_whatever_it_listens_to_and_never_the_one_in_trouble(
    on_call: OnCall, receiver: Receiver, neighbour: Receiver
) -> None:
    healthy = await on_call.room.endpoint(neighbour.url, ["campaign.*"])
    await on_call.alert({"type": "webhook_endpoint", "webhook_endpoint_id": healthy.shown["id"]})
    failing = await fails(on_call.room, receiver)
    before = len(receiver.received)

    await on_call.run()
    await on_call.room.drain()

    (told,) = [orjson.loads(one.body) for one in neighbour.received]
    assert told["type"] == "alert.raised"
    assert [one["webhook_endpoint_id"] for one in told["data"]["incidents"]] == [ids.show("whe", failing)]
    assert len(receiver.received) == before


async def test_an_endpoint_in_trouble_is_no_way_to_tell_of_its_own(on_call: OnCall, receiver: Receiver) -> None:
    failing = await fails(on_call.room, receiver)
    await on_call.alert({"type": "webhook_endpoint", "webhook_endpoint_id": ids.show("whe", failing)})
    await on_call.room.do(on_call.room.webhooks.endpoints.disable, failing)
    await on_call.room.do(on_call.room.webhooks.endpoints.enable, failing, "send")

    await on_call.run()

    types = [one["type"] for one in await on_call.room.deliveries(endpoint=failing)]
    assert "alert.raised" not in types


async def test_the_operational_event_is_told_once_when_the_trouble_begins(
    on_call: OnCall, receiver: Receiver, neighbour: Receiver
) -> None:
    await on_call.room.endpoint(neighbour.url, ["webhook.delivery_alert"])
    await fails(on_call.room, receiver, times=30)
    await on_call.room.drain()

    (told,) = [orjson.loads(one.body) for one in neighbour.received]
    assert (told["data"]["about"], told["data"]["detail"]) == ("failing", "failures_in_row")


async def test_dead_letters_are_counted_together(on_call: OnCall, receiver: Receiver) -> None:
    await on_call.alert(MAIL, about=["dead_letters"])
    receiver.says = [Says(500)]
    await on_call.room.endpoint(receiver.url, retry={"tries": 1})
    await on_call.room.happens(3)
    await on_call.room.drain()

    await on_call.run()

    (letter,) = on_call.inbox.letters
    assert "has dead letters" in letter.content.decode()
    assert ", 3 times (http_500)" in letter.content.decode().replace("=\n", "")


async def test_whoever_was_told_is_told_when_it_is_over(on_call: OnCall, receiver: Receiver, clock: Any) -> None:
    alert = await on_call.alert(MAIL, every_minutes=1)
    await fails(on_call.room, receiver)
    await on_call.run()
    assert [one["about"] for one in (await on_call.shown(alert))["open"]] == ["failing"]

    receiver.says = [Says(200)]
    await clock.forward(timedelta(minutes=2))
    await on_call.room.happens()
    await on_call.room.drain()
    await on_call.run()

    assert "is well again" in on_call.inbox.letters[-1].content.decode()
    assert (await on_call.shown(alert))["open"] == []


async def purged(room: Room) -> int:
    """How many troubles are forgotten by now."""
    async with room.database.engine() as tx:
        return await room.webhooks.purge_incidents(tx)


async def has_dead_letters(room: Room, receiver: Receiver) -> UUID:
    receiver.says = [Says(500)]
    told = await room.endpoint(receiver.url, retry={"tries": 1})
    await room.happens()
    await room.drain()
    return told.id


async def test_dead_letters_are_over_after_an_hour_without_and_what_fails_still_fails_then(
    on_call: OnCall, receiver: Receiver, neighbour: Receiver, clock: Any
) -> None:
    alert = await on_call.alert(MAIL)
    await fails(on_call.room, receiver)
    await has_dead_letters(on_call.room, neighbour)
    before = (await on_call.shown(alert))["open"]

    await clock.forward(timedelta(hours=1))

    assert sorted(one["about"] for one in before) == ["dead_letters", "failing"]
    assert [one["about"] for one in (await on_call.shown(alert))["open"]] == ["failing"]


async def test_a_deleted_endpoint_takes_its_troubles_along(on_call: OnCall, receiver: Receiver) -> None:
    alert = await on_call.alert(MAIL)
    endpoint = await fails(on_call.room, receiver)

    await on_call.room.do(on_call.room.webhooks.endpoints.delete, endpoint)

    assert (await on_call.shown(alert))["open"] == []
    assert await on_call.run() == Done()
    assert on_call.inbox.letters == []


async def test_what_is_over_for_thirty_days_is_forgotten_and_what_is_open_never(
    on_call: OnCall, receiver: Receiver, neighbour: Receiver, clock: Any
) -> None:
    failing = await fails(on_call.room, receiver)
    await has_dead_letters(on_call.room, neighbour)

    await clock.forward(timedelta(days=30))
    assert await purged(on_call.room) == 0

    await clock.forward(timedelta(hours=1))
    assert (await purged(on_call.room), await purged(on_call.room)) == (1, 0)
    assert await on_call.room.row("select endpoint_id, about from incident") == (failing, "failing")


async def test_what_is_left_of_an_endpoint_that_is_gone_is_forgotten(on_call: OnCall, receiver: Receiver) -> None:
    there = await on_call.room.endpoint(receiver.url)
    await on_call.room.do(begin, [Seen(one, "lagging", 1, "late_by_301_s") for one in (there.id, ids.new())])

    assert (await purged(on_call.room), await purged(on_call.room)) == (1, 0)
    assert await on_call.room.row("select endpoint_id from incident") == (there.id,)


async def test_what_cannot_be_told_stands_at_the_alert_and_is_tried_again(
    on_call: OnCall, receiver: Receiver, neighbour: Receiver, clock: Any
) -> None:
    neighbour.says = [Says(404), Says(200)]
    alert = await on_call.alert({"type": "slack", "url": neighbour.url})
    await fails(on_call.room, receiver)

    later = await on_call.run()
    assert isinstance(later, RetryAt)
    assert (await on_call.shown(alert))["last_error"] == "it answered 404"

    await clock.to(later.when)
    assert await on_call.run() == Done()
    assert (await on_call.shown(alert))["last_error"] is None


async def test_an_endpoint_whose_deliveries_are_not_sent_lags_until_they_are(
    on_call: OnCall, receiver: Receiver, worker: Room, database: Database, clock: Any
) -> None:
    alert = await on_call.alert(MAIL, about=["lagging"])
    await on_call.room.endpoint(receiver.url)
    await worker.happens()
    await clock.forward(timedelta(minutes=6))
    await on_call.room.webhooks.lateness.once()
    assert [one["about"] for one in (await on_call.shown(alert))["open"]] == ["lagging"]

    await on_call.room.drain()
    await on_call.room.webhooks.lateness.once()

    assert (await on_call.shown(alert))["open"] == []


async def test_mail_needs_a_server_and_an_alert_needs_an_endpoint_that_is_there(on_call: OnCall) -> None:
    on_call.alerts._has_mail = False
    with pytest.raises(Conflict, match="OFFHOOK_SMTP_URL"):
        await on_call.alert(MAIL)
    with pytest.raises(Exception, match="no_such_endpoint"):
        await on_call.alert({"type": "slack", "url": "https://example.com"}, endpoints=["ext:nobody"])


async def test_what_is_changed_is_changed_and_nothing_else(on_call: OnCall) -> None:
    alert = await on_call.alert({"type": "slack", "url": "https://example.com/a"}, metadata={"team": "a"})

    body = AlertChange.read({"every_minutes": 5, "about": ["disabled"]})
    changed = await on_call.room.do(
        on_call.alerts.change, ids.read("alr", alert["id"]), body, frozenset({"every_minutes", "about"}), 1
    )

    assert (changed["every_minutes"], changed["about"], changed["version"]) == (5, ["disabled"], 2)
    assert (changed["to"], changed["metadata"]) == (alert["to"], {"team": "a"})


async def test_a_mail_server_says_in_plain_words_why_it_took_nothing(on_call: OnCall) -> None:
    refused = await on_call.mail.send(["nobody@example.com"], "Subject", "Text")
    away = await MailServer("127.0.0.1", 1, False).send(["a@example.com"], "Subject", "Text")

    assert refused == NotSent("mail_550", "the mail server answered 550")
    assert away == NotSent("mail_unreachable", "the mail server did not answer in time")
    assert await on_call.mail.send(["a@example.com"], "Subject", "Text") == Sent()


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [("smtp://mail.example.com", 587, False), ("smtps://u%40x:p%3A@mail.example.com", 465, True)],
)
def test_a_mail_server_is_written_as_a_url_and_its_password_is_never_shown(url: str, port: int, tls: bool) -> None:
    server = MailServer.parse(url, "a@example.com")

    assert (server.host, server.port, server.implicit_tls) == ("mail.example.com", port, tls)
    assert "p:" not in repr(server)
