"""An event loop whose time jumps to the next timer when nothing is ready. No real waiting, no I/O."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]
    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "nothing is ready and no timer is set: a deadlock"
        self.jumped_s += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped_s


class VirtualClock:
    """Its boot time may run ahead of the loop, as in suspend."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.suspended_s = 0.0

    def wall_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def monotonic_s(self) -> float:
        return self._loop.time()

    def boottime_s(self) -> float:
        return self._loop.time() + self.suspended_s


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
