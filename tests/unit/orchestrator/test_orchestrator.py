"""Runs from acceptance to their end, and what must hold when store, agent or engine let them down."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.run import Run
from relevo.orchestrator import plans, run_actor
from relevo.orchestrator.orchestrator import NOTHING, NoSuchRun
from relevo.orchestrator.run_actor import Envelope
from relevo.protocol import messages as m
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.reach import Reach
from relevo.store.contract import Fact, FactExists, StoreUnavailable
from relevo.testing.virtual_loop import VirtualLoop, run_on, run_virtual
from tests.unit.orchestrator.kit import ONE, TWO, FakeAgent, World, until


async def world_with_agent(**options) -> tuple[World, FakeAgent]:
    world = World(**options)
    engine = await world.engine()
    agent = FakeAgent(engine)
    agent.hello()
    return world, agent


def test_a_run_goes_its_way():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(TWO)
        for count in (1, 2):
            await until(lambda count=count: len(agent.assigned()) == count)
            agent.finish(agent.assigned()[-1], log=b"out\n")
        await until(lambda: world.status(run) == "succeeded")
        assert agent.assigned()[1].own.needs == {"a": {"result": "success", "outputs": {}}}
        await until(lambda: agent.of(m.Ack)[-1:] == [m.Ack(agent.next)])
        assert not world.now.orchestrator.live
        assert world.now.orchestrator.idle.is_set()
        await world.now.close()

    run_virtual(main())


def test_nothing_is_acknowledged_before_it_is_stored():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        world.store.fail(1, "delay", delay_s=5.0)
        agent.finish(agent.assigned()[0])
        await until(lambda: world.status(run) == "succeeded")
        assert agent.of(m.Ack) == []
        await until(lambda: agent.of(m.Ack))
        await world.now.close()

    run_virtual(main())


def test_an_end_whose_append_is_refused_is_asked_for_again_and_runs_nothing_twice():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        world.store.fail(1, "refuse", StoreUnavailable("no room", full=True))
        agent.finish(agent.assigned()[0])
        await until(lambda: agent.of(m.Resend))
        agent.next = agent.of(m.Resend)[0].next
        agent.finish(agent.assigned()[0])
        await until(lambda: world.status(run) == "succeeded")
        assert len(agent.assigned()) == 1
        await world.now.close()

    run_virtual(main())


def test_a_run_that_cannot_be_read_again_at_once_is_not_given_up():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        inner, failures = world.store.read, [StoreUnavailable("a bad moment")] * 3

        async def read(stream, after_version=0):
            if failures:
                raise failures.pop()
            return await inner(stream, after_version)

        world.store.read = read
        world.store.fail(1, "refuse")
        agent.finish(agent.assigned()[0])
        while world.status(run) != "succeeded":
            await until(lambda: agent.of(m.Resend))
            agent.next = agent.of(m.Resend)[-1].next
            agent.got = [one for one in agent.got if type(one) is not m.Resend]
            agent.finish(agent.assigned()[0])
            await until(lambda: agent.of(m.Resend) or world.status(run) == "succeeded")
            assert not agent.of(m.Ack) or world.status(run) == "succeeded"
        assert not failures
        await world.now.close()

    run_virtual(main())


def test_an_agent_that_is_ready_while_a_run_is_read_again_gets_its_job_afterwards_and_once():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        agent.transport.abort()
        world.store.fail(1, "refuse")
        with pytest.raises(StoreUnavailable):
            await world.now.orchestrator.ask(run, c.Warn("told to make it be read again"))
        agent.dial()
        agent.hello()
        await until(lambda: run in world.now.orchestrator.live)
        await until(lambda: len(agent.assigned()) == 2)
        agent.finish(agent.assigned()[-1])
        await until(lambda: world.status(run) == "succeeded")
        assert len(agent.assigned()) == 2
        await world.now.close()

    run_virtual(main())


def test_a_job_that_finds_room_is_assigned_where_it_is_accepted_and_one_that_does_not_is_queued():
    async def main():
        world = World()
        agent = FakeAgent(await world.engine(), slots=1)
        agent.hello()
        first, second = await world.submit(ONE), await world.submit(ONE)
        assert world.names(first)[-3:] == ["JobsQueued", "RunStarted", "AttemptAssigned"]
        assert world.names(second)[-1] == "JobsQueued"
        await until(lambda: agent.assigned())
        agent.finish(agent.assigned()[0])
        await until(lambda: len(agent.assigned()) == 2)
        assert agent.assigned()[1].run == second
        await world.now.close()

    run_virtual(main())


def test_a_place_is_free_again_when_the_append_that_takes_it_is_refused():
    async def main():
        world = World()
        agent = FakeAgent(await world.engine(), slots=1)
        agent.hello()
        world.store.fail(1, "refuse")
        with pytest.raises(StoreUnavailable):
            await world.submit(ONE)
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        assert [one.run for one in agent.assigned()] == [run]
        await world.now.close()

    run_virtual(main())


def test_who_asks_a_run_that_is_being_read_again_waits_for_it():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        world.store.fail(1, "refuse")
        agent.finish(agent.assigned()[0])
        await until(lambda: run not in world.now.orchestrator.live)
        actor = await world.now.orchestrator.actor(run)
        assert actor is world.now.orchestrator.live[run]
        assert await world.now.orchestrator.actor("r0") is None
        await world.now.close()

    run_virtual(main())


def test_a_refused_submission_is_told_and_forgotten():
    async def main():
        world, _ = await world_with_agent()
        world.disk.facts["idempotency/k"] = b"other"
        submit, plan, blob = world.submission(ONE)
        with pytest.raises(FactExists):
            await world.now.orchestrator.submit(
                submit, plan, blob, (Fact("idempotency/k", b"r1", if_absent=True),)
            )
        await until(lambda: world.now.orchestrator.idle.is_set())
        with pytest.raises(NoSuchRun):
            await world.now.orchestrator.ask("r1", c.CancelRun())
        await world.now.close()

    run_virtual(main())


def test_one_history_that_cannot_be_stops_no_other_run_from_being_taken_up():
    loop = VirtualLoop()

    async def main():
        world = World()
        await world.engine()
        broken, whole = await world.submit(ONE), await world.submit(ONE)
        await world.now.close()
        stream = world.disk.streams[broken]
        impossible = e.encode([e.AttemptStarted(0, 7)])
        first = stream[0]
        stream.append(type(first)(99, broken, 2, 1, 0, impossible))
        engine = await world.engine(2)
        assert list(engine.orchestrator.live) == [whole]
        agent = FakeAgent(engine)
        agent.hello()
        await until(lambda: agent.assigned())
        agent.finish(agent.assigned()[0])
        await until(lambda: world.status(whole) == "succeeded")
        assert [context["message"] for context in loop.unhandled()] == [f"run {broken} cannot be read"]
        await world.now.close()

    run_on(loop, main())


def test_the_next_engine_adopts_what_runs_and_starts_nothing_twice():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        one = agent.assigned()[0]
        agent.records(m.AttemptStarted(run, 0, 1))
        await until(lambda: "AttemptStarted" in world.names(run))
        await world.now.close()
        engine = await world.engine(2)
        agent = FakeAgent(engine)
        agent.first = agent.next = 2
        agent.hello(m.Live(run, 0, 1, True))
        agent.records(m.AttemptFinished(run, 0, 1, "succeeded"))
        await until(lambda: world.status(run) == "succeeded")
        assert agent.assigned() == []
        assert agent.of(m.Welcome)[0].unknown == []
        assert one.number == 1
        await world.now.close()

    run_virtual(main())


def test_what_an_agent_does_not_have_any_more_is_lost_and_tried_again():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        agent.records(m.AttemptStarted(run, 0, 1))
        await until(lambda: "AttemptStarted" in world.names(run))
        agent.transport.abort()
        await until(lambda: world.now.manager.agents["local"].link is None)
        agent.dial()
        agent.first = agent.next
        agent.hello()
        await until(lambda: len(agent.assigned()) == 2)
        assert [one.number for one in agent.assigned()] == [1, 2]
        agent.finish(agent.assigned()[1])
        await until(lambda: world.status(run) == "succeeded")
        await world.now.close()

    run_virtual(main())


def test_a_held_job_gives_its_slot_back():
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine, slots=1)
        agent.hello()
        held = await world.submit(ONE)
        await until(lambda: agent.assigned())
        agent.finish(agent.assigned()[0], "lost", held=True)
        await until(lambda: world.status(held) == "held")
        other = await world.submit(ONE)
        await until(lambda: len(agent.assigned()) == 2)
        agent.finish(agent.assigned()[1])
        await until(lambda: world.status(other) == "succeeded")
        assert await engine.orchestrator.ask(held, c.FailJob(0, "given up"))
        assert world.status(held) == "failed"
        await world.now.close()

    run_virtual(main())


def test_a_fenced_engine_says_so_and_stores_nothing():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        world.disk.epoch = 2
        agent.finish(agent.assigned()[0])
        await until(lambda: world.fenced)
        assert world.fenced == [2]
        assert agent.of(m.Ack) == []
        assert world.status(run) == "running"
        await world.now.close()

    run_virtual(main())


def test_contexts_are_kept_only_as_long_as_a_run_has_them():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        assert len(world.now.orchestrator.stored._shared) == 1
        await until(lambda: agent.assigned())
        agent.finish(agent.assigned()[0])
        await until(lambda: world.status(run) == "succeeded" and not world.now.orchestrator.live)
        await until(lambda: gc.collect() >= 0 and not world.now.orchestrator.stored._shared)
        await world.now.close()

    run_virtual(main())


def test_long_outputs_and_summaries_lie_in_facts_and_come_back():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(TWO)
        await until(lambda: agent.assigned())
        one = agent.assigned()[0]
        summary = "s" * 100_000
        outputs = {"x": "y" * 50_000}
        agent.records(m.StepFinished(run, 0, 1, 0, "x", "success", "success", 0, 1, "", summary))
        agent.finish(one, outputs=outputs)
        await until(lambda: len(agent.assigned()) == 2)
        assert agent.assigned()[1].own.needs["a"]["outputs"] == outputs
        assert all(len(e.encode([event])) <= e.EVENT_LIMIT for event in world.events(run))
        await world.now.close()
        agent = FakeAgent(await world.engine(2))
        agent.first = agent.next = 4
        agent.hello()
        await until(lambda: agent.assigned())
        assert agent.assigned()[0].own.needs["a"]["outputs"] == outputs
        await world.now.close()

    run_virtual(main())


DYNAMIC = """on: push
jobs:
  a:
    strategy:
      matrix:
        os: [ubuntu-latest, windows-latest]
      fail-fast: false
    runs-on: ${{ matrix.os }}
    steps:
      - run: x
