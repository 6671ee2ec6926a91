"""Where an attempt's bytes stand: sparse points in segments, kept while a segment is open, and as its footer when sealed."""

from __future__ import annotations

from bisect import bisect_right
from struct import pack, unpack
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

#: A point at least every so many bytes of an attempt: what a read by offset or line may have to skip over.
POINT_EVERY: Final = 64 * 1024
#: A point after so many bytes of other attempts: what a read of an attempt between others may have to step through.
POINT_AFTER_OTHERS: Final = 64 * 1024


class Point(NamedTuple):
    """A frame of an attempt, and what comes before it."""

    offset: int  #: of its first byte within the attempt
    line: int  #: newlines before that byte
    position: int  #: of the frame in its segment


class Part(NamedTuple):
    """What a segment holds of an attempt, as far as it was not held before."""

    segment: int
    offset: int  #: of the first byte
    line: int  #: newlines before it


class Entry(Struct, array_like=True):
    """What a sealed segment says of one attempt."""

    job: int
    number: int
    start: int  #: offset of its first byte in this segment
    stop: int
    line: int  #: newlines before `start`
    line_stop: int  #: newlines before `stop`
    points: bytes  #: triples of u64: offset, line, position
    end: tuple[int, bytes] | None = None  #: size and digest, when the end record stands here


class Footer(Struct, array_like=True):
    """The index of a sealed segment."""

    durable: int  #: `place` below which the run was durable when it was sealed
    entries: list[Entry]


_decoder = msgspec.msgpack.Decoder(Footer)
_encoder = msgspec.msgpack.Encoder()


def encode_footer(footer: Footer) -> bytes:
    """As bytes."""
    return _encoder.encode(footer)


def decode_footer(data: bytes) -> Footer:
    """From bytes. Raises msgspec.DecodeError."""
    return _decoder.decode(data)


def pack_points(points: list[Point]) -> bytes:
    """As bytes, for a footer."""
    return pack(f"<{3 * len(points)}Q", *(number for point in points for number in point))


def unpack_points(data: bytes) -> list[Point]:
    """The points of a footer's entry."""
    numbers = unpack(f"<{len(data) // 8}Q", data)
    return [Point(*numbers[at : at + 3]) for at in range(0, len(numbers), 3)]


def wants_point(last: Point | None, last_stop: int, offset: int, position: int) -> bool:
    """Whether the frame at `position` gets a point. `last_stop`: where the attempt's frame before it ended."""
    return last is None or offset - last.offset >= POINT_EVERY or position - last_stop >= POINT_AFTER_OTHERS


def before_offset(points: list[Point], offset: int) -> Point:
    """The last point at or before an offset; the first one when there is none."""
    return points[max(bisect_right(points, offset, key=lambda point: point.offset) - 1, 0)]


def before_line(points: list[Point], line: int) -> Point:
    """The last point with fewer than `line` newlines before it; the first one when there is none."""
    return points[max(bisect_right(points, line - 1, key=lambda point: point.line) - 1, 0)]
