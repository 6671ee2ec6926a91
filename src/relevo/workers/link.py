"""The engine's end of one agent's connection.

Records are taken in order. What they tell is handed to the runs, log bytes to the log store; a batch is acknowledged when
all of it is durable, batches in order. When something could not be stored, the link winds back to what was acknowledged and
asks for the rest again: all takers know a repetition.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from relevo.core.measured import LOG_BYTES, RECORDS, REWINDS
from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.errors import RelevoError
from relevo.domain.ids import AttemptKey
from relevo.logs.contract import LogEnd, LogFrame, LogGap, LogMismatch, LogStore, LogUnavailable
from relevo.protocol import messages as m
from relevo.protocol.framing import FrameReader, frame
from relevo.runtime.failpoints import reach
from relevo.runtime.notices import NOTICES

#: Batches in work at most; beyond, the connection is not read.
WINDOW: Final = 256
#: How long to wait before asking again for what could not be stored.
AGAIN_S: Final = 0.5

#: Characters of a message, and of a name, that an event holds: four bytes each stay below an event's limit.
MESSAGE_LIMIT: Final = 4_096
NAME_LIMIT: Final = 1_024

_decoder = m.decoder(m.ToEngine)


class Batch:
    """Records that came in one frame. Done when all that was made of them is durable."""

    __slots__ = ("_left", "_link", "generation", "next")

    def __init__(self, link: Link, next_number: int, generation: int) -> None:
        self._link = link
        self._left = 1  # the frame itself, until all of it was handed out
        self.next = next_number
        self.generation = generation

    @property
    def done(self) -> bool:
        return self._left == 0

    def hold(self) -> None:
        """One more thing must become durable first."""
        self._left += 1

    def settle(self) -> None:
        """One of them has."""
        self._left -= 1
        if self._left == 0:
            self._link.settled(self)

    def fail(self) -> None:
        """One of them could not: everything since the last acknowledgement must come again."""
        self._link.rewind(self)


class Taker(Protocol):
    """Who takes what agents say: the manager."""

    def hello(self, link: Link, hello: m.Hello) -> None:
        """Somebody dialled. It may be long gone: what it said may have been under way for a while."""

    def confirmed(self, link: Link) -> None:
        """It has heard the Welcome: this is where the agent is."""

    def deliver(self, commands: list[c.Command], run: str, batch: Batch) -> None:
        """For a run, in order. `batch` was held once for all of them."""

    def wanted(self, link: Link, key: AttemptKey) -> bool:
        """Whether that attempt is the current one, on this agent."""

    def put_blob(self, link: Link, message: m.PutBlob) -> None: ...

    def blob_durable(self, digest: str, done: Callable[[bool], None]) -> None:
        """Call `done` when it is known whether the blob is durable. Never within this call."""

    def get_blob(self, link: Link, message: m.GetBlob) -> None: ...

    def beat(self, link: Link, message: m.Beat) -> None: ...

    def taken(self, link: Link) -> None:
        """More was acknowledged."""

    def lost(self, link: Link) -> None:
        """The connection is gone."""


class Link(asyncio.Protocol):
    """One connection of one agent."""

    def __init__(self, taker: Taker, logs: LogStore, loop: asyncio.AbstractEventLoop) -> None:
        self._taker = taker
        self._logs = logs
        self._loop = loop
        self._reader = FrameReader()
        self._transport: Any = None
        self._batches: deque[Batch] = deque()
        self._generation = 0
        self._asking: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []
        self._welcome = False  # it was said
        self._confirmed = False  # and answered
        self._barred = False  # the next record names a blob that is not durable yet
        self._passed = 0  # number of the record whose blob is
        self._behind: list[tuple[int, list[m.AnyRecord]]] = []  # what came while barred
        self._told = False  # that logs cannot be written
        self._gone: set[AttemptKey] = set()  # attempts whose log lost what was acknowledged
        self._specs: dict[str, None] = {}  # digests that the agent got on this connection, the last sent last
        self._frames_in = 0
        self._frames_out = 0
        self.agent = ""
        self.hello: m.Hello | None = None
        self.turn = 0  #: of its Hello among all of the engine
        self.next = 1  #: number of the record to come
        self.acknowledged = 1
        self.heard = loop.time()
        self.closed = False

    # --- connection -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._void()
        if self._asking is not None:
            self._asking.cancel()
        self._taker.lost(self)

    def close(self) -> None:
        """Drop the connection. The agent goes on, and dials again."""
        if self._transport is not None and not self.closed:
            self._transport.abort()

    def finish(self) -> None:
        """Send what waits, then close."""
        self._flush()
        if self._transport is not None and not self.closed:
            self._transport.close()

    def send(self, message: Any) -> None:
        """Send a message at the end of the loop's turn, together with all others."""
        if self.closed:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame(m.encode(message)))
        self._frames_out += 1

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and not self.closed:
            self._transport.write(b"".join(out))

    def beat(self) -> None:
        """Tell that the engine is alive, and how much it has sent."""
        self.send(m.Beat(frames=self._frames_out))

    def knows(self, digest: str) -> bool:
        """Whether the agent got that spec on this connection; from now on it has."""
        if digest in self._specs:
            return True
        self._specs[digest] = None
        if len(self._specs) > m.NAMED_LIMIT:
            del self._specs[next(iter(self._specs))]
        return False

    def data_received(self, data: bytes) -> None:
        self.heard = self._loop.time()
        try:
            for payload in self._reader.feed(data):
                self._received(_decoder.decode(payload))
                self._frames_in += 1
        except (msgspec.DecodeError, msgspec.ValidationError, RelevoError):
            # Not a message: nothing on this connection can be trusted any more.
            self.close()

    def _received(self, message: Any) -> None:
        kind = type(message)
        if kind is m.Hello:
            self.agent = message.agent
            self.hello = message
            self._taker.hello(self, message)
            return
        if self.hello is None:
            self.close()
            return
        if not self._welcome:
            return  # it is being refused
        if not self._confirmed:
            self._confirmed = True
            self._taker.confirmed(self)
        if kind is m.Records:
            self._records(message.first, message.records)
        elif kind is m.PutBlob:
            self._taker.put_blob(self, message)
        elif kind is m.GetBlob:
            self._taker.get_blob(self, message)
        elif kind is m.Beat:
            if message.frames != self._frames_in:
                raise RelevoError(f"{message.frames} frames were sent, {self._frames_in} came")
            self._taker.beat(self, message)

    def welcome(self, epoch: int, next_number: int, unknown: list[m.Live]) -> None:
        """Take the agent; records below `next_number` are durable."""
        self._welcome = True
        self.next = self.acknowledged = next_number
        self.send(m.Welcome(m.VERSION, epoch, next_number, unknown))

    # --- records ----------------------------------------------------------------------------------------------------

    def _records(self, first: int, records: list[m.AnyRecord]) -> None:
        if self._barred:
            self._behind.append((first, records))
            if len(self._behind) == WINDOW:
                self._transport.pause_reading()
            return
        if first > self.next:
            if self._asking is None:
                self._ask()
            return
        records = records[self.next - first :]
        if not records:
            return
        batch = Batch(self, self.next + len(records), self._generation)
        number = self.next
        told: dict[str, list[c.Command]] = {}  # by run
        for record in records:
            if type(record) is m.ArtifactSaved and number != self._passed:
                batch.next = number
                self._bar(number, records[number - self.next :], record.digest)
                break
            try:
                self._take(number, record, batch, told)
            except (LogGap, LogUnavailable) as error:
                self._tell(error)
                # What came before it stands; the rest must come again, when there may be room.
                batch.next = number
                self._ask_later()
                break
            number += 1
        for run, commands in told.items():
            batch.hold()
            self._taker.deliver(commands, run, batch)
            if batch.generation != self._generation:
                return  # a taker failed the batch at once: all of it comes again
        RECORDS.inc(number - self.next)
        self.next = number
        self._batches.append(batch)
        if len(self._batches) > WINDOW:
            self._transport.pause_reading()
        batch.settle()

    def _take(self, number: int, record: m.AnyRecord, batch: Batch, told: dict[str, list[c.Command]]) -> None:
        """Take a record in; what its run can be told at once is put to the others that it will be told together."""
        kind = type(record)
        if kind is m.LogBytes:
            self._log(number, AttemptKey(record.run, record.job, record.number), record, batch)  # type: ignore[arg-type]
            return
        command = (
            self._finish(record, batch)  # type: ignore[arg-type]
            if kind is m.AttemptFinished
            else COMMANDS[kind](number, record)
        )
        if command is None:
            return
        commands = told.get(record.run)
        if commands is None:
            told[record.run] = [command]
        else:
            commands.append(command)

    def _bar(self, number: int, rest: list[m.AnyRecord], digest: str) -> None:
        """Take nothing more before the blob is durable: an end that overtook it would be a success without its artifact."""
        generation = self._generation

        def known(durable: bool) -> None:
            if generation != self._generation:
                return
            self._barred = False
            behind, self._behind = [(number, rest), *self._behind], []
            if not durable:
                self._ask_later()
                return
            self._passed = number
            self._transport.resume_reading()
            for first, records in behind:
                self._records(first, records)

        self._barred = True
        self._taker.blob_durable(digest, known)

    def _log(self, number: int, key: AttemptKey, record: m.LogBytes, batch: Batch) -> None:
        if not self._taker.wanted(self, key):
            return
        if key in self._gone:
            return
        LOG_BYTES.inc(len(record.data))
        try:
            self._logs.write(key, LogFrame(record.offset, record.step, record.at_ms, record.data))
        except LogGap:
            if number > self.acknowledged:
                raise
            # All that the agent still has was sent: what is missing was taken once and is gone from the disk. The end of
            # the attempt will not agree with its log, and nothing else waits for it until then.
            self._gone.add(key)
            return
        batch.hold()
        self._logs.sync(lambda error: self._synced(error, batch))

    def _synced(self, error: LogUnavailable | None, batch: Batch) -> None:
        if error is None:
            batch.settle()
        else:
            self._tell(error)
            batch.fail()

    def _tell(self, error: RelevoError) -> None:
        """Whoever looks on sees nothing go on: say why, once while it lasts."""
        if not self._told and isinstance(error, LogUnavailable):
            self._told = True
            NOTICES.warning("logs wait at the agent: %s", error)

    def _finish(self, record: m.AttemptFinished, batch: Batch) -> c.Command | None:
        """What to tell the run; None when that has to wait until its log is durable."""
        key = AttemptKey(record.run, record.job, record.number)
        self._gone.discard(key)
        command: c.Command = c.EndAttempt(
            record.job,
            record.number,
            record.result,
            record.outputs,
            _cut(record.message, MESSAGE_LIMIT),
            record.exit_code,
            record.log_size,
            record.log_digest,
            record.at_ms,
            held=record.held,
        )
        promised = record.result != "lost" and record.log_size > 0 and self._taker.wanted(self, key)
        if promised:
            try:
                self._logs.end(key, LogEnd(record.log_size, record.log_digest))
            except LogMismatch as error:
                promised = False
                command = c.LoseAttempt(
                    record.job, record.number, f"its log is not what the agent sent: {error}", record.at_ms
                )
        if not promised:
            return command  # no bytes were promised, or the promise is void: there is nothing to wait for
        batch.hold()

        def synced(error: LogUnavailable | None) -> None:
            if error is not None:
                batch.fail()
            elif batch.generation == self._generation:
                self._taker.deliver([command], record.run, batch)

        self._logs.sync(synced)
        return None

    # --- acknowledgement ----------------------------------------------------------------------------------------------

    def settled(self, batch: Batch) -> None:
        """All of a batch is durable."""
        if batch.generation != self._generation:
            return
        batches = self._batches
        reached = 0
        while batches and batches[0].done:
            reached = batches.popleft().next
        if reached:
            reach("engine.before-acknowledge")
            self.acknowledged = reached
            self._told = False
            if len(batches) <= WINDOW // 2 and self._transport is not None:
                self._transport.resume_reading()
            self.send(m.Ack(reached))
            self._taker.taken(self)

    def rewind(self, batch: Batch) -> None:
        """Forget what was not acknowledged, and ask for it again in a while."""
        if batch.generation != self._generation or self.closed:
            return
        self._void()
        self.next = self.acknowledged
        self._transport.resume_reading()
        self._ask_later()

    def _void(self) -> None:
        """What is in work concerns nobody any more."""
        self._generation += 1
        self._batches.clear()
        self._barred = False
        self._behind.clear()

    def _ask_later(self) -> None:
        if self._asking is None:
            self._asking = self._loop.call_later(AGAIN_S, self._ask)

    def _ask(self) -> None:
        self._asking = None
        REWINDS.inc()
        self.send(m.Resend(self.next))


