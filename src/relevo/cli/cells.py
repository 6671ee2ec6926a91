"""How many cells of a terminal a text takes, and how it is cut to fit."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

#: What takes no cell of its own: marks on the character before, and characters that only say how others are joined.
_NONE: Final = frozenset({"Mn", "Me", "Cf"})
#: Asks for the character before it as a picture, which some terminals draw wider.
_AS_PICTURE: Final = "\ufe0f"


def cells(text: str) -> int:
    """Cells of a text without control characters. Terminals differ over joined pictures: it is rather too many than too few,
    since a line that is too long would wrap."""
    return len(text) if text.isascii() else sum(map(_cells, text))


@lru_cache(4096)
def _cells(character: str) -> int:
    from unicodedata import category, east_asian_width

    if character == _AS_PICTURE:
        return 1
    if category(character) in _NONE:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def clipped(text: str, width: int) -> str:
    """The beginning of a text that takes at most `width` cells, with `…` where something is missing."""
    if cells(text) <= width:
        return text
    return f"{_head(text, width - 1)}…" if width > 0 else ""


def fitted(text: str, width: int) -> str:
    """At most `width` cells: the middle goes, as names differ at both ends."""
    if cells(text) <= width:
        return text
    if width < 2:
        return _head(text, width)
    tail = (width - 1) // 2
    return f"{_head(text, width - 1 - tail)}…{_head(text[::-1], tail)[::-1]}"


def _head(text: str, width: int) -> str:
    if text.isascii():
        return text[: max(0, width)]
    taken = 0
    for index, character in enumerate(text):
        taken += _cells(character)
        if taken > width:
            return text[:index]
    return text


def padded(text: str, width: int) -> str:
    """A text with spaces behind it to fill `width` cells."""
    return text + " " * (width - cells(text))
