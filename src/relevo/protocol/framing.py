"""Frames on a byte stream: four bytes of length, big-endian, then one message as msgpack."""

from __future__ import annotations

from typing import Final

from relevo.domain.errors import RelevoError

#: Bytes of one message at most. Whoever sends more is cut off: memory is bounded before trust.
FRAME_LIMIT: Final = 32 << 20


class FrameTooLong(RelevoError):
    """The peer sent a frame over the limit, or bytes that are no frame."""


def frame(message: bytes) -> bytes:
    """A message as it goes on the stream."""
    return len(message).to_bytes(4, "big") + message


class FrameReader:
    """Cuts a byte stream into messages, whatever the chunks."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Messages that are complete with these bytes. Raises FrameTooLong."""
        buffer = self._buffer
        buffer += data
        messages = []
        position = 0
        available = len(buffer)
        while available - position >= 4:
            size = int.from_bytes(buffer[position : position + 4], "big")
            if size > FRAME_LIMIT:
                raise FrameTooLong(f"a frame of {size} bytes, at most {FRAME_LIMIT} are taken")
            end = position + 4 + size
            if end > available:
                break
            messages.append(bytes(memoryview(buffer)[position + 4 : end]))
            position = end
        if position:
            del buffer[:position]
        return messages
