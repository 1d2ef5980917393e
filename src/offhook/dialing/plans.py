"""A cadence as it is stored and sent: whole seconds and words."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from offhook.dialing.cadence import Action, Outcome, Plan, Rule
from offhook.http import Wire

Seconds = Annotated[int, Field(ge=0, le=90 * 86400)]


class RuleWire(Wire):
    """What an outcome leads to; `after_s` replaces the cadence's own gap."""

    action: Action
    after_s: Seconds | None = None


class PlanWire(Wire):
    """When to try again: gaps before each attempt (the last one repeats), caps, and a rule per outcome."""

    gaps_s: Annotated[list[Seconds], Field(min_length=1, max_length=30)] = [0, 4 * 3600, 24 * 3600]
    attempts_per_day: Annotated[int, Field(ge=1, le=3)] = 3
    attempts_in_all: Annotated[int, Field(ge=1, le=30)] = 3
    outcomes: dict[Outcome, RuleWire] = {}


def read_plan(stored: dict[str, Any]) -> Plan:
    """The plan that was stored."""
    return Plan(
        tuple(timedelta(seconds=gap) for gap in stored["gaps_s"]),
        stored["attempts_per_day"],
        stored["attempts_in_all"],
        {outcome: _rule(rule) for outcome, rule in stored["outcomes"].items()},
    )


def _rule(stored: dict[str, Any]) -> Rule:
    after = stored["after_s"]
    return Rule(stored["action"], None if after is None else timedelta(seconds=after))
