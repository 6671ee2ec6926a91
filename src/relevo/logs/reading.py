"""Bytes of an attempt out of its segments, a block at a time. Works in any thread on a `Source` that the loop took."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

from relevo.domain.errors import DamagedError
from relevo.domain.ids import AttemptKey
from relevo.logs.contract import LogFrame
from relevo.logs.framing import DATA, HEAD_SIZE, unpack_head
from relevo.logs.index import Part, Point, before_line, before_offset, unpack_points
from relevo.logs.recovery import read_footer
from relevo.logs.scan import BLOCK, Window, next_frame
from relevo.logs.segments import AttemptLog, RunLog, Segment
from relevo.runtime.disk import Disk

BLOCK_LEAST: Final = 16 * 1024


class Source(NamedTuple):
    """An attempt's log at one moment: does not change when more is written."""

    key: AttemptKey
    size: int
    lines: int
    parts: list[Part]
    segments: list[
        tuple[Segment, int, list[Point] | None]
    ]  #: of each part, with its size and, when not sealed, its points
    missing: DamagedError | None


def source(run: RunLog, key: AttemptKey, attempt: AttemptLog) -> Source:
    """What is held now."""
    # In this order it may be called beside a loop that writes: what is read later may only know more.
    lines, size = attempt.lines, attempt.size
    parts = list(attempt.parts)
    by_index = {segment.index: segment for segment in run.segments}
    segments: list[tuple[Segment, int, list[Point] | None]] = []
    for part in parts:
        segment = by_index[part.segment]
        held = segment.held
        points = list(held[key[1:]].points) if held is not None else None
        segments.append((segment, segment.size, points))
    return Source(key, size, lines, parts, segments, attempt.missing)


def read(disk: Disk, log: Source, start: int, stop: int | None) -> Iterator[LogFrame]:
    """Frames with the bytes [start, stop), cut to fit. Raises DamagedError, OSError."""
    wanted = log.size if stop is None else min(stop, log.size)
    number = max(bisect_right(log.parts, start, key=lambda part: part.offset) - 1, 0)
    expected = start
    while expected < wanted and number < len(log.parts):
        last = number + 1 == len(log.parts)
        part_stop = min(wanted, log.size if last else log.parts[number + 1].offset)
        segment, size, points = log.segments[number]
        position = before_offset(_points(disk, log, segment, size, points), expected).position
        yield from _walk(disk, log.key, segment, size, position, expected, part_stop)
        expected = part_stop
        number += 1
    if log.missing is not None and (stop is None or stop > log.size):
        raise log.missing


def line_offset(disk: Disk, log: Source, line: int) -> int:
    """Offset of the first byte of a line, counted from 0; the log's size when there are fewer. Raises DamagedError, OSError."""
    if line <= 0:
        return 0
    if line > log.lines:
        return log.size
    number = max(bisect_right(log.parts, line - 1, key=lambda part: part.line) - 1, 0)
    segment, size, points = log.segments[number]
    point = before_line(_points(disk, log, segment, size, points), line)
    # in a segment that was begun twice the point may lie before what counts of it
    newlines = point.line
    part_stop = log.parts[number + 1].offset if number + 1 < len(log.parts) else log.size
    for frame in _walk(disk, log.key, segment, size, point.position, point.offset, part_stop):
        data = bytes(frame.data)
        here = data.count(b"\n")
        if newlines + here >= line:
            return frame.offset + _after_newline(data, line - newlines)
        newlines += here
    return part_stop


def _after_newline(data: bytes, count: int) -> int:
    """Index after the count-th newline; there are that many."""
    at, step = 0, len(data) // 2
    while step > 64:
        here = data.count(b"\n", at, at + step)
        if here < count:
            at += step
            count -= here
        step //= 2
    for _ in range(count):
        at = data.index(b"\n", at) + 1
    return at


def _points(disk: Disk, log: Source, segment: Segment, size: int, points: list[Point] | None) -> list[Point]:
    if points is not None:
        return points
    footer = read_footer(disk, segment.path, size, segment.salt)
    if footer is None:
        raise DamagedError("the index of the segment is damaged", where=f"{segment.path}:{size}")
    job, number = log.key[1:]
    for entry in footer.entries:
        if entry.job == job and entry.number == number:
            return unpack_points(entry.points)
    raise DamagedError(f"the index does not know the log of {log.key}", where=f"{segment.path}:{size}")


def _walk(
    disk: Disk, key: AttemptKey, segment: Segment, size: int, position: int, expected: int, stop: int
) -> Iterator[LogFrame]:
    """Frames of an attempt with the bytes [expected, stop), from the frame at `position` on. Others' bytes are not looked at."""
    block_size = min(BLOCK, max(BLOCK_LEAST, stop - expected))
    window = Window(disk, segment.path, size, block_size)
    bad: int | None = None
    while expected < stop and position < size:
        at = window.reach(position, HEAD_SIZE)
        head = unpack_head(window.block, at, segment.salt, position)
        if head is None:
            bad = position if bad is None else bad
            position = next_frame(window, position + 1, segment.salt)
            continue
        after = position + HEAD_SIZE + head.length
        if head.kind == DATA and head.job == key.job and head.number == key.number:
            if head.offset > expected:
                break
            skip = expected - head.offset
            if skip < head.length:
                at = window.reach(position, HEAD_SIZE + head.length) + HEAD_SIZE
                data = window.block[at : at + head.length]
                if len(data) != head.length or crc32(data) != head.crc:
                    raise DamagedError(
                        f"log of {key}: the checksum is off", where=f"{segment.path}:{position}"
                    )
                cut = min(head.length, stop - head.offset)
                yield LogFrame(
                    expected, head.step, head.at_ms, data[skip:cut] if skip or cut < head.length else data
                )
                expected = head.offset + cut
        position = after
    if expected < stop:
        at_fault = bad if bad is not None else position
        raise DamagedError(
            f"log of {key}: bytes from {expected} on are missing", where=f"{segment.path}:{at_fault}"
        )
