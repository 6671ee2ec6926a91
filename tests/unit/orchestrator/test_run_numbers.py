"""Runs of one text share what they have alike; their numbers lie apart, and meet it again where a job sees both."""

from __future__ import annotations

from typing import Any

import msgspec

from relevo.domain import events as e
from relevo.orchestrator.plans import SharedContexts, context_fact, digest_of
from relevo.protocol import messages as m
from relevo.testing.virtual_loop import run_virtual
from tests.unit.orchestrator.kit import ONE, FakeAgent, World, until

BY_NUMBER = ONE.replace("    runs-on:", "    if: github.run_number == '8'\n    runs-on:")


async def submit(world: World, text: str, run_id: str, run_number: str) -> str:
    """A run as admission has it: its contexts keep the places of the numbers."""
    submit, plan, _ = world.submission(text)
    github = {"event_name": "push", "run_id": "", "run_number": "", "sha": "0"}
    blob = msgspec.msgpack.encode(SharedContexts(github=github))
    submit = msgspec.structs.replace(submit, contexts=digest_of(blob), run_id=run_id, run_number=run_number)
    await world.now.orchestrator.submit(submit, plan, blob)
    return submit.run


def githubs(agent: FakeAgent) -> dict[str, dict[str, Any]]:
    """The `github` context of each run that an agent has a job of, in the order of its keys."""
    blobs: dict[str, bytes] = {}
    for message in agent.of(m.Assign):
        blobs |= message.blobs
    return {
        one.run: msgspec.msgpack.decode(blobs[one.contexts], type=SharedContexts).github
        for one in agent.assigned()
        if digest_of(blobs[one.contexts]) == one.contexts
    }


def test_runs_store_their_contexts_once_and_their_jobs_see_their_own_numbers():
    async def main():
        world = World()
        await world.engine()
        runs = [await submit(world, ONE, f"700{number}", str(number)) for number in (1, 2)]
        stored = [key for key in world.disk.facts if key.startswith("context/")]
        accepted = [world.events(run)[0] for run in runs]
        assert all(isinstance(one, e.RunAccepted) for one in accepted)
        assert stored == [context_fact(accepted[0].contexts)] == [context_fact(accepted[1].contexts)]
        agent = FakeAgent(world.now)
        agent.hello()
        await until(lambda: len(agent.assigned()) == 2)
        seen = githubs(agent)
        assert [list(seen[run].items()) for run in runs] == [
            [("event_name", "push"), ("run_id", f"700{number}"), ("run_number", str(number)), ("sha", "0")]
            for number in (1, 2)
        ]
        await world.now.close()

    run_virtual(main())


def test_the_next_engine_knows_the_numbers_too():
    async def main():
        world = World()
        await world.engine()
        runs = [await submit(world, ONE, f"700{number}", str(number)) for number in (1, 2)]
        await world.now.close()
        await world.engine(2)
        agent = FakeAgent(world.now)
        agent.hello()
        await until(lambda: len(agent.assigned()) == 2)
        assert [githubs(agent)[run]["run_number"] for run in runs] == ["1", "2"]
        await world.now.close()

    run_virtual(main())


def test_what_decides_about_a_job_sees_the_numbers_of_its_run():
    async def main():
        world = World()
        await world.engine()
        FakeAgent(world.now).hello()
        first, second = [await submit(world, BY_NUMBER, f"700{number}", str(number)) for number in (7, 8)]
        await until(lambda: world.status(first) == "succeeded" and world.status(second) == "running")
        assert "AttemptAssigned" not in world.names(first)
        assert "AttemptAssigned" in world.names(second)
        await world.now.close()

    run_virtual(main())


def test_contexts_that_hold_the_numbers_travel_as_they_are_stored():
    async def main():
        world = World()
        await world.engine()
        asked, plan, blob = world.submission(ONE)
        await world.now.orchestrator.submit(asked, plan, blob)
        agent = FakeAgent(world.now)
        agent.hello()
        await until(lambda: len(agent.assigned()) == 1)
        assert agent.assigned()[0].contexts == asked.contexts
        assert agent.of(m.Assign)[0].blobs[asked.contexts] == blob
        await world.now.close()

    run_virtual(main())
