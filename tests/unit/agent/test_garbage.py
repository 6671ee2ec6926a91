"""What an attempt was made of goes with it: nothing is left that only the collector of cycles can find."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from relevo.providers.contract import WorkerProvider
from relevo.providers.dummy import DummyProvider
from relevo.providers.process import ProcessProvider
from relevo.runtime.clock import SystemClock

from .harness import Job, RecordingReporter, at_once, attempt
from .virtual import VirtualClock, run_virtual

ATTEMPTS = 3


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The collector does not look by itself, and keeps what it finds."""
    enabled, debug = gc.isenabled(), gc.get_debug()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
    finally:
        gc.set_debug(debug)
        gc.garbage.clear()
        if enabled:
            gc.enable()


def _left() -> Counter[str]:
    """The objects of ours in cycles that nobody reaches, by type."""
    gc.collect()
    kinds = Counter(
        f"{type(found).__module__}.{type(found).__qualname__}"
        for found in gc.garbage
        if type(found).__module__.startswith("relevo.")
    )
    gc.garbage.clear()
    return kinds


async def _attempts(provider: WorkerProvider, folder: str, step: str, clock: object) -> None:
    for number in range(1, ATTEMPTS + 1):
        reporter = RecordingReporter()
        await attempt(
            Job([step, step], number=number), provider, reporter, folder, clock=clock, blocking=at_once
        ).run()
        assert reporter.result == "succeeded"


def test_attempts_of_the_dummy_leave_no_cycles(tmp_path: Path, uncollected: None) -> None:
    async def main() -> Counter[str]:
        loop = asyncio.get_running_loop()
        provider = DummyProvider(loop, remember=False)
        await _attempts(provider, str(tmp_path), "print a", VirtualClock(loop))
        return _left()

    assert run_virtual(main()) == {}


async def test_attempts_of_processes_leave_no_cycles(tmp_path: Path, uncollected: None) -> None:
    provider = ProcessProvider(str(tmp_path / "state"))
    try:
        await _attempts(provider, str(tmp_path), "echo a", SystemClock())
        assert _left() == {}
    finally:
        await provider.close()
