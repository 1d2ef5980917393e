"""What the pages are tried with: the webhooks of a process, and a receiver on loopback."""

from tests.webhooks.conftest import outbound, receiver, room

__all__ = ["outbound", "receiver", "room"]
