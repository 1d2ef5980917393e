"""The kill test in short: the long one is `make kill`."""

from pathlib import Path

from .harness import WINDOW, Plan, run


async def test_nothing_is_lost_skipped_or_dialed_twice_when_everything_is_killed(tmp_path: Path) -> None:
    # With this seed a worker is killed first, between a request and its recording; its leases end while the others are.
    plan = Plan(kills=3, events=300, pace=5, pause_s=(0.3, 1.5), seed=2)

    outcome = await run(plan, tmp_path, lambda _: None)

    assert set(outcome.kills) == {WINDOW, "api", "postgres"}
    assert outcome.verdict.events >= 300
    assert outcome.verdict.calls_placed > 0
    assert outcome.verdict.refused > 0
    assert outcome.verdict.duplicates_told > 0, "no kill came between a request and its recording"
    assert outcome.verdict.held, outcome.verdict
