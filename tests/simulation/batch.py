"""Many schedules in a row."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tests.simulation.checker import Violation
from tests.simulation.world import World

COLLECT_EVERY = 50


class Outcome(Struct):
    """What came of a batch."""

    schedules: int = 0
    virtual_s: float = 0.0
    real_s: float = 0.0
    reached: dict[str, int] = {}
    violations: list[tuple[int, str, str]] = []  #: seed, invariant, message

    def add(self, other: Outcome) -> None:
        """Take in what came of another batch that ran at the same time."""
        self.schedules += other.schedules
        self.virtual_s += other.virtual_s
        self.real_s = max(self.real_s, other.real_s)
        for what, count in other.reached.items():
            self.reached[what] = self.reached.get(what, 0) + count
        self.violations += other.violations

    def summary(self) -> str:
        """For people."""
        lines = [f"{count:6}  {what}" for what, count in sorted(self.reached.items())]
        lines += [
            f"seed {seed}: {message}\n  to repeat it: python -m tests.simulation {seed}"
            for seed, _, message in self.violations
        ]
        each_ms = 1_000 * self.real_s / max(self.schedules, 1)
        lines.append(
            f"{self.schedules} schedules, {len(self.violations)} violations, {each_ms:.1f} ms each, "
            f"{self.virtual_s / max(self.real_s, 1e-9):.0f} x real time"
        )
        return "\n".join(lines)


def run_many(
    seeds: Iterable[int], *, stop_at: int = 20, until: Collection[str] = (), **options: Any
) -> Outcome:
    """Live schedules one after another, until so many have gone wrong, or one of these invariants did not hold."""
    outcome = Outcome()
    began = time.perf_counter()
    with undisturbed():
        for seed in seeds:
            world = World(seed, **options)
            try:
                world.run()
            except Violation as error:
                outcome.violations.append((seed, error.invariant, str(error)))
                if error.invariant in until:
                    stop_at = 0
            outcome.schedules += 1
            outcome.virtual_s += world.now
            for what in world.reached:
                outcome.reached[what] = outcome.reached.get(what, 0) + 1
            if outcome.schedules % COLLECT_EVERY == 0:
                gc.collect()
            if len(outcome.violations) >= stop_at:
                break
    outcome.real_s = time.perf_counter() - began
    return outcome


def run_in_processes(seeds: range, processes: int, *, stop_at: int = 5) -> Outcome:
    """As `run_many`, by several processes, each with a share of the seeds."""
    share = -(-len(seeds) // processes)
    command = [sys.executable, "-m", "tests.simulation", "--json", str(stop_at)]
    running = []
    for first in range(seeds.start, seeds.stop, share):
        count = min(share, seeds.stop - first)
        running.append(
            subprocess.Popen([*command, str(first), str(count)], stdout=subprocess.PIPE, env=_environment())
        )
    whole = Outcome()
    try:
        for process in running:
            told, _ = process.communicate()
            if process.returncode:
                raise RuntimeError(f"a batch ended with exit code {process.returncode}")
            whole.add(msgspec.json.decode(told, type=Outcome))
    finally:
        for process in running:
            process.kill()
            process.wait()
    return whole


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([f"{root}/src", root])}


@contextmanager
def undisturbed() -> Iterator[None]:
    """No collection in the middle, and no log lines: what matters is checked."""
    gc.collect()
    gc.disable()
    gc.freeze()
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        gc.unfreeze()
        gc.enable()
