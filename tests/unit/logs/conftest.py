"""Stores over a simulated disk, whose blocking calls run in the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from relevo.logs.store import FileLogStore
from relevo.testing.sim_disk import SimDisk

T = TypeVar("T")
ROOT = "/home/logs"


class InLoop:
    """Runs blocking calls in the loop, in order, one a turn."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def __call__(
        self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None], /
    ) -> None:
        def run() -> None:
            try:
                result = work()
            except Exception as error:
                done(None, error)
            else:
                done(result, None)

        self.loop.call_soon(run)


@pytest.fixture
def disk() -> SimDisk:
    disk = SimDisk()
    disk.make("/home")
    disk.sync_folder("/")
    return disk


@pytest.fixture
async def sim_store(disk: SimDisk) -> Callable[[], FileLogStore]:
    in_loop = InLoop()
    return lambda: FileLogStore(disk, ROOT, in_loop.loop, in_loop)
