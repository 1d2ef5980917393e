"""Saying what is wrong with an expression, and where."""

_WIDTH = 80  # of the piece of a long line that is shown


class NotAnExpression(ValueError):
    """The text cannot be a filter. `line` and `column` count from one; `why` says it in plain words.

    `str()` adds the line itself with a caret under the place. It quotes the expression, which is its author's own.
    """

    def __init__(self, text: str, *, line: int, column: int, why: str) -> None:
        super().__init__(f"line {line}, column {column}: {why}\n{_shown(text, line, column)}")
        self.line = line
        self.column = column
        self.why = why


def refused_at(text: str, offset: int, why: str) -> NotAnExpression:
    """The refusal of what stands `offset` characters into the text."""
    before = text[: max(offset, 0)]
    return NotAnExpression(
        text, line=before.count("\n") + 1, column=len(before) - (before.rfind("\n") + 1) + 1, why=why
    )


def _shown(text: str, line: int, column: int) -> str:
    whole = text.split("\n")[line - 1]
    start = max(0, column - 1 - _WIDTH // 2)
    piece = "".join(letter if letter.isprintable() else " " for letter in whole[start : start + _WIDTH])
    return f"  {piece}\n  {' ' * (column - 1 - start)}^"
