"""What an examination finds: `ok`, `warn` (it runs, but see to it) or `fail` (it will not run, or not keep its word)."""

from dataclasses import dataclass
from typing import Literal

Grade = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's. `cure` says how to mend it, and is empty when there is nothing to mend."""

    name: str
    grade: Grade
    says: str
    cure: str = ""

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "grade": self.grade, "says": self.says, "cure": self.cure}


def ok(name: str, says: str) -> Finding:
    return Finding(name, "ok", says)


def warn(name: str, says: str, cure: str) -> Finding:
    return Finding(name, "warn", says, cure)


def fail(name: str, says: str, cure: str) -> Finding:
    return Finding(name, "fail", says, cure)
