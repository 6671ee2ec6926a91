"""Repeat a schedule, or run many: `python -m tests.simulation SEED [COUNT]`."""

from __future__ import annotations

import sys
import time

import msgspec

from tests.simulation.batch import run_many
from tests.simulation.checker import Violation
from tests.simulation.world import World


def main(arguments: list[str]) -> int:
    """Print what happened."""
    if arguments[0] == "--json":
        stop_at, first, count = map(int, arguments[1:4])
        sys.stdout.buffer.write(msgspec.json.encode(run_many(range(first, first + count), stop_at=stop_at)))
        return 0
    if arguments[0] == "--digest":
        world = World(int(arguments[1]))
        world.run()
        print(world.digest())
        return 0
    seed = int(arguments[0])
    if len(arguments) > 1:
        outcome = run_many(range(seed, seed + int(arguments[1])))
        print(outcome.summary())
        return 1 if outcome.violations else 0
    world = World(seed)
    began = time.perf_counter()
    problem = None
    try:
        world.run()
    except Violation as error:
        problem = error
    took = time.perf_counter() - began
    for at_s, *what in world.trace:
        print(f"{at_s:10.6f}  {' '.join(map(str, what))}")
    print(
        f"seed {seed}: {world.now:.1f} s of virtual time in {took * 1_000:.0f} ms, trace {world.digest()[:16]}"
    )
    if problem is not None:
        print(problem)
    return 1 if problem is not None else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
