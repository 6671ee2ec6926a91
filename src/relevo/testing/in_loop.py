"""Blocking calls that run in the loop: one order, no threads, virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class InLoop:
    """Runs blocking calls in the loop, in order, one a turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.dead = False  #: the process is: nothing of it runs any more

    def __call__(
        self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None], /
    ) -> None:
        def run() -> None:
            if self.dead:
                return
            try:
                result = work()
            except Exception as error:
                done(None, error)
            else:
                done(result, None)

        self.loop.call_soon(run)
