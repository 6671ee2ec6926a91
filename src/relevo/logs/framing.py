"""The bytes of a segment: a header, then frames, each with checksums of its own.

    segment  = header · frame* · [footer frame · trailer]      (footer and trailer: only when sealed)
    header   = magic "relevolg" · version u16 · 0 u16 · crc32
    frame    = head (56 bytes) · payload
    trailer  = position of the footer frame u64 · crc32 · magic "rlfo"

Checksums of heads start from a salt of run, segment and position: a frame that a step printed (somebody shows a segment in
a job), or that was moved, is not taken for one.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from relevo.domain.ids import AttemptKey

VERSION: Final = 1
DATA: Final = 1
END: Final = 2  #: end record: offset = size of the log, payload = digest
MARK: Final = 3  #: says only what is durable (`Head.durable`)
FOOTER: Final = 4  #: index of the segment

FRAME_MAGIC: Final = b"\xf5rlf"
PAYLOAD_MAX: Final = 256 * 1024  #: of all frames but the footer; bounds what one read must hold

_SEGMENT_MAGIC = b"relevolg"
_TRAILER_MAGIC = b"rlfo"
_HEADER = Struct("<8sHHI")
_HEAD = Struct("<4sB3xIIiqQQII")
_CRC = Struct("<I")
_TRAILER = Struct("<QI4s")
HEADER_SIZE: Final = _HEADER.size
HEAD_SIZE: Final = _HEAD.size + _CRC.size
TRAILER_SIZE: Final = _TRAILER.size
_BARE_HEAD = _HEAD.size


class Head(NamedTuple):
    """What stands before a payload."""

    magic: bytes
    kind: int
    job: int
    number: int
    step: int
    at_ms: int
    offset: int  #: of the payload's first byte within its attempt
    durable: int  #: `place` below which all of the run was durable when this was written
    length: int  #: of the payload
    crc: int  #: of the payload


def place(segment: int, position: int) -> int:
    """A position within a run as one number that sorts."""
    return segment << 32 | position


def salt(run: str, segment: int) -> int:
    """What the checksums of a segment start from."""
    return crc32(f"{run}/{segment}".encode())


def pack_header(salt: int) -> bytes:
    """The first bytes of a segment."""
    bare = _HEADER.pack(_SEGMENT_MAGIC, VERSION, 0, 0)[:-4]
    return bare + _CRC.pack(crc32(bare, salt))


def header_version(data: bytes, salt: int) -> int | None:
    """The version that wrote a segment; None when these are not the first bytes of that segment."""
    if len(data) < HEADER_SIZE:
        return None
    magic, version, _, crc = _HEADER.unpack_from(data)
    if magic != _SEGMENT_MAGIC or crc != crc32(data[: HEADER_SIZE - 4], salt):
        return None
    return int(version)


def pack_head(
    salt: int,
    position: int,
    kind: int,
    payload: bytes | memoryview,
    *,
    attempt: AttemptKey | None = None,
    step: int = 0,
    at_ms: int = 0,
    offset: int = 0,
    durable: int = 0,
) -> bytes:
    """The head of a frame that will stand at `position` of the segment with this salt."""
    job, number = (attempt.job, attempt.number) if attempt else (0, 0)
    bare = _HEAD.pack(
        FRAME_MAGIC, kind, job, number, step, at_ms, offset, durable, len(payload), crc32(payload)
    )
    return bare + _CRC.pack(crc32(bare, salt + position & 0xFFFFFFFF))


def unpack_head(data: bytes, at: int, salt: int, position: int) -> Head | None:
    """The head at index `at` of `data`, which stands at `position` of its segment; None when there is no valid one."""
    if data[at : at + 4] != FRAME_MAGIC or at + HEAD_SIZE > len(data):
        return None
    bare_end = at + _BARE_HEAD
    if crc32(data[at:bare_end], salt + position & 0xFFFFFFFF) != _CRC.unpack_from(data, bare_end)[0]:
        return None
    head = Head._make(_HEAD.unpack_from(data, at))
    return head if head.length <= PAYLOAD_MAX or head.kind == FOOTER else None


def pack_trailer(position: int, salt: int) -> bytes:
    """The last bytes of a sealed segment, whose footer frame stands at `position`."""
    packed = position.to_bytes(8, "little")
    return _TRAILER.pack(position, crc32(packed, salt), _TRAILER_MAGIC)


def footer_position(data: bytes, salt: int) -> int | None:
    """Where the footer frame stands, by the segment's last bytes; None when it is not sealed."""
    if len(data) != TRAILER_SIZE:
        return None
    position, crc, magic = _TRAILER.unpack(data)
    if magic != _TRAILER_MAGIC or crc != crc32(data[:8], salt):
        return None
    return int(position)
