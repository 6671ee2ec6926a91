"""What becomes of single events in a trace. Whole runs: tests/simulation/test_traces.py."""

from __future__ import annotations

from typing import Any

from relevo.telemetry import ids
from relevo.telemetry.spans import MOMENTS_LIMIT, Trace, attributes, derive


def events(*told: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Events a second apart."""
    return [
        {"v": 1, "event": kind, "run": "r", "at": at * 1_000, **more} for at, (kind, more) in enumerate(told)
    ]


ACCEPTED = ("run.accepted", {"workflow": "ci", "title": "t", "trigger": "push", "retried_from": None})
ADDED = ("job.added", {"job": "test"})
TEST = {"job": "test"}
FIRST = {"job": "test", "attempt": 1}
STARTED = [ACCEPTED, ADDED, ("job.queued", TEST), ("job.assigned", {**FIRST, "agent": "local"})]
STEP = {**FIRST, "step": 0, "name": "Run make"}


def of(trace: Trace, kind: str) -> list[Any]:
    return [span for span in trace.spans if span.kind == kind]


def test_a_job_that_failed():
    trace = derive(
        "r",
        events(
            *STARTED,
            ("job.running", FIRST),
            ("step.started", STEP),
            (
                "annotation",
                {**FIRST, "step": 0, "level": "error", "message": "bad", "file": "a.py", "line": 3},
            ),
            ("step.finished", {**STEP, "outcome": "failure", "exit_code": 2, "message": "exit code 2"}),
            ("attempt.finished", {**FIRST, "result": "failed", "message": ""}),
            ("job.finished", {**TEST, "status": "failed", "message": ""}),
            ("run.finished", {"status": "failed"}),
        ),
        0,
    )
    assert [(span.kind, span.name, span.start_ms, span.end_ms, span.result) for span in trace.spans] == [
        ("run", "ci", 0, 10_000, "failure"),
        ("job", "test", 2_000, 9_000, "failure"),
        ("queue", "queue test", 2_000, 3_000, ""),
        ("attempt", "test", 3_000, 8_000, "failure"),
        ("step", "Run make", 5_000, 7_000, "failure"),
    ]
    step = trace.spans[-1]
    assert step.moments[0].attributes == {"level": "error", "message": "bad", "file": "a.py", "line": 3}
    assert dict(attributes(trace, step)) == {
        "relevo.kind": "step",
        "cicd.pipeline.task.name": "Run make",
        "cicd.pipeline.task.run.id": "r/0/1/0",
        "cicd.pipeline.run.id": "r",
        "cicd.pipeline.task.run.result": "failure",
        "relevo.attempt": 1,
        "process.exit.code": 2,
        "error.type": "failure",
    }
    assert dict(attributes(trace, trace.spans[0])) == {
        "relevo.kind": "run",
        "cicd.pipeline.name": "ci",
        "cicd.pipeline.run.id": "r",
        "cicd.pipeline.action.name": "RUN",
        "relevo.run.title": "t",
        "relevo.run.trigger": "push",
        "relevo.run.attempt": 1,
        "cicd.pipeline.result": "failure",
        "error.type": "failure",
    }


def test_an_attempt_that_was_lost_is_made_again_and_linked():
    trace = derive(
        "r",
        events(
            *STARTED,
            ("job.running", FIRST),
            ("step.started", STEP),
            ("attempt.finished", {**FIRST, "result": "lost", "message": "the agent died"}),
            ("job.retrying", {**FIRST, "message": "the agent died", "delay_s": 0.0}),
            ("job.assigned", {**TEST, "attempt": 2, "agent": "local"}),
            ("job.running", {**TEST, "attempt": 2}),
            ("attempt.finished", {**TEST, "attempt": 2, "result": "succeeded", "message": ""}),
            ("job.finished", {**TEST, "status": "succeeded", "message": ""}),
            ("run.finished", {"status": "succeeded"}),
        ),
        0,
    )
    first, second = of(trace, "attempt")
    assert (first.result, first.message, second.result) == ("error", "the agent died", "success")
    assert second.link == (trace.trace_id, first.id)
    assert of(trace, "step")[0].result == "error", "nobody saw its end"
    assert [(span.attempt, span.start_ms, span.end_ms) for span in of(trace, "queue")] == [
        (1, 2_000, 3_000),
        (2, 7_000, 8_000),
    ]
    assert [moment.name for moment in of(trace, "job")[0].moments] == ["job.retrying"]


def test_an_attempt_that_made_room_is_no_error_and_its_job_tells_for_whom():
    trace = derive(
        "r",
        events(
            *STARTED,
            ("job.running", FIRST),
            ("job.preempting", {**FIRST, "for_run": "other", "for_job": "deploy"}),
            ("attempt.finished", {**FIRST, "result": "preempted", "message": "its place was needed"}),
            ("job.retrying", {**FIRST, "message": "preempted", "delay_s": 0.0, "preempted": True}),
            ("job.assigned", {**TEST, "attempt": 2, "agent": "local"}),
            ("job.running", {**TEST, "attempt": 2}),
            ("attempt.finished", {**TEST, "attempt": 2, "result": "succeeded", "message": ""}),
            ("job.finished", {**TEST, "status": "succeeded", "message": ""}),
            ("run.finished", {"status": "succeeded"}),
        ),
        0,
    )
    assert [span.result for span in of(trace, "attempt")] == ["cancellation", "success"]
    assert [span.attempt for span in of(trace, "queue")] == [1, 2]
    moments = of(trace, "job")[0].moments
    assert [moment.name for moment in moments] == ["job.preempting", "job.retrying"]
    assert moments[0].attributes == {"for_run": "other", "for_job": "deploy"}


def test_jobs_of_a_call_hang_on_it():
    inner = {"job": "call (a / b) / inner"}
    trace = derive(
        "r",
        events(
            ACCEPTED,
            ("job.added", {"job": "call (a / b)"}),
            ("job.calling", {"job": "call (a / b)"}),
            ("job.added", inner),
            ("job.queued", inner),
            ("job.finished", {**inner, "status": "cancelled"}),
            ("job.finished", {"job": "call (a / b)", "status": "cancelled"}),
            ("run.finished", {"status": "cancelled"}),
        ),
        0,
    )
    call, job = of(trace, "job")
    assert job.parent is call
    assert call.parent is trace.spans[0]
    assert trace.spans[0].result == "cancellation"


def test_a_run_that_failed_by_its_infrastructure_is_in_error():
    trace = derive(
        "r",
        events(
            *STARTED,
            ("job.finished", {**TEST, "status": "failed", "infrastructure": True}),
            ("run.finished", {"status": "failed"}),
        ),
        0,
    )
    assert [span.result for span in trace.spans] == ["error", "error", "", "error"]


def test_a_run_that_goes_on_is_shown_up_to_now():
    trace = derive("r", events(*STARTED), 50_000)
    assert not trace.ended
    assert [(span.end_ms, span.result) for span in trace.spans] == [
        (50_000, ""),
        (50_000, ""),
        (3_000, ""),
        (50_000, ""),
    ]


def test_what_a_run_was_submitted_within_and_what_it_retries():
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    other = "00-11111111111111111111111111111111-2222222222222222-01"
    accepted = {**ACCEPTED[1], "traceparent": given, "tracestate": "a=b"}
    trace = derive("r", events(("run.accepted", accepted)), 0)
    assert (trace.trace_id, trace.parent_id, trace.state, trace.sampled) == (
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
        "a=b",
        False,
    )
    again = {**ACCEPTED[1], "retried_from": "r", "retried_traceparent": given}
    assert derive("s", events(("run.accepted", again)), 0).spans[0].link == (
        trace.trace_id,
        trace.spans[0].id,
    )
    again = {**ACCEPTED[1], "retried_from": "r", "retried_traceparent": other}
    assert derive("s", events(("run.accepted", again)), 0).spans[0].link == ("1" * 32, trace.spans[0].id)
    own = derive("r", events(ACCEPTED), 0)
    assert (own.trace_id, own.parent_id, own.sampled) == (ids.trace_of("r"), "", True)


def test_moments_are_bounded():
    said = ("annotation", {**FIRST, "step": 0, "level": "notice", "message": "m"})
    trace = derive("r", events(*STARTED, ("step.started", STEP), *[said] * 1_000), 0)
    assert len(trace.spans[-1].moments) == MOMENTS_LIMIT
