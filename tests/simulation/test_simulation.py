"""Thousands of schedules, the same each time, and what they must find."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.simulation.batch import run_in_processes, run_many
from tests.simulation.planted import BUGS, Bug
from tests.simulation.sometimes import SOMETIMES
from tests.simulation.world import World

ROOT = Path(__file__).parents[2]
#: In CI; `make soak` lives many more.
SCHEDULES = 5_000
SOAK = 100_000
#: Schedules within which a planted bug must be found.
WITHIN = 600


def _batch(seeds: range) -> None:
    outcome = run_in_processes(seeds, os.cpu_count() or 1)
    print(outcome.summary())
    assert not outcome.violations, outcome.summary()
    assert outcome.schedules == len(seeds)
    never = [what for what in SOMETIMES if not outcome.reached.get(what)]
    assert not never, f"never reached in {outcome.schedules} schedules: {never}"


@pytest.mark.timeout(1_800)
def test_every_schedule_keeps_the_invariants_and_every_rare_path_is_reached() -> None:
    _batch(range(SCHEDULES))


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_many_more_schedules() -> None:
    # other seeds each day, told in the output
    first = SCHEDULES + int(os.environ.get("RELEVO_SEED", time.time() // 86_400)) * SOAK
    print(f"schedules from {first} on")
    _batch(range(first, first + SOAK))


@pytest.mark.parametrize("seed", [3, 41, 161, 573])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    digests = set()
    for _ in range(2):
        world = World(seed)
        world.run()
        digests.add(world.digest())
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--digest", str(seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}/src{os.pathsep}{ROOT}"},
            capture_output=True,
            check=True,
            text=True,
        )
        digests.add(told.stdout.strip())
    assert len(digests) == 1


def test_other_seeds_give_other_traces() -> None:
    digests = set()
    for seed in range(5):
        world = World(seed)
        world.run()
        digests.add(world.digest())
    assert len(digests) == 5


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    outcome = run_many(range(WITHIN), until=bug.found_by)  # it may break other promises on the way
    broken = {invariant for _, invariant, _ in outcome.violations}
    assert broken & set(bug.found_by), f"not found in {outcome.schedules} schedules: {outcome.violations}"
