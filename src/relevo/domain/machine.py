"""What a command makes of a run.

    handle(run, command) ─► decide ─► events ─► evolve, each ─► follow: what the event entails ─► more events …

`decide` answers the command alone; `follow` knows what one change entails for the rest of the run (fail-fast, the next
leg under max-parallel, the nodes that are ready, the end of the run). Both are pure; only `handle` changes the run.
A command that comes too late, or twice, makes no events.

Longer than most modules: each rule entails others, and what entails what is to be read in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.calls import status_of_call
from relevo.domain.evolution import EVOLVE
from relevo.domain.run import ACTIVE, Job, Node, Run
from relevo.domain.states import ATTEMPT_ENDS, ATTEMPT_STATUS, JOB_ENDS, AttemptStatus, JobStatus, RunStatus
from relevo.domain.still import STILL

#: How often an attempt that the infrastructure lost is made again.
LOST_RETRIES: Final = 2
#: The longest rest before a retry, unless the first one is longer, and how often it doubles at most.
BACK_OFF_S: Final = 3_600.0
DOUBLINGS: Final = 20
#: Node and leg declarations in one event, so that it stays below the limit of an event's size.
NODES_PER_EVENT: Final = 200
JOBS_PER_QUEUE_EVENT: Final = 4_000
#: Encoded bytes of leg declarations in one event at most.
LEGS_BYTES: Final = 48_000
#: Of so many legs that limit is not looked at.
SMALL_MATRIX: Final = 16


def handle(run: Run, command: c.Command) -> list[e.Event]:
    """Decide, and let it happen; returns the events in order. They must be stored before anyone is told.

    All that one level of decisions says happens first, then what it entails: so that each rule sees the whole of
    what was decided before it.
    """
    events = _DECIDE[type(command)](run, command)
    entails = False
    for event in events:
        kind = type(event)
        EVOLVE[kind](run, event)
        entails = entails or kind in _FOLLOW
    level = events
    while entails:
        entailed: list[e.Event] = []
        for event in level:
            follow = _FOLLOW.get(type(event))
            if follow is not None:
                entailed += follow(run, event, command.at_ms)  # type: ignore[union-attr]  # such commands have it
        level = []
        entails = False
        for event in entailed:
            kind = type(event)
            still = STILL.get(kind)
            if still is None or still(run, event):
                EVOLVE[kind](run, event)
                level.append(event)
                entails = entails or kind in _FOLLOW
        events = events + level
    return events


# What events hold of states: plain text, looked up once.
_CANCELLED: Final = JobStatus.CANCELLED.value
_CONCURRENCY: Final = "concurrency"
_FAILED: Final = JobStatus.FAILED.value
_LOST: Final = AttemptStatus.LOST.value
_RUN_CANCELLED: Final = RunStatus.CANCELLED.value
_RUN_FAILED: Final = RunStatus.FAILED.value
_RUN_SUCCEEDED: Final = RunStatus.SUCCEEDED.value


# --- decide ---------------------------------------------------------------------------------------------------


def _submit(run: Run, command: c.Submit) -> list[e.Event]:
    if run.accepted is not None:
        return []
    return [accepted(command), *_nodes_added(command.nodes)]


def accepted(command: c.Submit) -> e.RunAccepted:
    """The first event of a run that is submitted so."""
    return e.RunAccepted(
        command.run,
        command.workflow,
        command.title,
        command.trigger,
        command.spec,
        command.priority,
        command.retried_from,
        command.run_attempt,
        command.at_ms,
        command.contexts,
        command.secrets,
        command.group,
        command.traceparent,
        command.tracestate,
        command.retried_traceparent,
        command.run_id,
        command.run_number,
    )


def _nodes_added(nodes: list[e.NodeDecl], caller: int = -1) -> list[e.Event]:
    if 0 < len(nodes) <= NODES_PER_EVENT:
        return [e.NodesAdded(nodes, False, caller)]
    return [
        e.NodesAdded(nodes[start : start + NODES_PER_EVENT], start + NODES_PER_EVENT < len(nodes), caller)
        for start in range(0, len(nodes), NODES_PER_EVENT)
    ]


def _expand(run: Run, command: c.ExpandNode) -> list[e.Event]:
    if command.node not in run.ready:
        return []
    events: list[e.Event] = [e.Warned(text) for text in command.warnings] if command.warnings else []
    if command.nodes:
        events += _nodes_added(command.nodes, command.node)
    small = len(command.jobs) <= SMALL_MATRIX and not command.nodes
    *parts, last = [command.jobs] if small else _split_legs(command.jobs)
    fast, parallel = command.fail_fast, command.max_parallel
    events += [e.NodeExpanded(command.node, part, True, fast, parallel) for part in parts]
    events.append(e.NodeExpanded(command.node, last, False, fast, parallel, command.outputs))
    first = len(run.jobs)
    for position, (status, message) in command.ends.items():
        events.append(e.JobEnded(first + position, status, message, at_ms=command.at_ms))
    return events


def _split_legs(jobs: list[e.JobDecl]) -> list[list[e.JobDecl]]:
    from msgspec.msgpack import encode

    chunks: list[list[e.JobDecl]] = [[]]
    size = 0
    for job in jobs:
        weight = len(encode(job))
        if size + weight > LEGS_BYTES and chunks[-1]:
            chunks.append([])
            size = 0
        chunks[-1].append(job)
        size += weight
    return chunks


def _return(run: Run, command: c.ReturnCall) -> list[e.Event]:
    if command.job not in run.returning:
        return []
    events: list[e.Event] = []
    if command.outputs:
        events.append(e.CallReturned(command.job, command.outputs, command.outputs_fact))
    job = run.jobs[command.job]
    status = JobStatus.FAILED if command.error else status_of_call(job)
    message = command.error or (job.why if status is JobStatus.CANCELLED else "")
    events.append(e.JobEnded(command.job, status.value, message, at_ms=command.at_ms))
    return events


def _assign(run: Run, command: c.AssignJob) -> list[e.Event]:
    job = run.jobs[command.job]
    if job.status is not JobStatus.QUEUED:
        return []
    assigned = e.AttemptAssigned(command.job, job.number + 1, command.agent, command.at_ms)
    if run.status is RunStatus.PENDING:
        return [e.RunStarted(command.at_ms), assigned]
    return [assigned]


def _current(run: Run, job: int, number: int) -> Job | None:
    """The job, when that attempt is its current one and has not ended."""
    if not 0 <= job < len(run.jobs):
        return None
    found = run.jobs[job]
    return found if found.number == number and found.status in ACTIVE else None


def _starting(run: Run, command: c.StartingAttempt) -> list[e.Event]:
    job = _current(run, command.job, command.number)
    if job is None or job.attempt is not AttemptStatus.ASSIGNED:
        return []
    return [e.AttemptStarting(command.job, command.number, command.at_ms)]


def _start(run: Run, command: c.StartAttempt) -> list[e.Event]:
    job = _current(run, command.job, command.number)
    if job is None or job.attempt not in (AttemptStatus.ASSIGNED, AttemptStatus.STARTING):
        return []
    return [e.AttemptStarted(command.job, command.number, command.at_ms)]


def _record(run: Run, command: c.Record) -> list[e.Event]:
    event = command.event
    job = _current(run, event.job, event.number)
    return [event] if job is not None and event.record > job.record else []


def _end(run: Run, command: c.EndAttempt) -> list[e.Event]:
    job = _current(run, command.job, command.number)
    if job is None:
        return []
    result = ATTEMPT_STATUS.get(command.result)
    if result not in ATTEMPT_ENDS:
        # No end that we know: nothing of it is believed, and the job is tried again.
        reason = f"its agent told of an end that is none: {command.result[:40]!r}"
        return _lose(run, c.LoseAttempt(command.job, command.number, reason, command.at_ms, command.held))
    if result is AttemptStatus.PREEMPTED or (
        result is AttemptStatus.CANCELLED and job.status is JobStatus.PREEMPTING
    ):
        return _end_preempted(job, command)
    ended = e.AttemptEnded(
        command.job,
        command.number,
        command.result,
        command.outputs,
        command.message,
        command.exit_code,
        command.log_size,
        command.log_digest,
        command.at_ms,
        command.outputs_fact,
    )
    if result is AttemptStatus.LOST:
        return [ended, _after_loss(run, job, command.message, command.held, command.at_ms)]
    retry = job.node.decl
    if (
        result is AttemptStatus.FAILED
        and job.status is not JobStatus.CANCELLING
        and command.exit_code in retry.retry_exits
        and job.retries < retry.retry_max
    ):
        reason = f"exit code {command.exit_code}"
        return [ended, e.JobRetrying(command.job, reason, _back_off_s(retry.backoff_s, job.retries))]
    message = job.why if job.why and result is AttemptStatus.CANCELLED else command.message
    return [ended, e.JobEnded(command.job, command.result, message, at_ms=command.at_ms)]


def _end_preempted(job: Job, command: c.EndAttempt) -> list[e.Event]:
    # Cancelled is what an agent says that knows no preemption and took the order for a cancellation.
    ended = e.AttemptEnded(
        command.job,
        command.number,
        command.result,
        {},  # what it gave back is of an attempt that does not count
        command.message,
        command.exit_code,
        command.log_size,
        command.log_digest,
        command.at_ms,
    )
    if job.status is JobStatus.CANCELLING:
        return [ended, e.JobEnded(command.job, _CANCELLED, job.why, at_ms=command.at_ms)]
    return [ended, e.JobRetrying(command.job, job.message or command.message, preempted=True)]


def _back_off_s(first_s: float, earlier: int) -> float:
    """How long a job rests before it is tried again: twice as long each time, up to an hour."""
    return min(first_s * float(1 << min(earlier, DOUBLINGS)), max(first_s, BACK_OFF_S))


def _after_loss(run: Run, job: Job, reason: str, held: bool, at_ms: int) -> e.Event:
    # Of a run that is being cancelled nobody is asked: what may not run again has ended.
    if job.status is JobStatus.CANCELLING or (held and run.cancelling):
        return e.JobEnded(job.index, _CANCELLED, job.why or reason, at_ms=at_ms)
    if held:
        return e.JobHeld(job.index, f"{reason}; a step that is not idempotent may have begun")
    if job.status is JobStatus.PREEMPTING:
        return e.JobRetrying(job.index, job.message, preempted=True)
    asked = job.node.decl.lost_max
    if job.lost < (LOST_RETRIES if asked < 0 else asked):
        delay_s = 0.0 if asked < 0 else _back_off_s(job.node.decl.backoff_s, job.lost)
        return e.JobRetrying(job.index, reason, delay_s, lost=True)
    times = "once" if not job.lost else f"{job.lost + 1} times, the last time"
    message = f"lost {times}: {reason}"
    return e.JobEnded(job.index, _FAILED, message, infrastructure=True, at_ms=at_ms)


def _lose(run: Run, command: c.LoseAttempt) -> list[e.Event]:
    job = _current(run, command.job, command.number)
    if job is None:
        return []
    ended = e.AttemptEnded(
        command.job,
        command.number,
        _LOST,
        message=command.reason,
        at_ms=command.at_ms,
    )
    return [ended, _after_loss(run, job, command.reason, command.held, command.at_ms)]


def _preempt(run: Run, command: c.PreemptJob) -> list[e.Event]:
    job = _current(run, command.job, command.number)
    if job is None or job.status in (JobStatus.PREEMPTING, JobStatus.CANCELLING):
        return []
    return [e.JobPreempting(command.job, command.run, command.name, command.at_ms)]


def _time_out(run: Run, command: c.TimeOutJob) -> list[e.Event]:
    job = _current(run, command.job, command.number)
    if job is None or job.status is JobStatus.CANCELLING:
        return []
    return [e.JobCancelling(command.job, "timed-out")]


def _queue(run: Run, command: c.QueueJob) -> list[e.Event]:
    waits = 0 <= command.job < len(run.jobs) and run.jobs[command.job].delayed
    return [e.JobsQueued([command.job])] if waits else []


def _cancel(run: Run, command: c.CancelRun) -> list[e.Event]:
    if run.ended or (run.status is RunStatus.CANCELLING and not command.forced):
        return []
    events: list[e.Event] = []
    if run.status is not RunStatus.CANCELLING or not run.forced:
        # Of a run that still waits for its group nothing has begun, and nothing is to begin, `always()` or not.
        forced = command.forced or run.waiting
        events.append(e.RunCancelling(command.reason, forced, command.at_ms))
    for job in run.jobs:
        if job.status in JOB_ENDS or job.status is JobStatus.CALLING:
            continue  # what it calls is among these jobs, or is judged when it is ready
        asks = job.status is JobStatus.HELD  # a cancel is an answer
        if job.node.index in command.spared and not command.forced and not asks:
            continue
        if job.status not in ACTIVE:
            events.append(e.JobEnded(job.index, _CANCELLED, at_ms=command.at_ms))
        elif job.status is not JobStatus.CANCELLING or (command.forced and not job.forced):
            events.append(e.JobCancelling(job.index, "cancelled", command.forced))
    return events


def _granted(run: Run, command: c.GrantGroup) -> list[e.Event]:
    granted = e.GroupGranted(command.job, command.stream)
    if command.job < 0:
        return [granted] if run.waiting else []
    job = run.jobs[command.job]
    ask = job.asks
    if ask is None or ask.stream != command.stream:
        return []
    if job.granted + 1 < len(job.decl.groups):
        return [granted]
    return _released(run, [granted, _free_to_go(job.node, [job.index])], command.at_ms)


def _refuse(run: Run, command: c.RefuseGroup) -> list[e.Event]:
    if command.job < 0:
        return [e.RunCancelling(command.reason, True, command.at_ms)] if run.waiting else []
    ask = run.jobs[command.job].asks
    if ask is None or ask.stream != command.stream:
        return []
    ended: list[e.Event] = [e.JobEnded(command.job, _CANCELLED, command.reason, at_ms=command.at_ms)]
    return _released(run, ended, command.at_ms)


def _cancel_job(run: Run, command: c.CancelJob) -> list[e.Event]:
    job = run.jobs[command.job]
    if job.status in JOB_ENDS or job.status is JobStatus.HELD:
        return []
    if job.status is JobStatus.CANCELLING or (job.status is JobStatus.CALLING and job.cancelling):
        return []
    event: e.Event
    if job.status is JobStatus.CALLING:
        event = e.CallCancelling(command.job, _CONCURRENCY, command.reason)
    elif job.status in ACTIVE:
        event = e.JobCancelling(command.job, _CONCURRENCY, message=command.reason)
    else:
        event = e.JobEnded(command.job, _CANCELLED, command.reason, at_ms=command.at_ms)
    return _released(run, [event], command.at_ms)


def _fail(run: Run, command: c.FailJob) -> list[e.Event]:
    job = run.jobs[command.job]
    if job.status not in (JobStatus.HELD, JobStatus.QUEUED, JobStatus.PENDING, JobStatus.WAITING):
        return []
    events: list[e.Event] = [e.JobEnded(command.job, _FAILED, command.message, at_ms=command.at_ms)]
    return _released(run, events, command.at_ms)


def _retry(run: Run, command: c.RetryJob) -> list[e.Event]:
    job = run.jobs[command.job]
    if job.status is not JobStatus.HELD:
        return []
    return _released(run, [_begun(job.node, [command.job])], command.at_ms)


def _released(run: Run, events: list[e.Event], at_ms: int) -> list[e.Event]:
    return [e.RunReleased(at_ms), *events] if run.status is RunStatus.HELD else events


def _deliver(run: Run, command: c.DeliverSummary) -> list[e.Event]:
    return [] if run.delivered or not run.ended else [e.SummaryDelivered()]


def _warn(run: Run, command: c.Warn) -> list[e.Event]:
    return [e.Warned(command.message)]


_DECIDE: Final[dict[type, Callable[[Run, Any], list[e.Event]]]] = {
    c.Submit: _submit,
    c.ExpandNode: _expand,
    c.ReturnCall: _return,
    c.AssignJob: _assign,
    c.StartingAttempt: _starting,
    c.StartAttempt: _start,
    c.Record: _record,
    c.EndAttempt: _end,
    c.LoseAttempt: _lose,
    c.PreemptJob: _preempt,
    c.TimeOutJob: _time_out,
    c.QueueJob: _queue,
    c.CancelRun: _cancel,
    c.GrantGroup: _granted,
    c.RefuseGroup: _refuse,
    c.CancelJob: _cancel_job,
    c.FailJob: _fail,
    c.RetryJob: _retry,
    c.DeliverSummary: _deliver,
    c.Warn: _warn,
}


# --- follow ---------------------------------------------------------------------------------------------------


def _after_expansion(run: Run, event: e.NodeExpanded, at_ms: int) -> list[e.Event]:
    if event.more:
        return []
    node = run.nodes[event.node]
    if node.fail_fast and node.failures:
        return []  # a leg failed at once: the others never begin, and a call that opened now would outlive its end
    pending = JobStatus.PENDING
    indexes = [job.index for job in node.jobs if job.status is pending][: node.max_parallel]
    if 0 < len(indexes) <= JOBS_PER_QUEUE_EVENT:
        return [_begun(node, indexes)]
    return [
        _begun(node, indexes[start : start + JOBS_PER_QUEUE_EVENT])
        for start in range(0, len(indexes), JOBS_PER_QUEUE_EVENT)
    ]


def _begun(node: Node, jobs: list[int]) -> e.Event:
    """These jobs of a node begin: those with concurrency groups ask for them first."""
    asking = node.jobs[jobs[0] - node.jobs[0].index].decl.groups  # the legs of a node ask all, or none
    return e.JobsWaiting(jobs) if asking else _free_to_go(node, jobs)


def _free_to_go(node: Node, jobs: list[int]) -> e.Event:
    return e.CallsOpened(jobs) if node.inner else e.JobsQueued(jobs)


def _after_job(run: Run, event: e.JobEnded, at_ms: int) -> list[e.Event]:
    job = run.jobs[event.job]
    node = job.node
    events: list[e.Event] = []
    if node.left:
        if (
            node.fail_fast
            and not job.decl.continue_on_error
            and job.status in (JobStatus.FAILED, JobStatus.TIMED_OUT)
        ):
            events.extend(_ended_early(node.jobs, "another leg of its matrix failed", at_ms))
        elif (
            node.max_parallel is not None
            and node.active < node.max_parallel
            and not (node.fail_fast and node.failures)
        ):
            following = _next_pending(node)
            if following is not None:
                events.append(_begun(node, [following]))
    if run.nodes_left == 0:
        events.append(e.RunEnded(_verdict(run), at_ms))
    elif run.stuck:
        events.append(e.RunHeld(at_ms))
    return events


def _ended_early(
    jobs: list[Job], why: str, at_ms: int, reason: str = "fail-fast", message: str = ""
) -> list[e.Event]:
    events: list[e.Event] = []
    for job in jobs:
        if job.status is JobStatus.CALLING:
            events.append(e.CallCancelling(job.index, reason, message))
        elif job.status in ACTIVE:
            if job.status is not JobStatus.CANCELLING:
                events.append(e.JobCancelling(job.index, reason, message=message))
        elif job.status not in JOB_ENDS:
            events.append(e.JobEnded(job.index, _CANCELLED, why, at_ms=at_ms))
    return events


def _after_call_cancelling(run: Run, event: e.CallCancelling, at_ms: int) -> list[e.Event]:
    # What is not expanded yet is judged when it is ready: `always()` holds then, too.
    inner = [job for node in run.jobs[event.job].nodes for job in node.jobs]
    why = event.message or "another leg of the matrix that calls it failed"
    return _ended_early(inner, why, at_ms, event.reason, event.message)


def _next_pending(node: Node) -> int | None:
    for position in range(node.next_pending, len(node.jobs)):
        job = node.jobs[position]
        if job.status is JobStatus.PENDING and not job.delayed:
            # Not beyond it: what is decided here may be found void, and then it is the next one still.
            node.next_pending = position
            return job.index
    node.next_pending = len(node.jobs)
    return None


def _after_hold(run: Run, event: e.JobHeld | e.JobsWaiting, at_ms: int) -> list[e.Event]:
    return [e.RunHeld(at_ms)] if run.stuck else []


def _verdict(run: Run) -> str:
    if run.status is RunStatus.CANCELLING:
        return _RUN_CANCELLED
    if run.failures:
        return _RUN_FAILED
    if run.cancellations:
        return _RUN_CANCELLED
    return _RUN_SUCCEEDED


_FOLLOW: Final[dict[type, Callable[[Run, Any, int], list[e.Event]]]] = {
    e.NodeExpanded: _after_expansion,
    e.JobEnded: _after_job,
    e.JobHeld: _after_hold,
    e.JobsWaiting: _after_hold,
    e.CallCancelling: _after_call_cancelling,
}
