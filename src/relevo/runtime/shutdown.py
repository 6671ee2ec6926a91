"""Signals, as a process of ours takes them: the first asks to drain, the second to go now."""

from __future__ import annotations

import signal
from asyncio import AbstractEventLoop, Event, TimerHandle
from collections.abc import Callable, Sequence
from typing import Any, Final

#: What draining may take before it is as if a second signal had come.
DRAIN_S: Final = 30.0


class Shutdown:
    """Turns signals into two events. Await `draining`, finish; give up when `now` is set.

    `interrupted`, if given, gets SIGINT instead (a terminal's ^C means something else to `run` than to a server); it is
    told how many there were. `detach` gives the signals back to whom they belonged.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        *,
        drain_s: float = DRAIN_S,
        interrupted: Callable[[int], None] | None = None,
        signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGHUP),
    ) -> None:
        self.draining = Event()
        self.now = Event()
        self.reason = ""  #: the first signal's name, or what `request` was told
        self._loop = loop
        self._drain_s = drain_s
        self._interrupted = interrupted
        self._interrupts = 0
        self._signals = tuple(signals)
        self._before: dict[signal.Signals, Any] = {}  #: who had the signals that are attached
        self._timer: TimerHandle | None = None

    def attach(self) -> None:
        """Take the signals. Only in the main thread. Idempotent."""
        if self._before:
            return
        for number in self._signals:
            self._before[number] = signal.getsignal(number)
            self._loop.add_signal_handler(number, self.request, number.name)
        if signal.SIGINT not in self._signals:
            self._before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
            self._loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def detach(self) -> None:
        """Give the signals back; the deadline is off. Idempotent."""
        for number, handler in self._before.items():
            self._loop.remove_signal_handler(number)
            if handler is not None:  # None: set by something that is not Python
                signal.signal(number, handler)
        self._before.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def request(self, reason: str) -> None:
        """As a signal does: the first time drain, the second time now."""
        if self.draining.is_set():
            self._hurry()
            return
        self.reason = reason
        self.draining.set()
        self._timer = self._loop.call_later(self._drain_s, self._hurry)

    def _hurry(self) -> None:
        self.now.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _interrupt(self) -> None:
        if self._interrupted is None:
            self.request("SIGINT")
        else:
            self._interrupts += 1
            self._interrupted(self._interrupts)
