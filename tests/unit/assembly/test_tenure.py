"""An engine that stood still, or whose address leads elsewhere, looks whether it is the engine still."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relevo.assembly import embedded
from relevo.assembly.home import Home
from relevo.assembly.tenure import LATE_S, TICK_S, Tenure
from relevo.leases.contract import Holder
from relevo.runtime.processes import identity
from relevo.store.contract import StoreUnavailable
from relevo.testing.virtual_loop import VirtualLoop, run_on


class Watched:
    """A lease, and what was asked and told about it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.valid: list[bool | Exception] = []
        self.suspect = False
        self.asked = 0
        self.lost = 0
        self.tenure = Tenure(loop, self._valid, self._lost, suspect=lambda: self.suspect)
        self.tenure.open()

    async def _valid(self) -> bool:
        self.asked += 1
        found = self.valid.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def _lost(self) -> None:
        self.lost += 1

    async def ticks(self, count: int) -> None:
        await asyncio.sleep(TICK_S * count + 0.01)

    def stand_still(self) -> None:
        """As if the process had been stopped."""
        self.loop.now_s += LATE_S + 1


def test_an_engine_that_never_stood_still_does_not_ask() -> None:
    async def main() -> None:
        watched = Watched(loop)
        await watched.ticks(100)
        assert watched.asked == 0
        watched.tenure.close()

    loop = VirtualLoop()
    run_on(loop, main())


@pytest.mark.parametrize("valid", [True, False])
def test_one_that_stood_still_asks_and_tells(valid: bool) -> None:
    async def main() -> None:
        watched = Watched(loop)
        await watched.ticks(1)
        watched.stand_still()
        watched.valid = [valid]
        await watched.ticks(3)
        assert (watched.asked, watched.lost) == (1, not valid)
        watched.tenure.close()

    loop = VirtualLoop()
    run_on(loop, main())


def test_one_whose_address_leads_elsewhere_asks() -> None:
    async def main() -> None:
        watched = Watched(loop)
        watched.suspect = True
        watched.valid = [False]
        await watched.ticks(1)
        assert watched.lost == 1
        watched.tenure.close()

    loop = VirtualLoop()
    run_on(loop, main())


def test_a_lease_that_cannot_be_read_is_read_again() -> None:
    async def main() -> None:
        watched = Watched(loop)
        await watched.ticks(1)
        watched.stand_still()
        watched.valid = [StoreUnavailable("locked"), StoreUnavailable("locked"), False]
        await watched.ticks(5)
        assert (watched.asked, watched.lost) == (3, 1)
        watched.tenure.close()

    loop = VirtualLoop()
    run_on(loop, main())


class _Client:
    def close(self) -> None:
        pass


def _holder(pid: int) -> Holder:
    who = identity(pid)
    return Holder(who.pid, who.start_ticks, who.boot_id, os.uname().nodename, 0, "")


async def test_a_holder_that_has_not_opened_its_door_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [None, None, _Client()]

    async def connect(*_: object, quiet_s: float) -> _Client | None:
        return answers.pop(0)

    monkeypatch.setattr(embedded, "connect", connect)
    monkeypatch.setattr(embedded, "ATTACH_WAIT_S", 0.0)
    loop = asyncio.get_running_loop()
    assert await embedded._answers(Home(str(tmp_path)), _holder(os.getpid()), loop)
    assert answers == []


async def test_a_holder_that_works_and_has_no_door_yet_is_waited_for_beyond_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def connect(*_: object, quiet_s: float) -> _Client | None:
        nonlocal tries
        tries += 1
        return _Client() if tries == 30 else None

    monkeypatch.setattr(embedded, "connect", connect)
    monkeypatch.setattr(embedded, "ANSWER_S", 0.0)
    monkeypatch.setattr(embedded, "ATTACH_WAIT_S", 0.01)
    loop = asyncio.get_running_loop()
    assert await embedded._answers(
        Home(str(tmp_path)), _holder(os.getpid()), loop
    )  # it looks at itself, working


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits, and can be stopped."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        yield process
        process.kill()


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)


async def test_a_holder_that_shows_no_sign_of_life_has_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(embedded, "ANSWER_S", 0.2)
    stop(other)
    began = time.monotonic()
    assert not await embedded._answers(Home(str(tmp_path)), _holder(other.pid), asyncio.get_running_loop())
    assert time.monotonic() - began > 0.2


async def test_a_holder_that_dies_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(embedded, "ANSWER_S", float("inf"))
    holder = _holder(other.pid)
    other.kill()
    assert not await embedded._answers(Home(str(tmp_path)), holder, asyncio.get_running_loop())
