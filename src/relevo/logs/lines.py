"""Lines out of the frames of a log: where each begins, which step wrote it, its text."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from relevo.logs.contract import LogFrame

#: Of a line that is longer, so many bytes are told.
LINE_LIMIT: Final = 16 * 1024


class Line(Struct, frozen=True, omit_defaults=True, gc=False):
    """A line without its end. `step` and `at_ms` are those of its first byte."""

    offset: int  #: of its first byte within the attempt
    step: int
    at_ms: int  #: Unix milliseconds
    text: str  #: what is no UTF-8 is replaced
    cut: bool = False  #: it goes on beyond LINE_LIMIT


class LineCutter:
    """Takes frames in order, gives whole lines. Keeps at most LINE_LIMIT bytes of one that is not whole yet."""

    __slots__ = ("_at_ms", "_begun", "_head", "_long", "_step", "offset")

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset  #: of the first byte that is in no line yet
        self._head = b""
        self._begun = False
        self._long = 0  #: bytes of the line beyond its head
        self._step = 0
        self._at_ms = 0

    def feed(self, frame: LogFrame) -> list[Line]:
        """The lines that end in a frame."""
        data = bytes(frame.data)
        found: list[Line] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            found.append(self._line(data, start, end, frame))
            start = end + 1
        if start < len(data):
            self._begin(frame)
            room = LINE_LIMIT - len(self._head)
            rest = len(data) - start
            self._head += data[start : start + room]
            self._long += max(0, rest - room)
        return found

    def end(self) -> list[Line]:
        """What is left when the log ends without a newline."""
        if not self._begun:
            return []
        size = len(self._head) + self._long
        line = Line(self.offset, self._step, self._at_ms, _text(self._head), self._long > 0)
        self._reset(self.offset + size)
        return [line]

    def _begin(self, frame: LogFrame) -> None:
        if not self._begun:
            self._begun = True
            self._step, self._at_ms = frame.step, frame.at_ms

    def _line(self, data: bytes, start: int, end: int, frame: LogFrame) -> Line:
        if not self._begun and end - start <= LINE_LIMIT:
            line = Line(self.offset, frame.step, frame.at_ms, _text(data[start:end]))
            self.offset += end - start + 1
            return line
        self._begin(frame)
        room = LINE_LIMIT - len(self._head)
        head = self._head + data[start : min(end, start + room)]
        size = len(self._head) + self._long + end - start
        line = Line(self.offset, self._step, self._at_ms, _text(head), size > LINE_LIMIT)
        self._reset(self.offset + size + 1)
        return line

    def _reset(self, offset: int) -> None:
        self.offset = offset
        self._head = b""
        self._begun = False
        self._long = 0


def _text(data: bytes) -> str:
    return (data[:-1] if data.endswith(b"\r") else data).decode("utf-8", "replace")
