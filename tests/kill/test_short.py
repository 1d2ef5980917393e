"""The kill test in short: the long one is `make kill`."""

from pathlib import Path

from .harness import Plan, run


async def test_nothing_is_lost_skipped_or_dialed_twice_when_everything_is_killed(tmp_path: Path) -> None:
    plan = Plan(kills=4, events=400, pace=15, pause_s=(0.3, 1.5), seed=7)

    outcome = await run(plan, tmp_path, lambda _: None)

    assert outcome.verdict.events >= 300
    assert outcome.verdict.calls_placed > 0
    assert outcome.verdict.held, outcome.verdict
