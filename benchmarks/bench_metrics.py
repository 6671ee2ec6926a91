"""One call of a metric whose labelled child is held, and what a step is told of its trace, beside the same through a lock (the usual
thread-safe counter). And what all of it is of a job (instructions.py), where there is a valgrind: some minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks import instructions
from relevo.core.gcra import Gcra
from relevo.core.metrics import Registry
from relevo.telemetry.ids import step_parent


class Locked:
    """A counter as it is written when nothing is known of the GIL."""

    def __init__(self) -> None:
        self.value = 0.0
        self._lock = threading.Lock()

    def inc(self, amount: float = 1.0) -> None:
        with self._lock:
            self.value += amount


def nanoseconds(call: Callable[[], object], count: int) -> float:
    begin = perf_counter()
    for _ in range(count):
        call()
    return (perf_counter() - begin) / count * 1e9


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Nanoseconds for each call, the loop around it included."""
    registry = Registry()
    counter = registry.counter("c", "", ["a", "b"]).labels("1", "2")
    family = registry.counter("d", "", ["a", "b"])
    histogram = registry.histogram("h", "", ["a"]).labels("1")
    limiter = Gcra(rate=1e9, burst=1_000_000)
    locked = Locked()
    count = 100_000 if quick else 500_000
    figures = []
    for name, goal, call in (
        ("metrics.counter_held", "<= 300", counter.inc),
        ("metrics.counter_looked_up", None, lambda: family.labels("1", "2").inc()),
        ("metrics.histogram_held", "<= 300", lambda: histogram.record(0.0123)),
        ("metrics.histogram_held_ms", "<= 300", lambda: histogram.record_ms(12)),
        ("metrics.gcra", None, lambda: limiter.allow(1.0)),
        ("traces.traceparent", None, lambda: step_parent("01m8f7wrqq5mat61td", "", 0, 1, 0)),
    ):
        pairs = [(nanoseconds(call, count), nanoseconds(locked.inc, count)) for _ in range(3 if quick else 7)]
        figures.append(
            {
                "name": name,
                "value": median(a for a, _ in pairs),
                "unit": "ns",
                "baseline": median(b for _, b in pairs),
                "ratio": median(a / b for a, b in pairs),
                "goal": goal,
            }
        )
    if instructions.available():
        figures.append(_telemetry())
    return figures


def _telemetry() -> dict[str, Any]:
    share, parts = instructions.share()
    return {
        "name": "telemetry's share of a durable no-op job, in instructions of engine and agent",
        "value": share * 100,
        "unit": "%",
        "baseline": None,
        "ratio": None,
        "goal": "<= 2",
        "instructions": {name: round(spent) for name, spent in parts.items()},
    }


if __name__ == "__main__":
    import sys

    for one in run("--quick" in sys.argv):
        print(one)
