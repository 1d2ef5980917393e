"""How long the parts of a request took."""

import ssl
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from offhook.outbound.answer import Timing

current: ContextVar["Stopwatch"] = ContextVar("watch")


class Stopwatch:
    """The moments of one request; those of its connection are written by the hooks of the timed session."""

    opening = look_up = looked_up = shaking = opened = head = 0.0  # 0.0: has not come

    def __init__(self, timed: bool) -> None:
        self.timed = timed
        self._start = perf_counter()

    def reading(self) -> Timing:
        now = perf_counter()
        dns, connect, tls = self._phases(now) if self.timed else (None, None, None)
        first_byte = (self.head - self._start) * 1000 if self.head else None
        return Timing(dns, connect, tls, first_byte, (now - self._start) * 1000)

    def _phases(self, now: float) -> tuple[float, float, float]:
        if not self.opening:
            return 0.0, 0.0, 0.0
        end = self.opened or now
        looked_up = self.looked_up or (end if self.look_up else self.opening)
        shaking = self.shaking or end
        return (looked_up - (self.look_up or looked_up)) * 1000, (shaking - looked_up) * 1000, (end - shaking) * 1000


async def note(moment: str, *_: object) -> None:
    setattr(current.get(), moment, perf_counter())


class Trust(ssl.SSLContext):
    """The system's certificates. asyncio calls `wrap_bio` once TCP stands: nothing else parts `connect` from `tls`."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        if watch := current.get(None):
            watch.shaking = perf_counter()
        return super().wrap_bio(*args, **kwargs)
