"""The queue: jobs that wait for a worker, by priority, then by tenant, then by what they ask for: each of these is a lane."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from itertools import islice
from math import inf
from typing import Literal, NamedTuple, Protocol, TypeVar

from relevo.scheduler.demand import Demand as Demand  # whoever fills a queue needs both

T = TypeVar("T")
#: How the jobs of one priority (and of one tenant, where tenants share) follow each other.
Order = Literal["turns", "arrival", "deadline"]
#: Jobs with smaller keys go first. Keys of one queue compare.
Key = tuple[float, int]


class Waiting(NamedTuple):
    """A job in the queue."""

    run: str
    job: int


class Cursor(Protocol):
    """Goes through a lane without taking anything out."""

    waiting: Waiting | None  #: the next job; None at the end
    key: Key

    def advance(self, turn: int) -> None:
        """On to the next one. `turn`: grows with each job that is taken, in whatever lane."""


class Rotation:
    """A lane: waiting jobs of one priority, tenant and class. Runs take turns, a run's jobs go in order."""

    __slots__ = ("demand", "runs", "size", "tenant", "turns")

    def __init__(self, tenant: str, demand: Demand) -> None:
        self.tenant = tenant
        self.demand = demand
        self.runs: dict[str, deque[Waiting]] = {}
        self.turns: dict[str, int] = {}  # since when it is a run's turn, in order
        self.size = 0

    def add(self, waiting: Waiting, turn: int) -> None:
        run = waiting[0]
        jobs = self.runs.get(run)
        if jobs is None:
            self.runs[run] = deque((waiting,))
            self.turns[run] = turn
        else:
            jobs.append(waiting)
        self.size += 1

    @property
    def first(self) -> Key:
        """Of the first job."""
        return (0.0, next(iter(self.turns.values())))

    def cursor(self) -> Cursor:
        """At the first job."""
        return _Turns(self)

    def peek(self, count: int) -> Iterator[Waiting]:
        """The next `count` jobs in their order, without taking them."""
        depth = 0
        left = min(count, self.size)
        while left > 0:
            for run in self.turns:
                jobs = self.runs[run]
                if depth < len(jobs):
                    yield jobs[depth]
                    left -= 1
                    if not left:
                        return
            depth += 1

    def take(self, waiting: Waiting, turn: int) -> None:
        """Take a job out that is here; its run goes to the end of the turns."""
        run = waiting[0]
        jobs = self.runs[run]
        if jobs[0] == waiting:
            jobs.popleft()
        else:
            jobs.remove(waiting)
        del self.turns[run]
        if jobs:
            self.turns[run] = turn
        else:
            del self.runs[run]
        self.size -= 1


class _Turns:
    """Through a rotation. Runs that had their turn come again after those that had none."""

    __slots__ = ("_again", "_fresh", "_jobs", "_runs", "key", "waiting")

    def __init__(self, lane: Rotation) -> None:
        self._runs = lane.runs
        self._fresh = iter(lane.turns.items())
        self._again: deque[tuple[Iterator[Waiting], Waiting, Key]] | None = None
        self._jobs: Iterator[Waiting] = iter(())
        self.key: Key = (0.0, 0)
        self.waiting: Waiting | None = None
        self._step()

    def advance(self, turn: int) -> None:
        following = next(self._jobs, None)
        if following is not None:
            if self._again is None:
                self._again = deque()
            self._again.append((self._jobs, following, (0.0, turn)))
        self._step()

    def _step(self) -> None:
        for run, turn in self._fresh:
            self._jobs = jobs = iter(self._runs[run])
            self.key = (0.0, turn)
            self.waiting = next(jobs)
            return
        if self._again:
            self._jobs, self.waiting, self.key = self._again.popleft()
        else:
            self.waiting = None


class Line:
    """A lane in order of deadlines, then of arrival."""

    __slots__ = ("_keys", "demand", "entries", "tenant")

    def __init__(self, tenant: str, demand: Demand) -> None:
        self.tenant = tenant
        self.demand = demand
        self.entries: list[tuple[float, int, Waiting]] = []
        self._keys: dict[Waiting, Key] = {}

    @property
    def size(self) -> int:
        return len(self.entries)

    def add(self, waiting: Waiting, deadline_s: float, arrival: int) -> None:
        self._keys[waiting] = (deadline_s, arrival)
        insort(self.entries, (deadline_s, arrival, waiting))

    @property
    def first(self) -> Key:
        return self.entries[0][:2]

    def cursor(self) -> Cursor:
        return _Along(self.entries)

    def peek(self, count: int) -> Iterator[Waiting]:
        return (waiting for _, _, waiting in islice(self.entries, count))

    def take(self, waiting: Waiting, turn: int) -> None:
        key = self._keys.pop(waiting)
        del self.entries[bisect_left(self.entries, key)]


