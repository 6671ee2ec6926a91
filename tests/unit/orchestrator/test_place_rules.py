"""Rules of where jobs may run take effect in a whole engine, with several agents."""

from __future__ import annotations

from relevo.assembly.observing import scene, workers
from relevo.domain import events as e
from relevo.orchestrator.plans import DEMANDS_KEPT, Plan, demand_of
from relevo.orchestrator.why import why_run
from relevo.protocol import messages as m
from relevo.scheduler.policy import Policy, Weights
from relevo.scheduler.reach import Reach
from relevo.testing.virtual_loop import run_virtual
from relevo.workflow.reader import read
from tests.unit.orchestrator.kit import FakeAgent, World, until


def workflow(**jobs: str) -> str:
    lines = [
        f"  {id}:\n    runs-on: ubuntu-latest\n    relevo: {own}\n    steps: [{{run: x}}]\n"
        for id, own in jobs.items()
    ]
    return "on: push\njobs:\n" + "".join(lines)


async def three(world: World) -> dict[str, FakeAgent]:
    engine = await world.engine()
    agents = {
        "a": FakeAgent(engine, "a", labels=["gpu"], zone="x"),
        "b": FakeAgent(engine, "b", zone="y", pool="big"),
        "c": FakeAgent(engine, "c", zone="y", taints=["Lab"]),
    }
    for agent in agents.values():
        agent.hello()
    return agents


def names(agent: FakeAgent) -> set[str]:
    return {one.own.name for one in agent.assigned()}


def test_jobs_go_where_their_rules_let_them():
    async def main():
        world = World()
        agents = await three(world)
        await world.submit(
            workflow(
                gpu="{where: gpu}",
                zone="{where: 'zone:Y && !pool:big', tolerates: lab}",
                pool="{where: 'pool:big'}",
                prefers="{prefers: 'node:c', tolerates: [lab, other]}",
                nolab="{where: 'zone:y'}",
            )
        )
        await until(lambda: sum(len(agent.assigned()) for agent in agents.values()) == 5)
        assert {id: names(agent) for id, agent in agents.items()} == {
            "a": {"gpu"},
            "b": {"pool", "nolab"},
            "c": {"zone", "prefers"},
        }
        await world.now.close()

    run_virtual(main())


def test_jobs_that_are_kept_apart_never_run_at_once_in_a_zone():
    async def main():
        world = World()
        agents = await three(world)
        own = "{apart: {key: port, over: zone}, tolerates: lab}"
        run = await world.submit(workflow(one=own, two=own, three=own))
        await until(lambda: sum(len(agent.assigned()) for agent in agents.values()) == 2)
        assert len(agents["a"].assigned()) == 1
        first = agents["a"].assigned()[0]
        agents["a"].finish(first)
        await until(lambda: len(agents["a"].assigned()) == 2)
        assert world.status(run) == "running"
        await world.now.close()

    run_virtual(main())


def test_jobs_of_a_key_are_drawn_to_where_one_ran():
    async def main():
        world = World()
        agents = await three(world)
        own = "{near: cache, where: '!gpu', tolerates: lab}"
        for number in range(3):
            await world.submit(workflow(one=own))
            await until(
                lambda number=number: sum(len(agent.assigned()) for agent in agents.values()) == number + 1
            )
        assert sorted(len(agent.assigned()) for agent in agents.values()) == [0, 0, 3]
        await world.now.close()

    run_virtual(main())


def test_an_agent_answers_to_no_pool_but_its_own():
    async def main():
        world = World()
        agent = FakeAgent(await world.engine(), labels=["Pool:stolen", "node:other", "GPU"], pool="own")
        agent.hello()
        await until(lambda: world.now.orchestrator.scheduler.capacity.agents)
        assert world.now.orchestrator.scheduler.capacity.agents["local"].labels == {
            "ubuntu-*",
            "linux",
            "gpu",
            "pool:own",
        }
        await world.now.close()

    run_virtual(main())


