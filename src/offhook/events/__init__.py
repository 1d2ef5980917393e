"""The append-only log: what happened, in the published language.

A room changes its state and appends the facts of the change in the same transaction: rows, gap-free sequence numbers
per subject, all that the facts *entail* and all *within*-reactions, or nothing. *After*-reactions become durable jobs in
that transaction. The bytes that endpoints will get are rendered and sealed here, once. `catalogue` holds one class per
event type, with an example from which `sample_of` makes a test: an event that is told and sets nothing off.
"""

from offhook.events.fact import ENGINE, Actor, Event, Fact, Story, Transition
from offhook.events.log import Log
from offhook.events.samples import sample_of

__all__ = ["ENGINE", "Actor", "Event", "Fact", "Log", "Story", "Transition", "sample_of"]
