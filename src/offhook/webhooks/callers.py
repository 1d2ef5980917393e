"""Who asks, as events tell it."""

from offhook import ids
from offhook.events import Actor
from offhook.http import Caller


def actor_of(who: Caller) -> Actor:
    """The key that asks."""
    return Actor("api_key", ids.show("key", who.key_id))
