"""Time, injected. Timers are the event loop's own (`loop.call_later`), which a virtual loop drives in tests."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The three times there are. Never compare one with another."""

    def wall_ms(self) -> int:
        """Unix milliseconds. For people and records only: it may jump; nothing is decided by it."""

    def monotonic_s(self) -> float:
        """Seconds since some moment, never backwards, stands still in suspend. For intervals."""

    def boottime_s(self) -> float:
        """Seconds since boot, suspend included, the same for all processes of the machine. For time-outs that outlive a process."""


class SystemClock:
    """The machine's clock."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def boottime_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
