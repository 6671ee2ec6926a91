"""The run on a terminal. See the package."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from relevo.cli.live import blocks
from relevo.cli.live.frame import render
from relevo.cli.live.screen import Screen
from relevo.cli.live.state import CROWD, LiveState
from relevo.cli.output import Output
from relevo.cli.palette import Palette
from relevo.cli.summary import summary
from relevo.cli.text import one_line
from relevo.cli.wording import heading
from relevo.orchestrator.progress import Progress
from relevo.runtime.notices import TERMINAL

#: Between two drawings.
INTERVAL_S: Final = 1 / 12
#: While something runs, its time is told anew so often.
TICK_S: Final = 1.0
#: Jobs of a crowd that fail and are told one by one.
FAILURES: Final = 50


def wall_ms() -> int:
    """Unix milliseconds: what events are dated by."""
    return time.time_ns() // 1_000_000


class LiveView:
    """See view.View. Made in a running loop; `window` gives columns and rows."""

    def __init__(
        self,
        output: Output,
        palette: Palette,
        window: Callable[[], tuple[int, int]],
        *,
        program: str = "relevo",
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._out = output
        self._palette = palette
        self._window = window
        self._program = program
        self._now_ms = now_ms
        self._loop = asyncio.get_running_loop()
        self._screen = Screen()
        self._above: list[str] = []  #: lines that stay, on their way
        self._state: LiveState | None = None
        self._timer: asyncio.Handle | None = None  #: of the next drawing
        self._due_s = 0.0
        self._drawn_s = 0.0
        self._open = True
        self._crowd_told = False
        self._failures = 0
        # On stderr it would stand in the middle of the picture.
        self._shown_before = TERMINAL.show
        TERMINAL.show = self._notice
        TERMINAL.attach()
        self._loop.add_signal_handler(signal.SIGWINCH, self._touch)
        self._loop.add_signal_handler(signal.SIGCONT, self._continued)

    @property
    def wants_logs(self) -> bool:
        return self._state is None or not self._state.crowded

    @property
    def explains(self) -> bool:
        return self._state is not None and not self._state.crowded

    def reasons(self, reasons: dict[str, str]) -> None:
        if self._state is not None and self._state.reasons != reasons:
            self._state.reasons = reasons
            self._touch()

    async def room(self) -> None:
        await self._out.room()

    async def flushed(self) -> bool:
        return await self._out.flushed()

    def _notice(self, line: str) -> None:
        self._loop.call_soon_threadsafe(self.note, line)

    def note(self, text: str) -> None:
        self._above += [self._palette("warning", line) for line in text.split("\n")]
        self._touch()

    def caught_up(self, progress: Progress) -> None:
        state = self._known(progress)
        self._above.append(heading(progress, self._palette))
        for job in progress.jobs.values():
            if job.ended:
                self._job_event("job.finished", job.name, progress)
            elif job.status in ("running", "preempting", "cancelling"):
                state.begin(job.name)
        self._touch()

    def event(self, event: dict[str, Any], progress: Progress) -> None:
        state = self._known(progress)
        kind: str = event["event"]
        match kind:
            case "run.accepted":
                self._above.append(heading(progress, self._palette))
            case "run.cancelling":
                told = "cancelling: always() steps still run"
                self._above.append(self._palette("warning", told))
            case "warning":
                self._above.append(self._palette("warning", f"warning: {one_line(event['message'])}"))
            case _ if event.get("job") in progress.calls:
                pass  # the jobs in it tell
            case "job.running":
                state.begin(event["job"])
            case "annotation" if event["job"] in state.running:
                state.running[event["job"]].annotate(event)
            case "job.finished" | "job.held" | "job.retrying":
                self._job_event(kind, event["job"], progress)
        self._touch()

    def log(self, job: str, step: int, data: bytes) -> None:
        known = self._state.running.get(job) if self._state is not None else None
        if known is not None:
            known.wrote(step, data)
            self._touch()

    def summary(self, progress: Progress, tails: dict[str, list[str]]) -> None:
        columns, _ = self._window()
        self._above += summary(progress, tails, self._palette, program=self._program, width=columns)
        self.close()

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        TERMINAL.detach()
        TERMINAL.show = self._shown_before
        self._loop.remove_signal_handler(signal.SIGWINCH)
        self._loop.remove_signal_handler(signal.SIGCONT)
        self._out.write(self._screen.paint(self._above, [], self._window()[0]))

    def _known(self, progress: Progress) -> LiveState:
        if self._state is None:
            self._state = LiveState(progress)
        if self._state.crowded and not self._crowd_told:
            self._crowd_told = True
            told = f"more than {CROWD} jobs: only what fails is shown one by one"
            self._above.append(self._palette("dim", told))
        return self._state

    def _job_event(self, kind: str, name: str, progress: Progress) -> None:
        state = self._known(progress)
        job = progress.jobs[name]
        known = state.end(name)
        if kind != "job.finished":
            self._above.append(blocks.job_waits(kind, job, self._palette))
        elif not state.crowded:
            self._above += blocks.job_ended(job, known, progress, self._palette, program=self._program)
        elif job.broken:
            self._failures += 1
            if self._failures <= FAILURES:
                self._above.append(blocks.job_failed_in_crowd(job, self._palette))
            elif self._failures == FAILURES + 1:
                told = "more jobs fail: they are counted, no longer named"
                self._above.append(self._palette("bad", told))

    def _continued(self) -> None:
        """The process was stopped (Ctrl-Z) and goes on: the shell has written meanwhile."""
        self._screen.forget()
        self._touch()

    def _touch(self) -> None:
        """Something changed: draw soon."""
        self._draw_at(max(self._loop.time(), self._drawn_s + INTERVAL_S))

    def _draw_at(self, when_s: float) -> None:
        if not self._open:
            return
        if self._timer is not None:
            if self._due_s <= when_s:
                return
            self._timer.cancel()
        self._due_s = when_s
        self._timer = self._loop.call_at(when_s, self._draw)

    def _draw(self) -> None:
        self._timer = None
        if not self._open or self._state is None:
            return
        busy = self._out.busy()
        if busy is not None:
            # The terminal is held: it gets the newest picture when it goes on, and none of those between.
            busy.add_done_callback(lambda _: self._touch())
            return
        columns, rows = self._window()
        frame = render(self._state, columns, rows, self._now_ms(), self._palette)
        text = self._screen.paint(self._above, frame, columns)
        self._above = []
        self._drawn_s = self._loop.time()
        if text:
            self._out.write(text)
        if not self._state.progress.ended:
            self._draw_at(self._drawn_s + TICK_S)
