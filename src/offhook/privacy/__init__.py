"""Keys of persons. What says something about a person is sealed under that person's key; destroying the key erases it.

Each person (a lead, or whoever calls in) has two data keys from the first moment: *operational* for all that the daily
work needs, *evidence* for the little that the law makes one keep. Both are wrapped by a dated epoch key; epoch keys
live in the key ring, a file outside the database and its backups. Shredding deletes the operational key: what was
sealed under it, in every table, log and queue, is noise from then on. A number is found again by its keyed hash (its
*tag*), which no one can compute without the ring.

A missing ring, epoch or tag key is an error that stops the work; it is never read as "erased" or "not suppressed".
"""

from offhook.privacy.receipt import Receipt
from offhook.privacy.ring import KeyRing
from offhook.privacy.vault import ERASED, Erased, PersonKey, Vault

__all__ = ["ERASED", "Erased", "KeyRing", "PersonKey", "Receipt", "Vault"]
