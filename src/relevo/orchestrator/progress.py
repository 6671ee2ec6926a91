"""What is known of a run, gathered from its public events. No I/O; views, exit codes and the API read it."""

from __future__ import annotations

from typing import Any, Final

#: Jobs with these statuses will not change any more.
ENDED: Final = frozenset({"succeeded", "failed", "cancelled", "timed-out", "skipped"})
RUN_ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
_NOT_OK: Final = frozenset({"failed", "timed-out"})


class StepProgress:
    """A step of a job's current attempt."""

    __slots__ = (
        "conclusion",
        "ended_ms",
        "exit_code",
        "lost",
        "message",
        "name",
        "outcome",
        "started_ms",
        "took_ms",
    )

    def __init__(self, name: str, started_ms: int | None) -> None:
        self.name = name
        self.started_ms = started_ms
        self.ended_ms: int | None = None
        self.took_ms: int | None = None
        self.outcome = ""  #: "" while it runs
        self.conclusion = ""
        self.exit_code: int | None = None
        self.message = ""
        self.lost = False  #: it was at work when its attempt was lost: how it ended is not known


class JobProgress:
    """A job, and the steps of its last attempt."""

    __slots__ = (
        "agent",
        "assigned_ms",
        "attempts",
        "calls",
        "ended_ms",
        "group",
        "infrastructure",
        "labels",
        "log_size",
        "message",
        "name",
        "needs",
        "node",
        "number",
        "outputs",
        "preempted",
        "queued_ms",
        "started_ms",
        "status",
        "steps",
    )

    def __init__(self, name: str, number: int = 0) -> None:
        self.name = name
        self.number = number  #: in the order in which the run got its jobs, from 0
        self.node = ""  #: the job of the file that it is a leg of
        self.needs: list[str] = []
        self.labels: list[str] = []
        self.calls = ""  #: the file that it calls
        self.agent = ""  #: that has, or had, its last attempt
        self.queued_ms: int | None = None  #: of the last attempt, as assigned_ms
        self.assigned_ms: int | None = None
        self.status = "pending"
        self.attempts = 0
        self.message = ""
        self.group = ""  #: the concurrency group that it asked for last
        self.preempted = False  #: it waits again because it made room for another job
        self.infrastructure = False  #: it failed because what it ran on was lost again and again
        self.started_ms: int | None = None  #: of the first attempt
        self.ended_ms: int | None = None
        self.log_size = 0  #: bytes of the last attempt's log, once it has ended
        self.outputs: dict[str, str] = {}
        self.steps: dict[int, StepProgress] = {}

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def broken(self) -> bool:
        """It ended, and not well."""
        return self.status in _NOT_OK

    def took_ms(self, now_ms: int | None = None) -> int | None:
        """Milliseconds from its first start to its end (or `now_ms`); None when it never started."""
        end = self.ended_ms if self.ended_ms is not None else now_ms
        return None if self.started_ms is None or end is None else max(0, end - self.started_ms)

    def failing_step(self) -> tuple[int, StepProgress] | None:
        """The first step of the last attempt that decided against the job."""
        for index, step in sorted(self.steps.items()):
            if step.conclusion in ("failure", "cancelled"):
                return index, step
        return None


