"""The loop that processes run on. In processes of their own: it sets what holds for a whole process."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from relevo.runtime.loop import GC_THRESHOLD, LagMeter
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
