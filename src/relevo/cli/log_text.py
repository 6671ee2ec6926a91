"""One job's log as text: what each step wrote, under the step's name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from relevo.cli.lines import Lines
from relevo.cli.palette import Palette
from relevo.cli.text import one_line

if TYPE_CHECKING:
    from relevo.logs.contract import LogFrame


class LogText:
    """Of one attempt. `names` holds the steps' names as far as they are known; it may grow."""

    def __init__(self, names: dict[int, str], palette: Palette, *, timestamps: bool) -> None:
        self._names = names
        self._palette = palette
        self._timestamps = timestamps
        self._step = -1
        self._lines = Lines(colours=palette.coloured, annotations=True)
        self._at_ms = 0

    def feed(self, frame: LogFrame) -> list[str]:
        """The lines that are complete now."""
        told: list[str] = []
        if frame.step != self._step:
            told += self.end()
            self._step = frame.step
            name = self._names.get(frame.step, f"step {frame.step + 1}")
            told.append(self._palette("bold", f"▸ {one_line(name)}"))
        self._at_ms = frame.at_ms
        return told + self._stamped(self._lines.feed(bytes(frame.data)))

    def end(self) -> list[str]:
        """The last line, where it has no end of its own."""
        return self._stamped(self._lines.feed(b"", final=True))

    def _stamped(self, lines: list[str]) -> list[str]:
        if self._palette.coloured:
            lines = [f"{line}\x1b[0m" if "\x1b" in line else line for line in lines]
        if not self._timestamps or not lines:
            return lines
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._at_ms / 1000))
        stamp = self._palette("dim", f"{whole}.{self._at_ms % 1000:03}Z")
        return [f"{stamp} {line}" for line in lines]
