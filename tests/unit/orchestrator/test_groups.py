"""Concurrency groups between runs, and what must hold when store or engine let them down."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain import groups as g
from relevo.orchestrator.plans import GROUP_STREAM, stream_of
from relevo.protocol import messages as m
from relevo.store.contract import StoreUnavailable
from relevo.store.memory import MemoryStore
from relevo.testing.virtual_loop import run_virtual
from tests.unit.orchestrator.kit import FakeAgent, World, until

JOB = "runs-on: ubuntu-latest\n    steps: [{run: x}]\n"
RUN = f"on: push\nconcurrency: {{}}\njobs:\n  a:\n    {JOB}"
STREAM = stream_of("", "g")


def whole(how: str = "group: g") -> str:
    """A workflow with a group."""
    return RUN.replace("{}", f"{{{how}}}")


def one(how: str = "group: g", more: str = "") -> str:
    """A workflow whose job has a group."""
    return f"on: push\njobs:\n  a:\n    concurrency: {{{how}}}\n    {JOB}{more}"


async def world_with_agent() -> tuple[World, FakeAgent]:
    world = World()
    agent = FakeAgent(await world.engine(), slots=8)
    agent.hello()
    return world, agent


def of(agent: FakeAgent, run: str) -> list[m.Assignment]:
    return [one for one in agent.assigned() if one.run == run]


def group_streams(world: World) -> list[str]:
    return [stream for stream in world.disk.streams if stream.startswith(GROUP_STREAM)]


def reason(world: World, run: str) -> str:
    """Why a run was cancelled, or the message of its first job."""
    for event in world.events(run):
        if isinstance(event, e.RunCancelling):
            return event.reason
        if isinstance(event, e.JobEnded):
            return event.message
    return ""


def each_kind(check):
    """For groups of runs and of jobs."""
    import pytest

    return pytest.mark.parametrize("made", [whole, one], ids=["run", "job"])(check)


async def at_work(agent: FakeAgent, run: str) -> m.Assignment:
    await until(lambda: of(agent, run))
    return of(agent, run)[-1]


async def asked(world: World, run: str) -> None:
    await until(
        lambda: any(
            isinstance(event, g.Asked) and event.run == run
            for stored in world.disk.streams.get(STREAM, [])
            for event in g.decode(stored.events)
        )
    )


@each_kind
def test_one_at_a_time_one_waits_and_a_newer_one_takes_its_place(made):
    async def main():
        world, agent = await world_with_agent()
        first = await world.submit(made())
        held = await at_work(agent, first)
        second = await world.submit(made("group: G"))
        await asked(world, second)
        third = await world.submit(made())
        await until(lambda: world.status(second) == "cancelled")
        assert f"run {third} took its place: one at most waits for concurrency group 'g'" in reason(
            world, second
        )
        agent.finish(held)
        await until(lambda: world.status(first) == "succeeded")
        agent.finish(await at_work(agent, third))
        await until(lambda: world.status(third) == "succeeded")
        assert not of(agent, second)
        await until(lambda: not group_streams(world) and not world.now.orchestrator.groups._actors)
        await world.now.close()

    run_virtual(main())


@each_kind
def test_cancel_in_progress(made):
    async def main():
        world, agent = await world_with_agent()
        first = await world.submit(made())
        held = await at_work(agent, first)
        second = await world.submit(made("group: g, cancel-in-progress: true"))
        await until(lambda: agent.of(m.Cancel))
        assert not of(agent, second)
        agent.finish(held, "cancelled")
        await until(lambda: world.status(first) == "cancelled")
        assert f"run {second} asked for concurrency group 'g' with cancel-in-progress" in reason(world, first)
        agent.finish(await at_work(agent, second))
        await until(lambda: world.status(second) == "succeeded")
        await world.now.close()

    run_virtual(main())


@each_kind
def test_queue_max_keeps_the_order_through_engines_that_die(made):
    async def main():
        world, agent = await world_with_agent()
        how = "group: g, queue: max"
        runs = [await world.submit(made(how)) for _ in range(4)]
        for number, run in enumerate(runs):
            current = await at_work(agent, run)
            for later in runs[number + 1 :]:
                assert not of(agent, later)
            await until(lambda: not world.store.inner._waiting)
            await world.now.close()
            again = FakeAgent(await world.engine(epoch=number + 2), slots=8)
            again.first, again.next = agent.next, agent.next
            again.hello(m.Live(run, current.job, 1, True))
            agent = again
            await until(lambda run=run: run in world.now.orchestrator.live)
            agent.finish(current)
        await until(lambda: all(world.status(run) == "succeeded" for run in runs))
        await until(lambda: not group_streams(world))
        await world.now.close()

    run_virtual(main())


@each_kind
def test_a_release_that_was_not_stored_holds_nobody_up(made):
    async def main():
        world, agent = await world_with_agent()
        first = await world.submit(made())
        await at_work(agent, first)
        # an engine that died between the end of the run and the release left this
        left = g.encode([g.Asked("gone", g.RUN, "run gone", "h"), g.Granted("gone", g.RUN)])
        from relevo.store.contract import Append

        stream = stream_of("", "h")
        world.store.append(Append(stream, 0, left, 2, 0), lambda outcome: None)
        second = await world.submit(made("group: h"))
        agent.finish(await at_work(agent, second))
        await until(lambda: world.status(second) == "succeeded")
        await world.now.close()

    run_virtual(main())


@each_kind
def test_a_group_that_cannot_be_read_begins_anew_with_who_has_it(made):
    async def main():
        world, agent = await world_with_agent()
        first = await world.submit(made())
        held = await at_work(agent, first)
        second = await world.submit(made("group: g, queue: max"))
        await asked(world, second)
        await world.now.close()
        world.disk.damage.add((STREAM, 1))
        told = []
        world.loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
        again = FakeAgent(await world.engine(epoch=2), slots=8)
        again.first, again.next = agent.next, agent.next
        again.hello(m.Live(first, held.job, 1, True))
        await until(lambda: first in world.now.orchestrator.live)
        await until(lambda: told)
        await asked(world, second)
        assert told == [f"concurrency group {STREAM} cannot be read, and begins anew"]
        assert not of(again, second)
        again.finish(held)
        again.finish(await at_work(again, second))
        await until(lambda: world.status(second) == "succeeded")
        await world.now.close()

    run_virtual(main())


@each_kind
def test_refused_appends_of_a_group_are_made_up_for(made):
    async def main():
        world, agent = await world_with_agent()
        inner, refusals = world.store.inner.append, [StoreUnavailable("no room", full=True)] * 3

        def append(append, done):
            if append.stream == STREAM and refusals:
                world.loop.call_soon(done, refusals.pop())
            else:
                inner(append, done)

        world.store.inner.append = append
        run = await world.submit(made())
        agent.finish(await at_work(agent, run))
        await until(lambda: world.status(run) == "succeeded")
        assert not refusals
        await world.now.close()

    run_virtual(main())


def test_a_run_that_is_cancelled_while_it_waits_lets_go():
    async def main():
        world, agent = await world_with_agent()
        how = "group: g, queue: max"
        runs = [await world.submit(whole(how)) for _ in range(3)]
        held = await at_work(agent, runs[0])
        await asked(world, runs[2])
        assert await world.now.orchestrator.ask(runs[1], c.CancelRun("by a user"))
        await until(lambda: world.status(runs[1]) == "cancelled")
        agent.finish(held)
        agent.finish(await at_work(agent, runs[2]))
        await until(lambda: world.status(runs[2]) == "succeeded")
        assert not of(agent, runs[1])
        await world.now.close()

    run_virtual(main())


def test_a_held_job_lets_go_and_asks_again():
    async def main():
        world, agent = await world_with_agent()
        first = await world.submit(one())
        lost = await at_work(agent, first)
        agent.finish(lost, "lost", held=True)
        await until(lambda: world.status(first) == "held")
        second = await world.submit(one())
        other = await at_work(agent, second)
        await world.now.orchestrator.ask(first, c.RetryJob(0))
        await until(lambda: "JobsWaiting" in world.names(first)[-2:])
        assert len(of(agent, first)) == 1
        agent.finish(other)
        await until(lambda: len(of(agent, first)) == 2)
        agent.finish(of(agent, first)[-1])
        await until(lambda: world.status(first) == "succeeded")
        await world.now.close()

    run_virtual(main())


def test_a_job_that_is_tried_again_keeps_its_group_meanwhile():
    async def main():
        world, agent = await world_with_agent()
        first = await world.submit(one(more="    relevo: {retry: {max: 1, on: [7], backoff: 2s}}\n"))
        failed = await at_work(agent, first)
        second = await world.submit(one())
        await asked(world, second)
        agent.finish(failed, "failed", exit_code=7)
        await until(lambda: len(of(agent, first)) == 2)
        assert not of(agent, second)
        agent.finish(of(agent, first)[-1])
        await at_work(agent, second)
        await world.now.close()

    run_virtual(main())


def test_groups_of_two_repositories_are_two():
    assert stream_of("a/a", "Deploy") == stream_of("a/a", "deploy")
    assert stream_of("a/a", "deploy") != stream_of("b/b", "deploy")


def test_a_call_waits_for_the_group_of_its_file_and_is_cancelled_with_all_in_it():
    async def main():
        world, agent = await world_with_agent()
        caller = "on: push\njobs:\n  a: {uses: ./c.yml}\n"
        called = f"on: workflow_call\nconcurrency: {{}}\njobs:\n  x:\n    {JOB}  y:\n    needs: x\n    {JOB}"
        first = await world.submit(caller, {"c.yml": called.replace("{}", "{group: g}")})
        held = await at_work(agent, first)
        second = await world.submit(
            caller, {"c.yml": called.replace("{}", "{group: g, cancel-in-progress: true}")}
        )
        await until(lambda: agent.of(m.Cancel))
        agent.finish(held, "cancelled")
        await until(lambda: world.status(first) == "cancelled")
        ended = [event for event in world.events(first) if isinstance(event, e.JobEnded)]
        assert f"job 'a' of run {second} asked for" in ended[-1].message
        await at_work(agent, second)
        await world.now.close()

    run_virtual(main())


def test_a_deadlock_that_shows_only_when_it_runs_is_cancelled_and_told():
    async def main():
        world, _ = await world_with_agent()
        text = whole("group: g") + "    concurrency: ${{ 'G' }}\n"
        run = await world.submit(text)
        await until(lambda: world.status(run) == "cancelled")
        assert "a deadlock: concurrency group 'G' is only free when" in reason(world, run)
        await until(lambda: not group_streams(world))
        await world.now.close()

    run_virtual(main())


def call(own: str) -> str:
    """A workflow whose job has a group, and calls a file."""
    return f"on: push\njobs:\n  a: {{uses: ./c.yml, concurrency: {own}}}\n"


def called(group: str) -> dict[str, str]:
    """The file that it calls, with a group of its own."""
    return {"c.yml": f"on: workflow_call\nconcurrency: {group}\njobs:\n  x:\n    {JOB}"}


def test_two_calls_that_ask_for_two_groups_the_other_way_round():
    async def main():
        world, agent = await world_with_agent()
        first = await world.submit(call("g"), called("h"))
        second = await world.submit(call("h"), called("g"))
        await until(lambda: "cancelled" in (world.status(first), world.status(second)))
        refused, other = sorted((first, second), key=lambda run: world.status(run) != "cancelled")
        assert "a deadlock: concurrency group" in reason(world, refused)
        agent.finish(await at_work(agent, other))
        await until(lambda: world.status(other) == "succeeded")
        await until(lambda: not group_streams(world))
        await world.now.close()

    run_virtual(main())


def test_cancel_in_progress_of_a_call_that_waits_for_the_run_that_asks():
    async def main():
        world, agent = await world_with_agent()
        first = await world.submit(
            f"on: push\nconcurrency: r\njobs:\n  p:\n    {JOB}  q:\n    needs: p\n"
            f"    concurrency: {{group: g, cancel-in-progress: true}}\n    {JOB}"
        )
        before = await at_work(agent, first)
        second = await world.submit(call("g"), called("r"))
        await asked(world, second)
        agent.finish(before)
        await until(lambda: world.status(second) == "cancelled")
        await until(lambda: len(of(agent, first)) == 2)
        agent.finish(of(agent, first)[-1])
        await until(lambda: world.status(first) == "succeeded")
        await world.now.close()

    run_virtual(main())


def test_cancel_in_progress_of_a_call_in_which_a_job_is_held():
    async def main():
        world, agent = await world_with_agent()
        caller = f"on: push\njobs:\n  a: {{uses: ./c.yml}}\n  z:\n    needs: a\n    if: always()\n    {JOB}"
        first = await world.submit(caller, called("{group: g}"))
        agent.finish(await at_work(agent, first), "lost", held=True)
        await until(lambda: world.status(first) == "held")
        second = await world.submit(caller, called("{group: g, cancel-in-progress: true}"))
        await at_work(agent, second)
        await until(lambda: len(of(agent, first)) == 2)
        assert world.status(first) == "running"
        agent.finish(of(agent, first)[-1])
        await until(lambda: world.status(first) == "cancelled")
        await world.now.close()

    run_virtual(main())


def test_a_run_is_held_though_one_of_its_jobs_waits_for_the_group_of_another():
    async def main():
        world, agent = await world_with_agent()
        text = f"{call('g')}  b:\n    concurrency: g\n    {JOB}"
        run = await world.submit(text, {"c.yml": f"on: workflow_call\njobs:\n  x:\n    {JOB}"})
        agent.finish(await at_work(agent, run), "lost", held=True)
        await until(lambda: world.status(run) == "held")
        inner = of(agent, run)[-1].job
        assert await world.now.orchestrator.ask(run, c.FailJob(inner, "given up"))
        await until(lambda: of(agent, run)[-1].job != inner)
        agent.finish(of(agent, run)[-1])
        await until(lambda: world.status(run) == "failed")
        await world.now.close()

    run_virtual(main())


def test_a_group_that_fails_is_read_again_and_all_ask_again(monkeypatch):
    async def main():
        world, agent = await world_with_agent()
        told: list[str] = []
        world.loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
        first = await world.submit(one())
        held = await at_work(agent, first)
        with monkeypatch.context() as broken:
            broken.setattr("relevo.orchestrator.groups.deadlock", None)
            second = await world.submit(one())
            await until(lambda: told)
        assert told == [f"concurrency group {STREAM} failed, and is read again"]
        agent.finish(held)
        agent.finish(await at_work(agent, second))
        await until(lambda: world.status(second) == "succeeded")
        await until(lambda: not group_streams(world))
        await world.now.close()

    run_virtual(main())


@pytest.mark.parametrize("error", [ValueError("a defect"), StoreUnavailable("a bad page")])
def test_a_group_that_fails_again_and_again_is_read_ever_more_seldom_and_told_of_once(error, caplog):
    async def main():
        world, agent = await world_with_agent()
        told: list[str] = []
        world.loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
        inner, tries = world.store.read, []

        async def read(stream, after_version=0):
            if stream != STREAM or not broken:
                return await inner(stream, after_version)
            tries.append(world.loop.time())
            raise error

        world.store.read, broken = read, True
        runs = [await world.submit(one()), await world.submit(one("group: g, queue: max"))]
        await asyncio.sleep(300)
        rests = [later - earlier for earlier, later in pairwise(tries)]
        assert [round(rest) for rest in rests[1:]] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        told += [record.message for record in caplog.records if record.name == "relevo.notices"]
        assert len(told) == 1
        broken = False
        await asyncio.sleep(60)
        agent.dial()  # it was silent for long
        agent.hello()
        for run in runs:
            agent.finish(await at_work(agent, run))
            await until(lambda run=run: world.status(run) == "succeeded")
        await until(lambda: not group_streams(world))
        world.store.read, broken = read, True
        tries.clear()
        await world.submit(one())
        await asyncio.sleep(1)
        assert len(tries) == 2, "it begins anew once it has worked"
        await world.now.close()

    run_virtual(main())


def test_after_a_failure_a_group_is_let_go_of_only_when_the_end_is_stored(monkeypatch):
    async def main():
        world, agent = await world_with_agent()
        told: list[str] = []
        world.loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
        first = await world.submit(one())
        held = await at_work(agent, first)
        with monkeypatch.context() as broken:
            broken.setattr("relevo.orchestrator.groups.deadlock", None)
            second = await world.submit(one())
            await until(lambda: told)
        inner, when_released = world.store.inner.append, []

        def late(append, done):
            if append.stream == STREAM and any(type(one) is g.Released for one in g.decode(append.events)):
                when_released.append(world.status(first))
            ends = append.stream == first and any(type(one) is e.JobEnded for one in e.decode(append.events))
            world.loop.call_later(2 if ends else 0, inner, append, done)

        world.store.inner.append = late
        agent.finish(held)
        await at_work(agent, second)
        assert when_released == ["succeeded"]
        await world.now.close()

    run_virtual(main())


def test_a_group_whose_stream_cannot_be_deleted_for_a_reason_that_nobody_expects():
    async def main():
        world, agent = await world_with_agent()
        told: list[str] = []
        world.loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
        first = await world.submit(one())
        held = await at_work(agent, first)
        delete, errors = world.store.delete_run, [OSError("no such thing")]

        async def failing(stream, **more):
            if errors:
                raise errors.pop()
            await delete(stream, **more)

        world.store.delete_run = failing
        agent.finish(held)
        await until(lambda: told)
        second = await world.submit(one())
        agent.finish(await at_work(agent, second))
        await until(lambda: world.status(second) == "succeeded")
        await until(lambda: not group_streams(world))
        await world.now.close()

    run_virtual(main())


def test_a_circle_that_closes_while_one_of_the_runs_is_being_read_again():
    async def main():
        world, agent = await world_with_agent()
        orchestrator = world.now.orchestrator
        text = f"on: push\nconcurrency: r\njobs:\n  p:\n    {JOB}  q:\n    needs: p\n    concurrency: g\n    {JOB}"
        first = await world.submit(text)
        before = await at_work(agent, first)
        second = await world.submit(call("g"), called("r"))
        await until(lambda: len(orchestrator.groups.known(stream_of("", "r")).members) == 2)
        orchestrator.discard(orchestrator.live[second])
        agent.finish(before)
        await until(lambda: world.status(second) == "cancelled")
        assert "a deadlock: concurrency group 'r'" in reason(world, second)
        await until(lambda: len(of(agent, first)) == 2)
        agent.finish(of(agent, first)[-1])
        await until(lambda: world.status(first) == "succeeded")
        await world.now.close()

    run_virtual(main())


def test_a_circle_that_closes_while_one_of_the_groups_is_being_read(monkeypatch):
    async def main():
        world, _ = await world_with_agent()
        other = stream_of("", "h")
        inner = world.store.inner.append

        def append(append, done):
            told = g.decode(append.events) if append.stream == STREAM else []
            if not any(event.run == "r2" for event in told):  # the engine dies before it is stored
                inner(append, done)

        world.store.inner.append = append
        first = await world.submit(call("g"), called("h"))
        second = await world.submit(call("h"), called("g"))
        await until(lambda: len(world.now.orchestrator.groups.known(other).members) == 2)
        await until(lambda: "GroupGranted" in world.names(second))
        await world.now.close()
        read = MemoryStore.read

        async def slow(self, stream, after_version=0):
            if stream == other:
                await asyncio.sleep(1)
            return await read(self, stream, after_version)

        monkeypatch.setattr(MemoryStore, "read", slow)
        agent = FakeAgent(await world.engine(epoch=2), slots=8)
        agent.hello()
        await until(lambda: world.status(first) == "cancelled")
        agent.finish(await at_work(agent, second))
        await until(lambda: world.status(second) == "succeeded")
        await world.now.close()

    run_virtual(main())


def test_what_is_asked_for_a_run_that_is_given_up_meanwhile_is_nothing():
    async def main():
        world, agent = await world_with_agent()
        first = await world.submit(whole())
        held = await at_work(agent, first)
        groups = world.now.orchestrator.groups
        groups.ask("gone", g.RUN, e.GroupAsk(STREAM, "g"), "run gone")
        groups.forget("gone")
        second = await world.submit(whole())
        agent.finish(held)
        agent.finish(await at_work(agent, second))
        await until(lambda: not group_streams(world))
        await world.now.close()

    run_virtual(main())


@each_kind
def test_groups_that_an_engine_left_when_it_died_go_when_the_next_one_starts(made):
    async def main():
        world, agent = await world_with_agent()
        world.now.orchestrator.groups.release = lambda *given: None  # it dies before each
        for number in range(3):
            run = await world.submit(made(f"group: g-{number}"))
            agent.finish(await at_work(agent, run))
            await until(lambda run=run: world.status(run) == "succeeded")
        assert len(group_streams(world)) == 3
        await world.now.close()
        await world.engine(epoch=2)
        await until(lambda: not group_streams(world) and not world.now.orchestrator.groups._actors)
        await world.now.close()

    run_virtual(main())


def test_jobs_that_have_ended_cost_an_engine_that_starts_no_group_each():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(one("group: g", f"  b:\n    needs: a\n    {JOB}"))
        agent.finish(await at_work(agent, run))
        await until(lambda: len(of(agent, run)) == 2)
        await until(lambda: not group_streams(world))
        await world.now.close()
        await world.engine(epoch=2)
        assert run in world.now.orchestrator.live
        assert not world.now.orchestrator.groups._actors
        await world.now.close()

    run_virtual(main())


def test_a_grant_is_told_once():
    async def main():
        world, agent = await world_with_agent()
        orchestrator = world.now.orchestrator
        command, told = orchestrator.command, []
        orchestrator.command = lambda run, one: (told.append(one), command(run, one))
        run = await world.submit(one())
        await at_work(agent, run)
        assert [type(one) for one in told] == [c.GrantGroup]
        await world.now.close()

    run_virtual(main())
