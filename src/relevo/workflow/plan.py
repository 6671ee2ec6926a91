"""How the jobs of a workflow hang together."""

from __future__ import annotations

from collections.abc import Iterable

from relevo.domain.errors import UserError
from relevo.workflow.diagnostics import did_you_mean
from relevo.workflow.model import Workflow


def order(workflow: Workflow) -> tuple[str, ...]:
    """All jobs, each after its needs, otherwise in the order of the file. The reader has made sure there is no circle. O(needs)."""
    missing = {name: len(set(job.needs)) for name, job in workflow.jobs.items()}
    after: dict[str, list[str]] = {name: [] for name in workflow.jobs}
    for name, job in workflow.jobs.items():
        for need in set(job.needs):
            after[need].append(name)
    place = {name: position for position, name in enumerate(workflow.jobs)}
    placed: list[str] = []
    ready = [name for name, count in missing.items() if not count]
    while ready:
        placed += ready
        following = []
        for name in ready:
            for later in after[name]:
                missing[later] -= 1
                if not missing[later]:
                    following.append(later)
        ready = sorted(following, key=place.__getitem__)
    assert len(placed) == len(place), "needs form a circle"
    return tuple(placed)


def closure(workflow: Workflow, selected: Iterable[str]) -> tuple[str, ...]:
    """The selected jobs and everything they need, in the order of the file; all jobs when none is selected.

    Raises UserError for a job that is not there.
    """
    wanted = list(selected)
    if not wanted:
        return tuple(workflow.jobs)
    for name in wanted:
        if name not in workflow.jobs:
            raise UserError(f"{workflow.path} has no job '{name}'", hint=did_you_mean(name, workflow.jobs))
    found = set(wanted)
    while wanted:
        for need in workflow.jobs[wanted.pop()].needs:
            if need not in found:
                found.add(need)
                wanted.append(need)
    return tuple(name for name in workflow.jobs if name in found)


def ancestors(workflow: Workflow, job: str) -> frozenset[str]:
    """Everything that a job needs, directly or not."""
    return frozenset(closure(workflow, [job])) - {job}


def stages(workflow: Workflow) -> dict[str, int]:
    """Each job with the stage in which it can run at the earliest, from 1: one after the last of its needs. In order of stages."""
    found: dict[str, int] = {}
    for name in order(workflow):
        found[name] = 1 + max((found[need] for need in workflow.jobs[name].needs), default=0)
    return dict(sorted(found.items(), key=lambda item: item[1]))
