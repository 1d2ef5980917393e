"""Where events are told: HTTP receivers, NATS JetStream, files for a warehouse, and what an installation adds.

Each kind is one file that fulfils `contract.Destination` and ends with `opened(parts) -> Destination`; `conformance` is
what all of them keep. An installation's own modules are named in OFFHOOK_DESTINATIONS: docs/guide-destinations.md.
"""

from offhook.webhooks.destinations.registry import Destinations

__all__ = ["Destinations"]
