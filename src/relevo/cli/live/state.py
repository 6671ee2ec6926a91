"""What the live view knows of a run beyond its progress: the jobs that run, with the ends of their logs."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from relevo.cli.live.folds import Folds
from relevo.orchestrator.progress import JobProgress, Progress

#: With more jobs than this, only those that fail are told one by one.
CROWD: Final = 100
#: Annotations of a job that are kept to be shown.
ANNOTATIONS: Final = 10
#: Jobs of a crowd that failed last, kept to be shown.
FAILED: Final = 3


class Running:
    """A job that runs."""

    __slots__ = ("annotated", "annotations", "job", "log", "step")

    def __init__(self, job: JobProgress) -> None:
        self.job = job
        self.step = -1  #: that wrote last
        self.log = Folds()
        self.annotations: list[dict[str, Any]] = []  #: the first few
        self.annotated = 0  #: how many there were

    def wrote(self, step: int, data: bytes) -> None:
        """Take bytes of its log."""
        if step != self.step:
            self.step = step
            self.log = Folds()
        self.log.feed(data)

    def annotate(self, event: dict[str, Any]) -> None:
        """Take an annotation."""
        self.annotated += 1
        if len(self.annotations) < ANNOTATIONS:
            self.annotations.append(event)


class LiveState:
    """Of one run. `progress` is kept by whoever follows the run."""

    __slots__ = ("failed", "progress", "reasons", "running")

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.running: dict[str, Running] = {}  #: by job, in order of their start
        self.reasons: dict[str, str] = {}  #: why jobs wait that have for a while
        self.failed: deque[JobProgress] = deque(maxlen=FAILED)

    @property
    def crowded(self) -> bool:
        return len(self.progress.jobs) > CROWD

    def begin(self, job: str) -> None:
        """A job runs, perhaps again."""
        self.running[job] = Running(self.progress.jobs[job])

    def end(self, job: str) -> Running | None:
        """A job does not run any more; what was known of it."""
        found = self.progress.jobs[job]
        if found.broken:
            self.failed.append(found)
        return self.running.pop(job, None)
