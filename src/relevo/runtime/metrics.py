"""What loop and pools tell of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from relevo.core.metrics import Registry
from relevo.runtime.loop import LagMeter
from relevo.runtime.pools import Pool


def publish_lag(meter: LagMeter, registry: Registry) -> None:
    """The loop's lag: the worst since the last reading."""
    worst = registry.gauge(
        "relevo_loop_lag_seconds",
        "The latest that a timer came too late since the last reading.",
        unit="seconds",
    ).labels()
    registry.before_reading(lambda: worst.set(meter.take_worst()))


def publish_pools(pools: Sequence[Pool], registry: Registry) -> None:
    """All pools of a process, by name."""
    threads = registry.gauge("relevo_pool_threads", "Threads that are alive.", ["pool"])
    hung = registry.gauge("relevo_pool_hung", "Threads whose call has passed its deadline.", ["pool"])
    waiting = registry.gauge("relevo_pool_waiting", "Calls that wait for a thread.", ["pool"])
    calls = registry.counter("relevo_pool_calls", "Calls that have ended.", ["pool"])
    refused = registry.counter("relevo_pool_refused", "Calls that were not taken.", ["pool"])
    overdue = registry.counter("relevo_pool_overdue", "Calls that passed their deadline.", ["pool"])
    waited = registry.counter(
        "relevo_pool_wait_seconds", "Time that calls waited for a thread.", ["pool"], unit="seconds"
    )
    worked = registry.counter("relevo_pool_work_seconds", "Time that calls took.", ["pool"], unit="seconds")

    def read() -> None:
        for pool in pools:
            stats = pool.stats()
            threads.labels(pool.name).set(stats.threads)
            hung.labels(pool.name).set(stats.hung)
            waiting.labels(pool.name).set(stats.waiting)
            calls.labels(pool.name).value = stats.done
            refused.labels(pool.name).value = stats.refused
            overdue.labels(pool.name).value = stats.overdue
            waited.labels(pool.name).value = stats.waited_s
            worked.labels(pool.name).value = stats.worked_s

    registry.before_reading(read)
