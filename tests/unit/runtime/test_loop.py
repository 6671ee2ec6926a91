"""The loop that processes run on. In processes of their own: it sets what holds for a whole process."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from relevo.runtime.loop import GC_THRESHOLD, MOST, OBJECTS_EACH, LagMeter, Sweeper
from relevo.testing.virtual_loop import run_virtual

PROGRAM = """
import asyncio, gc, sys, threading
from relevo.runtime.loop import run

async def main():
    process = await asyncio.create_subprocess_exec("true")
    code = await process.wait()
    print(type(asyncio.get_running_loop()).__module__.split(".")[0], code, threading.active_count(), gc.get_threshold()[0])
    return 7

sys.exit(run(main(), fast=FAST))
"""


@pytest.mark.parametrize(("fast", "kind"), [(True, "uvloop"), (False, "asyncio")])
def test_it_runs_watches_children_without_threads_and_returns(fast: bool, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.replace("FAST", str(fast))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, f"{kind} 0 1 {GC_THRESHOLD}\n", "")


def test_lag_is_the_time_that_a_timer_comes_late(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        meter = LagMeter(loop)
        meter.start()
        meter.start()
        await asyncio.sleep(3.2)
        assert (meter.last_s, meter.worst_s) == (0.0, 0.0)
        loop.now_s += 1.0  # type: ignore[attr-defined]  # something held the loop for a second
        await asyncio.sleep(2.0)
        assert meter.last_s == 0.0
        assert round(meter.take_worst(), 6) == 0.7
        assert meter.take_worst() == 0.0
        meter.stop()
        meter.stop()

    run_virtual(main())
    assert "held up for 700 ms" in caplog.text


class Knot:
    """Something that only the collector takes away."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector_off() -> Iterator[None]:
    enabled, threshold = gc.isenabled(), gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        if enabled:
            gc.enable()


def _knots(count: int) -> weakref.ref[Knot]:
    first = weakref.ref(Knot())
    for _ in range(count):
        Knot()
    return first


def test_a_sweeper_looks_where_more_is_young_than_what_is_under_way_explains(collector_off: None) -> None:
    async def main() -> None:
        under_way = 0
        sweeper = Sweeper(asyncio.get_running_loop(), lambda: under_way)
        sweeper.start()
        sweeper.start()
        assert gc.get_threshold()[0] == MOST
        knot = _knots(10)
        await asyncio.sleep(1.1)
        assert knot() is not None, "so few are not worth a look"
        _knots(GC_THRESHOLD)
        under_way = 1 + gc.get_count()[0] // OBJECTS_EACH
        await asyncio.sleep(1.0)
        assert knot() is not None, "what is under way may have as many"
        under_way = 0
        await asyncio.sleep(1.0)
        assert knot() is None
        sweeper.stop()
        sweeper.stop()
        knot = _knots(GC_THRESHOLD)
        await asyncio.sleep(2.0)
        assert knot() is not None, "it was stopped"

    run_virtual(main())


def test_a_sweeper_comes_to_what_is_old_in_the_end(
    collector_off: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relevo.runtime.loop.ALL_EVERY", 3)

    async def main() -> None:
        sweeper = Sweeper(asyncio.get_running_loop(), lambda: 0)
        sweeper.start()
        held = Knot()
        old = weakref.ref(held)
        for looks in (1, 2):
            _knots(GC_THRESHOLD)
            await asyncio.sleep(1.0)
            if looks == 1:
                del held
            assert old() is not None, looks
        _knots(GC_THRESHOLD)
        await asyncio.sleep(1.0)
        assert old() is None
        sweeper.stop()

    run_virtual(main())
