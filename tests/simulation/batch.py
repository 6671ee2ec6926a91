"""Many schedules in a row."""

from __future__ import annotations

import gc
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from tests.simulation.checker import Violation
from tests.simulation.world import World

COLLECT_EVERY = 50


class Outcome(Struct):
    """What came of a batch."""

    schedules: int = 0
    virtual_s: float = 0.0
    real_s: float = 0.0
    reached: Counter[str] = Counter()
    violations: list[tuple[int, str, str]] = []  #: seed, invariant, message

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


def run_many(seeds: Iterable[int], *, stop_at: int = 20, **options: Any) -> Outcome:
    """Live schedules one after another, until so many have gone wrong."""
    outcome = Outcome()
    began = time.perf_counter()
    with undisturbed():
        for seed in seeds:
            world = World(seed, **options)
            try:
                world.run()
            except Violation as error:
                outcome.violations.append((seed, error.invariant, str(error)))
            outcome.schedules += 1
            outcome.virtual_s += world.now
            outcome.reached.update(world.reached)
            if outcome.schedules % COLLECT_EVERY == 0:
                gc.collect()
            if len(outcome.violations) >= stop_at:
                break
    outcome.real_s = time.perf_counter() - began
    return outcome


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
