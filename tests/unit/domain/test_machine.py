"""What commands make of runs: examples first, then any sequence of commands against the invariants."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.evolution import replay
from relevo.domain.machine import LOST_RETRIES, handle
from relevo.domain.run import ACTIVE, Run
from relevo.domain.states import JOB_ENDS, JobStatus, RunStatus


def submitted(*nodes: e.NodeDecl) -> Run:
    run = Run()
    handle(run, c.Submit("r", "w", "t", "push", "spec", "contexts", list(nodes)))
    return run


def expand(run: Run, node: int, *names: str, **options) -> list[e.Event]:
    return handle(run, c.ExpandNode(node, [e.JobDecl(name) for name in names], **options))


def assign(run: Run, job: int) -> None:
    handle(run, c.AssignJob(job, "agent"))


def end(run: Run, job: int, result: str = "succeeded", **options) -> list[e.Event]:
    return handle(run, c.EndAttempt(job, run.jobs[job].number, result, **options))


def group(stream: str) -> e.GroupAsk:
    return e.GroupAsk(stream, stream)


def names(events: list[e.Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_job_on_its_way():
    run = submitted(e.NodeDecl("a", []))
    assert names(expand(run, 0, "a")) == ["NodeExpanded", "JobsQueued"]
    assert names(handle(run, c.AssignJob(0, "x"))) == ["RunStarted", "AttemptAssigned"]
    assert names(handle(run, c.StartAttempt(0, 1))) == ["AttemptStarted"]
    assert names(end(run, 0)) == ["AttemptEnded", "JobEnded", "RunEnded"]
    assert run.status is RunStatus.SUCCEEDED
    assert run.nodes[0].result == "success"


def test_needs_make_ready_only_when_all_have_ended():
    run = submitted(e.NodeDecl("a", []), e.NodeDecl("b", []), e.NodeDecl("c", [0, 1]))
    assert list(run.ready) == [0, 1]
    expand(run, 0, "a")
    expand(run, 1, "b")
    for job in (0, 1):
        assert 2 not in run.ready
        assign(run, job)
        end(run, job)
    assert list(run.ready) == [2]


def test_the_same_end_twice_counts_once():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    assign(run, 0)
    assert end(run, 0)
    assert handle(run, c.EndAttempt(0, 1, "failed")) == []
    assert run.status is RunStatus.SUCCEEDED


def test_an_end_of_an_earlier_attempt_does_not_count():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    assign(run, 0)
    handle(run, c.LoseAttempt(0, 1, "gone"))
    assign(run, 0)
    assert handle(run, c.EndAttempt(0, 1, "succeeded")) == []
    assert run.jobs[0].status is JobStatus.ASSIGNED


def test_a_lost_attempt_is_made_again_and_then_no_more():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    for _ in range(LOST_RETRIES):
        assign(run, 0)
        assert names(handle(run, c.LoseAttempt(0, run.jobs[0].number, "gone"))) == [
            "AttemptEnded",
            "JobRetrying",
        ]
    assign(run, 0)
    handle(run, c.LoseAttempt(0, run.jobs[0].number, "gone"))
    assert run.jobs[0].infrastructure
    assert run.status is RunStatus.FAILED


def preempt(run: Run, job: int) -> list[e.Event]:
    return handle(run, c.PreemptJob(job, run.jobs[job].number, "other", "deploy"))


def begun(*decls: e.NodeDecl) -> Run:
    run = submitted(*(decls or (e.NodeDecl("a", []),)))
    expand(run, 0, "a")
    assign(run, 0)
    handle(run, c.StartAttempt(0, 1))
    return run


def test_a_preempted_job_waits_again_and_nothing_is_counted_against_it():
    run = begun(e.NodeDecl("a", [], retry_max=1, retry_exits=[7]))
    job = run.jobs[0]
    for number in range(1, 2 * LOST_RETRIES + 2):
        assert names(preempt(run, 0)) == ["JobPreempting"]
        assert job.status is JobStatus.PREEMPTING
        assert names(end(run, 0, "preempted")) == ["AttemptEnded", "JobRetrying"]
        assert (job.status, job.preempted, job.message) == (
            JobStatus.QUEUED,
            number,
            "preempted for job 'deploy' of run other",
        )
        assign(run, 0)
        assert (job.number, job.message) == (number + 1, "")
    assert (job.lost, job.retries) == (0, 0)
    assert handle(run, c.EndAttempt(0, 1, "succeeded")) == [], "of an attempt that does not count any more"
    end(run, 0, "failed", exit_code=7)
    assign(run, 0)
    end(run, 0)
    assert run.status is RunStatus.SUCCEEDED


def test_an_order_to_make_room_comes_once_and_only_to_the_attempt_that_was_meant():
    run = begun()
    assert handle(run, c.PreemptJob(0, 2, "other", "deploy")) == []
    assert preempt(run, 0)
    assert preempt(run, 0) == []
    end(run, 0, "preempted")
    assert preempt(run, 0) == []


def test_a_result_overtakes_the_order_to_make_room():
    for result in ("succeeded", "failed", "timed-out"):
        run = begun()
        preempt(run, 0)
        assert names(end(run, 0, result)) == ["AttemptEnded", "JobEnded", "RunEnded"]
        assert run.jobs[0].status.value == result


def test_a_cancel_wins_over_making_room():
    for said in ("preempted", "cancelled", "lost"):
        run = begun()
        preempt(run, 0)
        assert names(handle(run, c.CancelRun()))[-1] == "JobCancelling"
        assert preempt(run, 0) == []
        end(run, 0, said)
        assert (run.status, run.jobs[0].status) == (RunStatus.CANCELLED, JobStatus.CANCELLED)
    run = begun()
    handle(run, c.CancelRun())
    assert preempt(run, 0) == []


def test_an_agent_that_takes_making_room_for_a_cancellation_cancels_nothing():
    run = begun()
    preempt(run, 0)
    assert names(end(run, 0, "cancelled")) == ["AttemptEnded", "JobRetrying"]
    assert run.jobs[0].status is JobStatus.QUEUED


def test_what_is_lost_while_it_makes_room_waits_again_and_is_no_loss():
    run = begun()
    handle(run, c.LoseAttempt(0, 1, "gone"))
    assign(run, 0)
    preempt(run, 0)
    assert names(handle(run, c.LoseAttempt(0, 2, "gone"))) == ["AttemptEnded", "JobRetrying"]
    job = run.jobs[0]
    assert (job.status, job.lost, job.preempted) == (JobStatus.QUEUED, 1, 1)


def test_what_may_not_run_again_is_held_even_while_it_makes_room():
    run = begun()
    preempt(run, 0)
    handle(run, c.LoseAttempt(0, 1, "gone", held=True))
    assert (run.status, run.jobs[0].status) == (RunStatus.HELD, JobStatus.HELD)


def test_outputs_of_a_preempted_attempt_are_nobody_s():
    run = begun()
    preempt(run, 0)
    end(run, 0, "preempted", outputs={"word": "early"})
    assert run.nodes[0].outputs == {}


def test_a_step_that_is_not_idempotent_holds_the_job_until_somebody_decides():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    assign(run, 0)
    handle(run, c.LoseAttempt(0, 1, "gone", held=True))
    assert (run.status, run.jobs[0].status) == (RunStatus.HELD, JobStatus.HELD)
    assert names(handle(run, c.RetryJob(0))) == ["RunReleased", "JobsQueued"]
    assign(run, 0)
    handle(run, c.LoseAttempt(0, 2, "gone", held=True))
    assert names(handle(run, c.FailJob(0, "given up"))) == ["RunReleased", "JobEnded", "RunEnded"]
    assert run.status is RunStatus.FAILED


def test_nobody_is_asked_about_a_job_that_is_lost_in_a_cancelled_run():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    assign(run, 0)
    handle(run, c.CancelRun(spared=frozenset({0})))
    assert run.jobs[0].status is JobStatus.ASSIGNED
    handle(run, c.LoseAttempt(0, 1, "gone", held=True))
    assert (run.status, run.jobs[0].status) == (RunStatus.CANCELLED, JobStatus.CANCELLED)


def test_a_cancel_is_an_answer_to_a_held_job_even_when_its_node_is_spared():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    assign(run, 0)
    handle(run, c.LoseAttempt(0, 1, "gone", held=True))
    handle(run, c.CancelRun(spared=frozenset({0})))
    assert (run.status, run.jobs[0].status) == (RunStatus.CANCELLED, JobStatus.CANCELLED)


def test_what_an_agent_says_of_a_job_that_is_not_there_changes_nothing():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    assign(run, 0)
    for job in (-1, 1, 10**9):
        assert handle(run, c.StartAttempt(job, 1)) == []
        assert handle(run, c.EndAttempt(job, 1, "succeeded")) == []
        assert handle(run, c.LoseAttempt(job, 1, "gone")) == []
        assert handle(run, c.Record(e.StepStarted(job, 1, 0, "x", record=1))) == []
        assert handle(run, c.QueueJob(job)) == []
    assert run.jobs[0].status is JobStatus.ASSIGNED


def test_an_end_that_is_none_is_a_loss():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    for result in ("", "running", "green"):
        assign(run, 0)
        assert names(end(run, 0, result))[0] == "AttemptEnded"
        assert run.jobs[0].attempt == "lost"
    assert run.jobs[0].infrastructure


def test_max_parallel_goes_on_when_several_legs_were_carried_over():
    run = submitted(e.NodeDecl("a", []))
    done = dict.fromkeys((0, 1), ("succeeded", ""))
    expand(run, 0, "a1", "a2", "a3", "a4", max_parallel=1, ends=done)
    for job in (2, 3):
        assert run.jobs[job].status is JobStatus.QUEUED
        assign(run, job)
        end(run, job)
    assert run.status is RunStatus.SUCCEEDED


def test_max_parallel_passes_over_a_leg_that_waits_for_its_retry_and_comes_back_to_it():
    run = submitted(e.NodeDecl("a", [], 1, [7], 5.0))
    expand(run, 0, "a1", "a2", max_parallel=1)
    assign(run, 0)
    end(run, 0, "failed", exit_code=7)
    handle(run, c.QueueJob(0))
    for job in (0, 1):
        assign(run, job)
        end(run, job)
    assert run.status is RunStatus.SUCCEEDED


def test_fail_fast_counts_for_several_legs_that_fail_at_once():
    run = submitted(e.NodeDecl("a", []))
    ends = dict.fromkeys((0, 1), ("failed", "no agent"))
    events = expand(run, 0, "a1", "a2", "a3", ends=ends)
    assert run.jobs[2].status is JobStatus.CANCELLED
    assert run.status is RunStatus.FAILED
    assert names(events).count("RunEnded") == 1


def test_fail_fast_cancels_each_leg_once():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a1", "a2", "a3")
    for job in range(3):
        assign(run, job)
    assert names(end(run, 0, "failed")).count("JobCancelling") == 2
    assert "JobCancelling" not in names(end(run, 1, "failed"))


def test_fail_fast_cancels_the_other_legs():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a1", "a2", "a3", max_parallel=2)
    assign(run, 0)
    assign(run, 1)
    events = end(run, 0, "failed")
    assert names(events) == ["AttemptEnded", "JobEnded", "JobCancelling", "JobEnded"]
    assert run.jobs[1].status is JobStatus.CANCELLING
    assert run.jobs[2].status is JobStatus.CANCELLED
    end(run, 1, "cancelled")
    assert run.status is RunStatus.FAILED
    assert run.nodes[0].result == "failure"


def test_without_fail_fast_the_others_go_on():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a1", "a2", fail_fast=False)
    assign(run, 0)
    end(run, 0, "failed")
    assert run.jobs[1].status is JobStatus.QUEUED


def test_continue_on_error_is_success_for_needs_and_for_the_run():
    run = submitted(e.NodeDecl("a", []))
    handle(run, c.ExpandNode(0, [e.JobDecl("a", continue_on_error=True)]))
    assign(run, 0)
    end(run, 0, "failed")
    assert run.nodes[0].result == "success"
    assert run.status is RunStatus.SUCCEEDED


def test_max_parallel_lets_the_next_leg_in_when_one_ends():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a1", "a2", "a3", max_parallel=1, fail_fast=False)
    order = []
    for _ in range(3):
        queued = [job.index for job in run.jobs if job.status is JobStatus.QUEUED]
        assert len(queued) == 1
        order += queued
        assign(run, queued[0])
        end(run, queued[0])
    assert order == [0, 1, 2]
    assert run.ended


def test_a_retry_by_exit_code_waits_its_delay_and_stops_at_its_limit():
    run = submitted(e.NodeDecl("a", [], retry_max=1, retry_exits=[7], backoff_s=2.0))
    expand(run, 0, "a")
    assign(run, 0)
    events = end(run, 0, "failed", exit_code=7)
    assert isinstance(events[-1], e.JobRetrying)
    assert events[-1].delay_s == 2.0
    assert run.jobs[0].status is JobStatus.PENDING
    handle(run, c.QueueJob(0))
    assign(run, 0)
    end(run, 0, "failed", exit_code=7)
    assert run.status is RunStatus.FAILED


def test_cancel_ends_what_waits_and_asks_what_runs_to_end():
    run = submitted(e.NodeDecl("a", []), e.NodeDecl("b", []), e.NodeDecl("c", [0]))
    expand(run, 0, "a")
    expand(run, 1, "b")
    assign(run, 0)
    handle(run, c.CancelRun("enough"))
    assert run.jobs[0].status is JobStatus.CANCELLING
    assert run.jobs[1].status is JobStatus.CANCELLED
    assert handle(run, c.CancelRun("again")) == []
    assert names(handle(run, c.CancelRun("now", forced=True))) == ["RunCancelling", "JobCancelling"]
    assert handle(run, c.CancelRun("now", forced=True)) == []
    end(run, 0, "cancelled")
    assert list(run.ready) == [2]
    expand(run, 2, "c", ends={0: ("cancelled", "")})
    assert run.status is RunStatus.CANCELLED


def test_a_result_that_overtakes_the_cancellation_stands():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    assign(run, 0)
    handle(run, c.CancelRun())
    end(run, 0, "succeeded")
    assert run.jobs[0].status is JobStatus.SUCCEEDED
    assert run.status is RunStatus.CANCELLED


def test_a_lost_attempt_of_a_cancelled_job_is_not_made_again():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    assign(run, 0)
    handle(run, c.CancelRun())
    handle(run, c.LoseAttempt(0, 1, "gone"))
    assert run.jobs[0].status is JobStatus.CANCELLED


def test_what_succeeded_in_the_run_that_is_retried_is_carried_over():
    run = submitted(e.NodeDecl("a", []), e.NodeDecl("b", [0]))
    expand(run, 0, "a1", "a2", ends={0: ("succeeded", "carried")}, outputs={"x": "1"})
    assert [job.status for job in run.jobs] == [JobStatus.SUCCEEDED, JobStatus.QUEUED]
    assign(run, 1)
    end(run, 1)
    assert list(run.ready) == [1]
    assert run.nodes[0].outputs == {"x": "1"}


def test_a_job_waits_for_its_groups_one_after_the_other():
    run = submitted(e.NodeDecl("a", []))
    jobs = [e.JobDecl("a", calls="c.yml", groups=[group("own"), group("called")])]
    told = handle(run, c.ExpandNode(0, jobs, nodes=[e.NodeDecl("inner", [])]))
    assert names(told) == ["NodesAdded", "NodeExpanded", "JobsWaiting"]
    assert handle(run, c.GrantGroup(0, "called")) == []
    assert names(handle(run, c.GrantGroup(0, "own"))) == ["GroupGranted"]
    assert handle(run, c.GrantGroup(0, "own")) == []
    assert names(handle(run, c.GrantGroup(0, "called"))) == ["GroupGranted", "CallsOpened"]


def test_a_held_job_asks_for_its_group_again():
    run = submitted(e.NodeDecl("a", []))
    handle(run, c.ExpandNode(0, [e.JobDecl("a", groups=[group("g")])]))
    handle(run, c.GrantGroup(0, "g"))
    assign(run, 0)
    handle(run, c.LoseAttempt(0, 1, "gone", held=True))
    assert names(handle(run, c.RetryJob(0))) == ["RunReleased", "JobsWaiting"]
    assert names(handle(run, c.GrantGroup(0, "g"))) == ["GroupGranted", "JobsQueued"]


def with_one_held_and_one_waiting() -> Run:
    """A call that has `g`, in which a job is held, and a job that waits for `g`."""
    run = submitted(e.NodeDecl("a", []), e.NodeDecl("b", []))
    called = e.JobDecl("a", calls="c.yml", groups=[group("g")])
    handle(run, c.ExpandNode(0, [called], nodes=[e.NodeDecl("in", [])]))
    handle(run, c.ExpandNode(1, [e.JobDecl("b", groups=[group("g")])]))
    handle(run, c.GrantGroup(0, "g"))
    expand(run, 2, "a / in")
    assign(run, 2)
    assert names(handle(run, c.LoseAttempt(2, 1, "gone", held=True)))[-1] == "RunHeld"
    return run


def test_a_run_is_held_though_a_job_waits_for_a_group():
    run = with_one_held_and_one_waiting()
    handle(run, c.RetryJob(2))
    assert run.status is RunStatus.RUNNING
    assign(run, 2)
    end(run, 2)
    handle(run, c.ReturnCall(0))
    assert names(handle(run, c.GrantGroup(1, "g"))) == ["GroupGranted", "JobsQueued"]


def test_a_held_run_goes_on_when_a_job_gets_its_group():
    run = with_one_held_and_one_waiting()
    assert names(handle(run, c.GrantGroup(1, "g"))) == ["RunReleased", "GroupGranted", "JobsQueued"]
    assign(run, 1)
    assert names(end(run, 1)) == ["AttemptEnded", "JobEnded", "RunHeld"]


def test_a_held_run_stays_held_when_a_job_is_refused_its_group():
    run = with_one_held_and_one_waiting()
    assert names(handle(run, c.RefuseGroup(1, "g", "why"))) == ["RunReleased", "JobEnded", "RunHeld"]


def test_a_job_that_begins_to_wait_leaves_a_run_held_in_which_nothing_else_goes_on():
    run = submitted(e.NodeDecl("a", []), e.NodeDecl("b", []), e.NodeDecl("c", [1]))
    for node in (0, 1):
        expand(run, node, str(node))
        assign(run, node)
    handle(run, c.LoseAttempt(0, 1, "gone", held=True))
    end(run, 1)
    assert run.status is RunStatus.RUNNING
    asking = [e.JobDecl("c", groups=[group("g")])]
    assert names(handle(run, c.ExpandNode(2, asking))) == ["NodeExpanded", "JobsWaiting", "RunHeld"]


def test_a_held_run_whose_call_is_cancelled_by_its_group_goes_on():
    run = submitted(e.NodeDecl("a", []), e.NodeDecl("z", [0]))
    called = e.JobDecl("a", calls="c.yml", groups=[group("g")])
    handle(run, c.ExpandNode(0, [called], nodes=[e.NodeDecl("in", [])]))
    handle(run, c.GrantGroup(0, "g"))
    expand(run, 2, "a / in")
    assign(run, 1)
    handle(run, c.LoseAttempt(1, 1, "gone", held=True))
    assert run.status is RunStatus.HELD
    assert names(handle(run, c.CancelJob(0, "another"))) == ["RunReleased", "CallCancelling", "JobEnded"]
    handle(run, c.ReturnCall(0))
    expand(run, 1, "z")
    assign(run, 2)
    end(run, 2)
    assert run.status is RunStatus.CANCELLED


def test_who_is_refused_a_group_is_cancelled_with_the_reason():
    run = submitted(e.NodeDecl("a", []))
    handle(run, c.ExpandNode(0, [e.JobDecl("a", groups=[group("g")])]))
    handle(run, c.RefuseGroup(0, "g", "another took its place"))
    assert (run.jobs[0].status, run.jobs[0].message) == (JobStatus.CANCELLED, "another took its place")
    assert run.status is RunStatus.CANCELLED


def test_a_job_that_its_group_cancels_says_so_at_its_end():
    run = submitted(e.NodeDecl("a", []))
    handle(run, c.ExpandNode(0, [e.JobDecl("a", groups=[group("g")])]))
    handle(run, c.GrantGroup(0, "g"))
    assign(run, 0)
    assert names(handle(run, c.CancelJob(0, "a newer one came"))) == ["JobCancelling"]
    assert handle(run, c.CancelJob(0, "a newer one came")) == []
    end(run, 0, "cancelled", message="the agent's own words")
    assert run.jobs[0].message == "a newer one came"


def test_a_call_that_its_group_cancels_is_cancelled_with_all_in_it():
    run = submitted(e.NodeDecl("a", []))
    inner = [e.NodeDecl("first", []), e.NodeDecl("then", [0])]
    handle(run, c.ExpandNode(0, [e.JobDecl("a", calls="c.yml", groups=[group("g")])], nodes=inner))
    handle(run, c.GrantGroup(0, "g"))
    expand(run, 1, "a / first")
    handle(run, c.CancelJob(0, "a newer one came"))
    expand(run, 2, "a / then", ends={0: ("cancelled", "")})
    handle(run, c.ReturnCall(0))
    assert [(job.status.value, job.message) for job in run.jobs[:2]] == [
        ("cancelled", "a newer one came")
    ] * 2


def test_nothing_of_a_run_that_is_cancelled_before_it_has_its_group_begins():
    run = Run()
    handle(run, c.Submit("r", "w", "t", "push", "s", "x", [e.NodeDecl("a", [])], group=group("g")))
    assert run.waiting
    handle(run, c.CancelRun())
    assert run.forced
    assert not run.waiting


def test_records_are_kept_once():
    run = submitted(e.NodeDecl("a", []))
    expand(run, 0, "a")
    assign(run, 0)
    step = e.StepStarted(0, 1, 0, "s", record=5)
    assert handle(run, c.Record(step)) == [step]
    assert handle(run, c.Record(step)) == []


def test_ten_thousand_legs_stay_below_the_event_limit():
    run = submitted(e.NodeDecl("a", []))
    legs = [e.JobDecl(f"a ({number})", matrix={"n": number, "text": "x" * 100}) for number in range(10_000)]
    events = handle(run, c.ExpandNode(0, legs))
    assert all(len(e.encode([event])) <= e.EVENT_LIMIT for event in events)
    assert len(run.jobs) == 10_000
    assert all(job.status is JobStatus.QUEUED for job in run.jobs)


class AnyHistory(RuleBasedStateMachine):
    """Any commands in any order, sensible or not."""

    @initialize(
        shape=st.sampled_from([[[]], [[], [0]], [[], [], [0, 1]], [[], [0], [0], [1, 2]]]),
        asks=st.sampled_from([False, False, True]),
    )
    def submit(self, shape, asks):
        self.run = Run()
        self.events: list[e.Event] = []
        self.finals: dict[int, JobStatus] = {}
        nodes = [e.NodeDecl(f"n{i}", needs, retry_max=1, retry_exits=[7]) for i, needs in enumerate(shape)]
        self.do(c.Submit("r", "w", "t", "push", "s", "x", nodes, group=group("w") if asks else None))

    def do(self, command: c.Command) -> None:
        self.events += handle(self.run, command)

    @rule(
        legs=st.integers(1, 4),
        fail_fast=st.booleans(),
        parallel=st.sampled_from([None, 1, 2]),
        lenient=st.booleans(),
        skip=st.booleans(),
        called=st.sampled_from([None, None, [[]], [[], [0]]]),
        asks=st.sampled_from([0, 0, 0, 1, 2]),
    )
    @precondition(lambda self: self.run.ready and not self.run.waiting)
    def expand(self, legs, fail_fast, parallel, lenient, skip, called, asks):
        groups = [group(f"g{number}") for number in range(asks)]
        node = next(iter(self.run.ready))
        name = self.run.nodes[node].path
        if called and not skip and len(self.run.jobs) < 12:
            nodes = [
                e.NodeDecl(f"i{i}", needs, retry_max=1, retry_exits=[7]) for i, needs in enumerate(called)
            ]
            jobs = [e.JobDecl(f"{name}.{leg}", calls="c.yml", groups=groups) for leg in range(min(legs, 2))]
            self.do(c.ExpandNode(node, jobs, fail_fast, parallel, nodes=nodes))
        elif skip:
            cancelled = self.run.cancelling or self.run.nodes[node].cancelled
            status = "cancelled" if cancelled else "skipped"
            self.do(c.ExpandNode(node, [e.JobDecl(name)], ends={0: (status, "")}))
        else:
            jobs = [
                e.JobDecl(f"{name}.{leg}", continue_on_error=lenient, groups=groups[:1])
                for leg in range(legs)
            ]
            self.do(c.ExpandNode(node, jobs, fail_fast, parallel))

    @rule(error=st.sampled_from(["", "", "its outputs cannot be told"]))
    @precondition(lambda self: self.run.returning)
    def give_back(self, error):
        self.do(c.ReturnCall(next(iter(self.run.returning)), {"told": "x"}, error))

    jobs = st.integers(0, 12)

    def known(self, job: int) -> bool:
        return job < len(self.run.jobs)

    @rule(job=jobs)
    def assign(self, job):
        if self.known(job):
            self.do(c.AssignJob(job, "agent"))

    @rule(job=jobs, back=st.integers(0, 1))
    def start(self, job, back):
        if self.known(job):
            self.do(c.StartAttempt(job, self.run.jobs[job].number - back))

    @rule(
        job=jobs,
        back=st.integers(0, 1),
        result=st.sampled_from(["succeeded", "failed", "cancelled", "timed-out", "lost", "preempted"]),
        code=st.sampled_from([None, 1, 7]),
        held=st.booleans(),
    )
    def end(self, job, back, result, code, held):
        if self.known(job):
            number = self.run.jobs[job].number - back
            self.do(c.EndAttempt(job, number, result, exit_code=code, held=held and result == "lost"))

    @rule(job=jobs, held=st.booleans())
    def lose(self, job, held):
        if self.known(job):
            self.do(c.LoseAttempt(job, self.run.jobs[job].number, "gone", held=held))

    @rule(job=jobs, back=st.integers(0, 1))
    def preempt(self, job, back):
        if self.known(job):
            self.do(c.PreemptJob(job, self.run.jobs[job].number - back, "other", "deploy"))

    @rule(job=jobs)
    def time_out(self, job):
        if self.known(job):
            self.do(c.TimeOutJob(job, self.run.jobs[job].number))

    @rule(job=jobs)
    def due(self, job):
        if self.known(job):
            self.do(c.QueueJob(job))

    @rule(job=jobs, retry=st.booleans())
    def decide_held(self, job, retry):
        if self.known(job):
            self.do(c.RetryJob(job) if retry else c.FailJob(job, "given up"))

    @rule(job=st.integers(-1, 12), stream=st.sampled_from(["w", "g0", "g1"]), granted=st.booleans())
    def answer_of_a_group(self, job, stream, granted):
        if self.known(job):
            self.do(
                c.GrantGroup(job, stream) if granted else c.RefuseGroup(job, stream, "its place is taken")
            )

    @rule(job=jobs)
    def cancel_one(self, job):
        if self.known(job):
            self.do(c.CancelJob(job, "by its group"))

    @rule(forced=st.booleans())
    def cancel(self, forced):
        self.do(c.CancelRun("", forced))

    @invariant()
    def terminal_states_never_change(self):
        for job in self.run.jobs:
            if job.index in self.finals:
                assert job.status is self.finals[job.index]
            elif job.status in JOB_ENDS:
                self.finals[job.index] = job.status

    @invariant()
    def counts_agree(self):
        run = self.run
        assert run.jobs_ended == sum(job.status in JOB_ENDS and not job.nodes for job in run.jobs)
        assert run.job_count == sum(not job.nodes for job in run.jobs)
        assert run.held == sum(job.status is JobStatus.HELD for job in run.jobs)
        busy = sum(job.status in ACTIVE or job.status is JobStatus.QUEUED or job.delayed for job in run.jobs)
        assert run.busy == busy
        for node in run.nodes:
            assert node.left == sum(job.status not in JOB_ENDS for job in node.jobs)
            if node.max_parallel is not None:
                assert node.active <= node.max_parallel
        assert run.nodes_left == sum(not node.ended for node in run.nodes if node.call is None)
        for job in run.jobs:
            assert job.nodes_left == sum(not node.ended for node in job.nodes)
            if job.nodes:
                assert (job.status is JobStatus.CALLING) == (job.status not in JOB_ENDS)

    @invariant()
    def nothing_is_at_work_without_its_groups(self):
        run = self.run
        for job in run.jobs:
            waits = job.status is JobStatus.WAITING
            if waits:
                assert job.asks == job.decl.groups[job.granted]
            if waits or job.status in ACTIVE or job.status in (JobStatus.QUEUED, JobStatus.CALLING):
                assert job.asked == bool(job.decl.groups)
                assert not run.waiting
                assert waits or job.granted == len(job.decl.groups)
            if job.status is JobStatus.HELD:
                assert not job.asked

    @invariant()
    def a_call_ends_after_all_that_it_calls(self):
        for job in self.run.jobs:
            assert (job.index in self.run.returning) == (
                job.status is JobStatus.CALLING and not job.nodes_left
            )
            if job.nodes and job.status in JOB_ENDS:
                assert not job.nodes_left
            if job.nodes and job.status is JobStatus.SUCCEEDED:
                assert not any(node.failures for node in job.nodes)

    @invariant()
    def a_run_ends_when_all_its_nodes_have(self):
        assert self.run.ended == (self.run.nodes_left == 0)
        if self.run.status is RunStatus.SUCCEEDED:
            assert not any(node.failures for node in self.run.nodes)

    @invariant()
    def nothing_is_stuck(self):
        run = self.run
        if not run.ended and not run.ready and not run.returning:
            waits = any(job.status is JobStatus.WAITING for job in run.jobs)
            assert run.busy or run.held or waits
            if not run.cancelling:
                assert (run.status is RunStatus.HELD) == (run.held > 0 and not run.busy)
        assert not (run.waiting and (run.cancelling or run.ended))

    @invariant()
    def a_cancelled_job_never_revives(self):
        for job in self.run.jobs:
            if job.status is JobStatus.CANCELLING:
                assert job.number

    @invariant()
    def the_events_tell_the_same(self):
        again = replay(e.decode(e.encode(self.events)))
        assert [(j.status, j.number, j.lost, j.delayed) for j in again.jobs] == [
            (j.status, j.number, j.lost, j.delayed) for j in self.run.jobs
        ]
        assert again.status is self.run.status
        assert again.ready == self.run.ready
        assert again.returning == self.run.returning
        assert again.busy == self.run.busy
        assert again.due == self.run.due
        assert [(job.asked, job.granted) for job in again.jobs] == [
            (job.asked, job.granted) for job in self.run.jobs
        ]


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
