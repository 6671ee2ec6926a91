"""Cuts a stream of log bytes into lines that a terminal may be sent."""

from __future__ import annotations

import codecs
from typing import Final

from relevo.cli.log_commands import readable
from relevo.cli.text import safe

#: A line that is longer is shown in pieces, so that a gigabyte without an end takes no memory.
PIECE: Final = 8_192


class Lines:
    """Of one stream; `annotations`: lines that are `::error::` and the like are shown, not only obeyed. UTF-8 characters may be split over chunks; other bytes show as �."""

    __slots__ = ("_annotations", "_colours", "_decoder", "_rest")

    def __init__(self, *, colours: bool, annotations: bool) -> None:
        self._annotations = annotations
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._colours = colours

    def feed(self, data: bytes, *, final: bool = False) -> list[str]:
        """The lines that are complete now. `final`: with the one that is not."""
        text = self._rest + self._decoder.decode(data, final)
        whole, newline, self._rest = text.rpartition("\n")
        lines = self._clean(whole) if newline else []
        if final or len(self._rest) > PIECE:
            if self._rest:
                lines += self._clean(self._rest)
            self._rest = ""
        return lines

    def _clean(self, text: str) -> list[str]:
        told: list[str] = []
        for raw in safe(text, colours=self._colours).split("\n"):
            line = readable(raw, annotations=self._annotations)
            if line is not None:
                told += [line[start : start + PIECE] for start in range(0, max(1, len(line)), PIECE)]
        return told
