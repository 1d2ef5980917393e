"""What to do with an event, given how far its subject is. Pure."""

from typing import Literal

from offhook_receiver.store import Known

Order = Literal["as_it_comes", "newest", "in_order"]
Step = Literal["do", "skip", "gap"]


def next_step(order: Order, sequence: int, known: Known, *, erased: bool = False) -> Step:
    """Do it, skip it for good, or see to what is missing before it.

    `as_it_comes`: do every one. `newest`: what is older than the last that was done is skipped. `in_order`: also,
    nothing is done before what comes before it; a number that never comes is no gap once Offhook has said so. What is
    `erased` is never skipped: a tombstone asks to delete what was done before it.
    """
    if order == "as_it_comes":
        return "do"
    if sequence <= known.done:
        return "do" if erased else "skip"
    if order == "in_order" and sequence > known.done + 1 and sequence > known.complete:
        return "gap"
    return "do"


def backoff_s(tries: int) -> float:
    """How long an event rests after that many failures of your code: 5 s, doubling, an hour at most."""
    return float(min(5 * 2 ** min(tries, 10), 3600))
