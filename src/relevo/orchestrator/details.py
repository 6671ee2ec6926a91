"""A run in full, as `relevo show --json` and `GET /runs/{run}` tell it: one shape, made of its events and its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from relevo.orchestrator.api import Wait
from relevo.orchestrator.progress import JobProgress, Progress
from relevo.store.contract import RunRow

VERSION: Final = 1


class StepDetails(Struct):
    """A step of a job's last attempt. `outcome` and `conclusion` are "" while it runs."""

    step: int
    name: str
    status: str  #: running, succeeded, failed, cancelled, skipped; lost: how it ended is not known
    outcome: str
    conclusion: str
    exit_code: int | None
    message: str
    started_ms: int | None
    ended_ms: int | None
    took_ms: int | None


class JobDetails(Struct):
    """A job. Times are Unix milliseconds; `log_size` is in bytes, and of the last attempt once that has ended."""

    number: int  #: in the order in which the run got its jobs, from 0: what the API names it by
    name: str
    node: str
    needs: list[str]
    labels: list[str]
    calls: str  #: the workflow file that it calls; "": it has steps of its own
    status: str
    attempts: int
    attempt: int  #: the last one; 0: there was none
    message: str
    outputs: dict[str, str]
    agent: str
    queued_ms: int | None
    assigned_ms: int | None
    started_ms: int | None
    ended_ms: int | None
    took_ms: int | None
    log_size: int
    steps: list[StepDetails]


class Node(Struct):
    """A job as its file has it: known before the jobs (the legs of its matrix) that it becomes."""

    node: str
    needs: list[str]


class Summary(Struct):
    """What a step wrote to GITHUB_STEP_SUMMARY."""

    job: str
    step: str
    markdown: str


class RunDetails(Struct):
    """A run. `seq`: what comes after it is told by the events after that sequence."""

    v: int
    run: str
    workflow: str
    title: str
    trigger: str
    status: str
    message: str
    created_ms: int
    ended_ms: int | None
    retried_from: str | None
    run_attempt: int
    seq: int
    nodes: list[Node]
    jobs: list[JobDetails]
    annotations: list[dict[str, Any]]
    artifacts: dict[str, int]  #: name to bytes
    summaries: list[Summary]
    warnings: list[str]
    waits: list[Wait] = []  #: why jobs wait, while it is live


#: Jobs that are encoded at a time.
PART_JOBS: Final = 200
#: In JSON, no text can hold it: there its quotes have a backslash.
_NO_JOBS: Final = b'"jobs":[]'
_encode: Final = msgspec.json.Encoder().encode
_STATUS: Final = {"success": "succeeded", "failure": "failed", "": "running"}


def details(progress: Progress, row: RunRow, waits: Sequence[Wait] = ()) -> RunDetails:
    """All of a run that was told so far, calls among its jobs. `waits`: why jobs wait."""
    jobs = sorted((*progress.jobs.values(), *progress.calls.values()), key=lambda job: job.number)
    return RunDetails(
        VERSION,
        progress.run,
        progress.workflow,
        progress.title,
        progress.trigger,
        progress.status,
        progress.message,
        row.created_ms,
        progress.ended_ms,
        row.retried_from,
        row.run_attempt,
        progress.sequence,
        [Node(*node) for node in progress.nodes.items()],
        [_job(job) for job in jobs],
        progress.annotations,
        progress.artifacts,
        [Summary(*summary) for summary in progress.summaries],
        progress.warnings,
        list(waits),
    )


def encoded(run: RunDetails) -> bytes:
    """Its JSON. Many jobs are encoded in parts, between which other threads have their turn."""
    if len(run.jobs) <= PART_JOBS:
        return _encode(run)
    head, mark, tail = _encode(msgspec.structs.replace(run, jobs=[])).partition(_NO_JOBS)
    assert mark
    parts = (run.jobs[start : start + PART_JOBS] for start in range(0, len(run.jobs), PART_JOBS))
    return b"".join((head, b'"jobs":[', b",".join(_encode(part)[1:-1] for part in parts), b"]", tail))


def _job(job: JobProgress) -> JobDetails:
    return JobDetails(
        job.number,
        job.name,
        job.node,
        job.needs,
        job.labels,
        job.calls,
        job.status,
        job.attempts,
        job.attempts,
        job.message,
        job.outputs,
        job.agent,
        job.queued_ms,
        job.assigned_ms,
        job.started_ms,
        job.ended_ms,
        job.took_ms(),
        job.log_size,
        [
            StepDetails(
                index,
                step.name,
                "lost" if step.lost else _STATUS.get(step.conclusion, step.conclusion),
                step.outcome,
                step.conclusion,
                step.exit_code,
                step.message,
                step.started_ms,
                step.ended_ms,
                step.took_ms,
            )
            for index, step in sorted(job.steps.items())
        ],
    )
