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

    def __init__(self, coloured: bool, *, links_to: str | None = None) -> None:
        self.coloured = coloured
        self._links_to = links_to  #: the folder that files are named in; None: the terminal shows no links

    def __call__(self, look: str, text: str) -> str:
        return f"\x1b[{_CODES[look]}m{text}\x1b[0m" if self.coloured and text else text

    def name(self, text: str, number: int) -> str:
        """A job's name; its colour goes by the job's number."""
        return f"\x1b[{_NAMES[number % len(_NAMES)]}m{text}\x1b[0m" if self.coloured else text

    def status(self, status: str, text: str | None = None) -> str:
        """A status, or a text in its colour."""
        look = MARKS.get(status, ("", "notice"))[1]
        return self(look, status if text is None else text)

    def link(self, text: str, file: str) -> str:
        """A text that leads to a file, if there is such a file."""
        if self._links_to is None or not file:
            return text
        import os

        path = os.path.join(self._links_to, file)
        if not os.path.isfile(path):
            return text
        from urllib.parse import quote

        return f"\x1b]8;;file://{quote(os.path.abspath(path))}\x1b\\{text}\x1b]8;;\x1b\\"

    @staticmethod
    def sign(status: str) -> tuple[str, str]:
        """One sign for a status, and its look."""
        return MARKS.get(status, ("·", "notice"))

    def mark(self, status: str) -> str:
        """One sign for a status, in its colour."""
        sign, look = self.sign(status)
        return self(look, sign)
