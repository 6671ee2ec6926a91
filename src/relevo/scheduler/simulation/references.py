"""What a policy is compared with: the plainest one, two that know the future, and a bound that nobody beats.

`fifo`: one line, in order of arrival; whoever fits nowhere now lets the next one pass.
`sjf`: shortest job first. It knows how long each job takes, and stops none.
`srpt`: shortest remaining processing time. It knows how long each job takes, stops a long one for a shorter one, and moves what it
stopped without loss or cost. On one slot nothing has a lower mean response (Schrage 1968); on many, and where jobs ask for different
things, it is close, and beyond what any scheduler that cannot see the future reaches.
Neither keeps jobs waiting at an agent.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable

from relevo.scheduler.capacity import Capacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.fit import fits
from relevo.scheduler.simulation.machines import Machines, name_of
from relevo.scheduler.simulation.workload import Workload
from relevo.scheduler.simulation.world import World

_Line = list[tuple[float, int, int]]  # a heap of (key, number, job)


class Line:
    """One line for all, ordered by `key`; classes of jobs that ask for the same are kept apart, to pass over them at once."""

    def __init__(self, world: World, key: Callable[[int], float], *, preempts: bool = False) -> None:
        self._world = world
        self._key = key
        self._preempts = preempts
        self._lines: dict[Demand, _Line] = {}
        self._number = 0
        self._size = 0
        agents = range(len(world.machines.shapes))
        self._agents = [world.machines.capacity(agent, ahead=False) for agent in agents]
        self._capacity = Capacity()  # of those that are up, which is where keys are kept apart
        self._open: dict[int, None] = {}  # agents with free slots
        self._ends: list[tuple[float, int]] = []  # (end, job) of all that run, when they may be stopped
        self._end_of: dict[int, float] = {}
        self._places: dict[int, int] = {}
        self._changed = False

    def ready(self, job: int) -> None:
        demand = self._world.workload.jobs[job].demand
        self._number += 1
        self._size += 1
        heapq.heappush(self._lines.setdefault(demand, []), (self._key(job), self._number, job))
        self._changed = True

    def ended(self, job: int) -> None:
        self._give(job)
        self._changed = True

    def lost(self, job: int) -> None:
        self._give(job)

    def up(self, agent: int) -> None:
        self._capacity.agents[name_of(agent)] = self._agents[agent]
        if self._agents[agent].free:
            self._open[agent] = None
        self._changed = True

    def down(self, agent: int) -> None:
        del self._capacity.agents[name_of(agent)]
        self._open.pop(agent, None)

    def waiting(self) -> int:
        return self._size

    def turn(self) -> None:
        while self._changed:
            self._changed = False
            self._fill()  # whom it stops may in turn be shorter than somebody of another class

    def _fill(self) -> None:
        # The heads of all classes, least key first; a class whose head fits nowhere is done with.
        heads = [(line[0], demand) for demand, line in self._lines.items()]
        order = [(head[0], head[1], position) for position, (head, _) in enumerate(heads)]
        heapq.heapify(order)
        while order:
            if not self._open and not self._preempts:
                return
            _, _, position = heapq.heappop(order)
            demand = heads[position][1]
            line = self._lines[demand]
            job = line[0][2]
            agent = self._roomy(demand)
            if agent < 0 and self._preempts:
                agent = self._make_room(job, demand)
            if agent < 0:
                continue
            heapq.heappop(line)
            self._size -= 1
            self._take(job, demand, agent)
            if line:
                heapq.heappush(order, (line[0][0], line[0][1], position))
            else:
                del self._lines[demand]

    def _roomy(self, demand: Demand) -> int:
        """The emptiest agent that has room; -1: none."""
        best, most = -1, 0
        for agent in self._open:
            free = self._agents[agent].free
            if free > most and self._fits(demand, agent):
                best, most = agent, free
        return best

    def _fits(self, demand: Demand, agent: int) -> bool:
        return fits(demand, self._agents[agent], self._capacity)

    def _make_room(self, job: int, demand: Demand) -> int:
        """Stop the job that has most left, if that is more than this one has, and makes room for it; -1: there is none."""
        until = self._world.now_s + self._world.left_s(job)
        jobs = self._world.workload.jobs
        for end_s, victim in reversed(self._ends):
            if end_s <= until:
                return -1
            agent = self._places[victim]
            its = jobs[victim].demand
            at = self._agents[agent]
            at.give(its)
            makes_room = its == demand or self._fits(demand, agent)
            at.take(its)
            if makes_room:
                self._give(victim)
                self._world.stop(victim, keep=True)
                self.ready(victim)
                return agent
        return -1

    def _take(self, job: int, demand: Demand, agent: int) -> None:
        self._agents[agent].take(demand)
        if not self._agents[agent].free:
            del self._open[agent]
        self._places[job] = agent
        if self._preempts:
            end_s = self._end_of[job] = self._world.now_s + self._world.left_s(job)
            insort(self._ends, (end_s, job))
        self._world.place(job, agent)

    def _give(self, job: int) -> None:
        agent = self._places.pop(job)
        self._agents[agent].give(self._world.workload.jobs[job].demand)
        if name_of(agent) in self._capacity.agents:
            self._open[agent] = None
        if self._preempts:
            del self._ends[bisect_left(self._ends, (self._end_of.pop(job), job))]


def fifo(world: World) -> Line:
    """Plain first in, first out."""
    return Line(world, lambda job: world.now_s)


def sjf(world: World) -> Line:
    """Shortest job first, without preemption."""
    return Line(world, world.left_s)


def srpt(world: World) -> Line:
    """Shortest remaining processing time, with preemption."""
    return Line(world, world.left_s, preempts=True)


def least_mean_response_s(workload: Workload, machines: Machines) -> float:
    """What the mean response of no schedule on these slots is below, failures apart.

    The greater of two: each job takes at least its own time; and one slot that is as fast as all together, on which SRPT is
    optimal, could do whatever the slots do. Needs are left out, which only lowers it. O(n log n).
    """
    own = [job.duration_s + machines.startup_s for job in workload.jobs]
    count = len(own)
    fast = 0.0
    speed = machines.slots
    waiting: list[tuple[float, float]] = []  # what is left of jobs, and when they came
    now_s = 0.0
    for job, takes_s in zip(workload.jobs, own, strict=True):
        if job.needs:
            # When it could begin depends on the schedule: only its own time counts.
            fast += takes_s
            continue
        while waiting and now_s + waiting[0][0] / speed <= job.submit_s:
            left, came_s = heapq.heappop(waiting)
            now_s += left / speed
            fast += now_s - came_s
        if waiting:
            left, came_s = waiting[0]
            heapq.heapreplace(waiting, (left - (job.submit_s - now_s) * speed, came_s))
        now_s = job.submit_s
        heapq.heappush(waiting, (takes_s, job.submit_s))
    while waiting:
        left, came_s = heapq.heappop(waiting)
        now_s += left / speed
        fast += now_s - came_s
    return max(sum(own), fast) / count
