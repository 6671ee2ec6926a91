"""What an engine does in its own home besides running jobs."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from relevo.assembly.embedded import (
    LOOK_EVERY_S,
    PRUNE_EVERY_S,
    _prune,
    _prune_daily,
    _prune_is_due,
    open_engine,
)
from relevo.assembly.home import Home
from relevo.assembly.local_api import LocalApi
from relevo.domain.errors import InfrastructureError
from relevo.runtime.processes import alive, identity


class Embedded:
    """As much of an engine as pruning sees."""

    def __init__(self, home: Home, error: Exception | None = None) -> None:
        self.home = home
        self.api = self
        self.error = error
        self.prunes = 0

    async def ready(self) -> None: ...

    async def prune(self) -> None:
        self.prunes += 1
        if self.error is not None:
            raise self.error


async def test_a_home_is_pruned_at_most_once_a_day(tmp_path):
    home = Home(str(tmp_path))
    assert not _prune_is_due(home), "a new home has nothing old"
    os.mkdir(home.logs)
    assert _prune_is_due(home)
    engine: Any = Embedded(home)
    await _prune(engine)
    assert engine.prunes == 1
    assert not _prune_is_due(home)
    for age_s in (PRUNE_EVERY_S + 1, -1_000):  # a clock that was set back does not put it off for ever
        then = time.time() - age_s
        os.utime(home.pruned, (then, then))
        assert _prune_is_due(home)


async def test_a_prune_that_failed_is_told_of_and_tried_again(tmp_path):
    home = Home(str(tmp_path))
    os.mkdir(home.logs)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    engine: Any = Embedded(home, InfrastructureError("no room"))
    await _prune(engine)
    assert len(told) == 1
    assert _prune_is_due(home)


async def test_an_engine_that_stays_prunes_each_day(tmp_path, monkeypatch):
    home = Home(str(tmp_path))
    engine: Any = Embedded(home)
    looks = 0

    async def sleep(delay_s: float) -> None:
        nonlocal looks
        assert delay_s == LOOK_EVERY_S
        looks += 1
        if looks == 1:
            os.mkdir(home.logs)  # no longer new
        elif looks == 4:
            then = time.time() - PRUNE_EVERY_S - 1
            os.utime(home.pruned, (then, then))
        elif looks == 9:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await _prune_daily(engine)
    assert engine.prunes == 2


async def test_kept_workspaces_go_with_their_run_only(tmp_path):
    for run in ("gone", "stays"):
        (tmp_path / "kept" / run / "0-1").mkdir(parents=True)
    api = LocalApi.__new__(LocalApi)
    api._kept = str(tmp_path / "kept")
    await api._remove_kept("gone")
    await api._remove_kept("unknown")
    assert os.listdir(tmp_path / "kept") == ["stays"]


async def test_an_idle_engine_takes_its_agent_along_and_leaves_nothing_open(tmp_path):
    home = Home(str(tmp_path / "home"))
    embedded = await open_engine(home, slots=1, provider="dummy")
    await embedded.ready()
    agent = embedded.agent_pid
    assert agent is not None
    who = identity(agent)
    await embedded.close()
    async with asyncio.timeout(60):  # an engine does not wait for long
        while alive(who):
            await asyncio.sleep(0.01)
    assert sorted(name for name in os.listdir(home.path) if name.startswith("relevo.db")) == ["relevo.db"]
    assert sorted(set(os.listdir(home.agent)) & {"work", "temp"}) == []
    again = await open_engine(home, slots=1, provider="dummy")  # the lease was given back
    await again.close()
