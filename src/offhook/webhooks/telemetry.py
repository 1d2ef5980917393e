"""OpenTelemetry switched on by its setting, and not so much as imported without."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from offhook.errors import CannotStart
from offhook.webhooks.parcel import Result

if TYPE_CHECKING:
    from offhook.otlp import Otlp
    from offhook.webhooks.tracing import Tracing

Observe = Callable[[Sequence[Result]], None]


class Telemetry:
    """The spans of this process's tries, and its metrics, on their way to a collector."""

    def __init__(self, otlp: "Otlp", tracing: "Tracing") -> None:
        self._otlp = otlp
        self._tracing = tracing

    @classmethod
    def of(cls, endpoint: str | None) -> "Telemetry | None":
        """Exporting to this collector; None without one. Raises CannotStart where the extra is not installed."""
        if endpoint is None:
            return None
        try:
            from offhook.otlp import Otlp
            from offhook.webhooks.tracing import Tracing
        except ModuleNotFoundError:
            raise CannotStart(
                "otel_not_installed",
                "OFFHOOK_OTLP_ENDPOINT is set, and OpenTelemetry is not installed. Mend: pip install 'offhook[otel]'",
            ) from None
        otlp = Otlp(endpoint)
        return cls(otlp, Tracing(otlp.tracer))

    def beside(self, observe: Observe) -> Observe:
        """An observer that does what this one does, and traces."""

        def both(results: Sequence[Result]) -> None:
            observe(results)
            self._tracing.observe(results)

        return both

    async def close(self) -> None:
        """Send what is left, within some seconds."""
        await asyncio.to_thread(self._otlp.close)
