"""Virtual time, agents, and what runs on them. A policy says who goes where; the world does it and notes it down."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple, Protocol

from relevo.domain.errors import RelevoError, UserError
from relevo.scheduler.simulation.machines import Machines, name_of
from relevo.scheduler.simulation.workload import Workload

#: A job that was lost so often in a row is not tried again, as in the engine.
LOST_LIMIT: Final = 2
# What happens, in this order when it happens at once: what ended makes room for what comes.
_END: Final = 0
_DOWN: Final = 1
_UP: Final = 2
_READY: Final = 3


class Policy(Protocol):
    """Who goes where. Told of everything as it happens; `turn` follows when all of one moment has been told."""

    def ready(self, job: int) -> None:
        """A job can run: it was submitted, and its needs have ended; or it was lost or stopped, and is to run again."""

    def ended(self, job: int) -> None:
        """A job ended, for good: its place is free."""

    def lost(self, job: int) -> None:
        """A job lost its place with its agent, which went down. `ready` follows if it is tried again."""

    def up(self, agent: int) -> None:
        """An agent takes jobs; all are told at the beginning."""

    def down(self, agent: int) -> None:
        """An agent is gone. What it had is told by `lost` next."""

    def turn(self) -> None:
        """All of one moment was told: place jobs by `World.place`."""

    def waiting(self) -> int:
        """Jobs that it has and did not place."""


class Span(NamedTuple):
    """A slot was taken by an attempt."""

    begin_s: float
    end_s: float
    job: int
    agent: int
    done: bool  #: the job ended with it


class Outcome(NamedTuple):
    """What became of each job, by its position in the load. Times are seconds from the load's beginning."""

    ready_s: list[float]  #: when it could run
    begin_s: list[float]  #: when it first had a slot; -1: never
    end_s: list[float]  #: when it was over
    fates: list[str]  #: "ended", "lost" (with its agents, too often) or "skipped" (one that it needs was)
    spans: list[Span]  #: in order of their ends
    preemptions: int
    losses: int  #: attempts that were lost with their agents


class _Agent:
    __slots__ = ("free", "has", "up", "waiting")

    def __init__(self, slots: int) -> None:
        self.free = slots  #: slots
        self.has: dict[int, None] = {}  #: jobs that it runs or that wait at it
        self.waiting: deque[int] = deque()  #: jobs that it has beyond its slots
        self.up = True


