"""The keeper of this machine's agent, with real processes that stand for the agent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from relevo.runtime.processes import RECORD, alive, identity
from relevo.workers.local import LocalAgent, LocalAgentKeeper

#: Says that it is there; once there is a gate it heeds what it was told, clears away, and leaves.
AGENT = """
import os, signal, sys, time
with open("births", "a") as file:
    print(os.getpid(), file=file)
while not os.path.exists("gate"):
    time.sleep(0.005)
def leave(number, frame):
    open("cleared", "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
while True:
    time.sleep(60)
"""


class Kept:
    """A keeper and what its agents have said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        code = f"import os; os.chdir({str(folder)!r})\n{AGENT}"
        agent = LocalAgent([sys.executable, "-I", "-S", "-c", code], str(folder), dict(os.environ))
        self.keeper = LocalAgentKeeper(agent, asyncio.get_running_loop(), lambda: False)

    def births(self) -> list[int]:
        path = self.folder / "births"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    @property
    def cleared(self) -> bool:
        return (self.folder / "cleared").exists()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.keeper.close()
    for pid in made.births():
        end(pid)


def end(pid: int) -> None:
    """A child of this process, whether it still runs or not."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # the keeper has waited for it


async def test_an_agent_that_died_is_started_again(kept: Kept) -> None:
    kept.keeper.open()
    await until(kept.births)
    os.kill(kept.births()[0], signal.SIGKILL)
    await until(lambda: len(kept.births()) == 2)


async def test_an_agent_that_is_told_to_leave_while_it_starts_clears_away_first(kept: Kept) -> None:
    kept.keeper.open()
    await until(kept.births)
    leaving = asyncio.ensure_future(kept.keeper.gone(30.0))
    await asyncio.sleep(0)
    assert not leaving.done()
    kept.open_gate()
    assert await leaving
    assert kept.cleared


async def test_an_agent_that_has_just_died_is_started_once_more_to_clear_away(kept: Kept) -> None:
    kept.open_gate()
    kept.keeper.open()
    await until(kept.births)
    first = identity(kept.births()[0])
    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: kept.keeper.who is None)
    assert not alive(first)
    assert await kept.keeper.gone(30.0)
    assert kept.cleared
    assert len(kept.births()) == 2


async def test_an_agent_that_is_killed_while_it_leaves_is_followed_by_one_that_clears_away(
    kept: Kept,
) -> None:
    kept.keeper.open()
    await until(kept.births)
    first = identity(kept.births()[0])
    (kept.folder / RECORD).write_bytes(msgspec.json.encode(first))
    leaving = asyncio.ensure_future(kept.keeper.gone(30.0))
    await asyncio.sleep(0)
    os.kill(first.pid, signal.SIGKILL)
    kept.open_gate()
    assert await leaving
    assert kept.cleared
    assert len(kept.births()) == 2


async def test_an_agent_that_has_left_is_followed_by_none(kept: Kept) -> None:
    kept.open_gate()
    kept.keeper.open()
    await until(kept.births)
    assert await kept.keeper.gone(30.0)
    assert len(kept.births()) == 1


async def test_there_is_nothing_to_wait_for_where_no_agent_was(kept: Kept) -> None:
    assert await kept.keeper.gone(30.0)
    assert kept.births() == []
