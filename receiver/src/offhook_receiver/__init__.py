"""Offhook's webhooks, each one exactly once, in your own database.

The wire is at least once and in no order. What this kit adds, in your own transactions: an event that comes twice is
done once, the events of one subject are done in order, and a gap is noticed and filled from Offhook's API.

    Verifier     whether a message is genuine, and the events in it; pure
    Inbox        in the web process: verifies, stores, answers at once
    Worker       works the stored events off, each in one transaction with what your code does about it
    first_time   for those who rather do everything within the request
    newer        the same, for what is only interested in the newest state

`offhook_receiver.api` asks Offhook for what is missing, `.transactions` opens SQLite and Django, `.older` reads the
second signature of receivers that cannot change, `.testing` signs messages for your tests.
"""

from offhook_receiver.envelope import Event
from offhook_receiver.inbox import Inbox
from offhook_receiver.rejected import Rejected
from offhook_receiver.store import create_tables, first_time, newer
from offhook_receiver.verifier import Verifier
from offhook_receiver.worker import Worker

__all__ = ["Event", "Inbox", "Rejected", "Verifier", "Worker", "create_tables", "first_time", "newer"]
