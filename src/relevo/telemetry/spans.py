"""The spans of a run, derived from its public events.

    run ─┬─ job ─┬─ queue      from when it was queued until it had a place
         │       ├─ attempt ─┬─ step
         │       │           └─ step
         │       ├─ queue
         │       └─ attempt ── …       with a link to the attempt before it
         └─ job (a call) ── job …      the jobs that it calls

Spans nest in time: what a child's clock says beyond its parent, or before its elder sibling's end where they come one after
another, is cut. So a clock that was set, or that of another host, makes no trace that viewers refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

from relevo.telemetry import ids

#: Of one span; further ones are left out.
MOMENTS_LIMIT: Final = 128

#: What stands for a status in the conventions of OpenTelemetry (cicd.pipeline.result, cicd.pipeline.task.run.result).
RESULTS: Final = {
    "succeeded": "success",
    "success": "success",
    "failed": "failure",
    "failure": "failure",
    "timed-out": "timeout",
    "cancelled": "cancellation",
    "skipped": "skip",
    "lost": "error",
    "preempted": "cancellation",
}
ERRORS: Final = frozenset({"failure", "timeout", "error"})


class Moment(Struct, gc=False):
    """Something that happened within a span."""

    name: str
    at_ms: int
    attributes: dict[str, str | int]


class Span(Struct):
    """One span. Times are Unix milliseconds."""

    kind: str  #: run, job, queue, attempt, step
    name: str
    id: str
    parent: Span | None
    start_ms: int
    end_ms: int = -1  #: -1: it goes on
    result: str = ""  #: see RESULTS; "": there is none, or not yet
    message: str = ""
    job: int = -1  #: its number in the run
    attempt: int = 0
    step: int = -1
    agent: str = ""
    running_ms: int = -1  #: of an attempt: when its worker was there; -1: it never was
    exit_code: int | None = None
    link: tuple[str, str] | None = None  #: trace and span of what it does again
    moments: list[Moment] = []

    @property
    def failed(self) -> bool:
        """It went wrong, by itself or by what it ran on."""
        return self.result in ERRORS


class Trace(Struct):
    """All spans of a run, each after its parent."""

    run: str
    trace_id: str = ""
    given: str = ""  #: the traceparent that the run was submitted with
    state: str = ""  #: the tracestate
    workflow: str = ""
    title: str = ""
    trigger: str = ""
    run_attempt: int = 1
    ended: bool = False
    spans: list[Span] = []

    @property
    def parent_id(self) -> str:
        """The span that the run's own hangs on; "": none."""
        parent = ids.parse(self.given) if self.given else None
        return "" if parent is None else parent.span_id

    @property
    def sampled(self) -> bool:
        return ids.sampled(self.given)


def derive(run: str, events: Iterable[dict[str, Any]], now_ms: int) -> Trace:
    """The trace of a run from its public events, in order from the first. What goes on ends `now_ms`, with no result."""
    made = _Derivation(run)
    for event in events:
        made.take(event)
    return made.done(now_ms)


def attributes(trace: Trace, span: Span) -> Iterator[tuple[str, str | int]]:
    """A span's attributes, by the conventions of OpenTelemetry for CI/CD. Never a secret: what events hold is masked."""
    yield "relevo.kind", span.kind
    if span.kind == "run":
        yield "cicd.pipeline.name", trace.workflow
        yield "cicd.pipeline.run.id", trace.run
        yield "cicd.pipeline.action.name", "RUN"
        yield "relevo.run.title", trace.title
        yield "relevo.run.trigger", trace.trigger
        yield "relevo.run.attempt", trace.run_attempt
        if span.result:
            yield "cicd.pipeline.result", span.result
    else:
        places = (trace.run, span.job, span.attempt or None, span.step if span.step >= 0 else None)
        yield "cicd.pipeline.task.name", span.name
        yield "cicd.pipeline.task.run.id", "/".join(str(place) for place in places if place is not None)
        yield "cicd.pipeline.run.id", trace.run
        if span.result:
            yield "cicd.pipeline.task.run.result", span.result
    if span.attempt:
        yield "relevo.attempt", span.attempt
    if span.agent:
        yield "cicd.worker.name", span.agent
    if span.exit_code is not None:
        yield "process.exit.code", span.exit_code
    if span.failed:
        yield "error.type", span.result


class _Job:
    """What is open of a job."""

    __slots__ = ("attempt", "name", "number", "queue", "span", "steps")

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.span: Span | None = None
        self.queue: Span | None = None
        self.attempt: Span | None = None  #: the last one
        self.steps: dict[int, Span] = {}  #: of the last attempt


