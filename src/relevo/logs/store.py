"""The log store on files. One thread, the loop's, owns all state; workers only read files and sync them."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from threading import Lock
from typing import Final

from relevo.core.measured import LOG_FOLLOWERS
from relevo.domain.errors import DamagedError
from relevo.domain.ids import AttemptKey
from relevo.logs import reading
from relevo.logs.blocking import RunBlocking, wait_for
from relevo.logs.claim import Claim
from relevo.logs.contract import LogEnd, LogFrame, LogGap, LogMismatch, LogUnavailable
from relevo.logs.framing import PAYLOAD_MAX
from relevo.logs.hashing import Hashing
from relevo.logs.recovery import Live, recover
from relevo.logs.segments import AttemptLog, RunLog, unavailable
from relevo.logs.syncing import Syncer
from relevo.logs.tail import Tail, window_bytes
from relevo.logs.verifying import verify_run
from relevo.runtime.disk import Disk

OPEN_RUNS: Final = 256  #: runs with open descriptors
LOADED_RUNS: Final = 1024  #: runs whose state is in memory, if they are idle
LOADED_ATTEMPTS: Final = 50_000
EMPTY_ENDS: Final = 50_000  #: ends of logs without a byte that are remembered
FOLLOW_BYTES: Final = 64 * 1024  #: what a follower that is behind reads from disk at a time
SEAL_AT_CLOSE_BYTES: Final = (
    1024 * 1024
)  #: below, reading a segment through costs less than its index is worth


class FileLogStore:
    """A `LogStore` in a folder, one folder for each run below it.

    A log without a byte leaves nothing on disk; its end is remembered in memory, for those who follow it.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        loop: AbstractEventLoop,
        run_blocking: RunBlocking,
        claim: Claim | None = None,
    ) -> None:
        """`claim`: what a successor wrote is left alone."""
        self._disk = disk
        self._claim = claim
        self._root = root
        self._loop = loop
        self._run_blocking = run_blocking
        self._syncer = Syncer(disk, root, loop, run_blocking, self._trim)
        self._hashing = Hashing(disk, run_blocking)
        self._runs: dict[str, RunLog] = {}  #: least recently used first
        self._open: dict[RunLog, None] = {}  #: those with descriptors, least recently written first
        self._attempts = 0
        self._tails: dict[AttemptKey, Tail] = {}
        self._empty_ends: dict[AttemptKey, LogEnd] = {}
        self._endless: dict[AttemptKey, None] = {}  #: over, without an end record
        self._deleting: set[str] = set()
        self._loading = Lock()  # frames() may be called in a pool
        self._closed = False

    def write(self, attempt: AttemptKey, frame: LogFrame) -> int:
        run = self._for_writing(attempt.run)
        log = run.attempts.get(attempt[1:])
        size = log.size if log is not None else 0
        stop = frame.offset + len(frame.data)
        if frame.offset > size:
            raise LogGap(attempt, size, frame.offset)
        if stop <= size:
            return size
        if log is None:
            log = run.attempts[attempt[1:]] = AttemptLog()
            self._attempts += 1
        if log.end is not None:
            raise LogMismatch(
                f"log of {attempt}: bytes up to {stop} come after its end at {log.end.size_bytes}"
            )
        data = bytes(frame.data[size - frame.offset :] if frame.offset < size else frame.data)
        try:
            for start in range(0, len(data), PAYLOAD_MAX):
                piece = data[start : start + PAYLOAD_MAX]
                run.append(attempt, log, piece, step=frame.step, at_ms=frame.at_ms)
                self._hashing.feed(run, attempt, log, piece)
                if self._tails:
                    self._show(attempt, LogFrame(log.size - len(piece), frame.step, frame.at_ms, piece))
        finally:
            self._wrote(run)
        return log.size

    def sync(self, done: Callable[[LogUnavailable | None], None]) -> None:
        self._syncer.request(done)

    def end(self, attempt: AttemptKey, end: LogEnd) -> None:
        run = self._for_writing(attempt.run)
        log = run.attempts.get(attempt[1:])
        size = log.size if log is not None else 0
        if end.size_bytes != size:
            raise LogMismatch(
                f"log of {attempt}: its end record says {end.size_bytes} bytes, {size} are held"
            )
        if log is None or not size:
            if end.digest:
                raise LogMismatch(f"log of {attempt}: its end record has a digest of no bytes")
            self._remember_empty(attempt, end)
            return
        if log.end is None:
            digest = self._digest(run, attempt, log)
            if end.digest != digest:
                raise LogMismatch(
                    f"log of {attempt}: its end record says {end.digest.hex()}, the bytes held have {digest.hex()}"
                )
            try:
                run.append_end(attempt, log, end)
            finally:
                self._wrote(run)
            log.hasher = None
        elif log.end != end:
            raise LogMismatch(f"log of {attempt}: a second end record says {end}, the first {log.end}")
        self._wake(attempt)

    def no_more(self, attempt: AttemptKey) -> None:
        self._endless[attempt] = None
        if len(self._endless) > EMPTY_ENDS:
            del self._endless[next(iter(self._endless))]
        self._wake(attempt)

    def size(self, attempt: AttemptKey) -> int:
        log = self._find(attempt)
        return log.size if log is not None else 0

    def ended(self, attempt: AttemptKey) -> LogEnd | None:
        log = self._find(attempt)
        return log.end if log is not None and log.size else self._empty_ends.get(attempt)

    def attempts(self, run: str) -> list[AttemptKey]:
        known = self._run(run)
        if known is None:
            return []
        return [
            AttemptKey(run, *key) for key, log in sorted(known.attempts.items()) if log.size or log.missing
        ]

    def frames(self, attempt: AttemptKey, start: int = 0, stop: int | None = None) -> Iterator[LogFrame]:
        source = self._source(attempt)
        return _reads(reading.read(self._disk, source, start, stop)) if source is not None else iter(())

    def line_offset(self, attempt: AttemptKey, line: int) -> int:
        source = self._source(attempt)
        if source is None:
            return 0
        try:
            return reading.line_offset(self._disk, source, line)
        except OSError as error:
            raise _unreadable(error) from error

    def lines(self, attempt: AttemptKey) -> int:
        log = self._find(attempt)
        return log.lines if log is not None else 0

    async def follow(self, attempt: AttemptKey, start: int = 0) -> AsyncIterator[LogFrame]:
        tail = self._tails.get(attempt)
        if tail is None:
            tail = self._tails[attempt] = Tail()
        tail.followers += 1
        LOG_FOLLOWERS.add(1)
        offset, cursor = start, None
        try:
            while True:
                frame = tail.frame(cursor) if cursor is not None else None
                if frame is None:
                    cursor = tail.cursor(offset)
                    frame = tail.frame(cursor) if cursor is not None else None
                if frame is not None and cursor is not None:
                    cursor += 1
                    if frame.offset < offset:
                        frame = _from(frame, offset)
                    offset = frame.offset + len(frame.data)
                    yield frame
                    continue
                try:
                    chunk = await self._chunk(attempt, offset)
                except DamagedError:
                    if tail.deleted:
                        return
                    raise
                for frame in chunk:
                    offset = frame.offset + len(frame.data)
                    yield frame
                if offset < self.size(attempt):
                    continue
                if self._over(attempt, tail):
                    return
                await tail.wait(self._loop)
        finally:
            tail.followers -= 1
            LOG_FOLLOWERS.add(-1)
            if not tail.followers and self._tails.get(attempt) is tail:
                del self._tails[attempt]

    async def verify(self, run: str) -> list[str]:
        known = self._run(run)
        if known is None:
            return []
        live = Live({segment.path: segment.size for segment in known.segments if segment.size}, known.durable)
        return await wait_for(
            self._loop, self._run_blocking, partial(verify_run, self._disk, known.folder, run, live)
        )

    async def delete(self, run: str) -> None:
        self._deleting.add(run)
        with self._loading:
            known = self._runs.pop(run, None)
        if known is not None:
            known.gone = True
            self._open.pop(known, None)
            self._syncer.forget(known)
            self._attempts -= len(known.attempts)
            if not known.in_sync:
                known.release()
        for known_ends in (self._empty_ends, self._endless):
            for attempt in [key for key in known_ends if key.run == run]:
                del known_ends[attempt]
        for attempt, tail in self._tails.items():
            if attempt.run == run:
                tail.forget()
                tail.deleted = True
                tail.wake()
        try:
            if known is not None and known.in_sync:
                await self._synced()  # a worker has its files in hand
            remove = partial(self._disk.remove_tree, f"{self._root}/{run}")
            await wait_for(self._loop, self._run_blocking, remove)
        finally:
            self._deleting.discard(run)

    def usage(self) -> dict[str, int]:
        used: dict[str, int] = {}
        for run in self._disk.list(self._root):
            folder = f"{self._root}/{run}"
            try:
                used[run] = sum(self._disk.size(f"{folder}/{name}") for name in self._disk.list(folder))
            except (FileNotFoundError, NotADirectoryError):
                continue  # removed while we looked, or no run's folder
        return used

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        error = await self._synced()
        for run in self._open:
            self._seal_for_good(run)
        error = error or await self._synced()
        for run in self._runs.values():
            run.release()
        self._open.clear()
        for attempt in list(self._tails):
            self._wake(attempt)
        if error is not None:
            raise error

    def _for_writing(self, run: str) -> RunLog:
        if self._closed:
            raise LogUnavailable("the log store is closed")
        if run in self._deleting:
            raise LogUnavailable(f"the logs of run {run} are being removed")
        known = self._run(run)
        if known is None:
            with self._loading:
                known = self._runs.setdefault(run, RunLog(self._disk, f"{self._root}/{run}", run))
        if self._claim is not None:
            known.owns = self._claim.holds
        if known.dirty:
            self._syncer.touch(known)  # what a sender sends twice may not be durable yet
        if known.failed:
            self._syncer.request(lambda error: None)  # nothing is taken before a sync succeeds: try one
        return known

    def _run(self, run: str) -> RunLog | None:
        """The log of a run, loaded if need be; None when it has none."""
        if run in self._deleting:
            return None
        with self._loading:
            known = self._runs.pop(run, None)
            if known is None:
                try:
                    known = recover(self._disk, f"{self._root}/{run}", run)
                except OSError as error:
                    raise _unreadable(error) from error
                if not known.segments and not known.doomed:
                    return None
                self._attempts += len(known.attempts)
            self._runs[run] = known
            return known

    def _find(self, attempt: AttemptKey) -> AttemptLog | None:
        known = self._run(attempt.run)
        return known.attempts.get(attempt[1:]) if known is not None else None

    def _source(self, attempt: AttemptKey) -> reading.Source | None:
        known = self._run(attempt.run)
        log = known.attempts.get(attempt[1:]) if known is not None else None
        return reading.source(known, attempt, log) if known is not None and log is not None else None

    def _wrote(self, run: RunLog) -> None:
        self._syncer.touch(run)
        self._open.pop(run, None)
        self._open[run] = None
        if len(self._open) > OPEN_RUNS:
            oldest = next((other for other in self._open if not other.in_sync), run)
            if oldest is not run:
                oldest.release()
                del self._open[oldest]

    def _trim(self) -> None:
        """Forget idle runs that nobody used for long; they load again when asked for."""
        if len(self._runs) <= LOADED_RUNS and self._attempts <= LOADED_ATTEMPTS:
            return
        with self._loading:
            for name, run in list(self._runs.items()):
                if len(self._runs) <= LOADED_RUNS and self._attempts <= LOADED_ATTEMPTS:
                    return
                if run.in_sync or run.failed or self._syncer.covers(run):
                    continue
                run.release()
                self._open.pop(run, None)
                self._attempts -= len(run.attempts)
                del self._runs[name]

    def _digest(self, run: RunLog, attempt: AttemptKey, log: AttemptLog) -> bytes:
        try:
            return self._hashing.digest(run, attempt, log)
        except DamagedError as error:
            raise LogMismatch(f"log of {attempt}: cannot be read back: {error}") from error
        except OSError as error:
            raise unavailable(run.folder, error) from error

    def _remember_empty(self, attempt: AttemptKey, end: LogEnd) -> None:
        self._empty_ends[attempt] = end
        if len(self._empty_ends) > EMPTY_ENDS:
            del self._empty_ends[next(iter(self._empty_ends))]
        self._wake(attempt)

    def _show(self, attempt: AttemptKey, frame: LogFrame) -> None:
        tail = self._tails.get(attempt)
        if tail is not None:
            tail.push(frame, window_bytes(len(self._tails)))
            tail.wake()

    def _wake(self, attempt: AttemptKey) -> None:
        tail = self._tails.get(attempt)
        if tail is not None:
            tail.wake()

    async def _chunk(self, attempt: AttemptKey, offset: int) -> list[LogFrame]:
        source = self._source(attempt)
        if source is None or offset >= source.size:
            return []
        stop = min(source.size, offset + FOLLOW_BYTES)
        frames = _reads(reading.read(self._disk, source, offset, stop))
        return await wait_for(self._loop, self._run_blocking, partial(list, frames))

    def _over(self, attempt: AttemptKey, tail: Tail) -> bool:
        """Whether nothing more can come. Raises when that is not for the best."""
        if self._closed:
            raise LogUnavailable("the log store is closed")
        if tail.deleted or attempt in self._endless or self.ended(attempt) is not None:
            return True
        log = self._find(attempt)
        if log is not None and log.missing is not None and log.missing_stop:
            raise log.missing
        return False

    async def _synced(self) -> LogUnavailable | None:
        outcome: Future[LogUnavailable | None] = self._loop.create_future()
        self.sync(outcome.set_result)
        return await outcome

    def _seal_for_good(self, run: RunLog) -> None:
        ended = all(log.end is not None for log in run.attempts.values())
        if not ended or not run.segments or run.segments[-1].size < SEAL_AT_CLOSE_BYTES:
            return
        try:
            run.seal()
        except LogUnavailable:
            return  # it stays as it is, and is read through when it is needed
        self._syncer.touch(run)


def _from(frame: LogFrame, offset: int) -> LogFrame:
    """The part of a frame from an offset on, without a copy."""
    return LogFrame(offset, frame.step, frame.at_ms, memoryview(frame.data)[offset - frame.offset :])


def _reads(frames: Iterator[LogFrame]) -> Iterator[LogFrame]:
    try:
        yield from frames
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> Exception:
    if isinstance(error, FileNotFoundError):
        return DamagedError("the segment is missing", where=f"{error.filename}:0")
    return LogUnavailable(f"{error.filename}: cannot be read: {error.strerror or error}")
