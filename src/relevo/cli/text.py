"""How things are written for people: durations, sizes, tables, what a terminal may be sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from relevo.cli.cells import cells

#: Sequences that only change how text looks; everything else that starts with ESC could move the cursor or more.
_LOOK: Final = re.compile(r"\x1b\[[0-9;:]*m")
#: What our own lines are dressed with: looks and links.
_DRESS: Final = re.compile(r"\x1b\[[0-9;:]*m|\x1b\]8;;[^\x1b]*\x1b\\")
_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])?"
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f\x80-\x9f]")


def duration(ms: int | None) -> str:
    """0.4s, 12.3s, 3m04s, 2h05m; "" for None."""
    if ms is None:
        return ""
    tenths = (ms + 50) // 100
    if tenths < 600:
        return f"{tenths // 10}.{tenths % 10}s"
    seconds = (ms + 500) // 1000
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    minutes = (seconds + 30) // 60
    return f"{minutes // 60}h{minutes % 60:02}m"


def clock(ms: int | None) -> str:
    """What runs is told in whole seconds, so that it changes once a second: 12s, 3m04s, 2h05m; "" for None."""
    if ms is None:
        return ""
    return f"{ms // 1000}s" if ms < 60_000 else duration(ms - ms % 1000)


def size(count: int) -> str:
    """Bytes with a unit: 812 B, 1.2 MB (powers of 1000)."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.95 or (unit == "B" and count < 1000):
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def counted(count: int, noun: str) -> str:
    """1 job, 2 jobs, 10,000 jobs."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def one_line(text: str) -> str:
    """The first line of a text that is not empty, without tabs and what a terminal could take for a command."""
    for line in text.splitlines():
        if line.strip():
            return safe(line.strip(), colours=False).replace("\t", " ")
    return ""


def safe(text: str, *, colours: bool) -> str:
    """Text that cannot do anything to a terminal but show itself (and its colours, where there are any).

    What a carriage return overwrote is left out, as a terminal would show it. Tabs and line ends stay.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            text = "\n".join(_overwritten(line) for line in text.split("\n"))
    if "\x1b" in text:
        text = _ESCAPES.sub(_keep_look if colours else "", text)
    return _CONTROLS.sub("", text)


def _keep_look(found: re.Match[str]) -> str:
    return found.group() if _LOOK.fullmatch(found.group()) else ""


def _overwritten(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


def table(
    rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset(), indent: str = ""
) -> list[str]:
    """Rows as lines with aligned columns, `right` the columns that are aligned to the right. Cells may be coloured."""
    if not rows:
        return []
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            padding = " " * (width - _width(cell))
            cells.append(padding + cell if column in right else cell + padding)
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def undressed(text: str) -> str:
    """A line of ours without its looks and links."""
    return _DRESS.sub("", text) if "\x1b" in text else text


def _width(cell: str) -> int:
    return cells(undressed(cell))
