"""The run as lines: who says it, then what. Nothing is ever redrawn, so that it reads the same in a file."""

from __future__ import annotations

from typing import Any, Final

from relevo.cli.cells import cells, fitted, padded
from relevo.cli.lines import Lines
from relevo.cli.output import Output, note
from relevo.cli.palette import Palette
from relevo.cli.summary import summary
from relevo.cli.text import counted, duration, one_line
from relevo.cli.wording import annotation, heading, reason
from relevo.orchestrator.progress import JobProgress, Progress

#: Names wider than this are cut in the middle.
NAME_WIDTH: Final = 28
#: With more jobs than this, single jobs that go well are no longer told.
CROWD: Final = 100
#: Jobs that fail in a crowd and are told one by one.
FAILURES: Final = 50


class PlainView:
    """See view.View."""

    def __init__(self, output: Output, palette: Palette, *, program: str = "relevo") -> None:
        self._out = output
        self._palette = palette
        self._program = program
        self._width = 8
        self._numbers: dict[str, int] = {}  #: of jobs, in order of appearance: their colours
        self._lines: dict[str, tuple[int, Lines]] = {}  #: by job: the step that wrote last, and its open line
        self._crowded = False
        self._told_ms = 0
        self._failures = 0

    @property
    def wants_logs(self) -> bool:
        return not self._crowded

    async def room(self) -> None:
        await self._out.room()

    async def flushed(self) -> bool:
        return await self._out.flushed()

    def close(self) -> None:
        """Lines stay as they are."""

    explains = False

    def reasons(self, reasons: dict[str, str]) -> None:
        """Not shown."""

    def caught_up(self, progress: Progress) -> None:
        self._grow(progress)
        self._out.line(heading(progress, self._palette))
        if progress.jobs:
            self._out.line(self._palette("dim", f"so far: {self._counts(progress)}"))

    def event(self, event: dict[str, Any], progress: Progress) -> None:
        kind: str = event["event"]
        if kind == "job.added":
            self._grow(progress)
        elif kind.startswith("run.") or kind == "warning":
            self._run_event(kind, event, progress)
        elif event.get("job") in progress.calls:
            pass  # the jobs in it tell
        elif self._crowded:
            self._crowd_event(kind, event, progress)
        elif "job" in event:
            self._job_event(kind, event, progress.jobs[event["job"]])

    def log(self, job: str, step: int, data: bytes) -> None:
        known = self._lines.get(job)
        if known is None or known[0] != step:
            if known is not None:
                self._put(job, known[1].feed(b"", final=True))
            known = self._lines[job] = (step, Lines(colours=self._palette.coloured, annotations=False))
        self._put(job, known[1].feed(data))

    def note(self, text: str) -> None:
        note(text)

    def summary(self, progress: Progress, tails: dict[str, list[str]]) -> None:
        for job in list(self._lines):
            self._finish_line(job)
        for line in summary(progress, tails, self._palette, program=self._program):
            self._out.line(line)

    def _grow(self, progress: Progress) -> None:
        if not self._crowded and len(progress.jobs) > CROWD:
            self._crowded = True
            told = f"more than {CROWD} jobs: only what fails is shown from here on, and how far it is"
            self._out.line(self._palette("dim", told))
        if not self._crowded:
            for name in reversed(progress.jobs):
                if name in self._numbers:
                    break
                self._numbers[name] = len(self._numbers)
                self._width = max(self._width, min(cells(name), NAME_WIDTH))

    def _run_event(self, kind: str, event: dict[str, Any], progress: Progress) -> None:
        match kind:
            case "run.accepted":
                self._out.line(heading(progress, self._palette))
            case "run.cancelling":
                self._out.line(self._palette("warning", "cancelling: always() steps still run"))
            case "warning":
                self._out.line(self._palette("warning", f"warning: {one_line(event['message'])}"))

    def _job_event(self, kind: str, event: dict[str, Any], job: JobProgress) -> None:
        match kind:
            case "job.running":
                again = f" (attempt {job.attempts})" if job.attempts > 1 else ""
                self._say(job.name, self._palette("dim", f"▸ started{again}"))
            case "step.started":
                self._finish_line(job.name)
                self._say(job.name, self._palette("bold", f"▸ {one_line(event['name'])}"))
            case "step.finished":
                self._finish_line(job.name)
                self._step_finished(event, job)
            case "annotation":
                self._say(job.name, annotation(event, self._palette))
            case "artifact":
                self._say(job.name, self._palette("dim", f"artifact {event['name']}"))
            case "job.preempting":
                self._say(job.name, self._palette("warning", f"■ {one_line(job.message)}"))
            case "job.cancelling":
                self._say(job.name, self._palette("warning", "■ cancelling"))
            case "job.held":
                self._say(job.name, self._palette("warning", f"? held: {one_line(job.message)}"))
            case "job.retrying":
                self._finish_line(job.name)
                why = one_line(job.message)
                told = "waits again" if job.preempted else "trying again"
                self._say(job.name, self._palette("warning", f"↻ {told}{f': {why}' if why else ''}"))
            case "job.finished":
                self._finish_line(job.name)
                self._job_finished(job)

    def _step_finished(self, event: dict[str, Any], job: JobProgress) -> None:
        step = job.steps[event["step"]]
        if step.outcome == "skipped":
            return
        if step.outcome == "success":
            told = f"{self._palette('good', '✓')} {one_line(step.name)}"
        else:
            forgiven = ", and the job goes on" if step.conclusion == "success" else ""
            look = "warning" if forgiven or step.outcome == "cancelled" else "bad"
            told = self._palette(look, f"✗ {one_line(step.name)}: {reason(step)}{forgiven}")
        self._say(job.name, f"{told}  {self._palette('dim', duration(step.took_ms))}".rstrip())

    def _job_finished(self, job: JobProgress) -> None:
        why = f": {one_line(job.message)}" if job.message and job.status != "succeeded" else ""
        took = duration(job.took_ms())
        told = self._palette.status(job.status, f"{job.status}{why}")
        self._say(job.name, f"{self._palette.mark(job.status)} {told}{f' in {took}' if took else ''}")
        self._lines.pop(job.name, None)

    def _crowd_event(self, kind: str, event: dict[str, Any], progress: Progress) -> None:
        if kind == "job.finished":
            job = progress.jobs[event["job"]]
            if job.broken:
                self._failures += 1
                if self._failures <= FAILURES:
                    self._job_finished(job)
                elif self._failures == FAILURES + 1:
                    self._out.line(self._palette("bad", "more jobs fail: they are counted, no longer named"))
            at: int = event.get("at", 0)
            if at - self._told_ms >= 1000:
                self._told_ms = at
                self._out.line(self._palette("dim", f"· {self._counts(progress)}"))
        elif kind == "job.held":
            self._job_event(kind, event, progress.jobs[event["job"]])

    def _counts(self, progress: Progress) -> str:
        told = [f"{progress.jobs_ended:,} of {counted(len(progress.jobs), 'job')} done"]
        told += [
            f"{progress.counts[status]:,} {status}"
            for status in ("running", "failed", "timed-out", "held", "cancelled")
            if progress.counts.get(status)
        ]
        return ", ".join(told)

    def _finish_line(self, job: str) -> None:
        known = self._lines.pop(job, None)
        if known is not None:
            self._put(job, known[1].feed(b"", final=True))

    def _prefix(self, job: str) -> str:
        width = max(self._width, 8)
        name = padded(fitted(one_line(job), width), width)
        return f"{self._palette.name(name, self._numbers.get(job, 0))} {self._palette('dim', '│')} "

    def _say(self, job: str, text: str) -> None:
        self._out.line(f"{self._prefix(job)}{text}")

    def _put(self, job: str, lines: list[str]) -> None:
        if lines:
            prefix = self._prefix(job)
            # A line may leave a colour on: it ends with the line.
            end = "\x1b[0m\n" if self._palette.coloured and any("\x1b" in line for line in lines) else "\n"
            self._out.write("".join(f"{prefix}{line}{end}" for line in lines))
