"""Traces of ended runs on their way to a receiver of OpenTelemetry.

    loop: a run ended, stored ─► pending ─► read its events ─► one batch at a time ─► a thread: derive, send
          the cursor, a file: up to which sequence all is delivered ◄── delivered ────────────────┘

A run's trace is sent when the run has ended, all of it: so it is whole whichever engine ended the run, and no span is sent by two
of them. What an engine had not delivered when it went is sent by the next one. A receiver that is away keeps nobody: its
traces wait, are tried again, and beyond a bound they are dropped and counted.

Where no receiver is configured none of this is made, and the SDK is never imported.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, Protocol

from msgspec import Struct

from relevo.core.measured import TRACE_SPANS, TRACES, TRACES_WAITING
from relevo.domain.errors import InfrastructureError, RelevoError
from relevo.domain.stored import Stored
from relevo.runtime.notices import NOTICES
from relevo.runtime.pools import Pool
from relevo.telemetry.spans import Span, Trace

#: Ended runs that wait to be sent; further ones are dropped.
PENDING_RUNS: Final = 10_000
#: Of one batch: runs, and bytes of their events (one run may have more).
BATCH_RUNS: Final = 64
BATCH_BYTES: Final = 4 << 20
#: In one request.
REQUEST_SPANS: Final = 512
#: How long an engine that goes waits: for the SDK to be there (an import, so only as long as this machine is slow), for what is on
#: its way (as long as the SDK waits for an answer by default), and for the thread to put down what it holds.
CONNECT_S: Final = 60.0
FLUSH_S: Final = 10.0
PUT_DOWN_S: Final = 3.0
#: Waits before a receiver that was away is tried again; the last one is repeated.
AGAIN_S: Final = (1.0, 5.0, 30.0)
#: A receiver that answers and does not take a batch is asked so often.
REFUSALS: Final = 3
#: A cursor that is so far behind is of another time: what ended since then is not sent any more.
BACKLOG: Final = 100_000

_SENT: Final = TRACES.labels("sent")
_DROPPED: Final = TRACES.labels("dropped")
_log = logging.getLogger(__name__)


class Unreachable(InfrastructureError):
    """Nobody answers there."""


class Sender(Protocol):
    """Sends spans, from one thread."""

    def send(self, trace: Trace, spans: Sequence[Span]) -> bool:
        """Send spans of a trace. False: the receiver did not take them. Raises Unreachable."""

    def close(self) -> None:
        """Give up what is being sent. From any thread."""


class Ended(Struct):
    """An ended run that is to be sent."""

    run: str
    sequence: int  #: of its end in the store
    history: Sequence[Stored] = ()
    sent: int = 0  #: spans that were delivered already


class Exporter:
    """One for each engine. `ended` whenever the end of a run was stored; `open` before, `close` while the store is open."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        read: Callable[[str], Awaitable[Sequence[Stored]]],
        scan: Callable[[int], AsyncIterator[Sequence[Stored]]],
        ends: Callable[[Stored], bool],
        derive: Callable[[str, Sequence[Stored]], Trace],
        connect: Callable[[], Sender],
        where: str,
        cursor: str,
        last: int,
    ) -> None:
        """`ends`: whether it is in this append that a run ended. `connect` is called in the thread; `where`: what to call the receiver; `cursor`: the file; `last`: the store's sequence."""
        self._loop = loop
        self._read = read
        self._scan = scan
        self._ends = ends
        self._derive = derive
        self._connect = connect
        self._where = where
        self._cursor = cursor
        self._last = last
        self._sender: Sender | None = None
        self._pending: deque[Ended] = deque()
        self._pool = Pool("traces", threads=1, queue=1)
        self._awake = asyncio.Event()
        self._connected = asyncio.Event()
        self._idle = asyncio.Event()
        self._away = False  # the receiver, as far as was tried
        self._told = False
        self._off = False  # there will be no sender
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin, with what an earlier engine did not deliver."""
        self._task = self._loop.create_task(self._run())

    def ended(self, run: str, sequence: int) -> None:
        """A run has ended, durably."""
        if len(self._pending) >= PENDING_RUNS:
            _DROPPED.inc()
            return
        if self._off:
            return
        self._pending.append(Ended(run, sequence))
        TRACES_WAITING.set(len(self._pending))
        self._idle.clear()
        self._awake.set()

    async def close(self, *, flush: bool = True) -> None:
        """Send what is there (`flush`), if the receiver takes it soon; what is left the next engine sends. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        if flush and not self._away:
            await _either(self._connected.wait(), task, CONNECT_S)
            await _either(self._idle.wait(), task, FLUSH_S)
            if self._pending and not self._away:
                self._tell("it is slow")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._sender is not None:
            self._sender.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._pool.close(), PUT_DOWN_S)  # else a daemon: it ends with the process

    # --- on the loop ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            self._sender = await self._pool.run(self._connect)  # while the first run goes on
            await self._take_up()
            self._connected.set()
            await self._go_on()
        except ImportError:
            self._give_up("the SDK of OpenTelemetry is not installed: pip install 'relevo[otel]'")
        except Exception as error:
            _log.exception("traces")
            self._give_up(str(error))

    def _give_up(self, why: str) -> None:
        self._off = True
        self._pending.clear()
        self._idle.set()
        NOTICES.warning("traces are not sent to %s: %s", self._where, why)

    async def _go_on(self) -> None:
        tries = refusals = 0
        while True:
            if not self._pending:
                self._idle.set()
                self._awake.clear()
                await self._awake.wait()
            batch = await self._batch()
            try:
                taken = await self._pool.run(self._send, batch)
            except Unreachable as error:
                self._away = True
                self._tell(str(error))
                self._idle.set()
                await asyncio.sleep(AGAIN_S[min(tries, len(AGAIN_S) - 1)])
                tries += 1
                continue
            self._away, tries = False, 0
            refusals = 0 if taken else refusals + 1
            if refusals and refusals < REFUSALS:
                await asyncio.sleep(AGAIN_S[0])
                continue
            if refusals:
                self._tell("it does not take them")
                refusals = 0
            (_SENT if taken else _DROPPED).inc(len(batch))
            for _ in batch:
                self._pending.popleft()
            TRACES_WAITING.set(len(self._pending))
            await self._pool.run(self._advance, batch[-1].sequence)

    async def _take_up(self) -> None:
        """What ended since the cursor, and before this engine, is to be sent, too."""
        since = await self._pool.run(self._read_cursor)
        if since is None or not 0 <= self._last - since <= BACKLOG:
            await self._pool.run(self._advance, self._last)
            return
        before: deque[Ended] = deque()
        async for batch in self._scan(since):
            for stored in batch:
                if stored.sequence <= self._last and self._ends(stored):
                    before.append(Ended(stored.stream, stored.sequence))
        self._pending.extendleft(reversed(before))

    async def _batch(self) -> list[Ended]:
        """The next runs to be sent, with their events. They stay pending until they are delivered."""
        batch: list[Ended] = []
        size_bytes = 0
        for one in list(islice(self._pending, BATCH_RUNS)):
            if not one.history:
                try:
                    one.history = await self._read(one.run)
                except RelevoError as error:
                    _log.warning("a trace is left out: %s", error, extra={"run": one.run})
            size_bytes += sum(len(stored.events) for stored in one.history)
            batch.append(one)
            if size_bytes > BATCH_BYTES:
                break
        return batch

    def _tell(self, why: str) -> None:
        if not self._told:
            self._told = True
            NOTICES.warning("traces do not reach %s: %s; they wait, runs do not", self._where, why)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _send(self, batch: list[Ended]) -> bool:
        assert self._sender is not None
        for one in batch:
            if not one.history:
                continue
            trace = self._derive(one.run, one.history)
            if not trace.sampled:
                continue
            while one.sent < len(trace.spans):
                spans = trace.spans[one.sent : one.sent + REQUEST_SPANS]
                if not self._sender.send(trace, spans):
                    return False
                one.sent += len(spans)
                TRACE_SPANS.inc(len(spans))
        return True

    def _read_cursor(self) -> int | None:
        try:
            with open(self._cursor, encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            return None

    def _advance(self, sequence: int) -> None:
        """Note that all runs that ended up to `sequence` are delivered. Not fsynced: after a loss of power some come again."""
        try:
            with open(f"{self._cursor}.new", "w", encoding="ascii") as file:
                file.write(str(sequence))
            os.replace(f"{self._cursor}.new", self._cursor)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._cursor, error)


async def _either(wanted: Coroutine[Any, Any, Any], other: asyncio.Task[None], timeout_s: float) -> None:
    """Wait for one of them, or until the time is over."""
    waiting = asyncio.ensure_future(wanted)
    await asyncio.wait((waiting, other), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
