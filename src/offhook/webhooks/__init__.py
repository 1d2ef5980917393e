"""Webhooks: each event told to every endpoint that listens, at least once, under one `webhook-id`, or a dead letter.

    append ──fan_out──▶ due ──2xx──▶ gone: delivered
                        │ ▲  ╲──tries used up, 48 h, 410──▶ dead letter ──replay──▶ due
              no success│ │due                                 ╲──discard──▶ discarded
                        ▼ │
                      waits for its next try          endpoint paused or disabled: held, until it is enabled

A delivery and its open row are written in the transaction of the event, so none is lost. Where a sender runs in the
same process they are leased to it and sent from memory after the commit; all else is claimed. A process that dies leaves
leases that end: another sends exactly those deliveries once more, with the same bytes. Every endpoint has its own queue
and its own limits, so a dead, slow or hostile receiver harms only itself. What was answered is sealed like the event.

Held is no state of a row but of its endpoint, so pausing, enabling and deleting cost the same however much waits.
"""

from offhook.webhooks.assembly import Webhooks
from offhook.webhooks.endpoints import Endpoints
from offhook.webhooks.fan_out import FanOut
from offhook.webhooks.incidents import notice
from offhook.webhooks.sender import Sender
from offhook.webhooks.signing import Secret, Signer

__all__ = ["Endpoints", "FanOut", "Secret", "Sender", "Signer", "Webhooks", "notice"]
