"""Runs that only wait are taken up without their contexts: these are read when the first thing is asked of a run."""

from __future__ import annotations

import asyncio

import pytest

from relevo.domain import commands as c
from relevo.domain.errors import RelevoError
from relevo.orchestrator.plans import UNREAD, context_fact
from relevo.orchestrator.sparing import spared
from relevo.testing.virtual_loop import VirtualLoop, run_on, run_virtual
from tests.unit.orchestrator.kit import ONE, TWO, FakeAgent, World, until

ALWAYS = ONE.replace("    runs-on:", "    if: always()\n    runs-on:")


async def taken_up(*texts: str) -> tuple[World, list[str]]:
    """A world whose second engine has taken up runs that nobody has had a place for."""
    world = World()
    await world.engine()
    runs = [await world.submit(text) for text in texts]
    await until(lambda: len(world.now.orchestrator.scheduler.queue) == len(runs))
    await world.now.close()
    await world.engine(2)
    return world, runs


def reads(world: World) -> list[list[str]]:
    """The keys of facts that are read together from now on."""
    found: list[list[str]] = []
    inner = world.store.facts_named

    async def facts_named(keys):
        found.append(list(keys))
        return await inner(keys)

    world.store.facts_named = facts_named
    return found


def contexts(world: World, run: str) -> str:
    accepted = world.now.orchestrator.live[run].run.accepted
    assert accepted is not None
    return context_fact(accepted.contexts)


def test_contexts_are_read_when_runs_are_assigned_all_of_one_turn_together():
    async def main():
        world, runs = await taken_up(ONE, TWO, ONE)
        orchestrator = world.now.orchestrator
        assert [orchestrator.live[run].contexts for run in runs] == [UNREAD] * 3
        wanted, found = [contexts(world, run) for run in runs], reads(world)
        agent = FakeAgent(world.now, slots=4)
        agent.hello()
        await until(lambda: len(agent.assigned()) == 3)
        assert [sorted(keys) for keys in found] == [sorted(wanted)]
        named = {digest for message in agent.got if hasattr(message, "blobs") for digest in message.blobs}
        assert all(one.contexts in named for one in agent.assigned())
        while any(world.status(run) != "succeeded" for run in runs):
            for one in agent.assigned():
                agent.finish(one)
            await asyncio.sleep(0.1)
        await world.now.close()

    run_virtual(main())


def test_who_comes_first_is_assigned_first_also_when_only_the_other_is_read_already():
    async def main():
        world, (first, second) = await taken_up(ONE, ONE)
        assert await world.now.orchestrator.actor(second) is not None
        agent = FakeAgent(world.now, slots=4)
        agent.hello()
        await until(lambda: len(agent.assigned()) == 2)
        assert [one.run for one in agent.assigned()] == [first, second]
        await world.now.close()

    run_virtual(main())


def test_what_is_asked_of_such_a_run_sees_its_contexts():
    async def main():
        world, (run,) = await taken_up(ALWAYS)
        orchestrator = world.now.orchestrator
        actor = await orchestrator.actor(run)
        assert actor is not None
        assert actor.contexts.decoded.github["event_name"] == "push"
        assert spared(actor) == {0}
        assert await orchestrator.ask(run, c.CancelRun("", spared=spared(actor)))
        assert world.status(run) == "cancelling"
        await world.now.close()

    run_virtual(main())


def test_a_run_whose_contexts_are_gone_is_given_up_and_no_other():
    loop = VirtualLoop()

    async def main():
        world, (broken, whole) = await taken_up(ONE, ONE)
        key = contexts(world, broken)
        del world.disk.facts[key]
        asked = asyncio.ensure_future(world.now.orchestrator.ask(broken, c.CancelRun()))
        agent = FakeAgent(world.now, slots=4)
        agent.hello()
        await until(lambda: agent.assigned())
        with pytest.raises(RelevoError, match="the store lacks contexts"):
            await asked
        await until(lambda: not world.now.orchestrator.lives(broken))
        assert [one.run for one in agent.assigned()] == [whole]
        assert [context["message"] for context in loop.unhandled()] == [f"run {broken} cannot be read"]
        assert len(world.now.orchestrator.scheduler.reserved) == 1
        await world.now.close()

    run_on(loop, main())


def test_contexts_that_were_not_read_yet_are_named():
    async def main():
        world, (run,) = await taken_up(ONE)
        key = contexts(world, run)
        with world.now.orchestrator.naming() as unnamed:
            assert unnamed({key, "context/none"}) == ["context/none"]
        await world.now.close()

    run_virtual(main())
