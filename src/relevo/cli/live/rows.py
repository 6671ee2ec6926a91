"""Lines of a terminal while they are put together: pieces with looks, cut to fit before they are dressed."""

from __future__ import annotations

from relevo.cli.cells import cells, clipped
from relevo.cli.palette import Palette

#: A look of the palette ("" for none), and text without control characters.
Piece = tuple[str, str]
Row = list[Piece]


def dressed(row: Row, width: int, palette: Palette) -> str:
    """A row as text of at most `width` cells."""
    told = ""
    left = width
    for look, text in row:
        if cells(text) > left:
            return told + _dress(look, clipped(text, left), palette)
        told += _dress(look, text, palette)
        left -= cells(text)
    return told


def _dress(look: str, text: str, palette: Palette) -> str:
    return palette(look, text) if look else text
