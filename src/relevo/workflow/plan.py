"""How the jobs of a workflow hang together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

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


#: Between the ids of a call and of a job in what it calls.
INSIDE: Final = " / "


def select(workflow: Workflow, selected: Iterable[str]) -> Workflow:
    """The workflow with only the selected jobs and everything they need; all of it when none is selected.

    `call / job` selects a job of the workflow that a job calls. Raises UserError for a job that is not there.
    """
    inner: dict[str, list[str]] = {}
    whole: set[str] = set()
    for name in selected:
        id, _, rest = name.partition(INSIDE)
        if rest:
            inner.setdefault(id, []).append(rest)
        else:
            whole.add(id)
    if not inner and not whole:
        return workflow
    jobs = {name: workflow.jobs[name] for name in closure(workflow, [*whole, *inner])}
    for name in jobs:
        whole.update(jobs[name].needs)
    for name in inner.keys() - whole:
        called = jobs[name].called
        if called is None:
            raise UserError(f"{workflow.path}: job '{name}' calls no workflow that is at hand")
        jobs[name] = replace(jobs[name], called=select(called, inner[name]))
    return replace(workflow, jobs=jobs)


def ancestors(workflow: Workflow, job: str) -> frozenset[str]:
    """Everything that a job needs, directly or not."""
    return frozenset(closure(workflow, [job])) - {job}


def stages(workflow: Workflow) -> dict[str, int]:
    """Each job with the stage in which it can run at the earliest, from 1: one after the last of its needs. In order of stages."""
    found: dict[str, int] = {}
    for name in order(workflow):
        found[name] = 1 + max((found[need] for need in workflow.jobs[name].needs), default=0)
    return dict(sorted(found.items(), key=lambda item: item[1]))
