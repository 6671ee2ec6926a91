"""A relay: calls and streams that outlive the engine that they began with."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from relevo.assembly.client import EngineGone
from relevo.assembly.home import Home
from relevo.assembly.relay import Relay
from relevo.domain.errors import UserError
from relevo.orchestrator.api import Submission
from relevo.store.contract import Fenced


class Row(Struct):
    run: str


class Engine:
    """An engine of this process, and its API."""

    def __init__(self, events: list[dict], error: Exception | None = None) -> None:
        self.told = events
        self.error = error
        self.taken_over = asyncio.Event()
        self.closed = asyncio.Event()
        self.retries: list[str | None] = []
        self.submitted: list[Submission] = []
        self.known: set[str] = set()
        self.api = self

    async def new_id(self) -> str:
        return "r1"

    async def submit(self, submission: Submission) -> str:
        self.submitted.append(submission)
        if self.error is not None:
            self.taken_over.set()
            raise self.error
        return submission.run or "other"

    async def find(self, prefix: str) -> Row:
        if prefix in self.known:
            return Row(prefix)
        raise UserError("there is no such run")

    async def close(self) -> None:
        self.closed.set()

    async def events(self, run, after=0, *, follow=True):
        for event in self.told:
            if event["seq"] > after:
                yield event
        if self.told[-1]["event"] != "run.finished":
            await self.closed.wait()

    async def retry(self, run, *, failed, job, secrets, idempotency_key=None):
        self.retries.append(idempotency_key)
        if self.error is not None:
            self.taken_over.set()
            raise self.error
        return "again"


class FakeRelay(Relay):
    def __init__(self, *engines: Engine) -> None:
        super().__init__(Home("/nowhere"))
        self.engines = list(engines)

    async def _attach(self):
        engine = self.engines.pop(0)
        return engine, engine, None


FIRST = [{"event": "run.accepted", "seq": 1}, {"event": "job.added", "seq": 1}, {"event": "x", "seq": 2}]
LAST = {"event": "run.finished", "seq": 3}


async def test_who_follows_goes_on_at_the_engine_that_took_over():
    first, second = Engine(FIRST), Engine([*FIRST, LAST])
    relay = FakeRelay(first, second)
    seen = []
    async with asyncio.timeout(60):
        async for event in relay.events("r"):
            seen.append(event)
            if len(seen) == 3:
                first.taken_over.set()
    assert seen == [*FIRST, LAST]
    assert first.closed.is_set()
    await relay.close()
    assert second.closed.is_set()


async def test_a_run_that_its_engine_did_not_outlive_is_accepted_once():
    for stored in (True, False):
        first, second = Engine(FIRST, Fenced(1, 2)), Engine(FIRST)
        relay = FakeRelay(first, second)
        await relay.attached()
        if stored:
            second.known.add("r1")
        assert await relay.submit(Submission("w.yml", b"")) == "r1"
        assert [one.run for one in first.submitted] == ["r1"]
        # The next engine is another program, maybe an older one: it knows a run again by its key.
        assert [one.idempotency_key for one in second.submitted] == ([] if stored else ["r1"])
        await relay.close()


async def test_a_run_of_another_process_has_a_key_that_is_the_same_each_time():
    first, second = Engine(FIRST, EngineGone("gone")), Engine(FIRST)
    relay = FakeRelay(first, second)
    assert await relay.submit(Submission("w.yml", b"")) == "other"
    keys = [one.idempotency_key for engine in (first, second) for one in engine.submitted]
    assert keys[0]
    assert keys == [keys[0]] * 2
    await relay.close()


async def test_a_retry_that_its_engine_did_not_outlive_is_asked_for_as_the_same():
    for error in (EngineGone("gone"), Fenced(1, 2)):
        first, second = Engine(FIRST, error), Engine(FIRST)
        relay = FakeRelay(first, second)
        assert await relay.retry("r") == "again"
        assert first.retries == second.retries
        assert first.retries[0]
        await relay.close()


async def test_who_follows_goes_on_though_somebody_else_has_gone_to_the_next_engine_before():
    first, second = Engine(FIRST), Engine([*FIRST, LAST])
    relay = FakeRelay(first, second)
    seen = []
    async with asyncio.timeout(60):
        async for event in relay.events("r"):
            seen.append(event)
            if len(seen) == 3:
                first.taken_over.set()
                assert await relay.retry("r") == "again"
                assert second.retries
    assert seen == [*FIRST, LAST]
    await relay.close()
