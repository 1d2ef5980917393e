"""Expressions that customers write, in CEL: one line of text that answers true or false about an event.

`compile_filter` refuses what can be known to be wrong before there is an event: a text that is not CEL, a name that nobody
declared, types that do not fit, an answer that is neither true nor false, more work than a filter may make. What is left
can only turn out at an event, and is an outcome, never an exception: `Holds`, `HoldsNot` or `Undecided`.

What an event lacks does not hold: a key that is missing, a place past a list's end, and a null wherever a value is needed.
Everything else that goes wrong is `Undecided`: unknown is not no, so whoever asks has to tell it and to count it. That
holds in whatever order the conditions are written that `&&`, `||`, `!` and `?:` join; within one condition, such as a
comparison or `exists`, what goes wrong first counts.

A filter asks with `exists`, `all` and `exists_one`, but builds no lists and no loops within loops; patterns are written out
and short. So each costs at most some milliseconds, also when its author means harm (see `price`). The library that reads
CEL stands behind `runtime`, and nobody outside this room knows which one it is (decision 12).
"""

from offhook.expressions.filters import Filter, compile_filter
from offhook.expressions.held import Held, Holds, HoldsNot, Undecided
from offhook.expressions.operand import Operand
from offhook.expressions.refusal import NotAnExpression

__all__ = ["Filter", "Held", "Holds", "HoldsNot", "NotAnExpression", "Operand", "Undecided", "compile_filter"]
