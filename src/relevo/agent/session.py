"""The agent's end of its session with an engine: dial, hello, send, acknowledge, dial again.

    Spool ─ flushed(payload) ─► caught up and not paused? write : leave it to the pump
                                   pump: reads the spool from the number reached, blobs before the records that name them

The engine of the highest epoch wins: a Welcome of a lower one is not followed. An engine that is silent for three
beats, or whose address points elsewhere by now (`moved`), is left, and dialled anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from relevo.domain.errors import RelevoError
from relevo.protocol import messages as m
from relevo.protocol.framing import FrameReader, frame
from relevo.runtime.failpoints import reach

if TYPE_CHECKING:
    from relevo.agent.blobs import AgentBlobs
    from relevo.agent.spool import Spool

BEAT_S: Final = 2.0
DIAL_S: Final = 0.01
#: Frames that follow each other within this are sent together, and the engine stores them in one commit. After a pause, one
#: goes at once.
PACE_S: Final = 0.01
#: So much is sent without waiting for more.
ENOUGH_BYTES: Final = 1 << 16
DIAL_MAX_S: Final = 1.0
BLOB_PIECE: Final = 1 << 20

Dial = Callable[[Callable[[], asyncio.Protocol]], Awaitable[Any]]

_decoder = m.decoder(m.ToAgent)
_records = m.decoder(m.Records)


class Session(asyncio.Protocol):
    """One agent's session, over as many connections as it takes."""

    def __init__(
        self,
        spool: Spool,
        loop: asyncio.AbstractEventLoop,
        dial: Dial,
        hello: Callable[[int], m.Hello],
        handle: Callable[[Any], None],
        *,
        moved: Callable[[], bool] = lambda: False,
        beat: Callable[[], m.Beat] = m.Beat,
    ) -> None:
        self._spool = spool
        self._loop = loop
        self._dial = dial
        self._hello = hello
        self._handle = handle
        self._moved = moved
        self._beat = beat
        self._reader = FrameReader()
        self._transport: Any = None
        self._welcome = False
        self._sent = 1  # number of the next record to send on this connection
        self._paused = False
        self._pumping: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._heard = 0.0
        self._frames_in = 0  # on this connection
        self._frames_out = 0
        self._held: list[bytes] = []  # frames that wait for others to go with; they are in the spool, too
        self._pacing: asyncio.TimerHandle | None = None
        self._sent_at = float("-inf")
        self._closed = False
        self._wait_s = DIAL_S
        self._timer: asyncio.TimerHandle | None = None
        self._dialling: asyncio.Task[None] | None = None
        self.blobs: AgentBlobs | None = None
        self.epoch = 0  #: highest seen
        self.last_contact = loop.time()
        spool.flushed = self._flushed

    @property
    def connected(self) -> bool:
        """Whether an engine has taken this agent."""
        return self._welcome

    def open(self) -> None:
        """Dial, and keep at it."""
        self._dialling = self._loop.create_task(self._dial_once())
        self._timer = self._loop.call_later(BEAT_S, self._tick)

    async def close(self) -> None:
        """Leave. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = [task for task in (self._dialling, self._pumping) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._transport is not None:
            self._send_held()
            self._transport.close()

    # --- connection -------------------------------------------------------------------------------------------------

    async def _dial_once(self) -> None:
        try:
            await self._dial(lambda: self)
        except OSError:
            self._again()

    def _again(self) -> None:
        if self._closed:
            return
        self._loop.call_later(self._wait_s, self._redial)
        self._wait_s = min(self._wait_s * 1.5, DIAL_MAX_S)

    def _redial(self) -> None:
        if not self._closed and self._transport is None:
            self._dialling = self._loop.create_task(self._dial_once())

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._reader = FrameReader()
        self._welcome = False
        self._paused = False
        self._writable.set()
        self._frames_in = self._frames_out = 0
        self._forget_held()
        self._heard = self._loop.time()
        self._write(self._hello(self.epoch))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._welcome = False
        self._writable.set()
        self._again()

    def _drop(self) -> None:
        transport = self._transport
        if transport is not None:
            transport.abort()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(BEAT_S, self._tick)
        if self._transport is None:
            return
        if self._moved() or self._loop.time() - self._heard > 3 * BEAT_S:
            self._drop()
        elif self._welcome:
            self._tell_alive()

    def _write(self, message: Any) -> None:
        if self._transport is not None:
            self._send_held()
            self._frames_out += 1
            self._transport.write(frame(m.encode(message)))

    def _tell_alive(self) -> None:
        self._send_held()  # they go ahead of it, and it counts them
        self._write(replace(self._beat(), frames=self._frames_out))

    def send(self, message: Any) -> None:
        """A message that is not spooled. Without an engine it is dropped."""
        if self._welcome:
            self._write(message)

    # --- from the engine ----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._heard = self.last_contact = self._loop.time()
        try:
            for payload in self._reader.feed(data):
                self._received(_decoder.decode(payload))
                self._frames_in += 1
        except (msgspec.DecodeError, RelevoError):
            # Bytes that are no message: nothing on this connection can be trusted any more.
            self._drop()

    def _received(self, message: Any) -> None:
        kind = type(message)
        if kind is m.Welcome:
            self._welcomed(message)
        elif kind is m.Refused:
            self.epoch = max(self.epoch, message.epoch)
            self._drop()
        elif not self._welcome:
            return
        elif kind is m.Ack:
            self._spool.acknowledge(message.next)
            self._handle(message)
        elif kind is m.Resend:
            self._forget_held()
            self._sent = message.next
            self._pump_soon()
        elif kind is m.BlobBytes:
            if self.blobs is not None:
                self.blobs.received(message)
        elif kind is not m.Beat:
            self._handle(message)
        elif message.frames != self._frames_in:
            raise RelevoError(f"{message.frames} frames were sent, {self._frames_in} came")

    def _welcomed(self, message: m.Welcome) -> None:
        if message.epoch < self.epoch:
            self._drop()
            return
        self.epoch = message.epoch
        self._welcome = True
        self._wait_s = DIAL_S
        self._sent = message.next
        self._spool.acknowledge(message.next)
        self._tell_alive()  # only who answers a Welcome is taken for the agent of today
        self._handle(message)
        if self.blobs is not None:
            self.blobs.reconnected()
        self._pump_soon()

    # --- to the engine ------------------------------------------------------------------------------------------------

    def _flushed(self, first: int, count: int, payload: bytes) -> None:
        if not self._welcome:
            return
        if (
            self._sent == first
            and not self._paused
            and self._pumping is None
            and b"ArtifactSaved" not in payload
        ):
            self._sent = first + count
            self._held.append(frame(payload))
            if len(payload) >= ENOUGH_BYTES:
                self._send_held()
            elif self._pacing is None:
                self._pace()
        else:
            self._pump_soon()

    def _pace(self) -> None:
        due = self._sent_at + PACE_S
        if self._loop.time() >= due:
            self._send_held()
        else:
            self._pacing = self._loop.call_at(due, self._send_held)

    def _send_held(self) -> None:
        if self._pacing is not None:
            self._pacing.cancel()
            self._pacing = None
        if self._held and self._transport is not None:
            reach("agent.before-send")
            self._frames_out += len(self._held)
            self._transport.write(b"".join(self._held))
            self._held = []
            self._sent_at = self._loop.time()

    def _forget_held(self) -> None:
        """They are in the spool, and whoever is connected next, or asks again, says from which record on."""
        self._held = []
        if self._pacing is not None:
            self._pacing.cancel()
            self._pacing = None

    def pause_writing(self) -> None:
        self._paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self._paused = False
        self._writable.set()
        self._pump_soon()

    def _pump_soon(self) -> None:
        if self._pumping is None and self._welcome and not self._closed:
            self._pumping = self._loop.create_task(self._pump())
            self._pumping.add_done_callback(self._pumped)

    def _pumped(self, task: asyncio.Task[None]) -> None:
        self._pumping = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._loop.call_exception_handler(
                {"message": "sending from the spool failed", "exception": error}
            )
            self._drop()
        elif self._sent < self._spool.next:
            self._pump_soon()

    async def _pump(self) -> None:
        """Send from the spool until all is sent."""
        transport = self._transport
        while True:
            await self._writable.wait()
            if not self._carries(transport):
                return
            found = self._spool.at(self._sent)
            if found is None:
                return
            first, count, payload = found
            if b"ArtifactSaved" in payload:
                sent = self._sent
                await self._send_blobs(payload)
                if not self._carries(transport) or sent != self._sent:
                    continue  # the connection went, or the engine asked to send again from elsewhere
            self._send_held()
            reach("agent.before-send")
            self._frames_out += 1
            transport.write(frame(payload))
            self._sent = first + count

    def _carries(self, transport: Any) -> bool:
        """Whether `transport` is still the connection to an engine that took this agent."""
        return self._welcome and transport is self._transport

    async def _send_blobs(self, payload: bytes) -> None:
        blobs = self.blobs
        assert blobs is not None
        for record in _records.decode(payload).records:
            if not isinstance(record, m.ArtifactSaved):
                continue
            size = blobs.size(record.digest)
            start = 0
            while size is not None:
                await self._writable.wait()
                if not self.connected:
                    return
                data = blobs.read(record.digest, start, BLOB_PIECE)
                last = start + len(data) >= size
                self._write(m.PutBlob(record.digest, start, data, last))
                start += len(data)
                if last:
                    break
