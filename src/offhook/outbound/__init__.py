"""The one way to the network. Whoever opens a connection elsewhere has gone around the guard.

Three promises. A request goes only where its `Reach` lets it: the address is judged at connect, on the very address
that is used, so a name that changes its mind after it was checked (DNS rebinding) gains nothing. A receiver costs at
most the time-out and 16 KB, however slowly or endlessly it answers. No failure of the network is an exception: what
came back is an `Answer`, what did not is a `NoAnswer` with a stable code.

Redirects are never followed, cookies never kept, bodies never unpacked. Connections are kept alive and never shared
between two reaches or two identities. Nothing is sent twice, whatever a kept connection turns out to be.

Open hallways beside this door: `identity` has `Identity`, a client certificate and a receiver's own CA, and the
`NotAnIdentity` that parsing one may raise; `diagnose` tells what stands between us and a receiver.
"""

from offhook.outbound.answer import Answer, NoAnswer, Request
from offhook.outbound.connections import Outbound
from offhook.outbound.reach import AddressFine, NameUnknown, Reach, UrlRefused

__all__ = ["AddressFine", "Answer", "NameUnknown", "NoAnswer", "Outbound", "Reach", "Request", "UrlRefused"]
