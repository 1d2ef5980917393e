"""Talking with the CRM: what it posts back, and everybody who says stop.

A post-back or an opt-out and all that it stops happen in one transaction: after the 2xx no dial begins, a queued
attempt is gone, and an open call is handed to its platform for hang-up. By `occurred_at` the later word wins, except
that a suppression is never undone. The same (type, external_ref) is answered like the first time.
"""

from offhook.sync.optouts import OptOuts
from offhook.sync.postbacks import PostBacks, purge_postbacks

__all__ = ["OptOuts", "PostBacks", "purge_postbacks"]
