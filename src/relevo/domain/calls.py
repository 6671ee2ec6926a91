"""What a call comes to: the status of a job that called a workflow, from the jobs of that workflow."""

from __future__ import annotations

from typing import Final

from relevo.domain.run import Job
from relevo.domain.states import JobStatus

#: The first of these that one of its jobs has is the call's.
_BY_WEIGHT: Final = (
    JobStatus.FAILED,
    JobStatus.TIMED_OUT,
    JobStatus.CANCELLED,
    JobStatus.SUCCEEDED,
    JobStatus.SKIPPED,
)


def status_of_call(call: Job) -> JobStatus:
    """The status of a call all of whose jobs have ended. What may fail (`continue-on-error`) counts as succeeded."""
    found = {
        JobStatus.SUCCEEDED
        if job.decl.continue_on_error and job.status is not JobStatus.SKIPPED
        else job.status
        for node in call.nodes
        for job in node.jobs
    }
    return next((status for status in _BY_WEIGHT if status in found), JobStatus.SKIPPED)
