"""A terminal that shows what it is sent, as far as the live view sends it: it fails on anything else."""

from __future__ import annotations

import re

from relevo.cli.cells import cells

_SEQUENCE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|\x1b\]8;;[^\x1b]*\x1b\\|[\r\n]|[^\x1b\r\n]")
#: Stands in the second cell of a wide character.
WIDE = "\0"


class Terminal:
    """`rows` × `columns`; what scrolls out at the top stays in `scrolled`."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self.scrolled: list[str] = []
        self._screen: list[list[str]] = [[] for _ in range(rows)]
        self._row = 0
        self._column = 0
        self.cursor_shown = True
        self.wrapped = 0  #: how often a line was too long

    def feed(self, text: str) -> None:
        """Take what was sent."""
        end = 0
        for found in _SEQUENCE.finditer(text):
            assert found.start() == end, f"not known: {text[end : end + 20]!r}"
            end = found.end()
            self._take(found)
        assert end == len(text), f"not known: {text[end : end + 20]!r}"

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without the empty lines at its end."""
        shown = ["".join(cell for cell in row if cell != WIDE).rstrip() for row in self._screen]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    @property
    def everything(self) -> list[str]:
        """The screen under all that has scrolled away."""
        return [*self.scrolled, *self.lines]

    def _take(self, found: re.Match[str]) -> None:
        text = found.group()
        if found[2]:
            self._command(found[1], found[2])
        elif text == "\r":
            self._column = 0
        elif text == "\n":
            self._line_feed()
        elif not text.startswith("\x1b"):
            self._put(text)

    def _command(self, argument: str, command: str) -> None:
        match command:
            case "A":
                self._row = max(0, self._row - int(argument or 1))
            case "B":
                self._row = min(self.rows - 1, self._row + int(argument or 1))
            case "J" | "K":
                del self._screen[self._row][self._column :]
                if command == "J":
                    for row in self._screen[self._row + 1 :]:
                        row.clear()
            case "h" | "l" if argument == "?25":
                self.cursor_shown = command == "h"
            case "m":
                pass
            case _:
                assert argument == "?2026", (argument, command)

    def _line_feed(self) -> None:
        if self._row == self.rows - 1:
            self.scrolled.append("".join(cell for cell in self._screen.pop(0) if cell != WIDE).rstrip())
            self._screen.append([])
        else:
            self._row += 1

    def _put(self, character: str) -> None:
        width = cells(character)
        row = self._screen[self._row]
        if width == 0:
            if self._column:
                row[self._column - 1] += character
            return
        if self._column + width > self.columns:
            self.wrapped += 1
            self._column = 0
            self._line_feed()
            row = self._screen[self._row]
        row += [" "] * (self._column + width - len(row))
        row[self._column : self._column + width] = [character, WIDE][:width]
        self._column += width
