"""`relevo:` of jobs takes effect: resources are reserved, priority orders, retries come as often and as late as asked."""

from __future__ import annotations

from itertools import pairwise

from relevo.domain import events as e
from relevo.domain.machine import _back_off_s
from relevo.protocol import messages as m
from relevo.testing.virtual_loop import run_virtual
from tests.unit.orchestrator.kit import FakeAgent, World, until


def job(id: str, own: str, more: str = "") -> str:
    return f"  {id}:\n    runs-on: ubuntu-latest\n    relevo: {own}\n    steps: [{{run: x}}]\n{more}"


def workflow(*jobs: str) -> str:
    return "on: push\njobs:\n" + "".join(jobs)


async def world_with_agent(slots: int = 8) -> tuple[World, FakeAgent]:
    """The agent has 8 cpus and 16 GiB."""
    world = World()
    agent = FakeAgent(await world.engine(), slots=slots)
    agent.hello()
    return world, agent


def order(agent: FakeAgent) -> list[str]:
    return [f"{one.run}/{one.own.name}" for one in agent.assigned()]


async def finish_all(world: World, agent: FakeAgent, *runs: str) -> None:
    done: list[m.Assignment] = []

    def over() -> bool:
        return all(world.status(run) == "succeeded" for run in runs)

    while not over():
        await until(lambda: over() or len(agent.assigned()) > len(done))
        for one in agent.assigned()[len(done) :]:
            done.append(one)
            agent.finish(one)


def test_cpus_and_memory_are_reserved_while_a_job_has_its_place():
    async def main():
        for own in ("{resources: {cpu: 5}}", "{resources: {memory: 10Gi}}"):
            world, agent = await world_with_agent()
            run = await world.submit(
                workflow(job("a", own), job("b", own), job("c", "{resources: {cpu: 2}}"))
            )
            await until(lambda agent=agent: len(agent.assigned()) == 2)
            first = agent.assigned()[0]
            assert {one.own.name for one in agent.assigned()} == {"a", "c"}
            assert (first.cpus, first.memory_bytes) in ((5.0, None), (None, 10 << 30))
            agent.finish(first)
            await until(lambda agent=agent: "b" in {one.own.name for one in agent.assigned()})
            assert world.status(run) == "running"
            await world.now.close()

    run_virtual(main())


def test_a_job_without_resources_reserves_none():
    async def main():
        world, agent = await world_with_agent()
        await world.submit(
            workflow(*(job(f"j{n}", "{resources: {cpu: 8}}" if n == 0 else "{}") for n in range(4)))
        )
        await until(lambda: len(agent.assigned()) == 4)
        await world.now.close()

    run_virtual(main())


def test_priority_orders_the_jobs_of_a_run_also_when_all_are_ready_at_once():
    async def main():
        world, agent = await world_with_agent(slots=1)
        run = await world.submit(
            workflow(job("low", "{priority: -5}"), job("usual", "{}"), job("high", "{priority: 5}"))
        )
        await finish_all(world, agent, run)
        assert order(agent) == [f"{run}/{name}" for name in ("high", "usual", "low")]
        await world.now.close()

    run_virtual(main())


def test_priority_orders_jobs_between_runs():
    async def main():
        world, agent = await world_with_agent(slots=1)
        busy = await world.submit(workflow(job("a", "{}")))
        await until(agent.assigned)
        low = await world.submit(workflow(job("a", "{priority: 1}")))
        high = await world.submit("relevo: {priority: 7}\n" + workflow(job("a", "{}")))
        await until(lambda: len(world.now.orchestrator.scheduler.queue) == 2)
        await finish_all(world, agent, busy, low, high)
        assert order(agent) == [f"{busy}/a", f"{high}/a", f"{low}/a"]
        await world.now.close()

    run_virtual(main())


