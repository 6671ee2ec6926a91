"""What users see of runs: whole texts, and nothing of how they are stored."""

from __future__ import annotations

from blake3 import blake3
from tests.unit.orchestrator.kit import ONE, FakeAgent, World, until

from relevo.assembly.reading import Reading
from relevo.domain import commands as c
from relevo.protocol import messages as m
from relevo.testing.virtual_loop import run_virtual


async def _told(summary: str, outputs: dict[str, str], *, follow: bool) -> list[dict]:
    world = World()
    engine = await world.engine()
    agent = FakeAgent(engine)
    agent.hello()
    run = await world.submit(ONE)
    reading = Reading(world.store, engine.parts.logs, engine.parts.bus)
    await until(lambda: agent.assigned())

    async def events() -> list[dict]:
        return [event async for event in reading.events(run, follow=follow)]

    following = engine.spawn(events()) if follow else None
    await until(lambda: engine.parts.bus.followers or not follow)
    agent.records(m.StepFinished(run, 0, 1, 0, "x", "success", "success", 0, 1, "", summary))
    agent.finish(agent.assigned()[0], outputs=outputs)
    await until(lambda: world.status(run) == "succeeded")
    found = await following if following is not None else await events()
    await engine.close()
    return found


def _one(found: list[dict], kind: str) -> dict:
    return next(event for event in found if event["event"] == kind)


def test_what_is_too_long_for_an_event_is_whole_for_who_reads():
    for follow in (False, True):
        summary, outputs = "s" * 100_000, {"x": "y" * 50_000}
        found = run_virtual(_told(summary, outputs, follow=follow))
        assert _one(found, "step.finished")["summary"] == summary
        assert _one(found, "job.finished")["outputs"] == outputs
        assert not any(key.endswith("_fact") for event in found for key in event)


def test_a_summary_that_looks_like_the_name_of_a_fact_is_only_text():
    for text in ("fact:secrets/r1", "fact:context/abc", "fact:summary/r1/0/1/7"):
        found = run_virtual(_told(text, {}, follow=False))
        assert _one(found, "step.finished")["summary"] == text


def test_who_asks_follows_a_held_run_to_what_is_decided():
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine, slots=1)
        agent.hello()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        reading = Reading(world.store, engine.parts.logs, engine.parts.bus)

        async def last(**asked) -> str:
            return [event["event"] async for event in reading.events(run, **asked)][-1]

        to_the_end = engine.spawn(last(past_holds=True))
        until_held = engine.spawn(last())
        await until(lambda: engine.parts.bus.followers == 2)
        agent.finish(agent.assigned()[0], "lost", held=True)
        assert await until_held == "run.held"
        assert not to_the_end.done()
        from_here = engine.spawn(last(past_holds=True))
        await until(lambda: engine.parts.bus.followers == 2)
        assert await engine.orchestrator.ask(run, c.FailJob(0, "given up"))
        assert await to_the_end == await from_here == "run.finished"
        await engine.close()

    run_virtual(main())


def test_a_job_that_ends_while_its_log_is_read_is_no_damage():
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine)
        agent.hello()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        key = (run, 0, 1)
        agent.records(m.AttemptStarted(*key), m.LogBytes(*key, 0, 0, 1, b"one\n"))
        await until(lambda: world.status(run) == "running")
        reading = Reading(world.store, engine.parts.logs, engine.parts.bus)
        log = reading.log(run, 0)
        assert bytes((await anext(log)).data) == b"one\n"
        whole = b"one\ntwo\n"
        agent.records(
            m.LogBytes(*key, 4, 0, 1, b"two\n"),
            m.AttemptFinished(*key, "succeeded", log_size=len(whole), log_digest=blake3(whole).digest()),
        )
        await until(lambda: world.status(run) == "succeeded")
        assert (await reading.state(run)).ended
        assert [bytes(frame.data) async for frame in log] in ([], [b"two\n"])
        assert b"".join([bytes(frame.data) async for frame in reading.log(run, 0)]) == whole
        await engine.close()

    run_virtual(main())
