"""Who is to be called: leads in exactly once, checked, sealed, explained, erased.

A lead is known for ever by its `client_ref_id`; the same reference again is answered with the first lead, whatever it
says. A number that cannot be a number is refused and nothing is stored; what the law or the rules forbid is stored as
`rejected`, with every reason, and never dialed.

    accepted ─┬─▶ scheduled ⇄ dialing ⇄ in_call ─▶ qualified ─▶ converted
    held ─────┘       │  ▲                │
                      ▼  │ resume         ├─▶ disqualified
                    paused                └─▶ exhausted (the cadence is spent)
    any ─▶ opted_out · dnc · expired · erased          rejected: at the door

The person's details are sealed under their operational key, what the law makes one keep under their evidence key.
"""

from offhook.leads.erase import Erasures
from offhook.leads.imports import Imports
from offhook.leads.ingest import Leads
from offhook.leads.people import Lead, People
from offhook.leads.store import mark, settle
from offhook.leads.wire import LeadIn

__all__ = ["Erasures", "Imports", "Lead", "LeadIn", "Leads", "People", "mark", "settle"]
