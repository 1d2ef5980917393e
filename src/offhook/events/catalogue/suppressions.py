"""Events about suppressions: keyed hashes only, so nothing here says who."""

from dataclasses import dataclass
from typing import ClassVar

from offhook import ids
from offhook.events.fact import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionAdded(Fact):
    """A number or address may not be contacted any more, from this instant."""

    type: ClassVar[str] = "suppression.added"
    subject_type: ClassVar[str] = "suppression"
    subject_prefix: ClassVar[ids.Prefix] = "sup"
    example: ClassVar = {"scope": "seller", "identifier_kind": "phone", "source": "sms"}

    scope: str
    identifier_kind: str
    source: str
