"""What Ctrl-C, a closing terminal and a system that shuts down mean to a command that follows a run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Final

LEAVE: Final = (signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Between `with`: SIGINT asks `on_interrupt` (the n-th time), or leaves while there is none; SIGTERM and SIGHUP leave.

    To leave is to cancel the task that entered; `left` then says which signal it was.
    """

    def __init__(self) -> None:
        self.left: signal.Signals | None = None
        self.on_interrupt: Callable[[int], None] | None = None
        self._interrupts = 0
        self._task: asyncio.Task[object] | None = None
        self._handled: list[signal.Signals] = []

    def __enter__(self) -> Signals:
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        self._handled.append(signal.SIGINT)
        for number in LEAVE:
            # nohup: a hang-up that is ignored stays ignored.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._leave, number)
                self._handled.append(number)
        return self

    def __exit__(self, *error: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self._handled:
            loop.remove_signal_handler(number)

    def _interrupt(self) -> None:
        if self.on_interrupt is None:
            self._leave(signal.SIGINT)
        else:
            self._interrupts += 1
            self.on_interrupt(self._interrupts)

    def _leave(self, number: signal.Signals) -> None:
        if self.left is None and self._task is not None:
            self.left = number
            self._task.cancel()
