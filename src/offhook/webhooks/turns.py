"""Turns: tenants one after the other, and within a tenant its endpoints, however many each has."""

from collections import deque
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from offhook.db import Tenant

T = TypeVar("T")


class Turns(Generic[T]):
    """Who may be sent to. Each tenant has a line of its own, and is at turn once for each turn of every other."""

    def __init__(self) -> None:
        self._lines: WeakValueDictionary[Tenant, deque[T]] = WeakValueDictionary()
        self.waiting: deque[deque[T]] = deque()
        """The lines in which anybody stands."""

    def line_of(self, tenant: Tenant) -> deque[T]:
        """The line of this tenant, for whoever is to stand in it; the same one for as long as anybody keeps it."""
        return self._lines.setdefault(tenant, deque())

    def add(self, one: T, line: deque[T]) -> None:
        """Let it take its turn after the others of its line."""
        if not line:
            self.waiting.append(line)
        line.append(one)

    def next(self) -> T:
        """Whose turn it is, taken out. Somebody must be `waiting`."""
        line = self.waiting.popleft()
        one = line.popleft()
        if line:
            self.waiting.append(line)
        return one
