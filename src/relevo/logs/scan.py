"""Reading a segment from its bytes alone: every good frame, and every stretch that is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

from relevo.logs.framing import (
    FOOTER,
    FRAME_MAGIC,
    HEAD_SIZE,
    HEADER_SIZE,
    PAYLOAD_MAX,
    TRAILER_SIZE,
    VERSION,
    Head,
    header_version,
    unpack_head,
)
from relevo.runtime.disk import Disk

BLOCK: Final = 512 * 1024  #: bytes read at a time; holds any frame but a footer


class Frame(NamedTuple):
    """A frame whose checksums agree."""

    position: int
    head: Head
    payload: bytes


class Bad(NamedTuple):
    """Bytes [position, stop) are no frames."""

    position: int
    stop: int


class NewerSegment(NamedTuple):
    """A later relevo wrote this segment."""

    version: int


class Window:
    """A moving view of a file, one block in memory."""

    def __init__(self, disk: Disk, path: str, size: int, block_size: int = BLOCK) -> None:
        self._block_size = block_size
        self._disk = disk
        self._path = path
        self.size = size
        self.start = 0
        self.block = b""

    def reach(self, position: int, size: int) -> int:
        """Make bytes [position, position + size) part of `block`, as far as the file has them; returns the index of `position`."""
        at = position - self.start
        if at < 0 or at + size > len(self.block):
            wanted = min(max(size, self._block_size), max(self.size - position, 0))
            self.block = self._disk.read(self._path, position, wanted) if wanted else b""
            self.start = position
            at = 0
        return at


def scan(disk: Disk, path: str, size: int, salt: int) -> Iterator[Frame | Bad | NewerSegment]:
    """All that stands in the first `size` bytes of a segment, in order. A trailer belongs to its footer frame.

    After bad bytes it goes on at the next frame whose checksums agree.
    """
    window = Window(disk, path, size)
    at = window.reach(0, HEADER_SIZE)
    version = header_version(window.block[at : at + HEADER_SIZE], salt)
    if version is not None and version > VERSION:
        yield NewerSegment(version)
        return
    position = min(HEADER_SIZE, size)
    if version is None and size:
        yield Bad(0, position)
    while position < size:
        frame = _frame(window, position, salt)
        if frame is None:
            stop = next_frame(window, position + 1, salt)
            yield Bad(position, stop)
            position = stop
            continue
        yield frame
        position += HEAD_SIZE + frame.head.length
        if frame.head.kind == FOOTER:
            position += TRAILER_SIZE


def _frame(window: Window, position: int, salt: int) -> Frame | None:
    at = window.reach(position, HEAD_SIZE)
    head = unpack_head(window.block, at, salt, position)
    if head is None or position + HEAD_SIZE + head.length > window.size:
        return None
    at = window.reach(position, HEAD_SIZE + head.length) + HEAD_SIZE
    payload = window.block[at : at + head.length]
    if len(payload) != head.length or crc32(payload) != head.crc:
        return None
    return Frame(position, head, payload)


def next_frame(window: Window, position: int, salt: int) -> int:
    """Where the next good frame begins; the file's size when there is none."""
    while position < window.size:
        at = window.reach(position, HEAD_SIZE + PAYLOAD_MAX)
        found = window.block.find(FRAME_MAGIC, at)
        if found < 0:
            # the last bytes may be the beginning of a magic that goes on in the next block
            position = max(position + 1, window.start + len(window.block) - len(FRAME_MAGIC) + 1)
            continue
        position = window.start + found
        if _frame(window, position, salt) is not None:
            return position
        position += 1
    return window.size
