"""What attempts produced, on disk until the engine has it durably.

    record ─► pending ─(end of the loop's turn, or a moment later)─► one frame: write ─► listener (sends the very same bytes)
                                                     └─► acknowledged: whole segments are removed

Segment `<first number>.spool` holds frames: length and CRC-32 of the payload (four bytes each, big-endian), then the
payload, a `protocol.Records` message as it goes to the engine, or an `Intent` (never sent). The end of a frame cut by
a crash is cut off; damage before it ends the spool there, and what follows is lost, named, and never guessed.
Writing does not sync: a killed agent loses nothing that was written; `sync` is for what must survive the machine.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from relevo.domain.ids import AttemptKey
from relevo.protocol.messages import AnyRecord, AttemptFinished, AttemptStarted, Records, encode
from relevo.runtime.disk import AppendFile, Disk
from relevo.runtime.failpoints import reach

SEGMENT_BYTES: Final = 16 << 20
#: A batch is cut here, so that a frame stays far below the protocol's limit.
BATCH_BYTES: Final = 1 << 20
#: So long a record that can wait does: short steps are told of from begin to end in one frame, and stored in one append.
LINGER_S: Final = 0.002
#: So often it waits once more because the loop is behind: then what ends the step is likely to be under way.
LINGER_AGAIN: Final = 4
#: So many records, the longest of a mebibyte, go into a frame of what waited for room.
BATCH_RECORDS: Final = 16
RETRY_S: Final = 0.5
#: So far above the spool is the home: HOME/agents/local/spool.
HOME_DEPTH: Final = 4


class Intent(Struct, frozen=True, array_like=True, tag=True):
    """A step marked `idempotent: false` may have begun."""

    run: str
    job: int
    number: int
    step: int


_decoder = msgspec.msgpack.Decoder(Records | Intent)


class Frame(Struct, frozen=True, gc=False):
    """Where a batch of records lies."""

    first: int
    count: int
    segment: str
    position: int
    size: int


class Found(Struct):
    """What an earlier incarnation left."""

    started: set[AttemptKey]
    ended: set[AttemptKey]
    intended: set[AttemptKey]
    damage: list[str]


def _framed(payload: bytes) -> tuple[bytes, bytes]:
    return len(payload).to_bytes(4, "big") + crc32(payload).to_bytes(4, "big"), payload


class Spool:
    """The spool of one agent. Single-threaded: all calls come from the loop; only `sync` waits for the disk elsewhere."""

    def __init__(
        self,
        disk: Disk,
        folder: str,
        loop: asyncio.AbstractEventLoop,
        blocking: Callable[[Callable[[], None]], Awaitable[None]],
        *,
        limit_bytes: int = 1 << 30,
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._loop = loop
        self._blocking = blocking
        self._limit = limit_bytes
        self._file: AppendFile | None = None
        self._segment = ""
        self._frames: deque[Frame] = deque()  # not acknowledged
        self._by_first: dict[int, Frame] = {}
        self._pending: list[AnyRecord] = []
        self._pending_bytes = 0
        self._scheduled = False  # for the end of this turn
        self._lingering: asyncio.TimerHandle | None = None
        self._named = False  # the spool's folder and its parent survive the loss of power
        self._retry: asyncio.TimerHandle | None = None
        self._bytes = 0  # of frames not acknowledged
        self._waiters: list[asyncio.Future[None]] = []
        self._intents: dict[AttemptKey, Intent] = {}  # of attempts whose end is not acknowledged
        self._ends: dict[AttemptKey, int] = {}  # of those that have ended: the number of the end record
        self._carrying: asyncio.Task[None] | None = None
        self._unneeded: list[str] = []  # segments that go once the intents in them stand elsewhere too
        self.next = 1  #: number of the record to come
        self.flushed: Callable[[int, int, bytes], None] | None = (
            None  #: (first, count, payload) of each new frame
        )
        self.written: Callable[[], None] | None = None  #: called when all that was taken is written
        self.trouble: OSError | None = None  #: why nothing can be written now

    # --- opening ------------------------------------------------------------------------------------------------

    def open(self) -> Found:
        """Read what is there, cut a torn end, and go on from it."""
        self._disk.make(self._folder)
        found = Found(set(), set(), set(), [])
        segments = [name for name in self._disk.list(self._folder) if name.endswith(".spool")]
        for position, name in enumerate(segments):
            good = self._scan(name, found)
            if good is not None:
                if position + 1 < len(segments):
                    for lost in segments[position + 1 :]:
                        found.damage.append(f"{self._path(lost)}: follows a damaged segment")
                        self._disk.remove(self._path(lost))
                self._disk.append(self._path(name)).truncate(good)
                break
        if segments:
            self.next = max(self.next, int(segments[0].removesuffix(".spool")))
        else:
            self._name_folders()
        return found

    def _name_folders(self) -> None:
        """The spool is new, and so may be the folders it lies in: an intent is only as durable as their names."""
        folder = self._folder
        for _ in range(HOME_DEPTH):
            folder = os.path.dirname(folder)
            self._disk.sync_folder(folder)

    def _scan(self, name: str, found: Found) -> int | None:
        """Take in a segment; returns where to cut it, None when it is whole."""
        data = self._disk.read(self._path(name))
        position = 0
        while position < len(data):
            size = int.from_bytes(data[position : position + 4], "big")
            payload = data[position + 8 : position + 8 + size]
            if position + 8 > len(data) or len(payload) < size:
                return position  # the write that a crash cut
            # A page of zeros, left by the loss of power, agrees with its checksum: no frame is empty.
            if not size or crc32(payload) != int.from_bytes(data[position + 4 : position + 8], "big"):
                found.damage.append(f"{self._path(name)} at byte {position}: checksum disagrees")
                return position
            try:
                batch = _decoder.decode(payload)
            except msgspec.MsgspecError as error:
                # Of a relevo that speaks otherwise: what it had to say is lost, and its attempts are run again.
                found.damage.append(f"{self._path(name)} at byte {position}: not understood: {error}")
                return position
            self._take(batch, Frame(0, 0, name, position + 8, size), found)
            position += 8 + size
        return None

    def _take(self, batch: Records | Intent, frame: Frame, found: Found) -> None:
        if isinstance(batch, Intent):
            key = AttemptKey(batch.run, batch.job, batch.number)
            found.intended.add(key)
            self._intents[key] = batch
            return
        if self._frames and batch.first > self.next:
            self._void()
        self._keep(Frame(batch.first, len(batch.records), frame.segment, frame.position, frame.size))
        self.next = batch.first + len(batch.records)
        for number, record in enumerate(batch.records, batch.first):
            key = AttemptKey(record.run, record.job, record.number)
            if isinstance(record, AttemptStarted):
                found.started.add(key)
            elif isinstance(record, AttemptFinished):
                found.ended.add(key)
                if key in self._intents:
                    self._ends[key] = number

    def _void(self) -> None:
        """Forget the frames so far: a segment that followed them is gone, so they were acknowledged.

        They were removed before it, and are back because the power went before the folder was synced.
        """
        self._unneeded += dict.fromkeys(frame.segment for frame in self._frames)
        self._frames.clear()
        self._by_first.clear()
        self._bytes = 0

    def _keep(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._by_first[frame.first] = frame
        self._bytes += frame.size

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    # --- writing ------------------------------------------------------------------------------------------------

    @property
    def first(self) -> int:
        """Number of the oldest record that is not acknowledged; `next` when there is none."""
        return self._frames[0].first if self._frames else self.next

    @property
    def empty(self) -> bool:
        """Whether all that was taken is acknowledged."""
        return not self._frames and not self._pending

    @property
    def size_bytes(self) -> int:
        """Bytes waiting for acknowledgement or for the disk."""
        return self._bytes + self._pending_bytes

    @property
    def full(self) -> bool:
        """Logs should pause: too much waits, or the disk takes nothing."""
        return self.trouble is not None or self.size_bytes >= self._limit

    def unwritten_ends(self) -> list[AttemptKey]:
        """Attempts whose end record is taken and not written yet."""
        return [
            AttemptKey(record.run, record.job, record.number)
            for record in self._pending
            if isinstance(record, AttemptFinished)
        ]

    def add_lazily(self, record: AnyRecord) -> None:
        """Take a record that nobody waits for: it is written with the next one that is not, or after LINGER_S."""
        self._pending.append(record)
        self._pending_bytes += 100
        if not self._scheduled and self._lingering is None:
            self._linger(LINGER_AGAIN)

    def _linger(self, again: int) -> None:
        due = self._loop.time() + LINGER_S
        self._lingering = self._loop.call_at(due, self._lingered, due, again)

    def _lingered(self, due: float, again: int) -> None:
        if again and self._loop.time() - due > LINGER_S:
            self._linger(again - 1)
        else:
            self.flush()

    def add(self, record: AnyRecord, size: int = 100) -> None:
        """Take a record; it is written at the end of the loop's turn. `size`: about how long it is."""
        if self._intents and type(record) is AttemptFinished:
            key = AttemptKey(record.run, record.job, record.number)
            if key in self._intents:
                # Not before the engine has it: the end may be lost with the power, and what was intended must not be.
                self._ends[key] = self.next + len(self._pending)
        self._pending.append(record)
        self._pending_bytes += size
        if self._pending_bytes >= BATCH_BYTES:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is pending, as one frame, and hand it to the listener; as several when it grew while the disk was full."""
        self._scheduled = False
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        while self._pending and self._retry is None:
            whole = len(self._pending) <= BATCH_RECORDS or self._pending_bytes <= 2 * BATCH_BYTES
            self._flush(self._pending if whole else self._pending[:BATCH_RECORDS])
        if not self._pending and self.written is not None:
            self.written()

    def _flush(self, records: list[AnyRecord]) -> None:
        payload = encode(Records(self.next, records))
        try:
            frame = self._write(payload, self.next, len(records))
        except OSError as error:
            self.trouble = error
            self._retry = self._loop.call_later(RETRY_S, self._again)
            return
        self._pending = self._pending[len(records) :]
        self._pending_bytes = max(self._pending_bytes - len(payload), 0) if self._pending else 0
        self._keep(frame)
        self.next += len(records)
        self._relieve()
        if self.flushed is not None:
            self.flushed(frame.first, frame.count, payload)

    def _again(self) -> None:
        self._retry = None
        self.trouble = None
        self.flush()
        self._relieve()

    def _write(self, payload: bytes, first: int, count: int) -> Frame:
        file = self._file
        if file is None or file.size >= SEGMENT_BYTES:
            file = self._next_segment()
        position = file.size + 8
        file.writev([*_framed(payload)])
        reach("spool.after-write")
        return Frame(first, count, self._segment, position, len(payload))

    def _next_segment(self) -> AppendFile:
        """Begin a segment, with the intents that still count: the older segment is removed when its records are acknowledged."""
        segment = f"{self.next:020d}.spool"
        file = self._disk.append(self._path(segment))
        try:
            file.writev([part for intent in self._intents.values() for part in _framed(encode(intent))])
        except OSError:
            file.close()
            raise
        self._close_file()
        self._segment = segment
        self._file = file
        if (self._intents or self._unneeded) and self._carrying is None:
            self._carrying = self._loop.create_task(self._carried())
        return file

    async def _carried(self) -> None:
        try:
            await self.sync()
        except OSError:
            return  # the older segments stay until there is a segment that can be synced
        finally:
            self._carrying = None
        unneeded, self._unneeded = self._unneeded, []
        for segment in unneeded:
            self._disk.remove(self._path(segment))

    def _remove(self, segment: str) -> None:
        if self._carrying is not None or (self._intents and self._file is None):
            self._unneeded.append(segment)
        else:
            self._disk.remove(self._path(segment))

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    async def intend(self, intent: Intent) -> None:
        """Make an intent durable before the step begins. Waits while the disk takes nothing."""
        while True:
            self.flush()
            try:
                self._write(encode(intent), 0, 0)
                break
            except OSError as error:
                self.trouble = error
                if self._retry is None:
                    self._retry = self._loop.call_later(RETRY_S, self._again)
                await self.room()
        self._intents[AttemptKey(intent.run, intent.job, intent.number)] = intent
        await self.sync()

    async def sync(self) -> None:
        """Returns when all that was written before the call survives the loss of power."""
        file = self._file
        if file is not None:
            reach("spool.before-sync")
            await self._blocking(file.sync)
            if not self._named:
                await self._blocking(self._sync_names)
                self._named = True

    def _sync_names(self) -> None:
        """Bytes that survive are of no use in a folder whose name does not."""
        folder = os.path.dirname(self._folder)
        for above in (folder, os.path.dirname(folder)):
            self._disk.sync_folder(above)

    async def room(self) -> None:
        """Returns when logs may be written again."""
        while self.full:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def _relieve(self) -> None:
        if self._waiters and not self.full:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    # --- handing in -----------------------------------------------------------------------------------------------

    def acknowledge(self, next_number: int) -> None:
        """All records below `next_number` are durable at the engine: remove what is not needed any more."""
        frames = self._frames
        gone = None
        while frames and frames[0].first + frames[0].count <= next_number:
            frame = frames.popleft()
            del self._by_first[frame.first]
            self._bytes -= frame.size
            if gone is not None and gone != frame.segment:
                self._remove(gone)
            gone = frame.segment
        for key in [key for key, number in self._ends.items() if number < next_number]:
            del self._ends[key]
            self._intents.pop(key, None)
        if gone is not None and gone != self._segment and not (frames and frames[0].segment == gone):
            self._remove(gone)
        self._relieve()

    def at(self, number: int) -> tuple[int, int, bytes] | None:
        """(first, count, payload) of the frame that holds record `number`, read from disk; None past the end.

        Below what is kept, the oldest frame.
        """
        frame = self._by_first.get(number)
        if frame is None:
            frame = next((f for f in self._frames if f.first + f.count > number), None)
            if frame is None:
                return None
        payload = self._disk.read(self._path(frame.segment), frame.position, frame.size)
        return frame.first, frame.count, payload

    def close(self) -> None:
        """Write what is pending and close. Idempotent."""
        self.flush()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._close_file()
