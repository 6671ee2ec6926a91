"""A run that goes as others did comes to what the rules say of it: the same bytes, the same state, or no way at all."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.machine import handle
from relevo.domain.run import Run
from relevo.orchestrator.plans import Plan, SharedContexts, evaluate_node, expand
from relevo.orchestrator.run_actor import row_of, run_row
from relevo.orchestrator.shapes import Course, Start, start_of
from relevo.testing.virtual_loop import run_virtual
from relevo.workflow.reader import read
from tests.unit.orchestrator.kit import FakeAgent, World, until

_HEAD = "on: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n"
_STEPS = "    steps: [{run: 'true'}]\n"
#: Of these the runs may go one way: with a rule of their own for retries, and a name that looks like a hole.
ALIKE = (
    _HEAD + _STEPS,
    _HEAD + "    name: 100%b\n    timeout-minutes: 5\n" + _STEPS,
    _HEAD + "    relevo: {retry: {max: 1, on: [75]}}\n" + _STEPS,
)
#: Of these none does: more jobs than one, expressions, concurrency groups.
OTHERS = (
    _HEAD + _STEPS + "  two:\n    runs-on: ubuntu-latest\n" + _STEPS,
    _HEAD + "    strategy: {matrix: {os: [a, b]}}\n" + _STEPS,
    _HEAD + "    if: github.ref == 'x'\n" + _STEPS,
    _HEAD + "    concurrency: deploy\n" + _STEPS,
)

names = st.text(max_size=8) | st.sampled_from(["%b", "an agent", "a digest", "%%", "é" * 40])
times = st.integers(0, 1 << 62)
starts = st.builds(c.StartAttempt, st.just(0), st.just(1), times)
records = st.builds(
    c.Record,
    st.builds(e.StepStarted, st.just(0), st.just(1), st.just(0), names, times, st.integers(1, 9))
    | st.builds(
        e.StepEnded,
        job=st.just(0),
        number=st.just(1),
        step=st.just(0),
        name=names,
        outcome=names,
        conclusion=names,
        summary=names,
        record=st.integers(1, 9),
    ),
)
ends = st.builds(
    c.EndAttempt,
    job=st.just(0),
    number=st.just(1),
    result=st.sampled_from(["succeeded", "succeeded", "failed", "timed-out"]),
    exit_code=st.sampled_from([None, 0, 1, 75]),
    log_size=times,
    log_digest=st.binary(max_size=32),
    at_ms=times,
)
unusual = (
    st.builds(c.StartAttempt, st.integers(0, 1), st.integers(1, 2), times)
    | st.builds(c.StartingAttempt, st.just(0), st.just(1), times)
    | st.builds(c.LoseAttempt, st.just(0), st.just(1), names, times)
    | st.builds(c.CancelRun, at_ms=times)
    | st.just(c.QueueJob(-1))
    | st.builds(c.Record, st.builds(e.StepStarted, st.just(0), st.just(2), st.just(0), names, times, times))
    | st.builds(
        c.EndAttempt,
        st.just(0),
        st.integers(1, 2),
        st.sampled_from(["succeeded", "lost", "preempted", "cancelled", "no end"]),
        st.sampled_from([{}, {"a": "b"}]),
        st.sampled_from(["", "why"]),
        st.none(),
        times,
        at_ms=times,
        held=st.booleans(),
    )
)


@st.composite
def histories(draw: st.DrawFn) -> list[list[c.Command]]:
    """What an agent tells, in order, as it comes: the usual thing, or with something else in it."""
    kept = sorted(draw(st.lists(records, max_size=4)), key=lambda one: one.event.record)
    commands = [draw(starts), *kept, draw(ends)]
    for other in draw(st.lists(unusual, max_size=2)):
        commands.insert(draw(st.integers(0, len(commands))), other)
    cuts = sorted(draw(st.lists(st.integers(1, len(commands) - 1), max_size=3, unique=True)))
    return [commands[a:b] for a, b in pairwise([0, *cuts, len(commands)])]


def _plan(text: str) -> Plan:
    plan = Plan.made_of(read(text.encode(), "w.yml"))
    run = Run()
    handle(run, c.Submit("r", "", "", "", "", "", plan.declarations()))
    evaluate_node(run, plan, SharedContexts(), 0)  # a job that needs no evaluation is known by its first run
    return plan


PLANS = [_plan(text) for text in ALIKE]


def _start(plan: Plan) -> Start:
    start = start_of(plan)
    assert start is not None
    return start


def _begun(plan: Plan, submit: c.Submit, agent: str, at_ms: int) -> tuple[Run, list[e.Event]]:
    run = Run()
    events = handle(run, submit)
    events += handle(run, expand(run, plan, SharedContexts(), 0, {}, at_ms))
    return run, events + handle(run, c.AssignJob(0, agent, at_ms))


def _state(of: Any) -> Any:
    """All that a run consists of."""
    if hasattr(of, "__slots__") and not hasattr(of, "__struct_fields__"):
        return {
            name: getattr(of, name).index
            if name in ("node", "call") and getattr(of, name)
            else _state(getattr(of, name))
            for name in of.__slots__
        }
    return [_state(one) for one in of] if isinstance(of, list) else of


@given(st.sampled_from(PLANS), names, names, names, times, histories())
def test_what_is_filled_in_is_what_the_rules_say(plan, id, title, agent, at_ms, history):
    submit = c.Submit(id, "w.yml", title, "push", plan.digest, title, plan.declarations(), at_ms=at_ms)
    run, events = _begun(plan, submit, agent, at_ms)
    course, made = Course.begin(_start(plan), submit, agent, at_ms)
    assert (made.events, made.count) == (e.encode(events), len(events))
    for told_together in history:
        made = course.go(told_together)
        if made is None:
            break
        events = [event for command in told_together for event in handle(run, command)]
        assert (made.events, made.count) == (e.encode(events), len(events))
    # Where it stands, whether or not it had a way for all of it:
    assert _state(course.run()) == _state(run)
    assert row_of(course.shape.run, course.accepted, course.ended_ms) == run_row(run)


def test_the_usual_life_of_a_job_has_a_way_throughout():
    for plan in PLANS:
        for result in ("succeeded", "failed"):
            submit = c.Submit("r", "w.yml", "t", "push", "", "", plan.declarations())
            course, _ = Course.begin(_start(plan), submit, "local", 1)
            assert course.go([c.StartingAttempt(0, 1, 1)]) is not None
            told = [
                c.StartAttempt(0, 1, 2),
                c.Record(e.StepStarted(0, 1, 0, "x", 3, 1)),
                c.Record(e.StepEnded(0, 1, 0, "x", "success", "success", 0, record=2)),
                c.EndAttempt(0, 1, result, exit_code=0, at_ms=4),
            ]
            assert course.go(told[:2]) is not None
            assert course.go(told[1:2]) is None  # a repetition
            assert course.go([c.Record(e.StepEnded(0, 1, 0, *"xyz", summary="s" * 10_000, record=2))]) is None
            for own in ({"message": "why"}, {"outputs": {"a": "b"}}, {"held": True}):
                assert course.go([msgspec.structs.replace(told[3], **own)]) is None
            assert course.go(told[2:]) is not None
            assert course.run().ended
            assert course.go(told[3:]) is None


def test_other_plans_have_no_start():
    for text in OTHERS:
        assert start_of(_plan(text)) is None


def test_runs_that_go_alike_are_stored_as_by_the_rules_and_leave_nothing_behind():
    async def main() -> None:
        world = World()
        agent = FakeAgent(await world.engine(), slots=8)
        agent.hello()
        runs = [await world.submit(ALIKE[0]) for _ in range(4)]
        await until(lambda: len(agent.assigned()) == 4)
        orchestrator = agent.engine.orchestrator
        assert orchestrator.live[runs[2]].run.jobs[0].status == "assigned"  # somebody looks at this one
        for one in agent.assigned():
            agent.finish(one)
        await until(lambda: all(world.status(run) == "succeeded" for run in runs))
        told = [[type(event) for event in world.events(run)] for run in runs]
        assert told == [told[0]] * 4
        await until(lambda: not orchestrator.live)
        assert not orchestrator.scheduler.reserved
        await world.now.close()

    run_virtual(main())
