"""Jobs that are ended for others, through the whole engine; the agent says what the tests have it say."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.orchestrator.preempting import LAPSE_S
from relevo.protocol import messages as m
from relevo.scheduler.match import Policy
from relevo.scheduler.policy import MOST_TIMES
from relevo.testing.virtual_loop import run_virtual
from relevo.workers.manager import BACKSTOP_S, BEAT_S
from tests.unit.orchestrator.kit import FakeAgent, World, until
from tests.unit.orchestrator.test_own_keys import finish_all, job, order, workflow

GRACE_S = 20.0
LOW = workflow(job("low", "{preemptible: true}"))
HIGH = workflow(job("high", "{priority: 5}"))


async def world_with(policy: Policy | None = None, slots: int = 1) -> tuple[World, FakeAgent]:
    world = World(policy=policy or Policy(preempt_grace_s=GRACE_S))
    agent = FakeAgent(await world.engine(), slots=slots)
    agent.hello()
    return world, agent


async def preempting(low: str = LOW, **options: Any) -> tuple[World, FakeAgent, m.Assignment, str]:
    """A job that was told to go, and the run it was told for."""
    world, agent = await world_with(**options)
    await world.submit(low)
    await until(agent.assigned)
    one = agent.assigned()[0]
    agent.records(m.AttemptStarted(one.run, one.job, one.number))
    high = await world.submit(HIGH)
    await until(lambda: agent.of(m.Cancel))
    return world, agent, one, high


async def next_engine(world: World, agent: FakeAgent, slots: int) -> FakeAgent:
    """Another engine, and the agent as it dials there: it says hello when the test has it do so."""
    await world.now.close()
    again = FakeAgent(await world.engine(2), slots=slots)
    again.first = again.next = agent.next
    return again


def test_a_job_makes_room_and_waits_again():
    async def main():
        world, agent, one, high = await preempting()
        assert agent.of(m.Cancel) == [m.Cancel(one.run, 0, 1, "preempted", False, GRACE_S)]
        assert e.JobPreempting(0, high, "high", world.events(one.run)[-1].at_ms) in world.events(one.run)
        assert order(agent) == [f"{one.run}/low"], "the place is not free yet"
        agent.finish(one, "preempted", log=b"so far\n")
        await until(lambda: len(agent.assigned()) == 2)
        agent.finish(agent.assigned()[1])
        await finish_again(world, agent, one.run)
        assert order(agent) == [f"{one.run}/low", f"{high}/high", f"{one.run}/low"]
        assert [one.number for one in agent.assigned()] == [1, 1, 2]
        assert world.names(one.run).count("JobRetrying") == 1
        await world.now.close()

    run_virtual(main())


async def finish_again(world: World, agent: FakeAgent, run: str) -> None:
    await until(lambda: len(agent.assigned()) == 3)
    agent.finish(agent.assigned()[2])
    await until(lambda: world.status(run) == "succeeded")


def test_nobody_is_ended_who_does_not_let_himself_or_may_not_be():
    async def main():
        once = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    relevo: {preemptible: true}\n"
        once += "    steps: [{run: x, relevo: {idempotent: false}}]\n"
        for low, policy in (
            (workflow(job("a", "{}")), None),
            (once, None),
            (LOW, Policy()),
            (workflow(job("a", "{preemptible: true, priority: 5}")), None),
        ):
            world, agent = await world_with(policy)
            await world.submit(low)
            await until(agent.assigned)
            await world.submit(HIGH)
            await until(lambda world=world: len(world.now.orchestrator.scheduler.queue) == 1)
            await until(lambda world=world: world.store is not None and world.loop.time() > 5)
            assert agent.of(m.Cancel) == []
            await world.now.close()

    run_virtual(main())


def test_a_result_overtakes_the_order():
    async def main():
        world, agent, one, high = await preempting()
        agent.finish(one, "succeeded")
        await until(lambda: world.status(one.run) == "succeeded")
        await until(lambda: len(agent.assigned()) == 2)
        assert order(agent)[1] == f"{high}/high"
        await world.now.close()

    run_virtual(main())


def test_a_cancel_wins():
    async def main():
        world, agent, one, high = await preempting()
        world.now.orchestrator.command(one.run, c.CancelRun())
        await until(lambda: len(agent.of(m.Cancel)) == 2)
        agent.finish(one, "preempted")
        await until(lambda: world.status(one.run) == "cancelled")
        await until(lambda: len(agent.assigned()) == 2)
        assert order(agent)[1] == f"{high}/high"
        await world.now.close()

    run_virtual(main())


def test_a_claim_that_is_cancelled_leaves_the_victim_its_next_turn():
    async def main():
        world, agent, one, high = await preempting()
        world.now.orchestrator.command(high, c.CancelRun())
        await until(lambda: world.status(high) == "cancelled")
        agent.finish(one, "preempted")
        await until(lambda: len(agent.assigned()) == 2)
        assert (agent.assigned()[1].run, agent.assigned()[1].number) == (one.run, 2)
        await world.now.close()

    run_virtual(main())


def test_an_agent_that_dies_meanwhile_gives_the_job_back():
    async def main():
        world, agent, one, high = await preempting()
        world.now.manager.lose_all("local", "it died")
        await until(lambda: len(agent.assigned()) == 2)
        assert order(agent)[1] == f"{high}/high"
        agent.finish(agent.assigned()[1])
        await finish_again(world, agent, one.run)
        await world.now.close()

    run_virtual(main())


def test_the_next_engine_tells_it_again():
    async def main():
        world, agent, one, high = await preempting()
        again = await next_engine(world, agent, slots=1)
        again.hello(m.Live(one.run, 0, 1, True), epoch=1)
        await until(lambda: again.of(m.Cancel))
        assert again.of(m.Cancel) == [m.Cancel(one.run, 0, 1, "preempted", False, GRACE_S)]
        again.records(m.AttemptFinished(one.run, 0, 1, "preempted"))
        await until(again.assigned)
        assert order(again) == [f"{high}/high"]
        again.finish(again.assigned()[0])
        await until(lambda: len(again.assigned()) == 2)
        assert again.assigned()[1].number == 2
        await world.now.close()

    run_virtual(main())


def test_the_next_engine_ends_nobody_else_for_what_room_is_being_made_for():
    async def main():
        world, agent = await world_with(slots=2)
        runs = [await world.submit(LOW) for _ in range(2)]
        await until(lambda: len(agent.assigned()) == 2)
        for one in agent.assigned():
            agent.records(m.AttemptStarted(one.run, one.job, one.number))
        high = await world.submit(HIGH)
        await until(lambda: agent.of(m.Cancel))
        victim = agent.of(m.Cancel)[0].run
        again = await next_engine(world, agent, slots=2)
        again.hello(*(m.Live(run, 0, 1, True) for run in runs), epoch=1)
        later_s = world.loop.time() + BEAT_S / 2
        await until(lambda: world.loop.time() > later_s)
        assert again.of(m.Cancel) == [m.Cancel(victim, 0, 1, "preempted", False, GRACE_S)]
        again.records(m.AttemptFinished(victim, 0, 1, "preempted"))
        await until(again.assigned)
        assert order(again) == [f"{high}/high"]
        await world.now.close()

    run_virtual(main())


def test_the_next_engine_looks_for_others_when_one_does_not_obey():
    async def main():
        world, agent, one, _high = await preempting()
        again = await next_engine(world, agent, slots=1)
        again.hello(m.Live(one.run, 0, 1, True), epoch=1)
        await until(lambda: world.now.orchestrator.scheduler.making_room)
        lapsed_s = world.loop.time() + GRACE_S + LAPSE_S + 1
        await until(lambda: world.loop.time() > lapsed_s, 2 * LAPSE_S)
        assert not world.now.orchestrator.scheduler.making_room
        await world.now.close()

    run_virtual(main())


def test_one_that_does_not_obey_is_not_counted_on_for_ever():
    async def main():
        world, agent = await world_with(slots=2)
        runs = [await world.submit(LOW) for _ in range(2)]
        await until(lambda: len(agent.assigned()) == 2)
        high = await world.submit(HIGH)
        await until(lambda: agent.of(m.Cancel))
        scheduler = world.now.orchestrator.scheduler
        ((_, room),) = scheduler.making_room.items()
        (stubborn,) = room.victims
        agent.link.heard = inf  # it beats, and says nothing else
        await until(lambda: len(agent.of(m.Cancel)) == 2, GRACE_S + LAPSE_S + 1)
        assert {one.run for one in agent.of(m.Cancel)} == set(runs)
        (other,) = [one for one in agent.assigned() if one.run != stubborn.run]
        agent.finish(other, "preempted")
        await until(lambda: len(agent.assigned()) == 3)
        assert order(agent)[2] == f"{high}/high"
        agent.finish(next(one for one in agent.assigned() if one.run == stubborn.run))
        await until(lambda: world.status(stubborn.run) == "succeeded")
        await world.now.close()

    run_virtual(main())


def test_one_that_does_not_obey_still_has_its_time():
    async def main():
        world, agent, one, _ = await preempting(
            workflow(job("low", "{preemptible: true}", "    timeout-minutes: 1\n"))
        )
        agent.link.heard = inf
        await asyncio.sleep(60 + BACKSTOP_S + 2 * BEAT_S)
        assert [one.reason for one in agent.of(m.Cancel)] == ["preempted", "timed-out"]
        agent.finish(one, "timed-out")
        await until(lambda: world.status(one.run) == "failed")
        await world.now.close()

    run_virtual(main())


def test_a_store_that_refuses_the_order_leaves_nothing_kept():
    async def main():
        world, agent = await world_with()
        await world.submit(LOW)
        await until(agent.assigned)
        world.store.unavailable = True
        high_late = world.submission(HIGH)
        world.store.unavailable = False
        await world.now.orchestrator.submit(*high_late)
        world.store.unavailable = True
        await until(lambda: world.loop.time() > 3)
        world.store.unavailable = False
        await until(lambda: agent.of(m.Cancel))
        agent.finish(agent.assigned()[0], "preempted")
        await until(lambda: len(agent.assigned()) == 2)
        assert order(agent)[1] == f"{high_late[0].run}/high"
        await world.now.close()

    run_virtual(main())


def test_a_job_is_ended_so_often_and_then_runs_to_its_end():
    async def main():
        world, agent = await world_with()
        low = await world.submit(LOW)
        for number in range(MOST_TIMES):
            await until(lambda number=number: len(agent.assigned()) == 2 * number + 1)
            high = await world.submit(HIGH)
            await until(lambda number=number: len(agent.of(m.Cancel)) == number + 1)
            agent.finish(agent.assigned()[-1], "preempted")
            await until(lambda number=number: len(agent.assigned()) == 2 * number + 2)
            assert agent.assigned()[-1].run == high
            agent.finish(agent.assigned()[-1])
        await until(lambda: len(agent.assigned()) == 2 * MOST_TIMES + 1)
        await world.submit(HIGH)
        await until(lambda: len(world.now.orchestrator.scheduler.queue) == 1)
        agent.finish(agent.assigned()[-1])
        await until(lambda: world.status(low) == "succeeded")
        assert len(agent.of(m.Cancel)) == MOST_TIMES
        await world.now.close()

    run_virtual(main())


def test_agents_get_nothing_beyond_their_slots_where_jobs_are_ended_for_others():
    async def main():
        world = World(policy=Policy(preempt_grace_s=GRACE_S))
        agent = FakeAgent(await world.engine(), slots=1)
        agent.say(
            m.Hello(
                m.VERSION, "local", 1, 1, "boot", ["ubuntu-*", "linux"], 1, 8.0, 1 << 34, "dummy", 1, 1, [], 0, 4
            )
        )  # fmt: skip
        agent.say(m.Beat(frames=1))
        await world.submit(workflow(job("a", "{}"), job("b", "{}")))
        await until(agent.assigned)
        await until(lambda: world.loop.time() > 2)
        assert len(agent.assigned()) == 1
        await world.now.close()

    run_virtual(main())


def test_the_earliest_deadline_goes_first_and_counts_from_when_the_run_was_accepted():
    async def main():
        world, agent = await world_with(Policy(order="deadline"))
        busy = await world.submit(workflow(job("a", "{}")))
        await until(agent.assigned)
        early = await world.submit(workflow(job("x", "{deadline: 1m}")))
        await until(lambda: world.loop.time() > 5)
        called = "on: workflow_call\njobs:\n" + job("y", "{}")
        none = await world.submit(workflow(job("x", "{}")))
        later = await world.submit(workflow(job("x", "{deadline: 58s}")))
        first = await world.submit(
            workflow("  c:\n    uses: ./c.yml\n    relevo: {deadline: 20s}\n"), {"c.yml": called}
        )
        runs = [first, early, later, none]
        await until(lambda: len(world.now.orchestrator.scheduler.queue) == 4)
        await finish_all(world, agent, busy, *runs)
        assert [one.run for one in agent.assigned()] == [busy, *runs]
        await world.now.close()

    run_virtual(main())
