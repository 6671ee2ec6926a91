"""Jobs that call a workflow: what opens, how it ends, and what it comes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.calls import status_of_call
from relevo.domain.machine import handle
from relevo.domain.run import Run
from relevo.domain.states import JOB_ENDS, JobStatus, RunStatus

ONE = [e.NodeDecl("one", [])]
TWO = [e.NodeDecl("one", []), e.NodeDecl("two", [0])]


def submitted(*nodes: e.NodeDecl) -> Run:
    run = Run()
    handle(run, c.Submit("r", "w", "t", "push", "spec", "contexts", list(nodes)))
    return run


def call(run: Run, node: int, *names: str, nodes: list[e.NodeDecl] = ONE, **options) -> list[e.Event]:
    jobs = [e.JobDecl(name, calls="c.yml", leg=leg, legs=len(names)) for leg, name in enumerate(names)]
    return handle(run, c.ExpandNode(node, jobs, nodes=nodes, **options))


def expand(run: Run, node: int, *names: str, **options) -> list[e.Event]:
    return handle(run, c.ExpandNode(node, [e.JobDecl(name) for name in names], **options))


def work(run: Run, name: str, result: str = "succeeded", **options) -> list[e.Event]:
    """Run a job to its end."""
    job = next(job for job in run.jobs if job.decl.name == name)
    if not job.number:
        handle(run, c.AssignJob(job.index, "agent"))
    return handle(run, c.EndAttempt(job.index, job.number, result, **options))


def status(run: Run, name: str) -> str:
    return next(job.status.value for job in run.jobs if job.decl.name == name)


def names(events: list[e.Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_call_on_its_way():
    run = submitted(e.NodeDecl("build", []), e.NodeDecl("after", [0]))
    assert names(call(run, 0, "build", nodes=TWO)) == ["NodesAdded", "NodeExpanded", "CallsOpened"]
    assert status(run, "build") == "calling"
    assert list(run.ready) == [2]
    assert [node.path for node in run.nodes] == ["build", "after", "build / one", "build / two"]
    expand(run, 2, "build / one")
    work(run, "build / one", outputs={"word": "x"})
    assert list(run.ready) == [3]
    assert run.nodes[2].outputs == {"word": "x"}
    expand(run, 3, "build / two")
    assert not run.returning
    work(run, "build / two")
    assert list(run.returning) == [0]
    assert run.nodes_left == 2
    assert names(handle(run, c.ReturnCall(0, {"told": "x"}))) == ["CallReturned", "JobEnded"]
    assert run.nodes[0].result == "success"
    assert run.nodes[0].outputs == {"told": "x"}
    assert list(run.ready) == [1]
    assert (run.job_count, run.jobs_ended) == (2, 2)
    expand(run, 1, "after")
    work(run, "after")
    assert (run.status, run.due) == (RunStatus.SUCCEEDED, 0)


def test_what_calls_will_come_to_is_known_before_they_do():
    run = submitted(e.NodeDecl("a", []))
    call(run, 0, *"pqrs", nodes=TWO, max_parallel=2, fail_fast=False, ends={1: ("failed", "no")})
    assert run.job_count + run.due == 7  # two of each leg, and the one that failed
    call(run, next(iter(run.ready)), "x", "y", nodes=[*TWO, e.NodeDecl("three", [])])
    assert run.job_count + run.due == 12
    handle(run, c.CancelRun())
    while run.ready or run.returning:
        for node in list(run.ready):
            expand(run, node, f"{node}", ends={0: ("cancelled", "")})
        for job in list(run.returning):
            handle(run, c.ReturnCall(job))
    assert (run.ended, run.due) == (True, 0)


def test_a_call_that_was_given_back_is_not_given_back_again():
    run = submitted(e.NodeDecl("a", []))
    call(run, 0, "a")
    assert handle(run, c.ReturnCall(0)) == []
    expand(run, 1, "a / one")
    work(run, "a / one")
    assert handle(run, c.ReturnCall(0))
    assert handle(run, c.ReturnCall(0)) == []


def test_a_call_whose_outputs_cannot_be_told_fails():
    run = submitted(e.NodeDecl("a", []))
    call(run, 0, "a")
    expand(run, 1, "a / one")
    work(run, "a / one")
    handle(run, c.ReturnCall(0, error="c.yml:3:1: no"))
    assert (status(run, "a"), run.jobs[0].message, run.status) == (
        "failed",
        "c.yml:3:1: no",
        RunStatus.FAILED,
    )


def test_calls_in_calls_end_from_the_inside():
    run = submitted(e.NodeDecl("a", []))
    call(run, 0, "a")
    call(run, 1, "a / one")
    assert run.nodes[2].path == "a / one / one"
    expand(run, 2, "a / one / one")
    work(run, "a / one / one", "failed")
    assert list(run.returning) == [1]
    handle(run, c.ReturnCall(1))
    assert list(run.returning) == [0]
    assert names(handle(run, c.ReturnCall(0))) == ["JobEnded", "RunEnded"]
    assert status(run, "a") == "failed"


def test_max_parallel_opens_the_next_call_when_one_ends():
    run = submitted(e.NodeDecl("a", []))
    call(run, 0, "a (1)", "a (2)", max_parallel=1)
    assert [job.status.value for job in run.jobs] == ["calling", "pending"]
    expand(run, 1, "a (1) / one")
    work(run, "a (1) / one")
    assert names(handle(run, c.ReturnCall(0))) == ["JobEnded", "CallsOpened"]
    assert run.jobs[1].status is JobStatus.CALLING
    assert run.nodes[2].path == "a [1] / one"


def test_fail_fast_ends_what_other_legs_called_at_any_depth():
    run = submitted(e.NodeDecl("a", []))
    call(run, 0, "a (1)", "a (2)", "a (3)", nodes=TWO, max_parallel=2)
    first, _, other, _ = range(1, 5)
    expand(run, first, "a (1) / one")
    call(run, other, "a (2) / one")
    inner = next(iter(run.ready))
    expand(run, inner, "deep (1)", "deep (2)", "deep (3)", max_parallel=2)
    deep = [job.index for job in run.jobs if job.decl.name.startswith("deep")]
    handle(run, c.AssignJob(deep[0], "agent"))
    work(run, "a (1) / one", "failed")
    expand(run, 2, "a (1) / two", ends={0: ("skipped", "")})
    events = handle(run, c.ReturnCall(0))
    assert names(events).count("CallCancelling") == 2
    assert [status(run, f"deep ({n})") for n in (1, 2, 3)] == ["cancelling", "cancelled", "cancelled"]
    assert status(run, "a (3)") == "cancelled"
    work(run, "deep (1)", "cancelled")
    handle(run, c.ReturnCall(next(iter(run.returning))))
    # What was not due yet is judged in a call that is being ended.
    [left] = run.ready
    assert run.nodes[left].path == "a [1] / two"
    assert run.nodes[left].cancelled
    expand(run, left, "a (2) / two", ends={0: ("cancelled", "")})
    handle(run, c.ReturnCall(next(iter(run.returning))))
    assert run.status is RunStatus.FAILED
    assert status(run, "a (2)") == "cancelled"


def test_without_fail_fast_other_calls_go_on():
    run = submitted(e.NodeDecl("a", []))
    call(run, 0, "a (1)", "a (2)", fail_fast=False)
    expand(run, 1, "a (1) / one")
    work(run, "a (1) / one", "failed")
    assert names(handle(run, c.ReturnCall(0))) == ["JobEnded"]
    assert run.jobs[1].status is JobStatus.CALLING


def test_a_leg_that_cannot_be_called_fails_and_ends_the_others():
    run = submitted(e.NodeDecl("a", []))
    events = call(run, 0, "a (1)", "a (2)", "a (3)", ends={1: ("failed", "w.yml:3:1: not a number")})
    assert [job.status.value for job in run.jobs] == ["cancelled", "failed", "cancelled"]
    assert run.status is RunStatus.FAILED
    assert "CallsOpened" not in names(events)
    assert not run.ready  # nothing of an ended run is due


def test_a_cancelled_run_judges_what_is_due_in_its_calls():
    run = submitted(e.NodeDecl("a", []), e.NodeDecl("b", [0]))
    call(run, 0, "a (1)", "a (2)", nodes=TWO, max_parallel=1)
    expand(run, 2, "a (1) / one")
    handle(run, c.AssignJob(2, "agent"))
    handle(run, c.CancelRun())
    assert [job.status.value for job in run.jobs] == ["calling", "cancelled", "cancelling"]
    work(run, "a (1) / one", "cancelled")
    assert list(run.ready) == [3]
    expand(run, 3, "a (1) / two", ends={0: ("cancelled", "")})
    handle(run, c.ReturnCall(0))
    assert status(run, "a (1)") == "cancelled"
    assert list(run.ready) == [1]


def test_a_held_job_in_a_call_holds_the_run():
    run = submitted(e.NodeDecl("a", []))
    call(run, 0, "a")
    expand(run, 1, "a / one")
    handle(run, c.AssignJob(1, "agent"))
    handle(run, c.LoseAttempt(1, 1, "gone", held=True))
    assert run.status is RunStatus.HELD
    handle(run, c.RetryJob(1))
    assert run.status is RunStatus.RUNNING


def test_many_legs_of_a_large_workflow_stay_below_the_event_limit():
    run = submitted(e.NodeDecl("a", []))
    inner = [e.NodeDecl(f"job{number}" + "x" * 90, []) for number in range(1_000)]
    jobs = [e.JobDecl(f"a ({number})", calls="c.yml", inputs={"text": "x" * 2_000}) for number in range(100)]
    events = handle(run, c.ExpandNode(0, jobs, nodes=inner))
    assert all(len(e.encode([event])) <= e.EVENT_LIMIT for event in events)
    assert len(run.ready) == 100_000


def test_what_a_job_waits_for_is_found_across_calls():
    run = submitted(e.NodeDecl("a", []), e.NodeDecl("b", [0]), e.NodeDecl("c", []))
    call(run, 0, "a", nodes=TWO)
    expand(run, 3, "a / one")
    work(run, "a / one")
    expand(run, 4, "a / two")
    work(run, "a / two")
    handle(run, c.ReturnCall(0))
    call(run, 1, "b")
    paths = {node.path: {run.nodes[index].path for index in run.upstream(node)} for node in run.nodes}
    assert paths["a / two"] == {"a / one"}
    assert paths["b"] == paths["b / one"] == {"a", "a / one", "a / two"}
    assert paths["c"] == set()
    for node in run.nodes:
        waiting = {other.index for other in run.nodes if node.index in run.upstream(other)}
        assert run.downstream([node]) == waiting


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ([("succeeded", False), ("failed", False), ("cancelled", False)], "failed"),
        ([("succeeded", False), ("failed", True)], "succeeded"),
        ([("skipped", False), ("skipped", True)], "skipped"),
        ([("skipped", False), ("succeeded", False)], "succeeded"),
        ([("timed-out", False), ("cancelled", False)], "timed-out"),
        ([("cancelled", False), ("succeeded", False)], "cancelled"),
    ],
)
def test_what_a_call_comes_to(inner, expected):
    assert status_of_call(ended_call(inner).jobs[0]).value == expected


ENDS = sorted(status.value for status in JOB_ENDS)


def ended_call(inner: list[tuple[str, bool]]) -> Run:
    run = submitted(e.NodeDecl("a", []))
    call(run, 0, "a", nodes=[e.NodeDecl(f"n{index}", []) for index in range(len(inner))])
    for index, (result, lenient) in enumerate(inner):
        jobs = [e.JobDecl(f"a / n{index}", continue_on_error=lenient)]
        if result == "skipped":
            handle(run, c.ExpandNode(1 + index, jobs, ends={0: (result, "")}))
        else:
            handle(run, c.ExpandNode(1 + index, jobs))
            work(run, f"a / n{index}", result)
    return run


@given(st.lists(st.tuples(st.sampled_from(ENDS), st.booleans()), min_size=1, max_size=5))
def test_needs_see_of_a_call_what_they_would_see_of_its_jobs_as_legs(inner):
    called = ended_call(inner)
    handle(called, c.ReturnCall(0))
    legs = submitted(e.NodeDecl("a", []))
    jobs = [e.JobDecl(f"{index}", continue_on_error=lenient) for index, (_, lenient) in enumerate(inner)]
    skipped = {index: ("skipped", "") for index, (result, _) in enumerate(inner) if result == "skipped"}
    handle(legs, c.ExpandNode(0, jobs, fail_fast=False, ends=skipped))
    for index, (result, _) in enumerate(inner):
        if result != "skipped":
            work(legs, f"{index}", result)
    assert called.nodes[0].result == legs.nodes[0].result
    assert called.status is legs.status