def test_what_an_agent_says_of_itself_counts_for_what_is_refused():
    async def main():
        world = World(reach=Reach([]))
        agent = FakeAgent(await world.engine(), zone="x", taints=["lab"])
        agent.hello()
        await until(lambda: world.now.orchestrator.scheduler.capacity.agents)
        run = await world.submit(workflow(yes="{where: 'zone:x', tolerates: lab}", no="{where: 'zone:x'}"))
        await until(lambda: agent.assigned())
        ends = [event for event in world.events(run) if isinstance(event, e.JobEnded)]
        assert [(end.status, end.message) for end in ends] == [
            ("failed", "no agent here could ever run it: agent 'local' is kept for jobs that tolerate lab")
        ]
        assert names(agent) == {"yes"}
        await world.now.close()

    run_virtual(main())


def test_where_load_counts_jobs_go_where_agents_say_that_they_have_little_to_do():
    async def main():
        world = World(policy=Policy(placement=Weights(load=1)))
        agents = await three(world)
        for id, load in (("a", 7.9), ("b", 0.1)):
            agents[id].say(m.Beat(load=load, frames=2))
        await until(lambda: {agent.id: agent.load for agent in workers(world.now)}["a"] > 0)
        await world.submit(workflow(one="{priority: 0}", two="{priority: 0}"))
        await until(lambda: len(agents["b"].assigned()) == 2)
        assert not agents["a"].assigned()
        await world.now.close()

    run_virtual(main())


def test_what_nobody_could_take_waits_where_that_is_wished_and_runs_when_somebody_can():
    async def main():
        world = World(reach=Reach([], refuses=False))
        agent = FakeAgent(await world.engine(), zone="x")
        agent.hello()
        await until(lambda: world.now.orchestrator.scheduler.capacity.agents)
        run = await world.submit(workflow(one="{where: 'zone:y'}"))
        await until(lambda: len(world.now.orchestrator.scheduler.queue))
        [wait] = why_run(scene(world.now), world.now.orchestrator.live[run].run)
        assert (wait.kind, wait.reason) == (
            "where",
            "no agent here could ever run it: agent 'local' is not zone:y; it waits for one that could",
        )
        other = FakeAgent(world.now, "other", zone="y")
        other.hello()
        await until(lambda: other.assigned())
        await world.now.close()

    run_virtual(main())


def test_an_agent_that_came_back_as_another_leaves_what_waits_for_it_waiting_and_it_is_told():
    async def main():
        world = World(reach=Reach([]))
        agent = FakeAgent(await world.engine(), slots=1, labels=["gpu"])
        agent.hello()
        await until(lambda: world.now.orchestrator.scheduler.capacity.agents)
        run = await world.submit(workflow(one="{where: gpu}", two="{where: gpu}"))
        await until(lambda: agent.assigned())
        await world.now.close()
        await world.engine(2)
        agent = FakeAgent(world.now, slots=1)
        agent.hello(m.Live(run, 0, 1, True))
        await until(lambda: world.now.orchestrator.scheduler.capacity.agents)
        waits = why_run(scene(world.now), world.now.orchestrator.live[run].run)
        wait = next(wait for wait in waits if wait.job == "two")
        assert (wait.job, wait.kind, wait.reason) == (
            "two",
            "where",
            "no agent here could ever run it: agent 'local' is not gpu; it waits for one that could",
        )
        assert world.status(run) == "running"
        await world.now.close()

    run_virtual(main())


def test_labels_that_are_others_in_each_run_are_not_all_kept():
    plan = Plan.made_of(read(workflow(a="{priority: 1}").encode(), "w.yml"))
    for number in range(3 * DEMANDS_KEPT):
        assert plan.demand(0, ["linux", f"Run-{number}"]).labels == {"linux", f"run-{number}"}
    assert len(plan._demands) <= DEMANDS_KEPT


def test_a_job_that_only_names_a_pool_has_no_rules():
    node = read(b"on: push\njobs:\n  a:\n    runs-on: {group: Big}\n    steps: [{run: x}]\n", "w.yml").jobs[
        "a"
    ]
    demand = demand_of(["group:Big", "Linux"], node)
    assert demand.labels == {"pool:big", "linux"}
    assert demand.rules is None
