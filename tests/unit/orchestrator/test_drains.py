"""A drained agent takes nothing new, whichever engine runs, until it is undrained."""

from __future__ import annotations

import pytest

from relevo.assembly.observing import workers
from relevo.protocol import messages as m
from relevo.store.contract import StoreUnavailable
from relevo.testing.virtual_loop import run_virtual
from tests.unit.orchestrator.kit import ONE, FakeAgent, World, until


def test_what_it_has_goes_on_and_nothing_new_comes():
    async def main():
        world = World()
        agent = FakeAgent(await world.engine())
        agent.hello()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        await world.now.orchestrator.drains.drain("local", "new disk")
        other = await world.submit(ONE)
        agent.finish(agent.assigned()[0])
        await until(lambda: world.status(run) == "succeeded")
        assert len(agent.assigned()) == 1
        [seen] = workers(world.now)
        assert (seen.drained, seen.drained_for, seen.drained_since_ms > 0) == (True, "new disk", True)
        await world.now.orchestrator.drains.undrain("local")
        await until(lambda: len(agent.assigned()) == 2)
        agent.finish(agent.assigned()[1])
        await until(lambda: world.status(other) == "succeeded")
        assert not workers(world.now)[0].drained
        await world.now.close()

    run_virtual(main())


def test_the_next_engine_goes_by_it():
    async def main():
        world = World()
        await world.engine()
        await world.now.orchestrator.drains.drain("local", "for a while")
        await world.now.orchestrator.drains.drain("other", "")
        run = await world.submit(ONE)
        await world.now.close()
        await world.engine(2)
        agent = FakeAgent(world.now)
        agent.hello()
        await until(lambda: world.now.orchestrator.scheduler.capacity.agents)
        room = world.now.orchestrator.scheduler.capacity.agents["local"]
        assert (room.drained, room.drained_for) == (True, "for a while")
        # one that dials again is drained, too
        agent.transport.abort()
        await until(lambda: not world.now.orchestrator.scheduler.capacity.agents)
        agent.dial()
        agent.hello()
        await until(lambda: world.now.orchestrator.scheduler.capacity.agents)
        assert not agent.assigned()
        await world.now.orchestrator.drains.undrain("local")
        await until(lambda: agent.assigned())
        agent.finish(agent.assigned()[0])
        await until(lambda: world.status(run) == "succeeded")
        await world.now.close()
        await world.engine(3)
        assert world.now.orchestrator.drains.agents.keys() == {"other"}
        await world.now.close()

    run_virtual(main())


def test_what_is_not_stored_has_no_effect():
    async def main():
        world = World()
        agent = FakeAgent(await world.engine())
        agent.hello()
        await until(lambda: agent.of(m.Welcome))
        world.disk.full = True
        with pytest.raises(StoreUnavailable):
            await world.now.orchestrator.drains.drain("local", "")
        world.disk.full = False
        assert not world.now.orchestrator.drains.agents
        await world.submit(ONE)
        await until(lambda: agent.assigned())
        await world.now.close()

    run_virtual(main())
