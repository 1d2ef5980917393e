"""Scenes: a closed list of things that happen to a lead, each set off by one request."""

from collections.abc import Mapping
from dataclasses import dataclass

from offhook.sandbox.script import DIGITS


@dataclass(frozen=True, slots=True)
class Scene:
    """One synthetic lead whose call goes a certain way."""

    name: str
    what: str
    outcome: str

    @property
    def digit(self) -> int:
        """The last digit of a number whose calls go that way."""
        return next(digit for digit, outcome in DIGITS.items() if outcome == self.outcome)


SCENES: Mapping[str, Scene] = {
    scene.name: scene
    for scene in (
        Scene("transfer", "A person answers, qualifies and is handed to the sales floor.", "transferred"),
        Scene("opt_out", "A person answers and asks not to be called again.", "opt_out"),
        Scene("answer", "A person answers and does not qualify.", "not_qualified"),
        Scene("hang_up", "A person answers and hangs up at once.", "early_hangup"),
        Scene("voicemail", "A machine picks up.", "voicemail"),
        Scene("busy", "The line is busy.", "busy"),
        Scene("no_answer", "Nobody picks up.", "no_answer"),
        Scene("provider_error", "The platform refuses the number.", "invalid_number"),
        Scene("target_declines", "A person qualifies, and the sales floor declines the call.", "target_declines"),
    )
}
