"""Why a message is not taken."""

from typing import Literal

Code = Literal["missing_header", "bad_timestamp", "stale", "early", "bad_signature", "not_an_event"]

_WHY: dict[Code, str] = {
    "missing_header": "a header of the signature is missing; is this endpoint told by Offhook, and by nothing in between?",
    "bad_timestamp": "the timestamp is no plain number of seconds",
    "stale": "the timestamp is older than the tolerance: a replay, or this machine's clock is fast",
    "early": "the timestamp is further ahead than the tolerance: this machine's clock is slow",
    "bad_signature": "no signature fits; check the key, and that the body is read as raw bytes before anything parses it",
    "not_an_event": "the message is genuine, but neither an event nor a batch of events",
}


class Rejected(Exception):
    """Do not believe this message. `code` is stable, `status` the answer to give; nothing of the message is shown."""

    def __init__(self, code: Code) -> None:
        super().__init__(f"{code}: {_WHY[code]}")
        self.code = code
        self.status = 422 if code == "not_an_event" else 401
