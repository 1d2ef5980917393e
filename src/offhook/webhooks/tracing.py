"""A span for each try, for OpenTelemetry. Made when the try has been recorded, so that no request waits for it.

A span names ids, a type, a status and an error code, nothing of a person, and changes nothing that is sent: no
`traceparent` goes to a receiver. It is a trace of its own; a link names the event, so that a try is found by its event
and all tries of one event have the same link.
"""

from collections.abc import Sequence
from datetime import datetime

from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from offhook import ids
from offhook.webhooks.parcel import Parcel, Result, Try

NAME = "webhook.send"
_LOW_64 = (1 << 64) - 1


class Tracing:
    """Makes the spans of one process."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def observe(self, results: Sequence[Result]) -> None:
        """Trace the tries of these, which are recorded. Returns at once."""
        for result in results:
            if result.tried is not None:
                self._trace(result.parcel, result.tried)

    def _trace(self, parcel: Parcel, tried: Try) -> None:
        began = _ns(tried.written_at)
        attributes: dict[str, str | int] = {
            "offhook.webhook_endpoint.id": ids.show("whe", parcel.endpoint),
            "offhook.delivery.id": ids.show("dlv", parcel.delivery),
            "offhook.event.type": parcel.message.type,
            "offhook.try": parcel.tries,
        }
        if tried.status_code is not None:
            attributes["http.response.status_code"] = tried.status_code
        if tried.error_code is not None:
            attributes["error.type"] = tried.error_code
        span = self._tracer.start_span(
            NAME, kind=SpanKind.CLIENT, attributes=attributes, links=[_link(parcel)], start_time=began
        )
        if tried.error_code is not None:
            span.set_status(Status(StatusCode.ERROR))
        span.end(began + int((tried.timing_ms[-1] or 0.0) * 1_000_000))


def _link(parcel: Parcel) -> Link:
    event = parcel.message.id.int
    context = SpanContext(event, event & _LOW_64, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return Link(context, {"offhook.event.id": parcel.message.shown_id})


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
