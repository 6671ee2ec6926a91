"""Engine, agent, and both are killed and stopped at random, again and again: nothing is lost, nothing is done twice.

RELEVO_SEED=N runs the one trial of a seed; RELEVO_KILLS=N sets how many kills `make soak` makes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import pytest

from tests.faults.trial import Outcome, try_seed

#: At least 120 kills, together with those at failpoints many more.
TRIALS: Final = 44
FIRST_SEED: Final = 1
SEED: Final = os.environ.get("RELEVO_SEED", "")
SEEDS: Final = [int(SEED)] if SEED else range(FIRST_SEED, FIRST_SEED + TRIALS)
SOAK_KILLS: Final = int(os.environ.get("RELEVO_KILLS", "2000"))
SOAK_SHARES: Final = 8


@pytest.fixture
def account(record_property: Callable[[str, object], None]) -> Callable[[Outcome], None]:
    """Takes an outcome to the account that is told at the end."""

    def take(outcome: Outcome) -> None:
        record_property("seed", outcome.seed)
        record_property("faults.kills", outcome.kills)
        for kind, found in outcome.verdict._asdict().items():
            record_property(f"faults.{kind}", len(found))

    return take


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random(seed: int, account: Callable[[Outcome], None]) -> None:
    outcome = try_seed(seed)
    account(outcome)
    assert outcome.fine, f"RELEVO_SEED={seed}: {outcome.verdict}\n{outcome.report}"


@pytest.mark.soak
@pytest.mark.parametrize("share", range(SOAK_SHARES))
def test_killed_for_long(share: int, account: Callable[[Outcome], None]) -> None:
    kills = 0
    seed = 100_000 * (share + 1)
    failed = []
    while kills < SOAK_KILLS / SOAK_SHARES:
        outcome = try_seed(seed)
        account(outcome)
        kills += outcome.kills
        seed += 1
        if not outcome.fine:
            failed.append(f"RELEVO_SEED={outcome.seed}: {outcome.verdict}\n{outcome.report}")
            print(failed[-1])
    assert not failed, f"{len(failed)} seeds failed, the first: {failed[0]}"
