"""The web process's half: verify, store, answer. What your code does about an event never makes Offhook wait."""

import logging
import time
from collections.abc import Callable

from offhook_receiver import store
from offhook_receiver.rejected import Rejected
from offhook_receiver.transactions import Begin
from offhook_receiver.verifier import Headers, Verifies

_log = logging.getLogger("offhook_receiver")


class Inbox:
    """Takes messages in. `begin` opens a transaction on your database, see `offhook_receiver.transactions`."""

    def __init__(self, begin: Begin, verifier: Verifies, clock: Callable[[], float] = time.time) -> None:
        self._begin = begin
        self._verifier = verifier
        self._clock = clock

    def take(self, headers: Headers, body: bytes) -> int:
        """Store the events of a genuine message, each once, and tell the HTTP status to answer.

        204: they are in your database. 401 or 422: not believed, nothing is stored; the log says why. When your database
        fails, so does this, and Offhook tries again. `body` are the raw bytes, before anything has parsed them.
        """
        now = self._clock()
        try:
            events = self._verifier.verify(headers, body, now)
        except Rejected as rejected:
            _log.warning("A message was not taken: %s", rejected)
            return rejected.status
        with self._begin() as connection:
            store.keep(connection, events, now)
        return 204
