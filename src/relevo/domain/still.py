"""Whether an event that others entail still makes sense, after those that happened before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from relevo.domain import events as e
from relevo.domain.run import ACTIVE, Run
from relevo.domain.states import JOB_ENDS, JobStatus

_PENDING: Final = JobStatus.PENDING
_MAY_BE_CANCELLED: Final = ACTIVE - {JobStatus.CANCELLING}


def _runs(run: Run, event: e.JobCancelling) -> bool:
    return run.jobs[event.job].status in _MAY_BE_CANCELLED


def _waits(run: Run, event: e.JobsQueued | e.CallsOpened | e.JobsWaiting) -> bool:
    jobs = run.jobs
    node = jobs[event.jobs[0]].node
    if node.max_parallel is not None and node.active >= node.max_parallel:
        return False
    return all(jobs[index].status is _PENDING for index in event.jobs)


def _lives(run: Run, event: e.RunEnded) -> bool:
    return not run.ended


def _open(run: Run, event: e.JobEnded) -> bool:
    return run.jobs[event.job].status not in JOB_ENDS


def _called(run: Run, event: e.CallCancelling) -> bool:
    return not run.jobs[event.job].cancelling


def _stuck(run: Run, event: e.RunHeld) -> bool:
    return run.stuck


#: Those that are not named here always do.
STILL: Final[dict[type, Callable[[Run, Any], bool]]] = {
    e.JobCancelling: _runs,
    e.JobsQueued: _waits,
    e.CallsOpened: _waits,
    e.JobsWaiting: _waits,
    e.RunEnded: _lives,
    e.JobEnded: _open,
    e.CallCancelling: _called,
    e.RunHeld: _stuck,
}
