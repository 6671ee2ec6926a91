"""What an outcome comes to: waits, responses, use, fairness. Everything is in seconds, unless its name says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, Final, NamedTuple

from relevo.scheduler.simulation.fairness import shares
from relevo.scheduler.simulation.machines import Machines
from relevo.scheduler.simulation.workload import Workload
from relevo.scheduler.simulation.world import Outcome

#: Points of a curve over time.
POINTS: Final = 240
#: A job that takes less counts as if it took so long, where a ratio to what it takes is told.
LEAST_S: Final = 1.0


class Distribution(NamedTuple):
    """How values are spread. Percentiles are values that occur: the least that so many are not above."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Distribution:
        """Of values; all 0 when there are none."""
        found = sorted(values)
        if not found:
            return cls(0.0, 0.0, 0.0, 0.0, 0.0)
        count = len(found)

        def at(hundredths: int) -> float:
            return found[-(-count * hundredths // 100) - 1]

        return cls(sum(found) / count, at(50), at(90), at(99), found[-1])


class TenantResult(NamedTuple):
    """What one tenant had."""

    tenant: str
    jobs: int
    wait: Distribution
    response: Distribution
    slowdown: float
    share: float | None  #: of what it was entitled to while somebody waited; None: it never had to share


class Result(NamedTuple):
    """What a policy made of a load."""

    policy: str
    jobs: int
    ended: int
    lost: int  #: jobs that were given up: their agents went down again and again
    skipped: int  #: jobs that need one that was given up
    wait: Distribution  #: from when a job could run to when it first had a slot
    response: Distribution  #: from when a job could run to its end
    slowdown: float  #: mean of response over what the job takes by itself
    run_response: Distribution  #: from a run's submission to the end of its last job
    used: float  #: part of all slot time in the span that was taken
    span_s: float  #: until all jobs had ended but the last thousandth, which may be a few long ones
    makespan_s: float  #: until all had
    jain: float  #: Jain's index of the tenants' shares: 1 when all had the same, 1/n when one had all
    least_share: float  #: of the tenant that had the least part of what it was entitled to
    late: int | None  #: jobs that did not end by their deadlines; None: none has one
    queue_most: int  #: jobs that waited at a time at most
    longest_wait: str  #: which job waited longest
    preemptions: int
    losses: int  #: attempts that were lost with their agents
    tenants: tuple[TenantResult, ...]
    use_over_time: list[float]  #: taken slots, means of POINTS equal parts of the span
    queue_over_time: list[float]  #: waiting jobs, likewise
    waits: list[float]  #: of all jobs that ran, sorted: for plots

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        told = self._asdict()
        del told["waits"]
        for key in ("wait", "response", "run_response"):
            told[key] = told[key]._asdict()
        told["tenants"] = [
            {**tenant._asdict(), "wait": tenant.wait._asdict(), "response": tenant.response._asdict()}
            for tenant in self.tenants
        ]
        return told


def summarize(policy: str, workload: Workload, machines: Machines, outcome: Outcome) -> Result:
    """All that is told of an outcome."""
    jobs = workload.jobs
    begun = [position for position in range(len(jobs)) if outcome.begin_s[position] >= 0]
    ended = [position for position in begun if outcome.fates[position] == "ended"]
    waits = {position: outcome.begin_s[position] - outcome.ready_s[position] for position in begun}
    responses = {position: outcome.end_s[position] - outcome.ready_s[position] for position in ended}
    slowdowns = {
        position: max(1.0, responses[position] / max(LEAST_S, jobs[position].duration_s + machines.startup_s))
        for position in ended
    }
    worst = max(begun, key=waits.__getitem__, default=None)
    ends = sorted(outcome.end_s)
    span_s = ends[-(len(ends) // 1000) - 1]
    found, jain = shares(workload, machines, outcome)
    of_tenant: dict[str, list[int]] = {tenant: [] for tenant in workload.tenants}
    for position in begun:
        of_tenant[jobs[position].tenant].append(position)
    tenants = tuple(
        TenantResult(
            tenant,
            len(mine),
            Distribution.of(waits[position] for position in mine),
            Distribution.of(responses[position] for position in mine if position in responses),
            _mean([slowdowns[position] for position in mine if position in slowdowns]),
            found.get(tenant),
        )
        for tenant, mine in of_tenant.items()
    )
    queued: list[tuple[float, int]] = []
    for position in begun:
        queued += ((outcome.ready_s[position], 1), (outcome.begin_s[position], -1))
    used: list[tuple[float, int]] = []
    for span in outcome.spans:
        used += ((span.begin_s, 1), (span.end_s, -1))
    use = over_time(used, span_s)
    return Result(
        policy=policy,
        jobs=len(jobs),
        ended=len(ended),
        lost=outcome.fates.count("lost"),
        skipped=outcome.fates.count("skipped"),
        wait=Distribution.of(waits.values()),
        response=Distribution.of(responses.values()),
        slowdown=_mean(list(slowdowns.values())),
        run_response=Distribution.of(_run_responses(workload, outcome)),
        used=sum(use) / (POINTS * machines.slots),
        span_s=span_s,
        makespan_s=ends[-1],
        jain=jain,
        least_share=min(found.values(), default=1.0),
        late=_late(workload, outcome),
        queue_most=most(queued),
        longest_wait="" if worst is None else f"{jobs[worst].run} / {jobs[worst].name}",
        preemptions=outcome.preemptions,
        losses=outcome.losses,
        tenants=tenants,
        use_over_time=use,
        queue_over_time=over_time(queued, span_s),
        waits=sorted(waits.values()),
    )


def _late(workload: Workload, outcome: Outcome) -> int | None:
    dated = [position for position, job in enumerate(workload.jobs) if job.deadline_s < inf]
    if not dated:
        return None
    return sum(
        outcome.fates[position] != "ended"
        or outcome.end_s[position] > workload.jobs[position].submit_s + workload.jobs[position].deadline_s
        for position in dated
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _run_responses(workload: Workload, outcome: Outcome) -> Iterable[float]:
    begin: dict[str, float] = {}
    end: dict[str, float] = {}
    for job, end_s in zip(workload.jobs, outcome.end_s, strict=True):
        begin[job.run] = min(job.submit_s, begin.get(job.run, job.submit_s))
        end[job.run] = max(end_s, end.get(job.run, end_s))
    return [end[run] - begin[run] for run in begin]


def most(changes: Sequence[tuple[float, int]]) -> int:
    """The highest level that lasts, from (when, by how much it changes)."""
    highest = level = 0
    since = 0.0
    for when, change in sorted(changes):
        if when > since:
            highest = max(highest, level)
            since = when
        level += change
    return highest


def over_time(changes: list[tuple[float, int]], span_s: float, points: int = POINTS) -> list[float]:
    """Means of a level over equal parts of a span, from (when, by how much it changes); what comes later is left out."""
    if span_s <= 0:
        return [0.0] * points
    width = span_s / points
    found = [0.0] * points
    level, since = 0, 0.0
    for time_s, change in [*sorted(changes), (span_s, 0)]:
        when = min(time_s, span_s)
        if level and when > since:
            first, last = int(since / width), min(points - 1, int(when / width))
            if first >= last:
                found[min(first, last)] += level * (when - since)
            else:
                found[first] += level * ((first + 1) * width - since)
                for part in range(first + 1, last):
                    found[part] += level * width
                found[last] += level * (when - last * width)
        level += change
        since = when
    return [value / width for value in found]