def _cut(text: str, limit: int) -> str:
    """An event is bounded; the whole text is in the log."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def _step_finished(number: int, record: m.StepFinished) -> c.Command:
    return c.Record(
        e.StepEnded(
            record.job,
            record.number,
            record.step,
            _cut(record.name, NAME_LIMIT),
            record.outcome,
            record.conclusion,
            record.exit_code,
            _cut(record.message, MESSAGE_LIMIT),
            record.summary,
            record.at_ms,
            number,
        ),
    )


def _annotation(number: int, record: m.Annotation) -> c.Command:
    return c.Record(
        e.Annotated(
            record.job,
            record.number,
            record.step,
            record.level,
            _cut(record.message, MESSAGE_LIMIT),
            _cut(record.title, NAME_LIMIT),
            _cut(record.file, NAME_LIMIT),
            record.line,
            record.column,
            number,
        ),
    )


def _artifact(number: int, record: m.ArtifactSaved) -> c.Command:
    return c.Record(
        e.ArtifactSaved(
            record.job,
            record.number,
            record.name,
            record.digest,
            record.size_bytes,
            record.files,
            number,
        ),
    )


#: What each kind of record tells its run. `number` is the agent's own, by which a repetition is known.
COMMANDS: Final[dict[type, Callable[[int, Any], c.Command]]] = {
    m.AttemptStarting: lambda number, record: c.StartingAttempt(record.job, record.number, record.at_ms),
    m.AttemptStarted: lambda number, record: c.StartAttempt(record.job, record.number, record.at_ms),
    m.StepStarted: lambda number, record: c.Record(
        e.StepStarted(
            record.job, record.number, record.step, _cut(record.name, NAME_LIMIT), record.at_ms, number
        ),
    ),
    m.StepFinished: _step_finished,
    m.Annotation: _annotation,
    m.ArtifactSaved: _artifact,
}
