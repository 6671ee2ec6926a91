"""How long attempts waited, started and ran, as it is measured."""

from __future__ import annotations

import asyncio

from relevo.core import measured
from relevo.core.metrics import Histogram
from relevo.protocol import messages as m
from relevo.testing.virtual_loop import run_virtual
from tests.unit.orchestrator.kit import ONE, FakeAgent, World, until


class Since:
    """What a histogram has taken in from here on."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._before = (histogram.count, histogram.sum)

    @property
    def taken(self) -> tuple[int, float]:
        """How many values, and their sum."""
        count, total = self._before
        return self._histogram.count - count, round(self._histogram.sum - total, 1)


def test_a_job_that_waits_starts_and_runs():
    async def main():
        matched = measured.MATCH_SECONDS.sum
        waits = Since(measured.QUEUE_WAIT_SECONDS)
        starts = Since(measured.ATTEMPT_START_SECONDS)
        runs = Since(measured.ATTEMPT_RUN_SECONDS)
        world = World()
        engine = await world.engine()
        run = await world.submit(ONE)
        await world.submit(ONE)
        await asyncio.sleep(5)
        engine.measure()
        assert measured.QUEUE_JOBS.value == 2
        assert round(measured.QUEUE_OLDEST_SECONDS.value, 1) == 5.0
        agent = FakeAgent(engine)
        agent.hello()
        await until(lambda: len(agent.assigned()) == 2)
        assert waits.taken == (2, 10.0)
        assert measured.MATCH_SECONDS.sum > matched, "in virtual time, too: it is what matching costs"
        engine.measure()
        assert measured.QUEUE_OLDEST_SECONDS.value == 0
        now_ms = world.clock.wall_ms()
        agent.records(m.AttemptStarted(run, 0, 1, now_ms + 2_000))
        await until(lambda: starts.taken == (1, 2.0))
        agent.records(m.AttemptFinished(run, 0, 1, "succeeded", at_ms=now_ms + 9_000))
        await until(lambda: runs.taken == (1, 7.0))

        await world.submit(ONE)  # there is a place for it at once
        await until(lambda: len(agent.assigned()) == 3)
        assert waits.taken == (3, 10.0)
        await world.now.close()

    run_virtual(main())


def test_what_an_engine_before_assigned_is_not_measured_from_there():
    async def main():
        starts = Since(measured.ATTEMPT_START_SECONDS)
        runs = Since(measured.ATTEMPT_RUN_SECONDS)
        world = World()
        agent = FakeAgent(await world.engine())
        agent.hello()
        run = await world.submit(ONE)
        await until(lambda: agent.assigned())
        await world.now.close()
        agent = FakeAgent(await world.engine(2))
        agent.hello(m.Live(run, 0, 1, True))
        agent.records(
            m.AttemptStarted(run, 0, 1, 5_000), m.AttemptFinished(run, 0, 1, "succeeded", at_ms=9_000)
        )
        await until(lambda: runs.taken == (1, 4.0))
        assert starts.taken == (0, 0.0), "who knows when it was assigned"
        await world.now.close()

    run_virtual(main())
