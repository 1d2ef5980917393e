"""Retries: the hub's next try lies where the vectors say, whatever the dice say."""

import random
from datetime import datetime, timedelta
from typing import Any

from tests.vectors.cases import Case, every
from tests.webhooks.test_schedule import TIMING, answer

from offhook.outbound import NoAnswer
from offhook.webhooks.schedule import (
    Delivered,
    Progress,
    Refused,
    Schedule,
    Spent,
    TryAgain,
    disabling,
    judge,
    next_try,
)


class Loaded(random.Random):
    """Dice that always fall the same way."""

    def __init__(self, falls: float) -> None:
        super().__init__()
        self._falls = falls

    def random(self) -> float:
        return self._falls


DICE = [Loaded(0.0), Loaded(1 - 2**-53), *(random.Random(seed) for seed in range(50))]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@every("schedule.json")
def test_the_hub_tries_again_when_the_vectors_say(case: Case) -> None:
    schedule = Schedule(tuple(timedelta(seconds=gap) for gap in case["gaps_s"]), case["tries"])
    so_far = Progress(case["tries_made"], instant(case["first_try_at"]), instant(case["now"]))
    asked = timedelta(seconds=case["retry_after_s"])

    found = [next_try(so_far, dice, schedule, asked) for dice in DICE]

    if "dead" in case:
        assert set(found) == {Spent(case["dead"])}
    else:
        earliest, latest = instant(case["due"]["earliest"]), instant(case["due"]["latest"])
        assert all(isinstance(due, datetime) and earliest <= due <= latest for due in found)


@every("schedule.json", "answers")
def test_the_hub_makes_of_an_answer_what_the_vectors_say(case: Case) -> None:
    headers = {name: case[name] for name in ("retry_after", "webhook_delivery") if name in case}
    lost = NoAnswer(case["no_answer"], "nothing came", TIMING) if "no_answer" in case else None
    came = lost or answer(case["status"], **headers)

    assert judge(came, instant(case["now"]), case["final"]) == expected_of(case["outcome"])
    assert disabling(came) == case["disables"]


def expected_of(told: dict[str, Any]) -> Delivered | TryAgain | Refused:
    if "refused" in told:
        return Refused(told["refused"])
    return TryAgain(told["try_again"], timedelta(seconds=told["wait_s"])) if "try_again" in told else Delivered()
