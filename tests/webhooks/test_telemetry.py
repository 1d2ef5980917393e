"""What an operator's OpenTelemetry collector gets, and that nothing of it is there when nobody asks for it."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from tests.webhooks.conftest import Receiver, Room, Says

from offhook import ids
from offhook.db import Database, Wakeups
from offhook.errors import CannotStart
from offhook.events import Fact, Log
from offhook.events.reactions import Within
from offhook.otlp import exported
from offhook.outbound import Outbound
from offhook.privacy import Vault
from offhook.settings import load
from offhook.webhooks import Webhooks


class Collector:
    """An OTLP receiver of a few lines."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server names it so
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.got.append((self.path, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Any]:
        asked = [ExportTraceServiceRequest.FromString(body) for path, body in self.got if path == "/v1/traces"]
        return [
            span for one in asked for whose in one.resource_spans for scope in whose.scope_spans for span in scope.spans
        ]

    @property
    def metrics(self) -> dict[str, Any]:
        asked = [ExportMetricsServiceRequest.FromString(body) for path, body in self.got if path == "/v1/metrics"]
        scopes = [scope for one in asked for whose in one.resource_metrics for scope in whose.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


@pytest.fixture
async def traced(
    room: Room, database: Database, vault: Vault, wakeups: Wakeups, outbound: Outbound, collector: Collector
) -> Room:
    """A process whose operator has a collector."""
    log = Log(vault)
    settings = load({"otlp_endpoint": collector.url}, environ={})
    webhooks = Webhooks(settings, database, vault, log, wakeups, outbound, sending=True)
    log.react([Within(Fact, webhooks.fan_out)])
    return Room(webhooks, database, vault, log, room.tenant)


def named(attributes: Any) -> dict[str, Any]:
    return {one.key: one.value.int_value or one.value.string_value for one in attributes}


async def test_each_try_is_a_span_that_names_its_endpoint_type_and_status_and_links_its_event(
    traced: Room, receiver: Receiver, collector: Collector
) -> None:
    receiver.says = [Says(503)]
    told = await traced.endpoint(receiver.url)
    await traced.happens()
    await traced.drain()
    await traced.webhooks.close()

    (span,), (delivery,) = collector.spans, await traced.deliveries()
    said = named(span.attributes)
    assert (span.name, said["offhook.webhook_endpoint.id"]) == ("webhook.send", told.shown["id"])
    assert (said["http.response.status_code"], said["error.type"]) == (503, "http_503")
    assert (said["offhook.event.type"], said["offhook.try"]) == (delivery["type"], "")  # protobuf leaves out a zero
    (link,) = span.links
    assert named(link.attributes) == {"offhook.event.id": delivery["event_id"]}
    assert link.trace_id == ids.read("evt", delivery["event_id"]).bytes
    assert span.end_time_unix_nano > span.start_time_unix_nano


async def test_no_trace_header_goes_to_a_receiver(traced: Room, receiver: Receiver) -> None:
    await traced.endpoint(receiver.url)
    await traced.happens()
    await traced.drain()

    (request,) = receiver.received
    await traced.webhooks.close()

    assert {"traceparent", "tracestate", "baggage"}.isdisjoint(request.headers)


async def test_what_prometheus_counts_is_exported_too(traced: Room, receiver: Receiver, collector: Collector) -> None:
    await traced.endpoint(receiver.url)
    await traced.happens()
    await traced.drain()
    await traced.webhooks.close()

    metrics = collector.metrics
    delivered = [
        p for p in metrics["offhook_webhook_results"].sum.data_points if named(p.attributes) == {"outcome": "delivered"}
    ]
    assert delivered[0].as_double >= 1
    (quick,) = metrics["offhook_webhook_commit_to_wire_ms"].histogram.data_points
    assert quick.count == sum(quick.bucket_counts) >= 1
    assert len(quick.bucket_counts) == len(quick.explicit_bounds) + 1


@given(st.lists(st.floats(min_value=0, max_value=100)), st.floats(min_value=-9, max_value=9))
def test_a_family_keeps_its_numbers(observed: list[float], level: float) -> None:
    registry = CollectorRegistry()
    histogram = Histogram("lasted", "How long.", ["kind"], buckets=(1, 10), registry=registry).labels("a")
    for value in observed:
        histogram.observe(value)
    Gauge("level", "How high.", registry=registry).set(level)
    Counter("seen", "How many.", registry=registry).inc(len(observed))

    told = {one.name: one.data.data_points[0] for one in exported(registry.collect(), 1, 2)}

    lasted: Any = told["lasted"]
    counts = [sum(v <= 1 for v in observed), sum(1 < v <= 10 for v in observed), sum(v > 10 for v in observed)]
    assert (lasted.bucket_counts, lasted.explicit_bounds, lasted.attributes) == (counts, [1, 10], {"kind": "a"})
    assert (lasted.count, lasted.sum) == (len(observed), pytest.approx(sum(observed)))
    values: list[Any] = [told["level"], told["seen"]]
    assert [one.value for one in values] == [level, len(observed)]


def test_nothing_of_it_is_imported_without_the_setting() -> None:
    program = "import sys; import offhook.wiring; print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_an_installation_without_the_extra_is_told_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from offhook.webhooks.telemetry import Telemetry

    monkeypatch.setitem(sys.modules, "offhook.otlp", None)

    with pytest.raises(CannotStart, match=r"pip install 'offhook\[otel\]'"):
        Telemetry.of("http://127.0.0.1:4318")


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://collector", "http://"])
def test_an_endpoint_that_is_no_url_is_refused_at_start(endpoint: str) -> None:
    with pytest.raises(CannotStart, match="OTLP_ENDPOINT"):
        load({"otlp_endpoint": endpoint}, environ={})


async def test_a_collector_that_is_away_holds_up_nothing(
    room: Room, database: Database, vault: Vault, wakeups: Wakeups, outbound: Outbound, receiver: Receiver
) -> None:
    settings = load({"otlp_endpoint": "http://127.0.0.1:9"}, environ={})
    log = Log(vault)
    webhooks = Webhooks(settings, database, vault, log, wakeups, outbound, sending=True)
    log.react([Within(Fact, webhooks.fan_out)])
    traced = Room(webhooks, database, vault, log, room.tenant)
    await traced.endpoint(receiver.url)
    await traced.happens()
    await traced.drain()

    async with asyncio.timeout(30):
        await webhooks.close()

    assert [one["status"] for one in await traced.deliveries()] == ["delivered"]
