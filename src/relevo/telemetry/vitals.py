"""The gauges that nobody sets meanwhile: read when somebody asks, so that they cost nothing until then."""

from __future__ import annotations

import gc
import os
from time import perf_counter
from typing import Any, Final

from relevo.actors import ActorSystem
from relevo.core import measured

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_GENERATIONS: Final = ("0", "1", "2")


def read_actors(system: ActorSystem) -> None:
    """Bring the metrics of a system of actors up to date."""
    dispatcher = system.dispatcher
    measured.ACTORS.set(system.count)
    measured.ACTORS_READY.set(len(dispatcher.ready))
    measured.ACTOR_MESSAGES.value = dispatcher.handled
    measured.ACTOR_RESTARTS.value = system.restarts
    measured.ACTOR_TURNS.value = dispatcher.turns
    measured.ACTOR_BUSY_SECONDS.value = dispatcher.busy_s
    measured.ACTOR_LONGEST_SECONDS.set(dispatcher.longest_s)
    deepest = dispatcher.take_deepest()
    for (kind,), child in measured.ACTOR_MAILBOX.children():
        child.set(deepest.pop(kind, 0))
    for kind, depth in deepest.items():
        measured.ACTOR_MAILBOX.labels(kind).set(depth)
    for reason, count in system.dead_letters.counts.items():
        measured.DEAD_LETTERS.labels(reason).value = count


def read_process() -> None:
    """Bring the metrics of this process up to date. Where /proc is hidden they stay as they are."""
    times = os.times()
    measured.PROCESS_CPU_SECONDS.value = times.user + times.system
    try:
        with open("/proc/self/statm", "rb") as file:
            measured.PROCESS_MEMORY_BYTES.set(int(file.read().split()[1]) * _PAGE_BYTES)
        measured.PROCESS_OPEN_FDS.set(len(os.listdir("/proc/self/fd")))
        if not measured.PROCESS_START_SECONDS.value:
            measured.PROCESS_START_SECONDS.set(_started_s())
    except OSError:
        pass


def _started_s() -> float:
    with open("/proc/self/stat", "rb") as file:
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    with open("/proc/stat", "rb") as file:
        booted = next(int(line.split()[1]) for line in file if line.startswith(b"btime"))
    return booted + ticks / _TICKS


class GcWatch:
    """Counts collections of cyclic garbage and how long they held the process. One for each process; close it."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._pauses = [measured.GC_PAUSE_SECONDS.labels(name) for name in _GENERATIONS]
        self._collected = [measured.GC_COLLECTED.labels(name) for name in _GENERATIONS]
        gc.callbacks.append(self._called)

    def close(self) -> None:
        """Idempotent."""
        if self._called in gc.callbacks:
            gc.callbacks.remove(self._called)

    def _called(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._begun = perf_counter()
        else:
            generation = info["generation"]
            self._pauses[generation].record(perf_counter() - self._begun)
            self._collected[generation].inc(info["collected"])
