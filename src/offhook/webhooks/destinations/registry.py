"""All destinations of a process, by the kind of their URLs."""

import importlib
from types import ModuleType

from offhook.errors import CannotStart, Fault
from offhook.webhooks.credentials import Credentials
from offhook.webhooks.destinations import buckets, files, http, nats
from offhook.webhooks.destinations.contract import Destination, Parts
from offhook.webhooks.endpoint_settings import EndpointSettings

BUILT_IN = (http, nats, files, buckets)


class Destinations:
    """Make one per event loop, close it at the end."""

    def __init__(self, parts: Parts) -> None:
        """Opens all kinds. Raises CannotStart for a module of OFFHOOK_DESTINATIONS that is none or takes another's kind."""
        self._by_kind: dict[str, Destination] = {}
        self._all: list[Destination] = []
        for module in [*BUILT_IN, *map(_imported, parts.settings.destinations)]:
            self._add(module.opened(parts), module.__name__)
        self._usual = self._by_kind["https"]

    def of(self, url: str) -> Destination:
        """The destination of this URL. What is of no known kind is HTTP's, which refuses it."""
        return self._by_kind.get(url.partition("://")[0].lower(), self._usual)

    def is_http(self, url: str) -> bool:
        """Whether `outbound` is to judge the URL at creation: also where its kind is unknown, so that it is refused."""
        return self.of(url) is self._usual

    def check(self, url: str, settings: EndpointSettings, credentials: Credentials) -> Fault | None:
        """Why no endpoint may be made so, and how to mend it; None where it may."""
        return self.of(url).check(url, settings, credentials)

    async def close(self) -> None:
        """Close every destination. Idempotent."""
        for destination in self._all:
            await destination.close()

    def _add(self, destination: Destination, name: str) -> None:
        if taken := destination.kinds & self._by_kind.keys():
            raise CannotStart(
                "destination_kind_taken",
                f"{name} wants URLs of the kind {min(taken)}://, which another destination has; choose another scheme.",
            )
        self._all.append(destination)
        self._by_kind |= dict.fromkeys(destination.kinds, destination)


def _imported(name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ImportError:
        raise CannotStart(
            "no_such_destination",
            f"OFFHOOK_DESTINATIONS names {name}, which cannot be imported; put it on the Python path.",
        ) from None
    if not callable(getattr(module, "opened", None)):
        raise CannotStart(
            "no_such_destination", f"{name} has no `opened(parts)`; docs/guide-destinations.md shows a whole one."
        )
    return module
