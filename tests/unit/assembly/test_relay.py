"""A relay: calls and streams that outlive the engine that they began with."""

from __future__ import annotations

import asyncio

from relevo.assembly.client import EngineGone
from relevo.assembly.home import Home
from relevo.assembly.relay import Relay
from relevo.store.contract import Fenced


class Engine:
    """An engine of this process, and its API."""

    def __init__(self, events: list[dict], error: Exception | None = None) -> None:
        self.told = events
        self.error = error
        self.taken_over = asyncio.Event()
        self.closed = asyncio.Event()
        self.retries: list[str | None] = []

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
    async with asyncio.timeout(10):
        async for event in relay.events("r"):
            seen.append(event)
            if len(seen) == 3:
                first.taken_over.set()
    assert seen == [*FIRST, LAST]
    assert first.closed.is_set()
    await relay.close()
    assert second.closed.is_set()


async def test_a_retry_that_its_engine_did_not_outlive_is_asked_for_as_the_same():
    for error in (EngineGone("gone"), Fenced(1, 2)):
        first, second = Engine(FIRST, error), Engine(FIRST)
        relay = FakeRelay(first, second)
        assert await relay.retry("r") == "again"
        assert first.retries == second.retries
        assert first.retries[0]
        await relay.close()