class World:
    """One simulation. Make it, give it a policy, and `run` it once."""

    def __init__(self, workload: Workload, machines: Machines, seed: int = 0) -> None:
        self.workload = workload
        self.machines = machines
        self.now_s = 0.0
        self._seed = seed
        count = len(workload)
        self._agents = [_Agent(shape.slots) for shape in machines.shapes]
        self._place = [-1] * count  # where a job is
        self._begun = [-1.0] * count  # since when the current attempt has its slot; -1: it has none
        self._turn = [0] * count  # numbers attempts: the end of a former one means nothing
        self._left = [job.duration_s + machines.startup_s for job in workload.jobs]
        self._missing = [len(job.needs) for job in workload.jobs]
        self._after: dict[int, list[int]] = {}
        for position, job in enumerate(workload.jobs):
            for need in job.needs:
                self._after.setdefault(need, []).append(position)
        self._losses_in_row: dict[int, int] = {}
        self._happenings: list[tuple[float, int, int, int, int]] = []  # time, what, number, who, attempt
        self._number = 0
        self._open = count
        self._ready_s = [-1.0] * count
        self._begin_s = [-1.0] * count
        self._end_s = [-1.0] * count
        self._fates = [""] * count
        self._spans: list[Span] = []
        self._preemptions = 0
        self._losses = 0
        self._ups: list[Iterator[float]] = []

    # --- for policies ---------------------------------------------------------------------------------------------------

    def place(self, job: int, agent: int) -> None:
        """Send a job to an agent: it begins when a slot there is free."""
        at = self._agents[agent]
        assert self._place[job] < 0, "a job has one place"
        assert at.up, "an agent that is down takes nothing"
        self._place[job] = agent
        at.has[job] = None
        if at.free:
            self._begin(job, at)
        else:
            at.waiting.append(job)

    def agent_of(self, job: int) -> int:
        """Where a job is; -1: nowhere."""
        return self._place[job]

    def left_s(self, job: int) -> float:
        """What a job still takes, its worker's making included: known to those who know the future only."""
        begun = self._begun[job]
        return self._left[job] if begun < 0 else self._left[job] - (self.now_s - begun)

    def stop(self, job: int, *, keep: bool) -> None:
        """Preempt a job. `keep`: what it has done counts when it goes on; else it begins anew."""
        self._preemptions += 1
        begun = self._begun[job]
        if keep and begun >= 0:
            self._left[job] -= self.now_s - begun
        self._leave(job, done=False)

    # --- the loop ---------------------------------------------------------------------------------------------------------

    def run(self, policy: Policy) -> Outcome:
        """Play the load to its end. Raises UserError when the policy lets jobs wait for ever."""
        for position, job in enumerate(self.workload.jobs):
            if not job.needs:
                self._at(job.submit_s, _READY, position)
        for agent in range(len(self._agents)):
            policy.up(agent)
            if self.machines.fails_after_s is not None:
                self._ups.append(self._fortune(agent))
                self._at(next(self._ups[agent]), _DOWN, agent)
        happenings = self._happenings
        while self._open:
            if not happenings:
                self._stuck(policy)
            self.now_s = happenings[0][0]
            while happenings and happenings[0][0] == self.now_s:
                _, what, _, who, attempt = heapq.heappop(happenings)
                if what == _READY:
                    self._ready_s[who] = self.now_s
                    policy.ready(who)
                elif what == _END:
                    if attempt == self._turn[who]:
                        self._ended(who, policy)
                elif what == _DOWN:
                    self._down(who, policy)
                else:
                    self._agents[who].up = True
                    policy.up(who)
                    self._at(self.now_s + next(self._ups[who]), _DOWN, who)
            policy.turn()
        return Outcome(
            self._ready_s,
            self._begin_s,
            self._end_s,
            self._fates,
            self._spans,
            self._preemptions,
            self._losses,
        )

    def _at(self, time_s: float, what: int, who: int, attempt: int = 0) -> None:
        self._number += 1
        heapq.heappush(self._happenings, (time_s, what, self._number, who, attempt))

    def _fortune(self, agent: int) -> Iterator[float]:
        """How long an agent lives, each time. The same for each policy: they are compared by the same failures."""
        chance = Random(f"{self._seed}/{agent}")
        assert self.machines.fails_after_s is not None
        while True:
            yield chance.expovariate(1 / self.machines.fails_after_s)

    def _begin(self, job: int, at: _Agent) -> None:
        at.free -= 1
        self._begun[job] = self.now_s
        if self._begin_s[job] < 0:
            self._begin_s[job] = self.now_s
        self._at(self.now_s + self._left[job], _END, job, self._turn[job])

    def _leave(self, job: int, *, done: bool) -> None:
        """A job leaves its agent, which begins the next one that it has."""
        agent = self._place[job]
        at = self._agents[agent]
        del at.has[job]
        self._place[job] = -1
        self._turn[job] += 1
        begun = self._begun[job]
        if begun < 0:
            at.waiting.remove(job)
            return
        self._begun[job] = -1.0
        self._spans.append(Span(begun, self.now_s, job, agent, done))
        at.free += 1
        if at.up and at.waiting:
            self._begin(at.waiting.popleft(), at)

    def _ended(self, job: int, policy: Policy) -> None:
        self._leave(job, done=True)
        policy.ended(job)
        self._over(job, "ended")

    def _over(self, job: int, fate: str) -> None:
        """A job ended, or never will: whoever needs it can run, or never will."""
        pending = [(job, fate)]
        while pending:
            one, its_fate = pending.pop()
            if self._fates[one]:
                continue
            self._fates[one] = its_fate
            self._end_s[one] = self.now_s
            self._open -= 1
            for later in self._after.get(one, ()):
                if its_fate != "ended":
                    pending.append((later, "skipped"))
                    continue
                self._missing[later] -= 1
                if not self._missing[later] and not self._fates[later]:
                    self._at(max(self.now_s, self.workload.jobs[later].submit_s), _READY, later)

    def _down(self, agent: int, policy: Policy) -> None:
        at = self._agents[agent]
        at.up = False
        policy.down(agent)
        for job in list(at.has):
            begun = self._begun[job] >= 0
            self._leave(job, done=False)
            policy.lost(job)
            if begun:
                self._losses += 1
                lost = self._losses_in_row[job] = self._losses_in_row.get(job, 0) + 1
                self._left[job] = self.workload.jobs[job].duration_s + self.machines.startup_s
                if lost > LOST_LIMIT:
                    self._over(job, "lost")
                    continue
            policy.ready(job)
        self._at(self.now_s + self.machines.repair_s, _UP, agent)

    def _stuck(self, policy: Policy) -> None:
        names = [
            f"{job.run} / {job.name}"
            for job, fate in zip(self.workload.jobs, self._fates, strict=True)
            if not fate
        ]
        waiting = policy.waiting()
        if not waiting:
            raise RelevoError(f"{len(names):,} jobs got lost in the simulation, the first of them {names[0]}")
        raise UserError(
            f"{waiting:,} jobs would wait for ever, the first of them {names[0]}",
            hint="the policy places them on no agent: is a quota lower than what one job asks for?",
        )


def agent_number(name: str) -> int:
    """Back from `name_of`."""
    number = int(name.rpartition("-")[2]) - 1
    assert name_of(number) == name
    return number
