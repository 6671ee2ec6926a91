"""Colours by meaning."""

from __future__ import annotations

from typing import Final

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "good": "32",
    "bad": "31",
    "warning": "33",
    "notice": "36",
}
#: For the names of jobs: none that means something.
_NAMES: Final = ("34", "35", "36", "94", "95", "96")
MARKS: Final = {
    "succeeded": ("✓", "good"),
    "failed": ("✗", "bad"),
    "timed-out": ("✗", "bad"),
    "cancelled": ("■", "warning"),
    "held": ("?", "warning"),
    "skipped": ("-", "dim"),
}


class Palette:
    """Dresses text, or leaves it as it is."""

    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def __call__(self, look: str, text: str) -> str:
        return f"\x1b[{_CODES[look]}m{text}\x1b[0m" if self.coloured and text else text

    def name(self, text: str, number: int) -> str:
        """A job's name; its colour goes by the job's number."""
        return f"\x1b[{_NAMES[number % len(_NAMES)]}m{text}\x1b[0m" if self.coloured else text

    def status(self, status: str, text: str | None = None) -> str:
        """A status, or a text in its colour."""
        look = MARKS.get(status, ("", "notice"))[1]
        return self(look, status if text is None else text)

    def mark(self, status: str) -> str:
        """One sign for a status."""
        sign, look = MARKS.get(status, ("·", "notice"))
        return self(look, sign)
