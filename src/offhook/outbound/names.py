"""The addresses of names: asked for once, however many want to know, and good for ten seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import NamedTuple

from offhook.outbound.reach import Address

_GOOD_FOR_S = 10.0
_KNOWN = 10_000

Addresses = Callable[[str], Awaitable[Sequence[Address]]]  # of a name; raises OSError when there are none to be had


class _Known(NamedTuple):
    addresses: Sequence[Address]
    until: float


class Names:
    """What a name server said lately. Called with a name, it is an `Addresses`."""

    def __init__(self, ask: Addresses) -> None:
        self._ask = ask
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[Sequence[Address]]] = {}

    async def __call__(self, name: str) -> Sequence[Address]:
        """Every address of this name, none of them judged. Raises OSError when there are none."""
        known = self._known.get(name)
        if known is not None and known.until > perf_counter():
            return known.addresses
        if name not in self._asking:
            self._asking[name] = asyncio.create_task(self._found(name))
        return await asyncio.shield(self._asking[name])

    async def close(self) -> None:
        """Give up what is under way."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _found(self, name: str) -> Sequence[Address]:
        try:
            addresses = await self._ask(name)
        finally:
            del self._asking[name]
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[name] = _Known(addresses, perf_counter() + _GOOD_FOR_S)
        return addresses
