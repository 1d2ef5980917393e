"""What a fact sets off. The house's table of them is printed in `wiring.py`. A test is told, and sets nothing off."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from offhook.db import Tx
from offhook.events.fact import Event, Fact


@dataclass(frozen=True, slots=True)
class Entails:
    """What else is true because of a fact: `act` changes rows of its room and answers with further facts.

    They join the same append before anything of it is written, and may entail more. Database only, batched. What `act`
    appends by itself stands in the log before the fact that caused it, so that is for other subjects only.
    """

    fact: type[Fact]
    act: Callable[[Tx, Sequence[Fact]], Awaitable[Sequence[Fact]]]


@dataclass(frozen=True, slots=True)
class Within:
    """Runs `act` for all events of that class of an append, once they are written, in the same transaction: batched.

    One that `tells` somebody outside runs for tests too; whatever acts upon what happened must not.
    """

    fact: type[Fact]
    act: Callable[[Tx, Sequence[Event]], Awaitable[None]]
    tells: bool = False


@dataclass(frozen=True, slots=True)
class After:
    """Becomes a durable job of that kind once committed: at least once, so the job is idempotent."""

    fact: type[Fact]
    job: str


Reaction = Entails | Within | After
