"""A full disk is no fault of an attempt: what the agent has to write for it waits until there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from relevo.runtime.disk import lacks_room

T = TypeVar("T")

RETRY_S: Final = 0.5

#: Pauses that go on in this process just now.
_pauses: set[asyncio.Future[None]] = set()


def somebody_waits() -> bool:
    """Whether anything of this process waits for room."""
    return bool(_pauses)


async def once_there_is_room(
    loop: asyncio.AbstractEventLoop, work: Callable[[], T], error: OSError | None = None
) -> T:
    """What `work()` returns. While the disk is full it is tried again: it must bear that. Raises its other errors.

    `error`: what it has raised already.
    """
    while True:
        if error is not None:
            if not lacks_room(error):
                raise error
            await pause(loop)
        try:
            return work()
        except OSError as again:
            error = again


async def pause(loop: asyncio.AbstractEventLoop) -> None:
    """Returns when it is time to try again."""
    waiter = loop.create_future()
    timer = loop.call_later(RETRY_S, waiter.set_result, None)
    _pauses.add(waiter)
    try:
        await waiter
    finally:
        _pauses.discard(waiter)
        timer.cancel()
