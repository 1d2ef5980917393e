"""A glob as SQL asks it means what it means everywhere else."""

import re
from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from offhook.events.globs import like

TYPE = st.text(alphabet="ab_.%\\", max_size=6)
GLOB = st.text(alphabet="ab_.*%\\", max_size=6)


@given(GLOB, TYPE)
def test_only_the_star_means_something(glob: str, type: str) -> None:
    # As LIKE reads a pattern: % is anything, a backslash takes what follows by the letter.
    parts = re.findall(r"\\.|%|[^\\%]", like(glob), re.DOTALL)
    asked = "".join(".*" if part == "%" else re.escape(part[-1]) for part in parts)

    assert bool(re.fullmatch(asked, type, re.DOTALL)) == fnmatchcase(type, glob)
    assert "_" not in parts
