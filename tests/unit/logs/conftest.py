"""Stores over a simulated disk, whose blocking calls run in the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from relevo.logs.store import FileLogStore
from relevo.testing.in_loop import InLoop
from relevo.testing.sim_disk import SimDisk

ROOT = "/home/logs"


@pytest.fixture
def disk() -> SimDisk:
    disk = SimDisk()
    disk.make("/home")
    disk.sync_folder("/")
    return disk


@pytest.fixture
async def sim_store(disk: SimDisk) -> Callable[[], FileLogStore]:
    in_loop = InLoop(asyncio.get_running_loop())
    return lambda: FileLogStore(disk, ROOT, in_loop.loop, in_loop)
