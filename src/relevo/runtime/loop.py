"""The event loop of a process: which one, how it is tuned, how it is watched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: A callback that holds the loop for longer is told of, where the loop looks at each (debug mode).
SLOW_CALLBACK_S: Final = 0.1
#: How often the lag is looked at.
LAG_EVERY_S: Final = 0.5
#: A lag that is told of.
LAG_TOLD_S: Final = 0.25
#: Young objects before the collector looks. Engines make hardly any cycles, so it finds little; but more at a time hold the loop
#: (50,000 for 18 ms), and looking ten times as often costs nothing that could be measured.
GC_THRESHOLD: Final = 3_000
#: How often a `Sweeper` looks, and after how many looks at what is young it looks at all there is.
SWEEP_EVERY_S: Final = 1.0
ALL_EVERY: Final = 50
#: What is under way has about so many objects each (a short attempt has 70 to 150), and so many are looked at between two sweeps
#: whatever there is: some 30 MB.
OBJECTS_EACH: Final = 200
MOST: Final = 250_000
#: So many young objects are not looked at in one go: that would take some ten milliseconds.
MUCH: Final = 50_000

_log = logging.getLogger("relevo.loop")


def run(main: Coroutine[Any, Any, T], *, fast: bool = True) -> T:
    """Run `main` on a new loop, tuned: uvloop if it is installed and `fast`, else asyncio. Returns what `main` returns.

    Children are watched by pidfd, without a thread, on either. KeyboardInterrupt cancels `main`.
    """
    with asyncio.Runner(loop_factory=_fast_loop if fast else None) as runner:
        loop = runner.get_loop()
        loop.slow_callback_duration = SLOW_CALLBACK_S
        _watch_children(loop)
        _relax_collector()
        return runner.run(main)


def _fast_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _watch_children(loop: asyncio.AbstractEventLoop) -> None:
    """Asyncio's default starts a thread for each child; pidfd needs none. uvloop has a way of its own."""
    import sys

    if sys.version_info >= (3, 12) or not isinstance(loop, asyncio.SelectorEventLoop):
        return
    watcher = asyncio.PidfdChildWatcher()
    watcher.attach_loop(loop)
    asyncio.set_child_watcher(watcher)


def _relax_collector() -> None:
    """What was imported so far stays: the collector need not look at it again and again."""
    import gc

    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    gc.enable()


@contextmanager
def collector_aside() -> Iterator[None]:
    """While very much is made that will stay, the collector does not look at it again and again."""
    import gc

    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > MUCH:
            # All of it is old at once: else the first look at what is young would be one at all of that.
            gc.freeze()
            gc.unfreeze()
        if enabled:
            gc.enable()


def freeze_started() -> None:
    """For a process that lives long, once it has started: let the collector never look again at what is there now."""
    import gc

    gc.collect()
    gc.freeze()


class Sweeper:
    """Has the collector look once a second, and only if more is young than what is under way explains. Start and stop it with the loop.

    For a process whose objects come and go in waves, and hardly ever in cycles: a thousand attempts that are under way are 100,000
    objects, all of them alive; to look at them after each GC_THRESHOLD, wave after wave, took a fifth of an agent's time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, under_way: Callable[[], int]) -> None:
        """`under_way`: how many things that have some OBJECTS_EACH objects are being done now."""
        self._loop = loop
        self._under_way = under_way
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0

    def start(self) -> None:
        """Idempotent."""
        if self._timer is None:
            import gc

            gc.set_threshold(MOST, *gc.get_threshold()[1:])  # before a second is over, if it has to be
            self._timer = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    def stop(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        import gc

        self._timer = self._loop.call_later(SWEEP_EVERY_S, self._sweep)
        if gc.get_count()[0] >= GC_THRESHOLD + self._under_way() * OBJECTS_EACH:
            self._looks += 1
            gc.collect(1 if self._looks % ALL_EVERY else 2)


class LagMeter:
    """How late the loop is: one timer, compared with when it was due. Start and stop it with the loop's owner."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seen: Callable[[float], None] = lambda lag_s: None
    ) -> None:
        """`seen` gets each lag, in seconds."""
        self.last_s = 0.0
        self.worst_s = 0.0  #: since `take_worst`
        self._loop = loop
        self._seen = seen
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin. Idempotent."""
        if self._timer is None:
            self._arm()

    def stop(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take_worst(self) -> float:
        """The worst lag in seconds since the last call."""
        worst, self.worst_s = self.worst_s, 0.0
        return worst

    def _arm(self) -> None:
        due = self._loop.time() + LAG_EVERY_S
        self._timer = self._loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        self.last_s = max(0.0, self._loop.time() - due)
        self.worst_s = max(self.worst_s, self.last_s)
        self._seen(self.last_s)
        if self.last_s > LAG_TOLD_S:
            _log.warning("the event loop was held up for %.0f ms", self.last_s * 1_000)
        self._arm()
