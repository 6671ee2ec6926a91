"""Runs that are kept as their events made them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.unit.orchestrator.kit import ONE, FakeAgent, World, until

from relevo.assembly import replays
from relevo.assembly.replays import Replays
from relevo.domain.errors import UserError
from relevo.testing.virtual_loop import run_virtual

MANY = """on: push
jobs:
  a:
    strategy: {matrix: {x: [1, 2, 3, 4]}}
    runs-on: ubuntu-latest
    steps:
      - run: echo
"""


def _plain(run: Any) -> Any:
    return [(job.decl.name, job.status, job.number) for job in run.jobs], run.status, run.version


def test_what_was_replayed_is_taken_on_by_what_was_stored_since(monkeypatch: pytest.MonkeyPatch):
    async def main(inline_bytes: int):
        monkeypatch.setattr(replays, "INLINE_BYTES", inline_bytes)
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine, slots=1)
        agent.hello()
        reads: list[int] = []
        real = world.store.read

        async def read(stream: str, after_version: int = 0) -> Any:
            reads.append(after_version)
            return await real(stream, after_version)

        monkeypatch.setattr(world.store, "read", read)
        run = await world.submit(MANY)
        kept = Replays(world.store)
        for done in range(4):
            await until(lambda done=done: len(agent.assigned()) > done)
            found, _ = await kept.get(run)
            anew, logs = await Replays(world.store).get(run)
            assert _plain(found) == _plain(anew)
            assert len(logs) == done
            agent.finish(agent.assigned()[done], log=b"x" * (done + 1))
        await until(lambda: world.status(run) == "succeeded")
        found, logs = await kept.get(run)
        assert sorted(logs.values()) == [1, 2, 3, 4]
        assert found.ended
        assert reads[0::2] == sorted(set(reads[0::2])), "no append is read twice"
        await engine.close()

    for inline_bytes in (0, 1 << 20):  # in a thread, and on the loop
        run_virtual(main(inline_bytes))


def test_only_so_many_are_kept_and_none_that_is_gone(monkeypatch: pytest.MonkeyPatch):
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine, slots=16)
        agent.hello()
        runs = []
        for text in (MANY, ONE, MANY):
            runs.append(await world.submit(text))
            await until(lambda: len(agent.assigned()) == {1: 4, 2: 5, 3: 9}[len(runs)])
        for assigned in agent.assigned():
            agent.finish(assigned)
        await until(lambda: not engine.orchestrator.live)
        monkeypatch.setattr(replays, "MOST_JOBS", 5)
        kept = Replays(world.store)
        await kept.get(runs[0])
        await kept.get(runs[1])
        assert list(kept._known) == runs[:2]
        await kept.get(runs[2])
        assert list(kept._known) == runs[1:]
        monkeypatch.setattr(replays, "MOST_JOBS", 1)
        await kept.get(runs[2])
        assert list(kept._known) == runs[2:], "the one that is asked for stays, whatever its size"
        await engine.parts.store.delete_run(runs[2])
        for unknown in (runs[2], "nobody"):
            with pytest.raises(UserError, match="there is no run"):
                await kept.get(unknown)
        assert not kept._known
        await engine.close()

    run_virtual(main())


def test_who_waits_for_a_replay_that_was_given_up_makes_one(monkeypatch: pytest.MonkeyPatch):
    async def main():
        world = World()
        engine = await world.engine()
        run = await world.submit(ONE)
        kept = Replays(world.store)
        real, gate, entered = world.store.read, asyncio.Event(), asyncio.Event()

        async def read(stream: str, after_version: int = 0) -> Any:
            entered.set()
            await gate.wait()
            return await real(stream, after_version)

        monkeypatch.setattr(world.store, "read", read)
        first, second = engine.spawn(kept.get(run)), engine.spawn(kept.get(run))
        await entered.wait()
        first.cancel()
        gate.set()
        assert (await second)[0].id == run
        assert first.cancelled()
        await engine.close()

    run_virtual(main())


def test_many_jobs_are_told_as_few_are():
    from relevo.orchestrator.details import PART_JOBS, details, encoded
    from relevo.orchestrator.progress import Progress
    from relevo.store.contract import RunRow

    row = RunRow("r", "running", "w", "t", "push", 0, True, 1, None, 0, 0, None, 1, False)
    for jobs in (0, 1, PART_JOBS, PART_JOBS + 1, 3 * PART_JOBS):
        progress = Progress("r")
        progress.apply({"event": "run.accepted", "workflow": '"jobs":[]', "title": '\\"jobs":[]', "seq": 1})
        for number in range(jobs):
            progress.apply({"event": "job.added", "job": f'"{number}",', "seq": 2})
        told = details(progress, row)
        assert encoded(told) == msgspec.json.encode(told)
