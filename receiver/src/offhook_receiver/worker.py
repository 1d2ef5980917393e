"""The other half: what your code does about an event, each in one transaction with the mark that it is done."""

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from offhook_receiver import envelope, store
from offhook_receiver.api import ApiFailed
from offhook_receiver.envelope import Event
from offhook_receiver.ordering import Order, backoff_s, next_step
from offhook_receiver.store import Known, Waiting
from offhook_receiver.transactions import Begin

_log = logging.getLogger("offhook_receiver")
_ASKING_S = 60.0
"""How long a gap is left to who asks about it, and left alone when the API could not be asked."""

Handler = Callable[[Any, Event], None]
"""Your code: it writes through the connection that it is given. What it raises undoes all of it; it is called again later."""


class Asks(Protocol):
    """Where missing events are found: `offhook_receiver.api.HubApi`."""

    def events_of(self, subject: str, after: int) -> list[Event]: ...


class Worker:
    """Hands each event of the inbox to `handler` exactly once. Any number of workers share an inbox.

    An event whose person was erased after it was done comes once more, as a tombstone (`event.erased`), in any order.

    `as_it_comes`: in the order of arrival. `newest`: what is older than the last one of its subject is left out.
    `in_order`: by sequence; an event with a gap before it waits `patience_s` for the missing ones, which are then asked
    of `api`. One event that fails holds up the rest of its subject in `in_order`, and nothing else ever.
    """

    def __init__(
        self,
        begin: Begin,
        handler: Handler,
        order: Order = "as_it_comes",
        api: Asks | None = None,
        patience_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if (order == "in_order") != (api is not None):
            raise ValueError(
                "in_order needs an api, to tell a gap from what the endpoint does not listen to; the others none"
            )
        self._begin = begin
        self._handler = handler
        self._order = order
        self._api = api
        self._patience_s = patience_s
        self._clock = clock

    def work_off(self) -> int:
        """Do all that is due; how many events were handed over. Whatever `handler` raises is logged and tried later."""
        done = 0
        while (found := self._next()) is not None:
            done += found
        return done

    def run(self, stop: threading.Event, idle_s: float = 0.5) -> None:
        """Work until `stop` is set, looking anew every `idle_s`. A database that fails is waited for."""
        while not stop.is_set():
            try:
                self.work_off()
            except Exception:
                _log.exception("The inbox could not be read; trying again in %s s", idle_s)
            stop.wait(idle_s)

    def _next(self) -> int | None:
        """See to one event: 1 when it was handed over, 0 when not, None when nothing is due."""
        waiting: Waiting | None = None
        try:
            with self._begin() as connection:
                waiting = store.claim(connection, self._clock(), lowest=self._order == "in_order")
                if waiting is None:
                    return None
                known = store.known(connection, waiting.subject)
                step = next_step(self._order, waiting.sequence, known, erased=waiting.erased)
                ask = step == "gap" and self._postpone_gap(connection, waiting)
                if step != "gap":
                    self._do(connection, waiting, hand_over=step == "do")
        except Exception as failure:
            if waiting is None:
                raise
            self._fail(waiting, failure)
            return 0
        if ask:
            self._fill(waiting, known)
        return int(step == "do")

    def _do(self, connection: Any, waiting: Waiting, *, hand_over: bool) -> None:
        event = envelope.event_of(json.loads(waiting.text), waiting.text)
        if self._order != "as_it_comes":
            hand_over = store.newer(connection, event) and hand_over
        if hand_over:
            self._handler(connection, event)
        now = self._clock()
        store.finish(connection, waiting.id, now)
        if self._order == "in_order":
            store.hurry(connection, waiting.subject, now)

    def _postpone_gap(self, connection: Any, waiting: Waiting) -> bool:
        """Leave it until its patience is over; from then on, whether to ask now."""
        now = self._clock()
        until = waiting.received_at + self._patience_s
        store.postpone(connection, waiting.id, until if until > now else now + _ASKING_S)
        return until <= now

    def _fill(self, waiting: Waiting, known: Known) -> None:
        """Ask for what is missing before `waiting`, and put it into the inbox. No transaction is open while it asks."""
        assert self._api is not None
        try:
            events = self._api.events_of(waiting.subject, known.done)
        except ApiFailed as failure:
            _log.warning("A gap of %s could not be filled: %s", waiting.subject, failure)
            with self._begin() as connection:
                store.postpone(connection, waiting.id, self._clock() + _ASKING_S, failure.code)
            return
        now = self._clock()
        with self._begin() as connection:
            store.keep(connection, events, now)
            # All before `waiting` was in the log when we asked, for Offhook writes a subject's events one after the other.
            store.complete(connection, waiting.subject, max([waiting.sequence, *(event.sequence for event in events)]))
            store.hurry(connection, waiting.subject, now)

    def _fail(self, waiting: Waiting, failure: Exception) -> None:
        # The exception's text may hold what the event says of a person: it goes to your log, not into the table.
        _log.error("Event %s was not done and is tried again later", waiting.id, exc_info=failure)
        with self._begin() as connection:
            until = self._clock() + backoff_s(waiting.tries)
            store.postpone(connection, waiting.id, until, type(failure).__name__, tried=True)
