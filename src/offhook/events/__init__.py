"""The append-only log: what happened, in the published language.

A room changes its state and appends the facts of the change in the same transaction: rows, gap-free sequence numbers
per subject and all *within*-reactions, or nothing. *After*-reactions become durable jobs in that transaction. The
bytes that endpoints will get are rendered and sealed here, once. `catalogue` holds one class per event type.
"""

from offhook.events.fact import Actor, Fact, Story, Transition
from offhook.events.log import After, Event, Log, Within

__all__ = ["Actor", "After", "Event", "Fact", "Log", "Story", "Transition", "Within"]
