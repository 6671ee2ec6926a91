"""When the live view draws, and when not."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relevo.cli.live import view as live
from relevo.cli.live.view import FAILURES, LiveView
from relevo.cli.palette import Palette
from relevo.orchestrator.progress import Progress
from relevo.runtime.notices import NOTICES
from tests.unit.cli.fake import RUN, event, job_added, job_finished, one_job, step_finished
from tests.unit.cli.live.test_frame import running
from tests.unit.cli.terminal import Terminal


class Sent:
    """An output that hands all to a terminal, unless it is held."""

    closed = False

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.held: asyncio.Future[None] | None = None
        self.texts: list[str] = []
        self.wrote = asyncio.Event()

    def busy(self) -> asyncio.Future[None] | None:
        return self.held

    def write(self, text: str) -> None:
        self.texts.append(text)
        self.terminal.feed(text)
        self.wrote.set()

    def let_go(self) -> None:
        assert self.held is not None
        held, self.held = self.held, None
        held.set_result(None)


class Shown:
    """A view on a terminal."""

    def __init__(self, columns: int = 60, rows: int = 20) -> None:
        self.terminal = Terminal(columns, rows)
        self.out = Sent(self.terminal)
        self.now_ms = 1_500
        self.window = (columns, rows)
        self.view = LiveView(
            self.out,  # type: ignore[arg-type]
            Palette(False),
            lambda: self.window,
            now_ms=lambda: self.now_ms,
        )
        self.progress = Progress(RUN)

    def take(self, *events: dict[str, Any]) -> None:
        for one in events:
            self.progress.apply(one)
            self.view.event(one, self.progress)

    async def drawn(self) -> list[str]:
        """What is on the terminal when something has been drawn from now on."""
        self.out.wrote.clear()
        await self.out.wrote.wait()
        return self.terminal.everything


@pytest.fixture
async def shown(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shown]:
    monkeypatch.setattr(live, "INTERVAL_S", 0.0)
    monkeypatch.setattr(live, "TICK_S", 3600.0)
    made = Shown()
    yield made
    made.view.close()


async def test_what_ended_stays_above_what_runs(shown: Shown) -> None:
    shown.take(*one_job()[:7])
    shown.view.log("build", 0, b"hello\n")
    assert await shown.drawn() == [
        "CI · push  run r1",
        "● build  0s",
        "  ▸ Compile  0s",
        "    │ hello",
        "0 of 1 done, 1 running  0s",
    ]
    shown.take(*one_job()[7:])
    shown.view.summary(shown.progress, {})
    assert shown.terminal.everything == [
        "CI · push  run r1",
        "✓ build  1.5s",
        "    ✓ Compile  1.5s",
        "",
        "   job    status     time  attempts",
        "✓  build  succeeded  1.5s         1",
        "",
        "✓ succeeded: 1 of 1 job succeeded in 1.6s  run r1",
    ]
    assert shown.terminal.wrapped == 0


async def test_many_events_are_one_drawing(shown: Shown) -> None:
    shown.take(*one_job()[:7])
    for number in range(1_000):
        shown.view.log("build", 0, b"line %d\n" % number)
    assert "    │ line 999" in await shown.drawn()
    assert len(shown.out.texts) == 1


async def test_a_second_that_changes_nothing_sends_nothing(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "TICK_S", 0.0)
    shown.take(*one_job()[:7])
    await shown.drawn()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(shown.out.texts) == 1
    shown.now_ms = 4_000
    assert "● build  3s" in await shown.drawn()


async def test_a_held_terminal_gets_the_newest_picture_when_it_goes_on(shown: Shown) -> None:
    shown.out.held = asyncio.get_running_loop().create_future()
    shown.take(*one_job()[:7])
    for number in range(100):
        shown.view.log("build", 0, b"line %d\n" % number)
        await asyncio.sleep(0)
    assert shown.out.texts == []
    shown.out.let_go()
    assert "    │ line 99" in await shown.drawn()
    assert len(shown.out.texts) == 1


async def test_a_window_that_changes_is_drawn_anew(shown: Shown) -> None:
    shown.take(*one_job()[:7])
    await shown.drawn()
    shown.window = (16, 20)
    os.kill(os.getpid(), signal.SIGWINCH)
    assert (await shown.drawn())[-1] == "0 of 1 done, 1…"


async def test_a_process_that_was_stopped_draws_under_what_the_shell_wrote(shown: Shown) -> None:
    shown.take(*one_job()[:7])
    before = await shown.drawn()
    shown.terminal.feed("\r\n$ fg\r\n")
    os.kill(os.getpid(), signal.SIGCONT)
    assert await shown.drawn() == [*before, "$ fg", *before[1:]]


async def test_notes_and_warnings_stay_as_lines(shown: Shown) -> None:
    shown.take(*one_job()[:7])
    shown.view.note("relevo: cancelling run r1\n  again ends it")
    logging.getLogger("relevo.loop").warning("the loop was held for %d s", 3)  # nobody's business here
    NOTICES.warning("logs wait: %s", "the disk is full")
    await asyncio.sleep(0)
    lines = await shown.drawn()
    assert lines[1:4] == [
        "relevo: cancelling run r1",
        "  again ends it",
        "relevo: logs wait: the disk is full",
    ]


async def test_closed_it_leaves_only_what_stays_and_handles_nothing_any_more(shown: Shown) -> None:
    shown.take(*one_job()[:7])
    await shown.drawn()
    shown.view.close()
    shown.view.close()
    assert shown.terminal.everything == ["CI · push  run r1"]
    assert signal.getsignal(signal.SIGWINCH) is signal.SIG_DFL
    NOTICES.warning("nobody hears this here")


async def test_what_has_happened_before_is_told_once(shown: Shown) -> None:
    for one in [*one_job()[:7], job_added("lint"), job_finished("lint", "failed", message="no")]:
        shown.progress.apply(one)
    shown.view.caught_up(shown.progress)
    shown.view.log("build", 0, b"hello\n")
    lines = await shown.drawn()
    assert lines[:4] == ["CI · push  run r1", "✗ lint failed: no", "    relevo logs r1 lint", "● build  0s"]
    assert "    │ hello" in lines


async def test_a_crowd_tells_its_failures_and_follows_no_log(shown: Shown) -> None:
    jobs = [f"job {number}" for number in range(300)]
    assert shown.view.wants_logs
    shown.take(*map(job_added, jobs))
    assert not shown.view.wants_logs
    for number, job in enumerate(jobs):
        shown.take(running(job), job_finished(job, "failed" if number > 200 else "succeeded"))
    lines = await shown.drawn()
    assert lines[0] == "more than 100 jobs: only what fails is shown one by one"
    assert lines[1 : FAILURES + 1] == [f"✗ job {number} failed" for number in range(201, 201 + FAILURES)]
    assert lines[FAILURES + 1] == "more jobs fail: they are counted, no longer named"
    assert lines[-1].startswith("300 of 300 done, 99 failed")
    assert len(lines) < FAILURES + 10


async def test_a_job_that_calls_a_workflow_is_told_by_the_jobs_in_it(shown: Shown) -> None:
    call = event("job.calling", job="ci", inner=["ci / build"])
    shown.take(job_added("ci"), call, job_added("ci / build"), running("ci / build"))
    assert (await shown.drawn())[0] == "● ci / build  1s"
    shown.take(job_finished("ci / build", at=2_000), job_finished("ci", at=2_000))
    lines = await shown.drawn()
    assert lines == ["✓ ci / build  2.0s", "1 of 1 done"]


async def test_a_job_that_is_tried_again_starts_anew(shown: Shown) -> None:
    shown.take(*one_job()[:7], event("job.retrying", job="build", attempt=1, message="the agent went away"))
    shown.take(running("build", 1_500, attempt=2))
    lines = await shown.drawn()
    assert lines[1] == "↻ build trying again: the agent went away"
    assert lines[2] == "● build (attempt 2)  0s"


async def test_a_warning_and_cancelling_are_told(shown: Shown) -> None:
    shown.take(*one_job()[:7], event("warning", message="a needs b"), event("run.cancelling", reason=""))
    shown.take(step_finished("build", 0, "Compile", "cancelled"))
    lines = await shown.drawn()
    assert lines[1:3] == ["warning: a needs b", "cancelling: always() steps still run"]
