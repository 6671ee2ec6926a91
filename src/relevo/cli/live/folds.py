"""The end of a step's log as it is shown while it is written: groups that were closed are one line each."""

from __future__ import annotations

import re
from typing import Final

from relevo.cli.log_commands import readable
from relevo.cli.text import counted, safe

_MARK: Final = re.compile(rb"^[ \t]*::(group|endgroup)::([^\r\n]*)\r?\n?", re.MULTILINE | re.IGNORECASE)


class Folds:
    """Of one step. Taking bytes costs little more than copying their end; lines are made when somebody looks."""

    #: Bytes kept of what is outside a group, and of what is in the open one.
    KEPT: Final = 8_192

    __slots__ = ("_count", "_group", "_outside", "_rest", "_tail")

    def __init__(self) -> None:
        self._tail = b""  #: the end of the open group, or of what is outside of any
        self._rest = b""  #: a line that has no end so far
        self._outside = b""  #: what came before the open group
        self._group: bytes | None = None
        self._count = 0  #: lines of the open group

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest[-self.KEPT :]
        if not newline:
            return
        whole += newline
        if b"group::" not in whole:
            self._keep(whole)
            return
        position = 0
        for mark in _MARK.finditer(whole):
            self._keep(whole[position : mark.start()])
            position = mark.end()
            self._close()
            if mark[1].lower() == b"group":
                self._open(mark[2])
        self._keep(whole[position:])

    def _keep(self, data: bytes) -> None:
        if self._group is not None:
            self._count += data.count(b"\n")
        self._tail = (self._tail + data[-self.KEPT :])[-self.KEPT :]

    def _open(self, name: bytes) -> None:
        self._outside, self._tail = self._tail, b""
        self._group, self._count = name[:1024], 0

    def _close(self) -> None:
        if self._group is None:
            return
        told = f" ({counted(self._count, 'line')})\n".encode()
        self._tail = (self._outside + "▸ ".encode() + self._group + told)[-self.KEPT :]
        self._group = None

    def lines(self, count: int, *, annotations: bool = True) -> list[str]:
        """The last lines, at most `count`, of which the open group's name is one. Without colours, safe for a terminal.

        `annotations`: lines that are `::error::` and the like are shown as well.
        """
        inner = _readable(self._tail + self._rest, annotations)
        if self._group is None:
            return inner[-count:] if count > 0 else []
        name = _readable(b"::group::" + self._group, annotations)
        if len(inner) < count:
            return [*_readable(self._outside, annotations), *name, *inner][-count:]
        return [*name, *inner[len(inner) - count + 1 :]][:count]


def _readable(data: bytes, annotations: bool) -> list[str]:
    text = safe(data.decode("utf-8", "replace"), colours=False).expandtabs(8)
    shown = (readable(line, annotations=annotations) for line in text.split("\n"))
    return [line for line in shown if line and not line.isspace()]
