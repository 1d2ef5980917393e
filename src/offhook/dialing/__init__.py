"""When to call: campaigns, cadences, attempts, and the pacing that never over-subscribes the floor.

An accepted lead gets one planned attempt; each resolved one plans the next by its cadence, until the lead is won,
stopped or the cadence is spent. The dispatcher leases a human's slot *before* it dials, so however many leads are due,
no more calls are out than humans are free. Every door that dials goes through `gate`.

    planned ──dispatch──▶ dialing ──call ended──▶ resolved
       │  ▲ window opens later: due_at moves, it is no try
       └──stop (converted, opted out, erased)──▶ cancelled

Run twice, it plans the same: the next attempt is numbered after the one that was served, and the table holds one open
attempt per lead. A crash after the dispatch leaves a call that nobody placed; its sweep finds that out and ends it.
"""

from offhook.dialing.cadence import Plan
from offhook.dialing.dispatch import Dispatcher
from offhook.dialing.one_off import OneOffs
from offhook.dialing.reactions import Cadences
from offhook.dialing.setup import CadenceBooks, Campaigns, set_up
from offhook.dialing.verbs import Verbs

__all__ = ["CadenceBooks", "Cadences", "Campaigns", "Dispatcher", "OneOffs", "Plan", "Verbs", "set_up"]
