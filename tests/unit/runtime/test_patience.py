"""Patience with another process: its signs of life count, and not that time passes while nobody has a part of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relevo.runtime.patience import Patience, answered
from relevo.runtime.processes import Effort, ProcessIdentity, effort, identity

STEP_S = 0.125
WHO = ProcessIdentity(1, 1, "boot")


class Seen:
    """A process as it is to be seen, and the clock."""

    def __init__(self, quiet_s: float = 3.0, at_most_s: float = 60.0) -> None:
        self.now_s = 100.0
        self.ticks = 0
        self.waits = False
        self.patience = Patience(
            quiet_s, self.now_s, at_most_s=at_most_s, every_s=STEP_S, effort=self._effort
        )

    def _effort(self, who: ProcessIdentity) -> Effort:
        return Effort(self.ticks, self.waits)

    def until_over(self, *, limit_s: float = 100.0, ticks: int = 0) -> float:
        """Seconds until patience is over."""
        began = self.now_s
        while self.now_s - began < limit_s:
            self.now_s += STEP_S
            self.ticks += ticks
            if self.patience.over(WHO, self.now_s):
                break
        return self.now_s - began


def test_one_that_shows_nothing_has_its_time() -> None:
    assert Seen().until_over() == 3.0 + STEP_S


def test_one_that_computes_has_a_minute() -> None:
    assert Seen().until_over(ticks=1) == 60.0 + STEP_S


def test_one_that_waits_for_a_processor_or_a_disk_has_a_minute() -> None:
    seen = Seen()
    seen.waits = True
    assert seen.until_over() == 60.0 + STEP_S


def test_its_time_counts_from_its_last_sign() -> None:
    seen = Seen()
    seen.until_over(limit_s=2.0)
    seen.until_over(limit_s=5.0, ticks=1)
    assert seen.until_over() == 3.0 + STEP_S


def test_while_this_process_stood_still_no_time_passed() -> None:
    seen = Seen()
    seen.until_over(limit_s=1.0)
    seen.now_s += 500.0
    assert not seen.patience.over(WHO, seen.now_s)
    assert seen.until_over() == 2.0


def test_one_that_nobody_can_see_has_its_time() -> None:
    patience = Patience(0.25, 0.0)
    assert [patience.over(None, at_s) for at_s in (0.1, 0.2, 0.3)] == [False, False, True]


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True)\n{code}"], stdin=-1, stdout=-1
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_what_a_process_that_computes_shows() -> None:
    with python("while True: pass") as process:
        who = identity(process.pid)
        first = effort(who)
        while effort(who).ticks == first.ticks:
            pass
        assert effort(who).waits


def test_what_a_thread_that_computes_shows() -> None:
    code = "import threading\ndef turn():\n while True: pass\nthreading.Thread(target=turn, daemon=True).start(); input()"
    with python(code) as process:
        who = identity(process.pid)
        while not effort(who).waits:
            pass


def test_a_stopped_process_shows_nothing() -> None:
    with python("while True: pass") as process:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        who = identity(process.pid)
        assert effort(who) == effort(who)
        assert not effort(who).waits


def test_one_that_is_gone_is_not_waited_for() -> None:
    with python("input()") as process:
        who = identity(process.pid)
        process.kill()
    with pytest.raises(ProcessLookupError):
        effort(who)
    assert Patience(1e9, 0.0).over(who, 0.1)


async def test_an_answer_is_taken_and_an_error_passed_on() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 7

    async def fail() -> int:
        raise OSError("no")

    assert await answered(answer(), lambda: None, 1.0) == 7
    with pytest.raises(OSError, match="no"):
        await answered(fail(), lambda: None, 1.0)


async def test_what_is_not_answered_is_ended() -> None:
    ended = False

    async def never() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    with pytest.raises(TimeoutError):
        await answered(never(), lambda: None, 0.0)
    assert ended


async def test_who_works_may_answer_late() -> None:
    me = identity(os.getpid())  # at work whenever it looks at itself
    looks = 0
    looked_at_often = asyncio.Event()

    def who() -> ProcessIdentity:
        nonlocal looks
        looks += 1
        if looks == 5:
            looked_at_often.set()
        return me

    async def late() -> str:
        await looked_at_often.wait()
        return "late"

    assert await answered(late(), who, 0.0) == "late"
