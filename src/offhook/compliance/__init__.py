"""The law, asked before anybody is contacted: where a number may ring, when, and who said never.

`may_dial` answers for a place and an instant by the rule packs (data in `packs/`, with their sources); `suppressed`
answers for a keyed hash. Unknown means silence: a place that cannot be told, a calendar that has run out, a number
without rules are never read as allowed.
"""

from offhook.compliance.hours import may_dial
from offhook.compliance.rulebook import RuleBook, packaged
from offhook.compliance.zones import Location, Unresolvable, locate

__all__ = ["Location", "RuleBook", "Unresolvable", "locate", "may_dial", "packaged"]
