"""The log of one run: its segments on disk, and what is known of each attempt. Not thread-safe: the loop owns it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from relevo.domain.errors import DamagedError
from relevo.domain.ids import AttemptKey
from relevo.logs.contract import LogEnd, LogUnavailable
from relevo.logs.framing import (
    DATA,
    END,
    FOOTER,
    HEAD_SIZE,
    HEADER_SIZE,
    MARK,
    pack_head,
    pack_header,
    pack_trailer,
    place,
    salt,
)
from relevo.logs.index import Entry, Footer, Part, Point, encode_footer, pack_points, wants_point
from relevo.runtime.disk import AppendFile, Disk
from relevo.runtime.failpoints import reach

if TYPE_CHECKING:
    from blake3 import blake3

#: A segment is sealed before it grows beyond this (its footer comes on top). Small enough that reading an unsealed one through
#: after a crash takes a fraction of a second, large enough that a log of 1 GB is 64 files.
SEGMENT_BYTES: Final = 16 * 1024 * 1024


class Held:
    """What a segment that is not sealed holds of one attempt."""

    __slots__ = ("end", "last_stop", "line", "line_stop", "points", "start", "stop")

    def __init__(self, start: int, line: int) -> None:
        self.start = self.stop = start
        self.line = self.line_stop = line
        self.points: list[Point] = []
        self.last_stop = 0  #: position after its newest frame
        self.end: LogEnd | None = None

    def add(self, position: int, size: int, newlines: int) -> None:
        """A frame of `size` bytes at `position` continues it."""
        if wants_point(self.points[-1] if self.points else None, self.last_stop, self.stop, position):
            self.points.append(Point(self.stop, self.line_stop, position))
        self.stop += size
        self.line_stop += newlines
        self.last_stop = position + HEAD_SIZE + size


class Segment:
    """One file."""

    __slots__ = (
        "damaged",
        "file",
        "held",
        "index",
        "named",
        "path",
        "salt",
        "sealed",
        "size",
        "suspect",
        "torn",
    )

    def __init__(self, folder: str, run: str, index: int) -> None:
        self.index = index
        self.path = f"{folder}/{index:06}.seg"
        self.salt = salt(run, index)
        self.size = 0  #: where the next frame goes; bytes of the file beyond it do not count
        self.sealed = False
        self.damaged = False  #: never appended to
        #: found with bytes that were perhaps never durable: an earlier process may have failed to sync them, and then the
        #: kernel takes them for clean. It is sealed before more is written, and written anew by the next sync.
        self.suspect = False
        self.torn = False  #: the file may be longer than `size`: a write failed
        self.named = True  #: its name in the folder is durable
        self.held: dict[tuple[int, int], Held] | None = {}  #: None once sealed: the footer has it
        self.file: AppendFile | None = None

    def close(self) -> None:
        """Give the descriptor back."""
        if self.file is not None:
            self.file.close()
            self.file = None


class AttemptLog:
    """What is known of the log of one attempt."""

    __slots__ = ("end", "hashed", "hasher", "hashing", "lines", "missing", "missing_stop", "parts", "size")

    def __init__(self) -> None:
        self.size = 0
        self.lines = 0  #: newlines in it
        self.parts: list[Part] = []
        self.end: LogEnd | None = None
        self.hasher: blake3 | None = None
        self.hashed = 0  #: bytes that went through `hasher`
        self.hashing = False  #: a worker brings a copy of `hasher` up to `size`
        self.missing: DamagedError | None = None  #: why what follows `size` is lost
        self.missing_stop = 0  #: held again when `size` reaches this; 0: as soon as its sender goes on

    def extend(self, segment: Segment, key: tuple[int, int], position: int, size: int, newlines: int) -> None:
        """A frame at `position` of a segment continues the log."""
        assert segment.held is not None
        held = segment.held.get(key)
        if held is None:
            held = segment.held[key] = Held(self.size, self.lines)
            self.parts.append(Part(segment.index, self.size, self.lines))
        held.add(position, size, newlines)
        self.size += size
        self.lines += newlines
        if self.missing is not None and self.size >= self.missing_stop:
            self.missing = None

    def finish(self, segment: Segment, key: tuple[int, int], end: LogEnd) -> None:
        """The end record stands in a segment."""
        assert segment.held is not None
        held = segment.held.get(key)
        if held is None:
            held = segment.held[key] = Held(self.size, self.lines)
        held.end = self.end = end


class RunLog:
    """All attempts' logs of one run."""

    def __init__(self, disk: Disk, folder: str, run: str) -> None:
        self._disk = disk
        self.folder = folder
        self.run = run
        self.segments: list[Segment] = []
        self.attempts: dict[tuple[int, int], AttemptLog] = {}
        self.damage: list[str] = []  #: each names file and position
        self.doomed: list[str] = []  #: files of what a crash tore; removed before anything is written
        self.durable = 0  #: `place` below which everything survives the loss of power
        self.written = 0  #: `place` after the newest frame that is no mark
        self.content = 0  #: `place` after the newest frame with a byte of a log or an end record
        self.told = 0  #: what the newest frame says of `durable`
        self.named = True  #: the folder's own name is durable
        self.in_sync = False  #: a worker uses its descriptors
        self.failed = ""  #: why its newest sync failed; nothing is written until one succeeds
        self.gone = False  #: deleted
        self.owns: Callable[[], bool] = lambda: True  #: nobody has taken over the folder since

    @property
    def dirty(self) -> bool:
        """Whether there is something to sync."""
        return self.written > self.durable

    def append(self, key: AttemptKey, log: AttemptLog, data: bytes, *, step: int, at_ms: int) -> None:
        """Write at most PAYLOAD_MAX bytes that continue an attempt's log.

        Raises LogUnavailable; then what was held before is still exact.
        """
        segment = self._writable(HEAD_SIZE + len(data))
        position = self._add(segment, DATA, data, attempt=key, step=step, at_ms=at_ms, offset=log.size)
        log.extend(segment, key[1:], position, len(data), data.count(b"\n"))

    def append_end(self, key: AttemptKey, log: AttemptLog, end: LogEnd) -> None:
        """Write an end record. Raises LogUnavailable."""
        segment = self._writable(HEAD_SIZE + len(end.digest))
        self._add(segment, END, end.digest, attempt=key, offset=end.size_bytes)
        log.finish(segment, key[1:], end)

    def synced(self, upto: int) -> None:
        """All below a `place` is durable."""
        self.durable = max(self.durable, upto)
        for segment in self.segments[:-1]:
            if place(segment.index, segment.size) <= upto:
                segment.close()

    def tell(self) -> bool:
        """Write down what is durable, in a frame of its own, if no frame says it yet: later damage is not to look like a torn write.

        False when it cannot be written now.
        """
        if not self.segments or self.dirty or self.told >= self.content:
            return True
        segment, written = self.segments[-1], self.written
        was_open = segment.file is not None
        try:
            if segment.sealed or segment.damaged:
                segment, was_open = self._next_segment(), False
            self._add(segment, MARK, b"")
        except LogUnavailable:
            return False
        finally:
            if not was_open:
                segment.close()
        self.written = written
        return True

    def release(self) -> None:
        """Close all descriptors; they open again when needed."""
        for segment in self.segments:
            segment.close()

    def seal(self) -> None:
        """Write the index of the newest segment and end it. Raises LogUnavailable; then it is as before."""
        segment = self.segments[-1]
        if not segment.sealed and not segment.damaged and segment.size > HEADER_SIZE:
            self._seal(segment)

    def seal_earlier(self) -> None:
        """Give every segment but the newest the index that the loss of power took from it.

        Before anything in a later one becomes durable: from then on a segment without index counts as cut. Raises LogUnavailable.
        """
        for segment in self.segments[:-1]:
            if not segment.sealed and not segment.damaged:
                self._seal(segment)

    def _seal(self, segment: Segment) -> None:
        reach("logs.at-seal")
        assert segment.held is not None
        entries = [
            Entry(
                job=job,
                number=number,
                start=held.start,
                stop=held.stop,
                line=held.line,
                line_stop=held.line_stop,
                points=pack_points(held.points),
                end=(held.end.size_bytes, held.end.digest) if held.end else None,
            )
            for (job, number), held in segment.held.items()
        ]
        payload = encode_footer(Footer(self.durable, entries))
        header = [] if segment.size else [pack_header(segment.salt)]
        position = segment.size or HEADER_SIZE
        head = pack_head(segment.salt, position, FOOTER, payload, durable=self.durable)
        self._write(segment, [*header, head, payload, pack_trailer(position, segment.salt)])
        self.told = self.durable
        segment.sealed = True
        segment.held = None

    def _add(
        self,
        segment: Segment,
        kind: int,
        payload: bytes,
        *,
        attempt: AttemptKey | None = None,
        step: int = 0,
        at_ms: int = 0,
        offset: int = 0,
    ) -> int:
        """Append one frame to a segment; returns where it stands."""
        parts: list[bytes | memoryview] = [] if segment.size else [pack_header(segment.salt)]
        position = segment.size or HEADER_SIZE
        head = pack_head(
            segment.salt,
            position,
            kind,
            payload,
            attempt=attempt,
            step=step,
            at_ms=at_ms,
            offset=offset,
            durable=self.durable,
        )
        self._write(segment, [*parts, head, payload])
        self.told = self.durable
        if kind != MARK:
            self.content = self.written
        return position

    def _write(self, segment: Segment, parts: list[bytes | memoryview]) -> None:
        try:
            file = segment.file or self._open(segment)
            if segment.torn or self._disk.size(segment.path) != segment.size:
                self._cut(segment, file)
            file.writev(parts)
        except OSError as error:
            segment.torn = True
            raise unavailable(segment.path, error) from error
        segment.size += sum(len(part) for part in parts)
        self.written = max(self.written, place(segment.index, segment.size))

    def _cut(self, segment: Segment, file: AppendFile) -> None:
        """Cut what does not count: a write of its own that failed, or what an engine wrote that was taken over."""
        if not self.owns():
            raise OSError(errno.ESTALE, "another engine writes the logs now")
        file.truncate(segment.size)
        segment.torn = False

    def _writable(self, size: int) -> Segment:
        """The segment that takes the next `size` bytes."""
        if self.failed:
            raise LogUnavailable(f"log of run {self.run}: {self.failed}")
        segment = self.segments[-1] if self.segments else None
        if segment is not None and segment.suspect and self.in_sync:
            raise LogUnavailable(f"{segment.path}: it is being made durable; then it takes more")
        full = segment is not None and segment.size + size > SEGMENT_BYTES and segment.size > HEADER_SIZE
        if segment is not None and (full or segment.suspect):
            self.seal()
        if segment is None or segment.sealed or segment.damaged:
            return self._next_segment()
        return segment

    def _next_segment(self) -> Segment:
        new = Segment(self.folder, self.run, self.segments[-1].index + 1 if self.segments else 1)
        new.named = False
        try:
            if not self.segments:
                self.named = False
                self._disk.make(self.folder)
            self._open(new)
        except OSError as error:
            raise unavailable(new.path, error) from error
        self.segments.append(new)
        return new

    def _open(self, segment: Segment) -> AppendFile:
        """Open a segment, cut to what counts of it."""
        while self.doomed:
            self._disk.remove(self.doomed[-1])
            self.doomed.pop()
        file = self._disk.append(segment.path, durable=False)
        try:
            if file.size < segment.size:
                raise OSError(
                    errno.EIO, f"cut to {file.size} bytes by somebody else, {segment.size} were written"
                )
            if file.size > segment.size:
                self._cut(segment, file)
        except OSError:
            file.close()
            raise
        segment.file = file
        return file


def unavailable(path: str, error: OSError) -> LogUnavailable:
    """What to tell of an error of the disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LogUnavailable(f"{path}: the disk is full; logs go on when there is room", full=True)
    return LogUnavailable(f"{path}: cannot be written: {error.strerror or error}")
