"""Where endpoints may be: public addresses by HTTPS; the operator opens more, the sandbox of one's own machine loopback."""

from dataclasses import dataclass
from ipaddress import ip_address

from offhook.db import Tenant
from offhook.outbound import Reach
from offhook.settings import Settings


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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