class Progress:
    """A run as told so far. `apply` takes its events in order."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.workflow = ""
        self.title = ""
        self.trigger = ""
        self.status = "pending"
        self.message = ""
        self.group = ""  #: the concurrency group that the run waits for
        self.sequence = 0  #: of the last event
        self.started_ms: int | None = None
        self.ended_ms: int | None = None
        self.nodes: dict[str, list[str]] = {}  #: jobs as the files have them, with those that they need
        self.jobs: dict[str, JobProgress] = {}
        self.calls: dict[str, JobProgress] = {}  #: jobs that only stand for those that they called
        self.counts: dict[str, int] = {}  #: jobs by status
        self.warnings: list[str] = []
        self.summaries: list[tuple[str, str, str]] = []  #: job, step, markdown
        self.artifacts: dict[str, int] = {}  #: name to bytes
        self._added = 0
        self.annotations: list[dict[str, Any]] = []

    @property
    def ended(self) -> bool:
        return self.status in RUN_ENDED

    @property
    def jobs_ended(self) -> int:
        return sum(count for status, count in self.counts.items() if status in ENDED)

    def took_ms(self) -> int | None:
        """Milliseconds from acceptance to the end; None while it runs."""
        if self.started_ms is None or self.ended_ms is None:
            return None
        return max(0, self.ended_ms - self.started_ms)

    def apply(self, event: dict[str, Any]) -> None:
        """Take the next event. Kinds that a newer engine may send are let pass."""
        self.sequence = max(self.sequence, event.get("seq", 0))
        kind: str = event["event"]
        if kind.startswith("run."):
            self._run(kind, event)
        elif kind == "job.calling":
            self._calling(event["job"], event.get("at"))
        elif event.get("job") in self.calls:
            self._call(kind, event, self.calls[event["job"]])
        elif "job" in event:
            self._job(kind, event, self._named(event["job"]))
        elif kind == "node.added":
            self.nodes[event["node"]] = event["needs"]
        elif kind == "warning":
            self.warnings.append(event["message"])

    def _named(self, name: str) -> JobProgress:
        job = self.jobs.get(name)
        if job is None:
            job = self.jobs[name] = JobProgress(name, self._added)
            self._added += 1
            self.counts["pending"] = self.counts.get("pending", 0) + 1
        return job

    def _calling(self, name: str, at_ms: int | None) -> None:
        job = self.calls[name] = self._named(name)
        del self.jobs[name]
        self.counts[job.status] -= 1
        job.status = "calling"
        job.started_ms = at_ms

    def _call(self, kind: str, event: dict[str, Any], call: JobProgress) -> None:
        if kind == "job.finished":
            call.status = event["status"]
            call.message = event.get("message", "")
            call.outputs = event.get("outputs") or {}
            call.ended_ms = event.get("at")

    def _run(self, kind: str, event: dict[str, Any]) -> None:
        match kind:
            case "run.accepted":
                self.workflow = event.get("workflow", "")
                self.title = event.get("title", "")
                self.trigger = event.get("trigger", "")
                self.started_ms = event.get("at")
            case "run.waiting":
                self.group = event["group"]
            case "run.granted":
                self.group = ""
            case "run.started" | "run.released":
                self.status = "running"
            case "run.cancelling":
                self.status = "cancelling"
                self.message = event.get("reason", "")
            case "run.held":
                self.status = "held"
            case "run.finished":
                self.status = event["status"]
                self.message = event.get("message", "") or self.message
                self.ended_ms = event.get("at")

    def _job(self, kind: str, event: dict[str, Any], job: JobProgress) -> None:
        match kind:
            case "job.added":
                job.needs = event.get("needs", [])
                job.node = event.get("node", "")
                job.labels = event.get("labels", [])
                job.calls = event.get("calls", "")
            case "job.queued":
                job.queued_ms = event.get("at")
                self._become(job, "queued")
            case "job.starting" | "job.cancelling":
                self._become(job, kind.removeprefix("job."))
            case "job.waiting":
                job.group = event["group"]
                self._become(job, "waiting")
            case "job.assigned":
                job.attempts = event["attempt"]
                job.agent = event.get("agent", "")
                job.assigned_ms = event.get("at")
                self._become(job, "assigned")
            case "job.running":
                job.attempts = event["attempt"]
                job.steps = {}
                if job.started_ms is None:
                    job.started_ms = event.get("at")
                self._become(job, "running")
            case "job.preempting":
                job.message = f"preempted for job '{event['for_job']}' of run {event['for_run']}"
                self._become(job, "preempting")
            case "job.held":
                job.message = event.get("message", "")
                self._become(job, "held")
            case "job.retrying":
                job.message = event.get("message", "")
                job.preempted = event.get("preempted", False)
                self._become(job, "queued")
            case "job.finished":
                job.attempts = event.get("attempts", job.attempts)
                job.message = event.get("message", "")
                job.infrastructure = event.get("infrastructure", False)
                job.outputs = event.get("outputs") or {}
                job.ended_ms = event.get("at")
                self._become(job, event["status"])
            case "attempt.finished":
                job.log_size = event.get("log_size", 0)
                if event.get("result") == "lost":
                    for step in job.steps.values():
                        if not step.conclusion:
                            step.lost, step.ended_ms = True, event.get("at")
            case "step.started":
                job.steps[event["step"]] = StepProgress(event["name"], event.get("at"))
            case "step.finished":
                self._step_finished(job, event)
            case "annotation":
                self.annotations.append(event)
            case "artifact":
                self.artifacts[event["name"]] = event.get("size", 0)

    def _step_finished(self, job: JobProgress, event: dict[str, Any]) -> None:
        step = job.steps.setdefault(event["step"], StepProgress(event["name"], None))
        step.outcome = event["outcome"]
        step.conclusion = event["conclusion"]
        step.exit_code = event.get("exit_code")
        step.message = event.get("message", "")
        step.ended_ms = event.get("at")
        if step.started_ms is not None and "at" in event:
            step.took_ms = max(0, event["at"] - step.started_ms)
        if event.get("summary"):
            self.summaries.append((job.name, step.name, event["summary"]))

    def _become(self, job: JobProgress, status: str) -> None:
        if job.status != status:
            self.counts[job.status] -= 1
            self.counts[status] = self.counts.get(status, 0) + 1
            job.status = status


def final(progress: Progress) -> dict[str, Any]:
    """The last line of --json."""
    told: dict[str, Any] = {
        "v": 1,
        "run": progress.run,
        "status": progress.status,
        "jobs": {
            name: {"status": job.status, "attempts": job.attempts} for name, job in progress.jobs.items()
        },
    }
    if progress.calls:
        told["calls"] = {name: {"status": call.status} for name, call in progress.calls.items()}
    return told