class _Along:
    """Through a line."""

    __slots__ = ("_at", "_entries", "key", "waiting")

    def __init__(self, entries: list[tuple[float, int, Waiting]]) -> None:
        self._entries = entries
        self._at = -1
        self.key: Key = (0.0, 0)
        self.waiting: Waiting | None = None
        self.advance(0)

    def advance(self, turn: int) -> None:
        self._at += 1
        if self._at < len(self._entries):
            deadline_s, arrival, self.waiting = self._entries[self._at]
            self.key = (deadline_s, arrival)
        else:
            self.waiting = None


Lane = Rotation | Line
#: The lanes of one priority and tenant.
Classes = dict[Demand, Lane]


class Place(NamedTuple):
    """Where a job stands in the queue."""

    priority: int
    demand: Demand
    since_s: float
    tenant: str
    deadline_s: float


def _less(counts: dict[T, int], key: T) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]


class Queue:
    """All waiting jobs. `lanes` is what `match` reads: priority → tenant → demand → lane."""

    def __init__(self, order: Order = "turns") -> None:
        self.order: Order = order
        self.lanes: dict[int, dict[str, Classes]] = {}
        self.tenants: dict[str, int] = {}  #: who has jobs here, in how many priorities
        self.classes: dict[Demand, int] = {}  #: in how many lanes each is
        self.turn = 0  #: how often something came or went
        self._places: dict[Waiting, Place] = {}  # the first one has waited longest
        self._latest: Place | None = None

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, waiting: Waiting) -> bool:
        return waiting in self._places

    @property
    def oldest(self) -> float | None:
        """Since when the job waits that has waited longest; None when none does."""
        return next((place[2] for place in self._places.values()), None)

    def since(self, waiting: Waiting) -> float | None:
        """Since when a job waits; None when it does not."""
        place = self._places.get(waiting)
        return None if place is None else place[2]

    def tenant(self, waiting: Waiting) -> str:
        """Whose job it is; "" when it does not wait."""
        place = self._places.get(waiting)
        return "" if place is None else place[3]

    def add(
        self,
        waiting: Waiting,
        priority: int,
        demand: Demand,
        now_s: float = 0.0,
        tenant: str = "",
        deadline_s: float = inf,
    ) -> None:
        """Put a job at the end. Without effect when it waits already. `now_s`, `deadline_s`: of any one clock."""
        if waiting in self._places:
            return
        place = (priority, demand, now_s, tenant, deadline_s)
        if place != self._latest:  # thousands of legs of a matrix come in the same turn: they share it
            self._latest = Place(*place)
        self._places[waiting] = self._latest
        self.turn += 1
        tenants = self.lanes.get(priority)
        if tenants is None:
            tenants = self.lanes[priority] = {}
        classes = tenants.get(tenant)
        if classes is None:
            classes = tenants[tenant] = {}
            self.tenants[tenant] = self.tenants.get(tenant, 0) + 1
        lane = classes.get(demand)
        if lane is None:
            kind = Rotation if self.order == "turns" else Line
            lane = classes[demand] = kind(tenant, demand)
            self.classes[demand] = self.classes.get(demand, 0) + 1
        if isinstance(lane, Rotation):
            lane.add(waiting, self.turn)
        else:
            lane.add(waiting, deadline_s if self.order == "deadline" else 0.0, self.turn)

    def remove(self, waiting: Waiting) -> Place | None:
        """Take a job out, because it was placed or withdrawn. What it had here; None when it does not wait."""
        place = self._places.pop(waiting, None)
        if place is None:
            return None
        priority, demand, _, tenant, _ = place
        tenants = self.lanes[priority]
        classes = tenants[tenant]
        lane = classes[demand]
        self.turn += 1
        lane.take(waiting, self.turn)
        if not lane.size:
            del classes[demand]
            _less(self.classes, demand)
            if not classes:
                del tenants[tenant]
                if not tenants:
                    del self.lanes[priority]
                _less(self.tenants, tenant)
        return place

    def again(self, order: Order) -> Queue:
        """The same jobs in another order. O(n)."""
        made = Queue(order)
        for waiting, (priority, demand, since_s, tenant, deadline_s) in self._places.items():
            made.add(waiting, priority, demand, since_s, tenant, deadline_s)
        return made

    def remove_run(self, run: str) -> None:
        """Take all jobs of a run out. O(n) in the queue's length."""
        for waiting in [waiting for waiting in self._places if waiting.run == run]:
            self.remove(waiting)

    def waiting(self, limit: int) -> Iterator[tuple[Waiting, int, Demand, float]]:
        """The first `limit` jobs with priority, demand and since when, about in the order in which `match` looks at them."""
        for priority in sorted(self.lanes, reverse=True):
            for classes in self.lanes[priority].values():
                for lane in classes.values():
                    for waiting in lane.peek(limit):
                        limit -= 1
                        place = self._places[waiting]
                        yield waiting, priority, place.demand, place.since_s
                    if limit <= 0:
                        return