"""
AGENT = AgentCapacity(
    "a", frozenset({"ubuntu-*", "linux"}), 2, 2.0, 1 << 30, extras={"disk": 1 << 30, "gpu": 1}
)
REACH = Reach([AGENT])


@pytest.mark.parametrize(("skip", "status"), [(False, "failed"), (True, "skipped")])
def test_a_leg_whose_label_turns_out_to_be_nowhere_ends_at_once(skip, status):
    async def main():
        world, agent = await world_with_agent(reach=REACH)
        run = await world.submit(DYNAMIC, skip_unmatched=skip)
        await until(lambda: agent.assigned())
        agent.finish(agent.assigned()[0])
        await until(lambda: not world.now.orchestrator.live)
        ended = {event.job: event for event in world.events(run) if isinstance(event, e.JobEnded)}
        assert [ended[0].status, ended[1].status] == ["succeeded", status]
        assert "windows-latest" in ended[1].message
        assert world.status(run) == ("succeeded" if skip else "failed")
        await world.now.close()

    run_virtual(main())


@pytest.mark.parametrize("asked", ["cpu: 64", "memory: 64GiB", "disk: 1Ti", "gpu: 2"])
def test_a_job_that_asks_for_more_than_any_agent_has_fails_at_once(asked):
    async def main():
        world, _ = await world_with_agent(reach=REACH)
        run = await world.submit(
            ONE.replace("    steps:", f"    relevo:\n      resources:\n        {asked}\n    steps:")
        )
        await until(lambda: not world.now.orchestrator.live)
        assert world.status(run) == "failed"
        assert (
            "no agent here has more"
            in next(event for event in world.events(run) if isinstance(event, e.JobEnded)).message
        )
        await world.now.close()

    run_virtual(main())


def test_what_a_job_asks_for_reaches_its_agent():
    async def main():
        world, agent = await world_with_agent(reach=REACH)
        text = ONE.replace(
            "    steps:",
            "    relevo:\n      resources:\n        cpu: 1.5\n        memory: 256MiB\n    steps:",
        )
        await world.submit(text)
        await until(lambda: agent.assigned())
        assert (agent.assigned()[0].cpus, agent.assigned()[0].memory_bytes) == (1.5, 256 << 20)
        await world.now.close()

    run_virtual(main())


def test_a_defect_in_an_expression_fails_its_job_and_not_the_engine(monkeypatch):
    async def main():
        world, _ = await world_with_agent()

        def broken(*arguments, **named):
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(plans, "evaluate_job", broken)
        run = await world.submit(ONE)
        await until(lambda: not world.now.orchestrator.live)
        assert world.status(run) == "failed"
        await world.now.close()

    run_virtual(main())


def test_no_text_of_an_agent_makes_an_event_too_long():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        long = "\U0001f600" * 200_000
        agent.records(
            m.StepStarted(run, 0, 1, 0, long, 1),
            m.Annotation(run, 0, 1, 0, "error", long, long, long),
            m.StepFinished(run, 0, 1, 0, long, "failure", "failure", 1, 1, long, "\U0001f600" * 8_192),
        )
        agent.finish(agent.assigned()[0], "failed", message=long)
        await until(lambda: not world.now.orchestrator.live)
        assert "Annotated" in world.names(run)
        assert max(len(e.encode([event])) for event in world.events(run)) <= e.EVENT_LIMIT
        await world.now.close()

    run_virtual(main())


def test_a_log_that_lost_its_beginning_is_never_green_and_holds_up_nobody():
    async def main():
        world, agent = await world_with_agent()
        broken, whole = await world.submit(ONE), await world.submit(ONE)
        await until(lambda: len(agent.assigned()) == 2)
        one, other = agent.assigned()
        agent.records(m.AttemptStarted(broken, 0, 1), m.LogBytes(broken, 0, 1, 500, 0, 1, b"the rest"))
        await until(lambda: agent.of(m.Resend))
        agent.next = agent.of(m.Resend)[-1].next
        agent.records(
            m.LogBytes(broken, 0, 1, 500, 0, 1, b"the rest"),
            m.LogBytes(broken, 0, 1, 508, 0, 1, b" and more"),
            m.AttemptFinished(broken, 0, 1, "succeeded", log_size=517, log_digest=b"d" * 32),
        )
        agent.finish(other, log=b"fine")
        await until(lambda: world.status(whole) == "succeeded")
        assert one.run == broken
        await until(lambda: len(agent.assigned()) == 3)
        ended = next(event for event in world.events(broken) if isinstance(event, e.AttemptEnded))
        assert ended.result == "lost"
        await world.now.close()

    run_virtual(main())


def test_a_hello_that_was_under_way_for_long_takes_nothing_from_who_is_here():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        agent.records(m.AttemptStarted(run, 0, 1))
        await until(lambda: "AttemptStarted" in world.names(run))
        late = FakeAgent(world.now)
        late.say(m.Hello(m.VERSION, late.id, 1, 1, "boot", [], 4, 8.0, 1, "dummy", 1, 1, [], 0))
        await until(lambda: late.of(m.Welcome))
        agent.records(m.AttemptFinished(run, 0, 1, "succeeded"))
        await until(lambda: world.status(run) == "succeeded")
        assert "JobRetrying" not in world.names(run)
        await world.now.close()

    run_virtual(main())


def test_what_waits_in_the_mailbox_of_a_dropped_run_is_collected():
    class Asker:
        def __init__(self) -> None:
            self.mailbox: list[Envelope] = []

        def answered(self, done: asyncio.Future[bool]) -> None: ...

    loop = asyncio.new_event_loop()
    asker = Asker()
    reply = loop.create_future()
    reply.add_done_callback(asker.answered)
    asker.mailbox.append(Envelope((NOTHING,), None, reply))
    there = weakref.ref(asker)
    del asker, reply
    gc.collect()
    assert there() is None
    loop.close()


def test_a_forced_cancellation_begins_nothing_any_more():
    async def main():
        world = World()
        agent = FakeAgent(await world.engine())
        agent.hello()
        text = TWO.replace("    needs: a", "    needs: a\n    if: always()")
        runs = [await world.submit(text) for _ in range(2)]
        await until(lambda: len(agent.assigned()) == 2)
        ask = world.now.orchestrator.ask
        for run in runs:
            await ask(run, c.CancelRun())
        await ask(runs[1], c.CancelRun(forced=True))
        await world.now.close()

        second = FakeAgent(await world.engine(epoch=2))
        second.hello(*(m.Live(run, 0, 1, True) for run in runs))
        for one in agent.assigned():
            second.finish(one, "cancelled")
        await until(lambda: world.status(runs[1]) == "cancelled")
        await until(second.assigned)
        assert [(one.run, one.own.name) for one in second.assigned()] == [(runs[0], "b")]
        await world.now.close()

    run_virtual(main())


def test_a_job_that_does_not_run_has_a_name_of_its_own():
    async def main():
        world = World()
        FakeAgent(await world.engine()).hello()
        text = ONE.replace("  a:", "  a:\n    name: b") + ONE.partition("jobs:\n")[2].replace(
            "a:", "b:\n    if: false"
        )
        run = await world.submit(text)
        await until(lambda: "AttemptAssigned" in world.names(run))
        state = world.now.orchestrator.live[run].run
        assert {job.decl.name: job.node.decl.id for job in state.jobs} == {"b": "a", "b #2": "b"}
        await world.now.close()

    run_virtual(main())


def test_a_retry_runs_what_waited_for_a_failure_again():
    async def main():
        world = World()
        agent = FakeAgent(await world.engine())
        agent.hello()
        job = ONE.partition("  a:\n")[2]
        text = TWO.replace("needs: a", "needs: a\n    if: always()") + f"  c:\n{job}  d:\n    needs: c\n{job}"
        run = await world.submit(text)
        for number, name in enumerate("acbd"):
            await until(lambda name=name: name in [one.own.name for one in agent.assigned()])
            [one] = [one for one in agent.assigned() if one.own.name == name]
            agent.finish(one, "failed" if number == 0 else "succeeded")
        await until(lambda: world.status(run) == "failed")
        assert set(await world.now.orchestrator.stored.carried(run)) == {"c", "d"}
        await world.now.close()

    run_virtual(main())


@pytest.mark.parametrize(
    ("kind", "status"), [(c.Record, "succeeded"), (c.EndAttempt, "held")], ids=["a record", "an end"]
)
def test_what_a_run_fails_at_is_not_taken_again_and_holds_up_nobody(monkeypatch, kind, status):
    async def main():
        world = World()
        engine = await world.engine()
        told: list[str] = []
        world.loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
        agent = FakeAgent(engine)
        agent.hello()
        runs = [await world.submit(ONE), await world.submit(ONE)]
        await until(lambda: len(agent.assigned()) == 2)
        real = run_actor.handle

        def handle(run: Run, command: c.Command) -> list[e.Event]:
            if run.id == runs[0] and isinstance(command, kind):
                raise RuntimeError("a defect")
            return real(run, command)

        monkeypatch.setattr(run_actor, "handle", handle)
        records: list[m.AnyRecord] = []
        for key in ((run, 0, 1) for run in runs):
            records += [
                m.AttemptStarted(*key),
                m.StepStarted(*key, 0, "x"),
                m.AttemptFinished(*key, "succeeded"),
            ]
        agent.records(*records)
        while not agent.of(m.Ack):
            asked = len(agent.of(m.Resend))
            await until(lambda asked=asked: agent.of(m.Ack) or len(agent.of(m.Resend)) > asked)
            if not agent.of(m.Ack):
                agent.say(m.Records(1, records))
        assert [world.status(run) for run in runs] == [status, "succeeded"]
        assert told == [f"run {runs[0]} failed"]
        assert (status == "held") == (runs[0] in engine.orchestrator.poison)
        await engine.close()

    run_virtual(main())
