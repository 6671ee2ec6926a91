"""The transition tables: which state may follow which. Written as data, so that they can be drawn and checked.

run      pending → running → succeeded | failed | cancelled, by way of cancelling or held
job      pending → (waiting) → queued → assigned → (starting) → running → an end; back to pending or queued for a retry;
         one that makes room for another: preempting → queued
         one that calls a workflow: pending → (waiting) → calling → an end
attempt  assigned → (starting) → running → an end; lost from anywhere but an end; preempting → preempted
step     pending → running → an end
member   waiting → holding → leaving; refused instead; of a concurrency group, which it lets go of from any of them
"""

from __future__ import annotations

from typing import Final, TypeVar

from relevo.domain.errors import InvalidTransition
from relevo.domain.states import (
    ATTEMPT_ENDS,
    JOB_ENDS,
    RUN_ENDS,
    STEP_ENDS,
    AttemptStatus,
    JobStatus,
    MemberStatus,
    RunStatus,
    StepStatus,
)

S = TypeVar("S", RunStatus, JobStatus, AttemptStatus, StepStatus, MemberStatus)
Table = dict[S, frozenset[S]]

RUN: Final[Table[RunStatus]] = {
    RunStatus.PENDING: frozenset(
        {RunStatus.RUNNING, RunStatus.CANCELLING, RunStatus.HELD, *RUN_ENDS},
    ),
    RunStatus.RUNNING: frozenset({RunStatus.CANCELLING, RunStatus.HELD, *RUN_ENDS}),
    RunStatus.CANCELLING: frozenset(RUN_ENDS),
    RunStatus.HELD: frozenset({RunStatus.RUNNING, RunStatus.CANCELLING, *RUN_ENDS}),
    RunStatus.SUCCEEDED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}

JOB: Final[Table[JobStatus]] = {
    # Succeeded at once: it did so in the run that this one retries.
    JobStatus.PENDING: frozenset(
        {
            JobStatus.WAITING,
            JobStatus.QUEUED,
            JobStatus.CALLING,
            JobStatus.SUCCEEDED,
            JobStatus.SKIPPED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        },
    ),
    JobStatus.WAITING: frozenset(
        {JobStatus.QUEUED, JobStatus.CALLING, JobStatus.CANCELLED, JobStatus.FAILED}
    ),
    JobStatus.CALLING: frozenset(JOB_ENDS),
    JobStatus.QUEUED: frozenset({JobStatus.ASSIGNED, JobStatus.CANCELLED, JobStatus.FAILED}),
    # Back to queued or pending: the attempt was lost, or is retried by the job's own rule.
    JobStatus.ASSIGNED: frozenset(
        {
            JobStatus.STARTING,
            JobStatus.RUNNING,
            JobStatus.PREEMPTING,
            JobStatus.CANCELLING,
            JobStatus.HELD,
            JobStatus.QUEUED,
            JobStatus.PENDING,
            *(JOB_ENDS - {JobStatus.SKIPPED}),
        },
    ),
    JobStatus.STARTING: frozenset(
        {
            JobStatus.RUNNING,
            JobStatus.PREEMPTING,
            JobStatus.CANCELLING,
            JobStatus.HELD,
            JobStatus.QUEUED,
            JobStatus.PENDING,
            *(JOB_ENDS - {JobStatus.SKIPPED}),
        },
    ),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.PREEMPTING,
            JobStatus.CANCELLING,
            JobStatus.HELD,
            JobStatus.QUEUED,
            JobStatus.PENDING,
            *(JOB_ENDS - {JobStatus.SKIPPED}),
        },
    ),
    # A result can overtake the order, and a cancellation wins over it.
    JobStatus.PREEMPTING: frozenset(
        {
            JobStatus.CANCELLING,
            JobStatus.HELD,
            JobStatus.QUEUED,
            JobStatus.PENDING,
            *(JOB_ENDS - {JobStatus.SKIPPED}),
        },
    ),
    # A result can overtake the cancellation: the end that was reached first counts.
    JobStatus.CANCELLING: frozenset(JOB_ENDS - {JobStatus.SKIPPED}),
    JobStatus.HELD: frozenset({JobStatus.WAITING, JobStatus.QUEUED, JobStatus.FAILED, JobStatus.CANCELLED}),
    **{end: frozenset() for end in JOB_ENDS},
}

ATTEMPT: Final[Table[AttemptStatus]] = {
    AttemptStatus.ASSIGNED: frozenset(
        {
            AttemptStatus.STARTING,
            AttemptStatus.RUNNING,
            AttemptStatus.PREEMPTING,
            AttemptStatus.CANCELLING,
            *ATTEMPT_ENDS,
        },
    ),
    AttemptStatus.STARTING: frozenset(
        {AttemptStatus.RUNNING, AttemptStatus.PREEMPTING, AttemptStatus.CANCELLING, *ATTEMPT_ENDS}
    ),
    AttemptStatus.RUNNING: frozenset({AttemptStatus.PREEMPTING, AttemptStatus.CANCELLING, *ATTEMPT_ENDS}),
    AttemptStatus.PREEMPTING: frozenset({AttemptStatus.CANCELLING, *ATTEMPT_ENDS}),
    AttemptStatus.CANCELLING: frozenset(ATTEMPT_ENDS),
    **{end: frozenset() for end in ATTEMPT_ENDS},
}

STEP: Final[Table[StepStatus]] = {
    StepStatus.PENDING: frozenset({StepStatus.RUNNING, StepStatus.SKIPPED, StepStatus.CANCELLED}),
    StepStatus.RUNNING: frozenset({StepStatus.CANCELLING, *(STEP_ENDS - {StepStatus.SKIPPED})}),
    StepStatus.CANCELLING: frozenset(STEP_ENDS - {StepStatus.SKIPPED}),
    **{end: frozenset() for end in STEP_ENDS},
}

MEMBER: Final[Table[MemberStatus]] = {
    MemberStatus.WAITING: frozenset({MemberStatus.HOLDING, MemberStatus.REFUSED}),
    MemberStatus.HOLDING: frozenset({MemberStatus.LEAVING}),
    MemberStatus.LEAVING: frozenset(),
    MemberStatus.REFUSED: frozenset(),
}


def check(table: Table[S], what: str, source: S, target: S, story: tuple[str, ...] = ()) -> None:
    """Raise InvalidTransition when `table` has no way from `source` to `target`."""
    if target not in table[source]:
        raise InvalidTransition(what, source, target, story)
