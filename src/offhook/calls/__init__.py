"""What becomes of a call: from the commitment to dial to its one end, whatever the platforms say and how often.

A call exists once per attempt (its id is derived from it) and ends once. `begin` commits to it, `place` hands it to
its platform at most once, `report` believes what platforms say, `state` decides what that means.

    requested ─▶ placed ─▶ ringing ─▶ answered ─▶ ended       and every open call has a sweep that ends its silence

A crash after the dial leaves a call whose fate is *unknown*: the sweep asks its platform and nobody dials it again.
What a platform says late or twice changes nothing; a late answer to a call that ended is an alarm and a hang-up. What
is personal about a call is sealed under its person's key; after the shred the call remains, without the person.
"""

from offhook.calls.call import Call
from offhook.calls.calls import Calls, NewCall, StopReason
from offhook.calls.transfers import Floor

__all__ = ["Call", "Calls", "Floor", "NewCall", "StopReason"]
