"""Who takes the call, and the leases that keep the floor from being over-subscribed.

A target (a DID, a SIP address, a queue) has as many slots as humans can take calls there. A slot is *leased* to one
call, before that call is dialed, until an instant; nothing counts up or down, so nothing leaks: a lease that nobody
renews ends by itself. Before a transfer is promised the slot is asked for again (`confirm`): its target may have been
paused meanwhile, or the lease may have run out. Whoever leases takes the campaign's turn to lease, so that its cap on
live transfers holds for a dial and for a transfer. Every choice leaves a decision record, also the choice of nobody.
"""

from offhook.routing.choose import NoTarget, Placement, choose, confirm
from offhook.routing.ledger import call_ended, free_slots, hold, release

__all__ = [
    "NoTarget",
    "Placement",
    "call_ended",
    "choose",
    "confirm",
    "free_slots",
    "hold",
    "release",
]
