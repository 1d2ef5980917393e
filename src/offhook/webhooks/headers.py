"""Which headers an endpoint's owner may choose for the requests they get. Pure."""

import re

NAME_CAP, VALUE_CAP = 128, 4_096
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_OURS = ("webhook-", "offhook-")
_RESERVED = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "date", "expect", "host"}
    | {"http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via"}
)
"""They say how a request is carried and who sends it; whoever set them could break the message or speak for us."""


def header_fault(name: str) -> str | None:
    """Why nobody may choose this name for a header of theirs, as a sentence without the name; None where they may."""
    lowered = name.lower()
    if len(name) > NAME_CAP or not _TOKEN.fullmatch(name):
        return f"A header's name has at most {NAME_CAP} letters, digits and marks like - or _, and no blank."
    if lowered.startswith(_OURS):
        return f"Headers that begin with {' or '.join(_OURS)} are ours; choose another name."
    if lowered.startswith("ce-"):
        return "Headers that begin with ce- belong to CloudEvents; choose another name."
    if lowered in _RESERVED or lowered.startswith("proxy-"):
        return "This header says how the request is carried and is set by us; choose another name."
    return None


def value_fault(value: str) -> str | None:
    """Why this cannot be a header's value, as a sentence without the value; None where it can."""
    if len(value) > VALUE_CAP or not _VALUE.fullmatch(value):
        return f"A header's value has 1 to {VALUE_CAP} visible ASCII characters, blanks only between them."
    return None
