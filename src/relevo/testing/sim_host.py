"""A host that can also be stopped and go on later, as a process does under SIGSTOP and SIGCONT.

What comes due while it is stopped waits, in order, and is dropped if it is cancelled by what runs before it.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heappush
from typing import Any, TypeVar

from relevo.testing.sim_disk import Killed
from relevo.testing.virtual_loop import Host, VirtualLoop

T = TypeVar("T")


class _Soon(asyncio.Handle):
    """A callback of a host. The loop runs it; the host's state decides what becomes of it."""

    __slots__ = ()

    def _run(self) -> None:
        _step(self)


class _Later(asyncio.TimerHandle):
    """A timer of a host."""

    __slots__ = ()

    def _run(self) -> None:
        _step(self)


def _step(handle: Any) -> None:
    host: SimHost = handle._loop
    if host.dead:
        return
    if host.stopped:
        host.held.append(handle)
        return
    outer = events._get_running_loop()
    events._set_running_loop(host)
    try:
        handle._context.run(handle._callback, *handle._args)
    except KeyboardInterrupt:
        raise
    except SystemExit:
        if not host.dead:
            raise  # else it is how it died (see sim_disk.Killed)
    except BaseException as error:
        host.call_exception_handler({"message": f"callback of {host.name} raised", "exception": error})
    finally:
        events._set_running_loop(outer)


class SimHost(Host):
    """See the module."""

    def __init__(self, loop: VirtualLoop, name: str = "host") -> None:
        super().__init__(loop, name)
        self.stopped = False
        self.held: list[asyncio.Handle] = []
        self._ready: Any = loop._ready  # type: ignore[attr-defined]  # the base class's own: spares a call for each callback

    def stop(self) -> None:
        """Nothing of it runs until `resume`. Idempotent."""
        self.stopped = True

    def resume(self) -> None:
        """Go on with what has come due. Idempotent."""
        self.stopped = False
        held, self.held = self.held, []
        if not self.dead:
            self._ready.extend(held)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        if self.dead:
            coro.close()
            raise Killed(self.name)
        return super().create_task(coro, name=name, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Soon(callback, args, self, context if context is not None else copy_context())
        if self.dead:
            handle._cancelled = True
        else:
            self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = _Later(when, callback, args, self, context if context is not None else copy_context())
        if self.dead:
            handle._cancelled = True
        else:
            handle._scheduled = True  # type: ignore[attr-defined]
            # Looked up each time: the loop makes a new list when many timers were cancelled.
            heappush(self.loop._scheduled, handle)  # type: ignore[attr-defined]
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.loop._timer_handle_cancelled(handle)  # type: ignore[attr-defined]