def test_the_priority_of_a_calling_job_counts_for_what_it_calls():
    async def main():
        world, agent = await world_with_agent(slots=1)
        called = "on: workflow_call\njobs:\n" + job("x", "{priority: 1}")
        text = workflow(job("b", "{priority: 3}"), "  a:\n    uses: ./c.yml\n    relevo: {priority: 4}\n")
        run = await world.submit(text, {"c.yml": called})
        await finish_all(world, agent, run)
        assert order(agent) == [f"{run}/a / x", f"{run}/b"]
        await world.now.close()

    run_virtual(main())


def delays(world: World, run: str) -> list[float]:
    return [event.delay_s for event in world.events(run) if isinstance(event, e.JobRetrying)]


def test_retries_come_for_the_exit_codes_that_are_named_as_often_and_as_late_as_asked():
    async def main():
        world, agent = await world_with_agent()
        own = "{retry: {max: 3, on: [75, 76], backoff: 2s}}"
        run = await world.submit(workflow(job("a", own)))
        started = []
        for count, code in enumerate((75, 76, 75, 75), 1):
            await until(lambda count=count: len(agent.assigned()) == count)
            started.append(world.loop.time())
            agent.finish(agent.assigned()[-1], "failed", exit_code=code)
        await until(lambda: world.status(run) == "failed")
        assert delays(world, run) == [2.0, 4.0, 8.0]
        waited = [later - earlier for earlier, later in pairwise(started)]
        assert all(delay <= took < delay + 1 for delay, took in zip((2, 4, 8), waited, strict=True))
        other = await world.submit(workflow(job("a", own)))
        await until(lambda: len(agent.assigned()) == 5)
        agent.finish(agent.assigned()[-1], "failed", exit_code=1)
        await until(lambda: world.status(other) == "failed")
        assert len(agent.assigned()) == 5
        await world.now.close()

    run_virtual(main())


def lost(own: str, times: int) -> list[float]:
    """What comes of a job that is lost again and again."""
    found: list[float] = []

    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(workflow(job("a", own)))
        for count in range(1, times + 1):
            await until(lambda count=count: len(agent.assigned()) == count)
            agent.finish(agent.assigned()[-1], "lost")
        await until(lambda: world.status(run) == "failed")
        assert len(agent.assigned()) == times
        found.extend(delays(world, run))
        await world.now.close()

    run_virtual(main())
    return found


def test_what_the_infrastructure_loses_is_tried_again_twice_or_as_often_as_asked():
    assert lost("{}", 3) == [0.0, 0.0]
    assert lost("{retry: {max: 5, on: [75], backoff: 9s}}", 3) == [0.0, 0.0]  # it says nothing of losses
    assert lost("{retry: {max: 0}}", 1) == []
    assert lost("{retry: {max: 3, backoff: 1s}}", 4) == [1.0, 2.0, 4.0]
    assert lost("{retry: {max: 1, on: [infra, 75]}}", 2) == [0.0]


def test_a_back_off_does_not_grow_beyond_an_hour_unless_it_begins_there():
    assert [_back_off_s(1_800.0, n) for n in range(4)] == [1_800.0, 3_600.0, 3_600.0, 3_600.0]
    assert _back_off_s(7_200.0, 3) == 7_200.0
    assert _back_off_s(0.0, 10_000) == 0.0
    assert _back_off_s(0.001, 10_000) <= 3_600.0


def test_the_whole_back_off_holds_also_for_the_next_engine():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(workflow(job("a", "{retry: {max: 3, on: [75], backoff: 2s}}")))
        for count in (1, 2):
            await until(lambda count=count: len(agent.assigned()) == count)
            agent.finish(agent.assigned()[-1], "failed", exit_code=75)
        await until(lambda: len(delays(world, run)) == 2)
        await world.now.close()
        again = FakeAgent(await world.engine(epoch=2))
        again.first, again.next = agent.next, agent.next
        again.hello()
        begun = world.loop.time()
        await until(again.assigned)
        assert 4.0 <= world.loop.time() - begun < 5.0
        await world.now.close()

    run_virtual(main())
