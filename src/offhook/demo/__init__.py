"""The whole story on real input, with a receiver of its own, ending in a ledger that anybody can check.

A CRM export is imported at nine in the morning, five humans take transfers, and the virtual clock runs until every
cadence is over. The receiver is another process: what it wrote down is one side of the ledger, what the public API
tells is the other, and every promise is a comparison of the two. Nothing here looks into the database.

    import ──▶ dial ──▶ down for ten minutes ──▶ retries ──▶ post-backs ──▶ nothing is due ──▶ ledger

A broken promise is a ✗ and exit code 1; a part that dies ends the demo with its reason, like any other failure.
"""

from offhook.demo.api import Api
from offhook.demo.listener import Exchange, Listener
from offhook.demo.parts import Part, free_port, module, offhook, run

__all__ = ["Api", "Exchange", "Listener", "Part", "free_port", "module", "offhook", "run"]