class _Derivation:
    def __init__(self, run: str) -> None:
        self._trace = Trace(run, ids.trace_of(run))
        self._jobs: dict[str, _Job] = {}
        self._calls: dict[str, _Job] = {}  # by what stands before the names of the jobs that it calls
        self._root: Span | None = None
        self._faults: set[str] = set()  # why jobs failed

    def take(self, event: dict[str, Any]) -> None:
        kind: str = event["event"]
        if kind == "run.accepted":
            self._accepted(event)
        if self._root is None:
            return
        if kind.startswith("run.") or kind == "warning":
            self._of_run(kind, event, self._root)
        elif kind == "job.added":
            self._jobs[event["job"]] = _Job(len(self._jobs), event["job"])
        else:
            job = self._jobs.get(event.get("job", ""))
            take = _TAKES.get(kind)
            if job is not None and take is not None:
                take(self, job, event)

    def done(self, now_ms: int) -> Trace:
        _nest(self._trace.spans, now_ms)
        return self._trace

    # --- the run ------------------------------------------------------------------------------------------------------

    def _accepted(self, event: dict[str, Any]) -> None:
        trace = self._trace
        trace.given = event.get("traceparent", "")
        trace.state = event.get("tracestate", "")
        trace.trace_id = ids.trace_of(trace.run, trace.given)
        trace.workflow = event.get("workflow", "")
        trace.title = event.get("title", "")
        trace.trigger = event.get("trigger", "")
        trace.run_attempt = event.get("run_attempt", 1)
        root = self._root = Span("run", trace.workflow, ids.run_span(trace.run), None, event["at"])
        before = event.get("retried_from")
        if before:
            root.link = (ids.trace_of(before, event.get("retried_traceparent", "")), ids.run_span(before))
        trace.spans.append(root)

    def _of_run(self, kind: str, event: dict[str, Any], root: Span) -> None:
        if kind == "run.finished":
            for job in self._jobs.values():
                if job.span is not None and job.span.end_ms < 0:
                    self._close_job(job, event["at"], "", "")
            result = RESULTS.get(event["status"], "")
            if result == "failure" and self._faults == {"error"}:
                result = "error"  # nothing that the run did failed: what it ran on did
            _close(root, event["at"], result, event.get("message", ""))
            self._trace.ended = True
        elif kind not in ("run.accepted", "run.started"):
            _note(root, kind, event, "reason", "message", "group")

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _open(self, parent: Span, kind: str, name: str, id: str, event: dict[str, Any], job: _Job) -> Span:
        span = Span(kind, name, id, parent, event["at"], job=job.number)
        self._trace.spans.append(span)
        return span

    def _span_of(self, job: _Job, event: dict[str, Any]) -> Span:
        if job.span is None:
            id = ids.job_span(self._trace.run, job.number)
            job.span = self._open(self._above(job.name), "job", job.name, id, event, job)
        return job.span

    def _above(self, name: str) -> Span:
        """The span of the call that a job is part of, else that of the run."""
        end = name.rfind(" / ")
        while end > 0:
            call = self._calls.get(name[:end])
            if call is not None and call.span is not None:
                return call.span
            end = name.rfind(" / ", 0, end)
        assert self._root is not None
        return self._root

    def _calling(self, job: _Job, event: dict[str, Any]) -> None:
        self._span_of(job, event)
        self._calls[job.name] = job

    def _queued(self, job: _Job, event: dict[str, Any]) -> None:
        above = self._span_of(job, event)
        if job.queue is None:
            attempt = (job.attempt.attempt if job.attempt is not None else 0) + 1
            id = ids.queue_span(self._trace.run, job.number, attempt)
            job.queue = self._open(above, "queue", f"queue {job.name}", id, event, job)
            job.queue.attempt = attempt

    def _assigned(self, job: _Job, event: dict[str, Any]) -> None:
        self._close_attempt(job, event["at"], "", "")
        self._close_queue(job, event["at"])
        above, number = self._span_of(job, event), event["attempt"]
        before = job.attempt
        id = ids.attempt_span(self._trace.run, job.number, number)
        job.attempt = self._open(above, "attempt", job.name, id, event, job)
        job.attempt.attempt, job.attempt.agent = number, event.get("agent", "")
        job.steps = {}
        if before is not None:
            job.attempt.link = (self._trace.trace_id, before.id)

    def _on_attempt(self, job: _Job, event: dict[str, Any]) -> None:
        if job.attempt is not None:
            _note(job.attempt, event["event"], event)
            if event["event"] == "job.running":
                job.attempt.running_ms = event["at"]

    def _on_job(self, job: _Job, event: dict[str, Any]) -> None:
        fields = ("message", "reason", "group", "for_run", "for_job")
        _note(self._span_of(job, event), event["event"], event, *fields)

    def _retrying(self, job: _Job, event: dict[str, Any]) -> None:
        self._on_job(job, event)
        self._close_attempt(job, event["at"], "error", "")
        if not event.get("delay_s"):
            self._queued(job, event)

    def _ended(self, job: _Job, event: dict[str, Any]) -> None:
        self._close_attempt(job, event["at"], RESULTS.get(event["result"], ""), event.get("message", ""))

    def _finished(self, job: _Job, event: dict[str, Any]) -> None:
        self._span_of(job, event)
        result = RESULTS.get(event["status"], "")
        if result == "failure" and event.get("infrastructure"):
            result = "error"
        if result in ERRORS:
            self._faults.add(result)
        self._close_job(job, event["at"], result, event.get("message", ""))

    def _close_job(self, job: _Job, at_ms: int, result: str, message: str) -> None:
        self._close_queue(job, at_ms)
        self._close_attempt(job, at_ms, result, message)
        if job.span is not None:
            _close(job.span, at_ms, result, message)

    def _close_queue(self, job: _Job, at_ms: int) -> None:
        if job.queue is not None:
            _close(job.queue, at_ms, "", "")
            job.queue = None

    def _close_attempt(self, job: _Job, at_ms: int, result: str, message: str) -> None:
        attempt = job.attempt
        if attempt is not None and attempt.end_ms < 0:
            for step in job.steps.values():
                if step.end_ms < 0:
                    _close(step, at_ms, result, "")  # nobody saw its end
            _close(attempt, at_ms, result, message)

    # --- steps --------------------------------------------------------------------------------------------------------

    def _step_started(self, job: _Job, event: dict[str, Any]) -> None:
        attempt, step = job.attempt, event["step"]
        if attempt is None or attempt.attempt != event["attempt"] or step in job.steps:
            return
        id = ids.step_span(self._trace.run, job.number, attempt.attempt, step)
        span = job.steps[step] = self._open(attempt, "step", event["name"], id, event, job)
        span.attempt, span.step = attempt.attempt, step

    def _step_finished(self, job: _Job, event: dict[str, Any]) -> None:
        span = job.steps.get(event["step"])
        if span is not None and span.end_ms < 0 and span.attempt == event["attempt"]:
            span.exit_code = event.get("exit_code")
            _close(span, event["at"], RESULTS.get(event["outcome"], ""), event.get("message", ""))

    def _annotation(self, job: _Job, event: dict[str, Any]) -> None:
        span = job.steps.get(event["step"]) or job.attempt or self._span_of(job, event)
        _note(span, "annotation", event, "level", "message", "title", "file", "line")


