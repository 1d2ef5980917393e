"""Where endpoints may be: public addresses by HTTPS; the operator opens more, the sandbox of one's own machine loopback."""

import asyncio
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from offhook.db import Tenant
from offhook.errors import Fault
from offhook.outbound import AddressFine, NameUnknown, Outbound, Reach
from offhook.settings import Settings

_LOOK_UP_S = 10.0


@dataclass(frozen=True, slots=True)
class Reaches:
    """The reach of each environment's endpoints."""

    live: Reach
    sandbox: Reach

    @classmethod
    def of_settings(cls, settings: Settings) -> "Reaches":
        """As the operator set it. A server that listens on loopback lets its sandbox tell loopback, by plain HTTP too."""
        networks, plain = settings.webhook_allow_networks, settings.webhook_allow_http
        return cls(Reach(False, networks, plain), Reach(_is_loopback(settings.host), networks, plain))

    def of(self, tenant: Tenant) -> Reach:
        return self.live if tenant.environment == "live" else self.sandbox


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an endpoint's URL may be told, as far as was found out before the transaction that asks."""

    verdict: Literal["allowed", "refused", "name_unknown", "not_checked"]
    address: str | None = None
    why: str = ""

    def faults(self, param: str) -> list[Fault]:
        """What is wrong with this URL, which was sent as `param`."""
        refused = Fault(param, "url_refused", f"Nothing may be sent there: {self.why}.")
        return [refused] if self.verdict == "refused" else []

    def shown(self) -> dict[str, str | None]:
        """As the API tells it."""
        return {"verdict": self.verdict, "address": self.address}


_verdicts: ContextVar[dict[str, Verdict]] = ContextVar("verdicts")


class Judge:
    """Looks URLs up before the transaction, which never waits for the network; the transaction reads what was found."""

    def __init__(self, outbound: Outbound, reaches: Reaches, is_http: Callable[[str], bool]) -> None:
        """`is_http`: whether a URL is HTTP's, or nobody's; other destinations check their own."""
        self._is_http = is_http
        self._outbound = outbound
        self._reaches = reaches

    async def look_up(self, tenant: Tenant, urls: Iterable[str]) -> None:
        """Judge these URLs for the rest of this request, all at once and in ten seconds at most."""
        found: dict[str, Verdict] = {}
        _verdicts.set(found)

        async def judge(url: str) -> None:
            found[url] = await self._judge(tenant, url)

        try:
            async with asyncio.timeout(_LOOK_UP_S):
                await asyncio.gather(*(judge(url) for url in set(urls) if self._is_http(url)))
        except TimeoutError:
            return

    async def _judge(self, tenant: Tenant, url: str) -> Verdict:
        match await self._outbound.resolve_and_judge(url, self._reaches.of(tenant)):
            case AddressFine(address):
                return Verdict("allowed", str(address))
            case NameUnknown(why):
                return Verdict("name_unknown", why=why)
            case refused:
                return Verdict("refused", why=refused.why)


def verdict_on(url: str) -> Verdict:
    """What was found out about this URL before; it is judged once more, for good, whenever a connection is made."""
    return _verdicts.get({}).get(url, Verdict("not_checked"))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
