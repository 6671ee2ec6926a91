"""What the segments of a run hold, by their bytes alone.

Two things look alike: a write that a crash tore, and bytes that rotted. They are told apart by what frames say of durability:
every frame carries the place below which all was durable (and so perhaps acknowledged) when it was written. Bad bytes above
the highest such place were never acknowledged: the log is cut there, and senders send again. Bad bytes below it are damage:
named, never cut, and what comes after is still read. Nothing is written here; `RunLog` cuts when it next writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

import msgspec

from relevo.domain.errors import DamagedError
from relevo.logs.contract import LogEnd
from relevo.logs.framing import (
    DATA,
    END,
    FOOTER,
    HEAD_SIZE,
    HEADER_SIZE,
    MARK,
    TRAILER_SIZE,
    Head,
    footer_position,
    place,
    unpack_head,
)
from relevo.logs.index import Footer, Part, decode_footer
from relevo.logs.scan import Bad, Frame, NewerSegment, scan
from relevo.logs.segments import AttemptLog, RunLog, Segment
from relevo.runtime.disk import Disk

_SUFFIX = ".seg"


class _Found(NamedTuple):
    """A frame without its bytes."""

    position: int
    head: Head
    newlines: int
    digest: bytes  #: of an end record


class _Read(NamedTuple):
    """What a segment says."""

    segment: Segment
    footer: Footer | None
    found: list[_Found | Bad]


class Live(NamedTuple):
    """What the process that writes a run knows of it."""

    sizes: dict[str, int]  #: of its segments, by path
    durable: int


def recover(disk: Disk, folder: str, run: str) -> RunLog:
    """The log of a run as its files hold it; one without segments when there are none.

    Raises DamagedError for a segment that a later relevo wrote, OSError.
    """
    return _recover(disk, folder, run, None)


def examine(disk: Disk, folder: str, run: str, live: Live) -> RunLog:
    """As `recover`, but every byte of every segment is looked at. Raises as it does."""
    return _recover(disk, folder, run, live)


def _recover(disk: Disk, folder: str, run: str, live: Live | None) -> RunLog:
    log = RunLog(disk, folder, run)
    names = [name for name in disk.list(folder) if _is_segment(name)]
    indices = sorted(int(name[: -len(_SUFFIX)]) for name in names)
    if live is not None:
        indices = [index for index in indices if f"{folder}/{index:06}{_SUFFIX}" in live.sizes]
    reads = [_read(disk, Segment(folder, run, index), live) for index in indices]
    durable = max((_durable(read) for read in reads), default=0)
    if live is not None:
        durable = max(durable, live.durable)
        log.damage.extend(_cut_while_live(reads, live))
    for at, (expected, read) in enumerate(zip(_expected(indices), reads, strict=True)):
        missing = expected != read.segment.index
        if missing and place(expected, 0) >= durable:
            log.doomed = [later.segment.path for later in reads[at:]]
            break
        if missing:
            log.damage.append(f"{folder}/{expected:06}{_SUFFIX}:0: the segment is missing")
        if not _take(log, read, durable, last=read is reads[-1]):
            log.doomed = [later.segment.path for later in reads[at + 1 :]]
            break
    _doubt_open_ends(log)
    log.written = max((_written(read) for read in reads if read.segment in log.segments), default=0)
    log.content = log.written
    log.told = durable
    # What was found may lie in the page cache only, if merely the process died: the next sync covers it.
    log.durable = min(log.written, durable)
    log.named = log.durable > 0
    for segment in log.segments:
        if segment.size <= HEADER_SIZE and not segment.damaged:
            # Begun anew, header and all: if a sync of it failed, the kernel may take the header for clean.
            segment.size = 0
        segment.named = place(segment.index, 0) < log.durable
        newest = min(place(segment.index, segment.size), log.written)
        segment.suspect = newest > log.durable and segment.size > 0 and not segment.damaged
    return log


def _is_segment(name: str) -> bool:
    return name.endswith(_SUFFIX) and name[: -len(_SUFFIX)].isdigit()


def _expected(indices: list[int]) -> Iterator[int]:
    """For each segment the number that should come."""
    after = 0
    for index in indices:
        yield after + 1
        after = index


def _cut_while_live(reads: list[_Read], live: Live) -> Iterator[str]:
    found = {read.segment.path: read.segment.size for read in reads}
    for path, size in live.sizes.items():
        if found.get(path, 0) < size:
            yield f"{path}:{found.get(path, 0)}: cut, {size} bytes were written"


def _read(disk: Disk, segment: Segment, live: Live | None) -> _Read:
    size = disk.size(segment.path)
    segment.size = min(size, live.sizes[segment.path]) if live is not None else size
    footer = read_footer(disk, segment.path, segment.size, segment.salt)
    if footer is not None and live is None:
        return _Read(segment, footer, [])
    found: list[_Found | Bad] = []
    for item in scan(disk, segment.path, segment.size, segment.salt):
        if isinstance(item, NewerSegment):
            raise DamagedError(
                f"written by a later relevo (format {item.version}): use that one", where=f"{segment.path}:0"
            )
        if isinstance(item, Bad):
            found.append(item)
        elif item.head.kind != FOOTER:
            found.append(_without_bytes(item))
        elif footer is None:
            found.append(Bad(item.position, segment.size))  # sealing did not come to its end
            break
    return _Read(segment, footer, found)


def _without_bytes(frame: Frame) -> _Found:
    kind = frame.head.kind
    newlines = frame.payload.count(b"\n") if kind == DATA else 0
    return _Found(frame.position, frame.head, newlines, frame.payload if kind == END else b"")


def read_footer(disk: Disk, path: str, size: int, salt: int) -> Footer | None:
    """The index of a segment of `size` bytes; None when it is not sealed, or its index is damaged."""
    at = size - TRAILER_SIZE
    if at < 0:
        return None
    position = footer_position(disk.read(path, at, TRAILER_SIZE), salt)
    if position is None or position > at:
        return None
    data = disk.read(path, position, at - position)
    head = unpack_head(data, 0, salt, position)
    if head is None or head.kind != FOOTER or HEAD_SIZE + head.length != len(data):
        return None
    payload = data[HEAD_SIZE:]
    try:
        return decode_footer(payload) if crc32(payload) == head.crc else None
    except msgspec.DecodeError:
        return None


def _durable(read: _Read) -> int:
    known = max((item.head.durable for item in read.found if isinstance(item, _Found)), default=0)
    return max(known, read.footer.durable if read.footer else 0)


def _written(read: _Read) -> int:
    """The `place` after the newest frame that counts and is no mark."""
    segment = read.segment
    if read.footer is not None:
        return place(segment.index, segment.size)
    frames = [item for item in read.found if isinstance(item, _Found) and item.head.kind != MARK]
    stops = [frame.position + HEAD_SIZE + frame.head.length for frame in frames]
    return max((place(segment.index, stop) for stop in stops if stop <= segment.size), default=0)


def _take(log: RunLog, read: _Read, durable: int, *, last: bool) -> bool:
    """Add what a segment holds; False when the log is cut in it, and nothing after it counts."""
    segment, footer, found = read
    log.segments.append(segment)
    bad = [item for item in found if isinstance(item, Bad)]
    torn = next((item for item in bad if place(segment.index, item.position) >= durable), None)
    if footer is not None:
        torn = None
        segment.sealed = True
        segment.held = None
    for item in bad:
        if torn is None or item.position < torn.position:
            segment.damaged = True
            log.damage.append(
                f"{segment.path}:{item.position}: {item.stop - item.position} bytes are damaged"
            )
    if footer is not None:
        _take_footer(log, segment, footer)
        return True
    if not last and torn is None and not bad and durable > place(segment.index, segment.size):
        segment.damaged = True
        log.damage.append(f"{segment.path}:{segment.size}: cut, its index is missing")
    for frame in found:
        if torn is not None and frame.position >= torn.position:
            break
        if isinstance(frame, _Found):
            _take_frame(log, segment, frame)
    if torn is not None:
        segment.size = torn.position
    return torn is None


def _attempt(log: RunLog, key: tuple[int, int]) -> AttemptLog:
    attempt = log.attempts.get(key)
    if attempt is None:
        attempt = log.attempts[key] = AttemptLog()
    return attempt


def _miss(attempt: AttemptLog, segment: Segment, position: int, stop: int) -> None:
    """What is held ends before what is found at `position`: the bytes up to `stop` are not all there."""
    if attempt.missing is None:
        where = f"{segment.path}:{position}"
        attempt.missing = DamagedError(
            f"log bytes from {attempt.size} on are missing before this", where=where
        )
    attempt.missing_stop = max(attempt.missing_stop, stop)


def _take_footer(log: RunLog, segment: Segment, footer: Footer) -> None:
    for entry in footer.entries:
        attempt = _attempt(log, (entry.job, entry.number))
        if entry.start > attempt.size:
            _miss(attempt, segment, 0, entry.stop)
        elif entry.stop > attempt.size:
            attempt.parts.append(Part(segment.index, attempt.size, attempt.lines))
            attempt.size = entry.stop
            attempt.lines = entry.line_stop
        if entry.end is not None:
            _take_end(attempt, segment, 0, LogEnd(*entry.end))


def _take_frame(log: RunLog, segment: Segment, frame: _Found) -> None:
    position, head, newlines, digest = frame
    key = (head.job, head.number)
    if head.kind == DATA:
        attempt = _attempt(log, key)
        if head.offset == attempt.size:
            attempt.extend(segment, key, position, head.length, newlines)
        elif head.offset > attempt.size:
            _miss(attempt, segment, position, head.offset + head.length)
    elif head.kind == END:
        attempt = _attempt(log, key)
        end = LogEnd(head.offset, digest)
        _take_end(attempt, segment, position, end)
        if attempt.end == end:
            attempt.finish(segment, key, end)


def _take_end(attempt: AttemptLog, segment: Segment, position: int, end: LogEnd) -> None:
    if end.size_bytes == attempt.size:
        attempt.end = end
    elif end.size_bytes > attempt.size:
        _miss(attempt, segment, position, end.size_bytes)


def _doubt_open_ends(log: RunLog) -> None:
    """In a damaged run nobody can tell whether a log without an end record is whole, unless its sender goes on."""
    if not log.damage:
        return
    for attempt in log.attempts.values():
        if attempt.end is None and attempt.missing is None:
            message, where = "the log may be cut: its run is damaged", log.damage[0]
            attempt.missing = DamagedError(message, where=where)
            attempt.missing_stop = 0
