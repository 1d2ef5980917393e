"""Whether the packs say what their authors meant: every pack carries examples, and a pack without them is refused."""

from collections.abc import Iterator

from offhook.compliance import zones
from offhook.compliance.hours import may_dial
from offhook.compliance.rulebook import RuleBook
from offhook.compliance.rulepack import Example
from offhook.compliance.verdict import Allowed
from offhook.compliance.zones import Location


def broken_examples(rules: RuleBook) -> Iterator[str]:
    """One line for every example that the rule book does not answer as its pack expects; nothing when all hold."""
    for jurisdiction, pack in rules.packs.items():
        for example in pack.tests:
            said = answer(rules, jurisdiction, example)
            if said != example.expect:
                yield f"{jurisdiction} at {example.at.isoformat()}: expected {example.expect}, the rules say {said}"


def answer(rules: RuleBook, jurisdiction: str, example: Example) -> str:
    """What the rule book says to an example: `allow`, or `deny:` and the code."""
    clocks = (example.zone,) if example.zone else zones.of_jurisdiction(jurisdiction)
    verdict = may_dial(Location(clocks, (jurisdiction,), conflict=False), example.at, rules, modality=example.modality)
    return "allow" if isinstance(verdict, Allowed) else f"deny:{verdict.code}"