_TAKES: Final = {
    "job.calling": _Derivation._calling,
    "job.waiting": _Derivation._on_job,
    "job.queued": _Derivation._queued,
    "job.assigned": _Derivation._assigned,
    "job.starting": _Derivation._on_attempt,
    "job.running": _Derivation._on_attempt,
    "job.preempting": _Derivation._on_job,
    "job.cancelling": _Derivation._on_job,
    "job.held": _Derivation._on_job,
    "job.retrying": _Derivation._retrying,
    "job.finished": _Derivation._finished,
    "attempt.finished": _Derivation._ended,
    "step.started": _Derivation._step_started,
    "step.finished": _Derivation._step_finished,
    "annotation": _Derivation._annotation,
}


def _close(span: Span, at_ms: int, result: str, message: str) -> None:
    span.end_ms, span.result, span.message = max(at_ms, 0), result, message


def _note(span: Span, name: str, event: dict[str, Any], *fields: str) -> None:
    if len(span.moments) < MOMENTS_LIMIT:
        told = {field: event[field] for field in fields if event.get(field)}
        span.moments.append(Moment(name, event["at"], told))


def _nest(spans: list[Span], now_ms: int) -> None:
    """Cut what reaches beyond its parent, or back before the sibling that it comes after."""
    reached: dict[str, int] = {}  # by the id of a job or an attempt: the end of its last child
    for span in spans:
        parent = span.parent
        if span.end_ms < 0:
            span.end_ms = max(now_ms, span.start_ms)
        if parent is not None:
            earliest = parent.start_ms
            if span.kind != "job":
                earliest = max(earliest, reached.get(parent.id, earliest))
            span.start_ms = min(max(span.start_ms, earliest), parent.end_ms)
            span.end_ms = min(span.end_ms, parent.end_ms)
        span.end_ms = max(span.end_ms, span.start_ms)
        if parent is not None and span.kind != "job":
            reached[parent.id] = span.end_ms
        if span.running_ms >= 0:
            span.running_ms = min(max(span.running_ms, span.start_ms), span.end_ms)
        for moment in span.moments:
            moment.at_ms = min(max(moment.at_ms, span.start_ms), span.end_ms)
