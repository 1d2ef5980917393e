"""The plumbing of the API: who calls, one transaction per request, problems in words, pages, batches.

A room's `http.py` builds an APIRouter from the `Door`: it parses the wire with pydantic models that forbid unknown
fields, and hands the `Door` a function of `Tx`. The door opens the transaction of the caller's tenant, remembers the
answer under the Idempotency-Key in that same transaction, and turns every `OffhookError` into problem+json. A room
whose objects are plain resources needs no routes of its own: see `resources`.
"""

from offhook.http.answer import Answer
from offhook.http.door import Caller, Door, caller
from offhook.http.pages import Page, listed, page
from offhook.http.wire import Wire

__all__ = ["Answer", "Caller", "Door", "Page", "Wire", "caller", "listed", "page"]
