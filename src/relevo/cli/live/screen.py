"""The bottom of a terminal that is drawn again and again: what to send so that it shows new lines."""

from __future__ import annotations

from typing import Final

from relevo.cli.cells import cells
from relevo.cli.text import undressed

#: Between these a terminal that can shows nothing half-drawn. The cursor is hidden only while drawing: whoever ends this process,
#: the terminal stays usable.
_BEGIN: Final = "\x1b[?2026h\x1b[?25l"
_END: Final = "\x1b[?25h\x1b[?2026l"
_CLEAR_LINE: Final = "\x1b[K"
_CLEAR_BELOW: Final = "\x1b[J"


class Screen:
    """Remembers what it has drawn. The cursor always rests at the beginning of the last line."""

    __slots__ = ("_drawn", "_width")

    def __init__(self) -> None:
        self._drawn: list[str] = []
        self._width = 0

    def paint(self, above: list[str], frame: list[str], width: int) -> str:
        """What to send so that `above` stays as lines and `frame` stands under it; "" when nothing changes."""
        if not above and frame == self._drawn and width == self._width:
            return ""
        if above or len(frame) != len(self._drawn) or width != self._width:
            text = self._whole(above, frame, width)
        else:
            text = self._changes(frame)
        self._drawn = frame
        self._width = width
        return f"{_BEGIN}{text}{_END}"

    def forget(self) -> None:
        """Somebody else has written: what stands there stays, and drawing begins under it."""
        self._drawn = []

    def _whole(self, above: list[str], frame: list[str], width: int) -> str:
        end = "\r" if frame or not above else "\r\n"
        return f"\r{_up(self._rows_above(width))}{_CLEAR_BELOW}" + "\r\n".join([*above, *frame]) + end

    def _changes(self, frame: list[str]) -> str:
        text = "\r"
        row = len(frame) - 1
        last = len(frame) - 1
        for index, line in enumerate(frame):
            # The last is always written: what was typed stands there.
            if line != self._drawn[index] or index == last:
                text += f"{_up(row - index) or _down(index - row)}{line}{_CLEAR_LINE}\r"
                row = index
        return text

    def _rows_above(self, width: int) -> int:
        """Rows from the cursor's up to the first one that was drawn, as a terminal has wrapped them that became narrower."""
        above = self._drawn[:-1]
        if width >= self._width:
            return len(above)
        return sum(max(1, -(-cells(undressed(line)) // width)) for line in above)


def _up(count: int) -> str:
    return f"\x1b[{count}A" if count > 0 else ""


def _down(count: int) -> str:
    return f"\x1b[{count}B" if count > 0 else ""
