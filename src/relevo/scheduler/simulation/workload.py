"""A load: which jobs come when, what they ask for, and how long they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isfinite
from typing import Final, NamedTuple

from relevo.domain.errors import UserError
from relevo.scheduler.demand import Demand

#: Jobs that one load may have.
JOB_LIMIT: Final = 2_000_000
#: Times beyond are mistakes of units: a hundred years.
LONGEST_S: Final = 100 * 365.25 * 86_400
#: What jobs ask for that say nothing.
ANYWHERE: Final = Demand(frozenset(), None, None)


class Job(NamedTuple):
    """One job of a load. Times are seconds from the load's beginning."""

    name: str  #: unique in its run
    run: str
    submit_s: float  #: from when on it can be queued; later when it needs others
    duration_s: float  #: what it takes at its worker, once that is there
    tenant: str = ""  #: whose it is; "": all of one tenant
    demand: Demand = ANYWHERE
    priority: int = 0
    needs: tuple[int, ...] = ()  #: positions in the load of jobs that must end before it
    deadline_s: float = inf  #: so long after its submission it should have ended
    preemptible: bool = False  #: it may be ended for others, and begins anew


class Workload:
    """Jobs in order of submission, checked."""

    def __init__(self, jobs: Sequence[Job], where: Callable[[int], str] | None = None) -> None:
        """`where`: names the place of a job (by position), such as its line in a file. Raises UserError."""
        name_place = where or (lambda position: f"job {jobs[position].name!r}")
        if not jobs:
            raise UserError("the load has no jobs", hint="there is nothing to simulate")
        if len(jobs) > JOB_LIMIT:
            raise UserError(f"the load has {len(jobs):,} jobs, and {JOB_LIMIT:,} is the limit")
        for position, job in enumerate(jobs):
            mistake = _mistake(job)
            if mistake:
                raise UserError(f"{name_place(position)}: {mistake}")
        circle = _circle(jobs)
        if circle:
            told = " → ".join(repr(jobs[position].name) for position in (*circle, circle[0]))
            raise UserError(f"{name_place(circle[0])}: needs form a circle: {told}")
        order = sorted(range(len(jobs)), key=lambda position: (jobs[position].submit_s, position))
        place = [0] * len(jobs)
        for new, old in enumerate(order):
            place[old] = new
        begin_s = jobs[order[0]].submit_s
        moved = begin_s != 0.0 or order != list(range(len(jobs)))
        #: the first is submitted at 0
        self.jobs: tuple[Job, ...] = tuple(
            jobs[old]._replace(
                submit_s=jobs[old].submit_s - begin_s,
                needs=tuple(place[need] for need in jobs[old].needs),
            )
            if moved
            else jobs[old]
            for old in order
        )
        self.tenants: tuple[str, ...] = tuple(sorted({job.tenant for job in jobs}))

    def __len__(self) -> int:
        return len(self.jobs)

    @property
    def span_s(self) -> float:
        """From the first submission to the last one."""
        return self.jobs[-1].submit_s

    @property
    def work_s(self) -> float:
        """What all jobs take together."""
        return sum(job.duration_s for job in self.jobs)


def _mistake(job: Job) -> str:
    for what, value in (("submit", job.submit_s), ("duration", job.duration_s)):
        if not isfinite(value):
            return f"{what} is {value}: it must be a number of seconds"
        if value < 0 and what == "duration":
            return f"{what} is negative: {value:g}"
        if what == "duration" and value > LONGEST_S:
            return f"{what} is {value:g} s: that is more than a hundred years"
    if not job.deadline_s >= 0:
        return f"deadline is {job.deadline_s:g}: it must be a time after submission"
    if job.demand.cpus is not None and not (isfinite(job.demand.cpus) and job.demand.cpus > 0):
        return f"cpus is {job.demand.cpus:g}: it must be more than 0"
    if job.demand.memory_bytes is not None and job.demand.memory_bytes <= 0:
        return f"memory is {job.demand.memory_bytes}: it must be more than 0"
    return ""


def _circle(jobs: Sequence[Job]) -> list[int]:
    """Positions of jobs that wait for each other, in order of needs; none when all can end. O(jobs and needs)."""
    missing = [len(job.needs) for job in jobs]
    after: dict[int, list[int]] = {}
    for position, job in enumerate(jobs):
        for need in job.needs:
            after.setdefault(need, []).append(position)
    ready = [position for position, count in enumerate(missing) if not count]
    while ready:
        for later in after.get(ready.pop(), ()):
            missing[later] -= 1
            if not missing[later]:
                ready.append(later)
    at = next((position for position, count in enumerate(missing) if count), None)
    if at is None:
        return []
    # Whoever is left needs one that is left: going on from need to need comes back to where it was.
    path: dict[int, None] = {}
    while at not in path:
        path[at] = None
        at = next(need for need in jobs[at].needs if missing[need])
    walked = list(path)
    return walked[walked.index(at) :]
