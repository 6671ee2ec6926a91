"""Shares of tenants over restarts of the engine, and over changes of what an operator says of them."""

from __future__ import annotations

import math

import msgspec
import pytest

from relevo.assembly.observing import scene
from relevo.orchestrator.shares import EVERY_S, KEY
from relevo.orchestrator.why import why_run
from relevo.protocol import messages as m
from relevo.scheduler.policy import Policy, Share
from relevo.testing.virtual_loop import run_virtual
from tests.unit.orchestrator.kit import ONE, FakeAgent, World, until


def of(tenant: str) -> dict[str, object]:
    return {"event_name": "push", "repository": tenant}


async def submit(world: World, tenant: str) -> str:
    submit, plan, _ = world.submission(ONE)
    contexts = msgspec.msgpack.encode({"github": of(tenant)})
    digest = f"contexts of {tenant}"
    submit = msgspec.structs.replace(submit, contexts=digest)
    await world.now.orchestrator.submit(submit, plan, contexts)
    return submit.run


async def engine(world: World, epoch: int) -> FakeAgent:
    """The next one, with an agent of one slot."""
    return FakeAgent(await world.engine(epoch), slots=1)


def names(agent: FakeAgent) -> list[str]:
    return [one.run for one in agent.assigned()]


FAIR = Policy(fair=True)


def test_who_has_used_much_goes_last_also_after_a_restart():
    async def main():
        world = World(policy=FAIR)
        agent = await engine(world, 1)
        agent.hello()
        first = await submit(world, "greedy")
        await until(lambda: agent.assigned())
        greedy, modest = await submit(world, "greedy"), await submit(world, "modest")
        await until(lambda: world.loop.time() > 2 * EVERY_S + 5, 300)
        kept = msgspec.msgpack.decode(world.disk.facts[KEY])  # an engine that dies has said most of it
        await world.now.close()
        left = msgspec.msgpack.decode(world.disk.facts[KEY])
        assert left["greedy"][0] * 0.9 < kept["greedy"][0] < left["greedy"][0]
        agent = await engine(world, 2)
        late = await submit(
            world, "late"
        )  # nobody saves up: it begins with who has used least of those that are there
        agent.hello(m.Live(first, 0, 1, True))
        agent.records(m.AttemptFinished(first, 0, 1, "succeeded"))
        order = []
        for done in range(3):
            await until(lambda done=done: len(agent.assigned()) > done)
            one = agent.assigned()[done]
            order.append(one.run)
            agent.finish(one)
        assert order == [modest, late, greedy]
        await world.now.close()

    run_virtual(main())


def test_what_runs_counts_also_for_the_time_before_the_restart():
    async def main():
        world = World(policy=FAIR)
        agent = await engine(world, 1)
        agent.hello()
        run = await submit(world, "a")
        await until(lambda: agent.assigned())
        began = world.loop.time()
        await until(lambda: world.loop.time() > began + 30, 300)
        before = world.now.orchestrator.scheduler.used_so_far()["a"].so_far
        assert before > 0
        await world.now.close()
        agent = await engine(world, 2)
        assert world.now.orchestrator.scheduler.used_so_far()["a"].so_far == pytest.approx(before, rel=0.01)
        agent.hello(m.Live(run, 0, 1, True))
        await until(lambda: world.now.orchestrator.scheduler.capacity.agents)
        await submit(world, "a")  # a round: it is known what there is in all
        began = world.loop.time()
        await until(lambda: world.loop.time() > began + 30, 300)
        after = world.now.orchestrator.scheduler.used_so_far()["a"].so_far
        assert after == pytest.approx(2 * before, rel=0.1)
        await world.now.close()

    run_virtual(main())


@pytest.mark.parametrize(
    "kept",
    [
        b"\xff nonsense",
        msgspec.msgpack.encode(
            {"a": [math.nan, True], "b": [math.inf, True], "c": [-1.0, False], "d": [2.0, False]}
        ),
        msgspec.msgpack.encode(["a"]),
        msgspec.msgpack.encode({"a": 1.0}),
    ],
)
def test_what_cannot_be_is_passed_over(kept):
    async def main():
        world = World(policy=FAIR)
        world.disk.facts[KEY] = kept
        agent = await engine(world, 1)
        assert world.now.orchestrator.scheduler.used_so_far().keys() <= {"d"}
        agent.hello()
        await submit(world, "a")
        await until(lambda: agent.assigned())
        await world.now.close()

    run_virtual(main())


def test_where_nobody_counts_nothing_is_written():
    async def main():
        world = World()
        agent = await engine(world, 1)
        agent.hello()
        await submit(world, "a")
        await until(lambda: agent.assigned())
        await world.now.close()
        assert KEY not in world.disk.facts

    run_virtual(main())


def test_a_tenant_that_is_renamed_or_removed_with_jobs_queued_loses_none_of_them():
    async def main():
        quota = Policy(fair=True, shares={"old": Share(quota={"jobs": 1}), "gone": Share(quota={"jobs": 1})})
        world = World(policy=quota)
        agent = FakeAgent(await world.engine(1), slots=4)
        agent.hello()
        runs = [await submit(world, tenant) for tenant in ("old", "old", "gone", "gone", "new")]
        await until(lambda: len(agent.assigned()) == 3)
        [wait] = why_run(scene(world.now), world.now.orchestrator.live[runs[1]].run)
        assert wait.reason == "waits for jobs of old to end, which has its quota: 1 of 1 jobs"
        await world.now.close()
        # the file is changed, and the engine started again: jobs keep the name that they came with
        world.options = {"policy": Policy(fair=True, shares={"new": Share(weight=2.0, quota={"jobs": 1})})}
        agent = FakeAgent(await world.engine(2), slots=8)
        live = [m.Live(run, 0, 1, False) for run in (runs[0], runs[2], runs[4])]
        agent.hello(*live)
        await until(lambda: {one.run for one in agent.assigned()} >= {runs[1], runs[3]})
        await world.now.close()

    run_virtual(main())


def test_a_quota_that_is_lowered_under_what_runs_ends_nothing_and_lets_nothing_begin():
    async def main():
        world = World(policy=Policy(shares={"a": Share(quota={"jobs": 3})}))
        agent = FakeAgent(await world.engine(1), slots=4)
        agent.hello()
        runs = [await submit(world, "a") for _ in range(4)]
        await until(lambda: len(agent.assigned()) == 3)
        world.now.orchestrator.scheduler.change(Policy(shares={"a": Share(quota={"jobs": 1})}))
        [wait] = why_run(scene(world.now), world.now.orchestrator.live[runs[3]].run)
        assert wait.reason == "waits for jobs of a to end, which has its quota: 3 of 1 jobs"
        for one in list(agent.assigned()):
            assert len(agent.assigned()) == 3
            assert not agent.of(m.Cancel)
            agent.finish(one)
            await until(lambda one=one: world.status(one.run) == "succeeded")
        await until(lambda: len(agent.assigned()) == 4)
        await world.now.close()

    run_virtual(main())
