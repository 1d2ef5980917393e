"""OpenTelemetry, for who wants it: spans, and what Prometheus counts, sent to the operator's collector by OTLP over HTTP.

Imported only when the setting `otlp_endpoint` is set; needs `pip install 'offhook[otel]'`. The collector is the operator's
own, so what goes there does not go through `outbound`, which guards against the addresses of others. Threads of the SDK
send in batches and drop what a collector that is away does not take; nobody waits for them. The SDK's own variables
(OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES …) hold.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Tracer
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

METRICS_EVERY_S = 15.0
_TIMEOUT_S = 3.0
_NAME = "offhook"


class Otlp:
    """Exports of one process. `tracer` makes spans; metrics go out every 15 seconds."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the collector's base URL, like http://localhost:4318; /v1/traces and /v1/metrics follow it."""
        base = endpoint.rstrip("/")
        self._resource = Resource.create({"service.name": _NAME})
        self._provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces", timeout=_TIMEOUT_S)))
        self._metrics = OTLPMetricExporter(f"{base}/v1/metrics", timeout=_TIMEOUT_S)
        self._began = time.time_ns()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)
        self._thread.start()

    @property
    def tracer(self) -> Tracer:
        return self._provider.get_tracer(_NAME)

    def close(self) -> None:
        """Send the rest. Blocks for some seconds at most, so not to be called on the event loop."""
        self._ending.set()
        self._thread.join(2 * _TIMEOUT_S)
        self._provider.shutdown()

    def _run(self) -> None:
        while not self._ending.wait(METRICS_EVERY_S):
            self._send_metrics()
        self._send_metrics()
        self._metrics.shutdown()

    def _send_metrics(self) -> None:
        metrics = list(exported(REGISTRY.collect(), self._began, time.time_ns()))
        scope = sdk.ScopeMetrics(InstrumentationScope(_NAME), metrics, "") if metrics else None
        if scope:
            self._metrics.export(sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scope], "")]))


def exported(families: Iterable[Metric], began: int, now: int) -> Iterator[sdk.Metric]:
    """The families of Prometheus as OpenTelemetry has them, counted from `began` (nanoseconds of the epoch) on. Pure."""
    for family in families:
        match family.type:
            case "histogram":
                data: sdk.DataT = sdk.Histogram(list(_histograms(family, began, now)), _CUMULATIVE)
            case "counter":
                data = sdk.Sum(_points(family, family.name + "_total", began, now), _CUMULATIVE, is_monotonic=True)
            case _:
                data = sdk.Gauge(_points(family, family.name, began, now))
        if data.data_points:
            yield sdk.Metric(family.name, family.documentation, "", data)


_CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE


def _points(family: Metric, name: str, began: int, now: int) -> list[sdk.NumberDataPoint]:
    return [
        sdk.NumberDataPoint(dict(one.labels), began, now, float(one.value))
        for one in family.samples
        if one.name == name
    ]


def _histograms(family: Metric, began: int, now: int) -> Iterator[sdk.HistogramDataPoint]:
    series: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for one in family.samples:
        labels = tuple(sorted((name, value) for name, value in one.labels.items() if name != "le"))
        series.setdefault(labels, []).append(one)
    for labels, samples in series.items():
        yield _histogram(family.name, dict(labels), samples, began, now)


def _histogram(
    name: str, labels: Mapping[str, str], samples: Iterable[Sample], began: int, now: int
) -> sdk.HistogramDataPoint:
    bounds: list[float] = []
    counts: list[int] = []
    below, whole = 0, 0.0
    for one in samples:
        if one.name == f"{name}_sum":
            whole = float(one.value)
        elif one.name == f"{name}_bucket":
            bounds.append(float(one.labels["le"]))
            counts.append(int(one.value) - below)  # Prometheus counts all that is below a bound
            below = int(one.value)
    # Nobody has noted the least and the greatest; the encoder leaves out what is None.
    unknown: float = None  # type: ignore[assignment]
    return sdk.HistogramDataPoint(labels, began, now, below, whole, counts, bounds[:-1], unknown, unknown)
