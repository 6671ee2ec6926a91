"""Exit codes: part of what scripts rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from relevo.orchestrator.progress import Progress

SUCCEEDED: Final = 0  #: or nothing to resume
FAILED: Final = 1
BAD_INPUT: Final = 2
HELD: Final = 3  #: a job asks: relevo retry --job, or relevo fail --job
INFRASTRUCTURE: Final = 4  #: lost again and again, or relevo itself failed
CANCELLED: Final = 130
CLOSED_PIPE: Final = 141  #: as the shell tells a program that SIGPIPE ended


def signalled(number: int) -> int:
    """The code of a command that a signal made leave."""
    return 128 + number


def of(progress: Progress) -> int:
    """The code of a command that followed a run. A failure of the work itself counts more than one of what it ran on."""
    match progress.status:
        case "succeeded":
            return SUCCEEDED
        case "cancelled":
            return CANCELLED
        case "held":
            return HELD
        case "failed":
            broken = [job for job in progress.jobs.values() if job.broken]
            lost = bool(broken) and all(job.infrastructure for job in broken)
            return INFRASTRUCTURE if lost else FAILED
        case _:
            return INFRASTRUCTURE  # the stream ended before the run did
