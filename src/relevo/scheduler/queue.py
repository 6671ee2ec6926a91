"""The queue: jobs that wait for a worker, by priority, then by what they ask for, then by run in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple


class Demand(NamedTuple):
    """What a job asks of its place. Jobs that ask for the same are one class: they are matched together."""

    labels: frozenset[str]
    cpus: float | None
    memory_bytes: int | None


class Waiting(NamedTuple):
    """A job in the queue."""

    run: str
    job: int


class Rotation:
    """The waiting jobs of one class and priority. Runs take turns, a run's jobs go in order."""

    __slots__ = ("runs", "size")

    def __init__(self) -> None:
        self.runs: dict[str, deque[int]] = {}  # in order of whose turn it is
        self.size = 0

    def add(self, run: str, job: int) -> None:
        jobs = self.runs.get(run)
        if jobs is None:
            jobs = self.runs[run] = deque()
        jobs.append(job)
        self.size += 1

    def peek(self, count: int) -> Iterator[Waiting]:
        """The next `count` jobs in order of turns, without taking them."""
        depth = 0
        left = min(count, self.size)
        while left:
            for run, jobs in self.runs.items():
                if depth < len(jobs):
                    yield Waiting(run, jobs[depth])
                    left -= 1
                    if not left:
                        return
            depth += 1

    def take(self, run: str, job: int) -> bool:
        """Take a job out; its run goes to the end of the turns. False when it is not here."""
        jobs = self.runs.get(run)
        if jobs is None:
            return False
        if jobs[0] == job:
            jobs.popleft()
        else:
            try:
                jobs.remove(job)
            except ValueError:
                return False
        del self.runs[run]
        if jobs:
            self.runs[run] = jobs
        self.size -= 1
        return True


class Queue:
    """All waiting jobs. `rotations` is what `match` reads."""

    def __init__(self) -> None:
        self.rotations: dict[int, dict[Demand, Rotation]] = {}  # by priority
        self._places: dict[Waiting, tuple[int, Demand, float]] = {}  # the first one has waited longest

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, waiting: Waiting) -> bool:
        return waiting in self._places

    @property
    def oldest(self) -> float | None:
        """Since when the job waits that has waited longest; None when none does."""
        return next((since for _, _, since in self._places.values()), None)

    def since(self, waiting: Waiting) -> float | None:
        """Since when a job waits; None when it does not."""
        place = self._places.get(waiting)
        return None if place is None else place[2]

    def add(self, waiting: Waiting, priority: int, demand: Demand, now_s: float = 0.0) -> None:
        """Put a job at the end. Without effect when it waits already. `now_s`: of any one clock."""
        if waiting in self._places:
            return
        self._places[waiting] = (priority, demand, now_s)
        classes = self.rotations.get(priority)
        if classes is None:
            classes = self.rotations[priority] = {}
        rotation = classes.get(demand)
        if rotation is None:
            rotation = classes[demand] = Rotation()
        rotation.add(*waiting)

    def remove(self, waiting: Waiting) -> bool:
        """Take a job out, because it was placed or withdrawn. False when it does not wait."""
        place = self._places.pop(waiting, None)
        if place is None:
            return False
        priority, demand, _ = place
        classes = self.rotations[priority]
        rotation = classes[demand]
        rotation.take(*waiting)
        if not rotation.size:
            del classes[demand]
            if not classes:
                del self.rotations[priority]
        return True

    def waiting(self, limit: int) -> Iterator[tuple[Waiting, int, Demand, float]]:
        """The first `limit` jobs with priority, demand and since when, about in the order in which `match` looks at them."""
        for priority in sorted(self.rotations, reverse=True):
            for demand, rotation in self.rotations[priority].items():
                for waiting in rotation.peek(limit):
                    if not limit:
                        return
                    limit -= 1
                    yield waiting, priority, demand, self._places[waiting][2]

    def remove_run(self, run: str) -> None:
        """Take all jobs of a run out. O(n) in the queue's length."""
        for waiting in [waiting for waiting in self._places if waiting.run == run]:
            self.remove(waiting)
