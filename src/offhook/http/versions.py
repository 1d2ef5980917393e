"""`Offhook-Version`: which shapes of requests and answers a client was written against.

Who sends none gets the newest. Within a version shapes only grow, so a client that names one never has to follow.
"""

from offhook.errors import Fault, Invalid

API = ("/v1/", "/api/")
"""How the paths begin that are the API, and not about the process itself."""
HEADER = "Offhook-Version"
KNOWN = ("2026-11-01",)
"""Every version that is still spoken, the newest last."""
NEWEST = KNOWN[-1]


def version_of(sent: bytes) -> str:
    """The version that a request's header asks for; empty: the newest. Raises Invalid `unknown_version`, a 400."""
    asked = sent.decode("latin-1").strip() or NEWEST
    if asked not in KNOWN:
        detail = f"There is no such version of the API. There are: {', '.join(KNOWN)}; without the header, the newest."
        raise Invalid([Fault(HEADER, "unknown_version", detail)], status=400)
    return asked
