"""The states of runs, jobs, attempts, steps and members of concurrency groups. The legal moves between them stand in `tables.py`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class RunStatus(StrEnum):
    """A run, from acceptance to its end."""

    PENDING = "pending"  # accepted, nothing of it queued yet
    RUNNING = "running"
    CANCELLING = "cancelling"
    HELD = "held"  # all that can go on has ended; a held job asks what to do
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobStatus(StrEnum):
    """A job (one matrix leg), over all its attempts."""

    PENDING = "pending"  # waits for its needs, or for max-parallel
    WAITING = "waiting"  # for its concurrency group
    CALLING = "calling"  # it calls a workflow, whose jobs go on
    QUEUED = "queued"  # the scheduler may place it
    ASSIGNED = "assigned"  # an agent has it, and no worker yet
    STARTING = "starting"  # its worker is being made
    RUNNING = "running"
    PREEMPTING = "preempting"  # it makes room for another, and then waits again
    CANCELLING = "cancelling"
    HELD = "held"  # lost where running it again is not safe: asks retry or fail
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"
    SKIPPED = "skipped"


class AttemptStatus(StrEnum):
    """One try at a job."""

    ASSIGNED = "assigned"
    STARTING = "starting"
    RUNNING = "running"
    PREEMPTING = "preempting"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"
    LOST = "lost"  # the infrastructure under it went away before its end record was spooled
    PREEMPTED = "preempted"  # ended for another job


class MemberStatus(StrEnum):
    """A run or a job in a concurrency group, until it lets go of it."""

    WAITING = "waiting"
    HOLDING = "holding"  # it is at work, and nobody else
    LEAVING = "leaving"  # it still is, and was told to end
    REFUSED = "refused"  # it never gets it, and was told so


class StepStatus(StrEnum):
    """A step of an attempt."""

    PENDING = "pending"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"
    SKIPPED = "skipped"


#: By their text: many times faster than asking the class.
RUN_STATUS: Final = {str(status.value): status for status in RunStatus}
JOB_STATUS: Final = {str(status.value): status for status in JobStatus}
ATTEMPT_STATUS: Final = {str(status.value): status for status in AttemptStatus}

RUN_ENDS: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
JOB_ENDS: Final = frozenset(
    {
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
        JobStatus.TIMED_OUT,
        JobStatus.SKIPPED,
    }
)
#: Its current attempt is with an agent, or on its way there.
AT_AGENT: Final = frozenset(
    {
        JobStatus.ASSIGNED,
        JobStatus.STARTING,
        JobStatus.RUNNING,
        JobStatus.PREEMPTING,
        JobStatus.CANCELLING,
    }
)
ATTEMPT_ENDS: Final = frozenset(
    {
        AttemptStatus.SUCCEEDED,
        AttemptStatus.FAILED,
        AttemptStatus.CANCELLED,
        AttemptStatus.TIMED_OUT,
        AttemptStatus.LOST,
        AttemptStatus.PREEMPTED,
    }
)
STEP_ENDS: Final = frozenset(
    {
        StepStatus.SUCCEEDED,
        StepStatus.FAILED,
        StepStatus.CANCELLED,
        StepStatus.TIMED_OUT,
        StepStatus.SKIPPED,
    }
)
