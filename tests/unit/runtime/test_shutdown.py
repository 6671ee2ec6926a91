"""Signals, sent for real to this process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from relevo.runtime.shutdown import Shutdown


@pytest.fixture
async def shutdown() -> AsyncIterator[Shutdown]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    shutdown = Shutdown(asyncio.get_running_loop())
    shutdown.attach()
    shutdown.attach()
    yield shutdown
    shutdown.detach()
    shutdown.detach()
    assert {number: signal.getsignal(number) for number in before} == before


async def test_the_first_drains_the_second_ends(shutdown: Shutdown) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(shutdown.draining.wait(), 60)
    assert shutdown.reason == "SIGTERM"
    assert not shutdown.now.is_set()
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.wait_for(shutdown.now.wait(), 60)
    assert shutdown.reason == "SIGTERM"


async def test_an_interrupt_is_as_the_others_unless_somebody_wants_it(shutdown: Shutdown) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(shutdown.draining.wait(), 60)
    shutdown.detach()
    counted: asyncio.Queue[int] = asyncio.Queue()
    other = Shutdown(asyncio.get_running_loop(), interrupted=counted.put_nowait)
    other.attach()
    for times in (1, 2):
        os.kill(os.getpid(), signal.SIGINT)
        assert await asyncio.wait_for(counted.get(), 60) == times
    assert not other.draining.is_set()
    other.detach()


async def test_draining_has_a_deadline() -> None:
    shutdown = Shutdown(asyncio.get_running_loop(), drain_s=0.01)
    shutdown.request("told to")
    assert shutdown.reason == "told to"
    await asyncio.wait_for(shutdown.now.wait(), 60)
    gone = Shutdown(asyncio.get_running_loop(), drain_s=0.01)
    gone.request("told to")
    gone.detach()  # the deadline is off
    await asyncio.sleep(0.02)
    assert not gone.now.is_set()
