"""One event as its endpoints are told of it: filtered on what it really says, rendered once for whoever wants the same."""

from collections.abc import Iterator, Mapping
from typing import Any

from offhook.events import Event
from offhook.events.envelope import revealed
from offhook.expressions import Filter, HoldsNot, Operand, Undecided
from offhook.webhooks import counts
from offhook.webhooks.directory import Endpoint
from offhook.webhooks.masks import Hash
from offhook.webhooks.parcel import Message
from offhook.webhooks.rendering import USUAL_HEADERS, Rendered, Rendering


class Messages:
    """The messages of one event."""

    def __init__(self, event: Event, hashed: Hash) -> None:
        self._event = event
        self._hashed = hashed
        self._made: dict[str | None, Message] = {}
        self._clear: Operand | None = None

    def wanted_by(self, endpoint: Endpoint) -> bool:
        """Whether its filter lets this event through."""
        if endpoint.filter is None:
            return True
        if self._clear is None:
            self._clear = Operand(revealed(self._event.body, self._event.fact.story.hidden))
        return lets_through(endpoint.filter, self._clear, count=True)

    def for_(self, endpoint: Endpoint) -> Message:
        """The event as this endpoint wants it."""
        message = self._made.get(endpoint.word)
        if message is None:
            message = self._made[endpoint.word] = self._make(endpoint.rendering, endpoint.word)
        return message

    def to_keep(self) -> Iterator[Message]:
        """Those whose bytes are not the log's own."""
        return (message for message in self._made.values() if message.word is not None)

    def _make(self, rendering: Rendering, word: str | None) -> Message:
        event = self._event
        fact = event.fact
        return Message(
            id=event.id,
            shown_id=event.shown_id,
            type=fact.type,
            subject_type=fact.subject_type,
            subject_shown_id=event.subject_shown_id,
            sequence=event.sequence,
            occurred_at=event.occurred_at,
            person=fact.story.person,
            key=event.key,
            rendered=Rendered(USUAL_HEADERS, event.body)
            if word is None
            else rendering.render(event.body, fact.story.hidden, self._hashed),
            word=word,
        )


def lets_through(filter: Filter, event: Mapping[str, Any] | Operand, *, count: bool = False) -> bool:
    """Whether an endpoint with this filter is told of this clear event. What a filter cannot decide is told: unknown is
    not no; it is counted where it is told.
    """
    held = filter.holds(event)
    if count and isinstance(held, Undecided):
        counts.undecided.inc()
    return not isinstance(held, HoldsNot)
