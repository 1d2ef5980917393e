"""How long the parts of a request took."""

from time import perf_counter

from offhook.outbound.answer import Timing


class Stopwatch:
    """The moments of one request; those of its connection are written by who opens one."""

    __slots__ = ("head", "looked_up", "opened", "opening", "shaking", "start")

    def __init__(self) -> None:
        self.opening = self.looked_up = self.shaking = self.opened = self.head = 0.0  # 0.0: has not come
        self.start = perf_counter()

    def reading(self) -> Timing:
        now = perf_counter()
        dns, connect, tls = self._phases(now) if self.opening else (0.0, 0.0, 0.0)
        first_byte = (self.head - self.start) * 1000 if self.head else None
        return Timing(dns, connect, tls, first_byte, (now - self.start) * 1000)

    def _phases(self, now: float) -> tuple[float, float, float]:
        end = self.opened or now
        looked_up = self.looked_up or end
        shaking = self.shaking or end
        return (looked_up - self.opening) * 1000, (shaking - looked_up) * 1000, (end - shaking) * 1000
