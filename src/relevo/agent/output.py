"""A step's output on its way to the log: find the commands in it, change nothing.

    pipe ─► OutputScanner.feed ─► write(bytes) ─► mask ─► reporter.log
                    └─► command(LogCommand), before its line is written; an add-mask after all that stands before it

Speed: a chunk without commands costs one search for the beginning of a command line, and no loop over lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from relevo.agent.log_commands import LogCommand, parse

#: A line that begins like a command and is longer is plain output.
COMMAND_LIMIT_BYTES: Final = 64 << 10

_NEXT: Final = re.compile(rb"\n[ \t]*(?:::|##\[)")
_HERE: Final = re.compile(rb"[ \t]*(?:::|##\[)")
#: What may yet become the beginning of a command.
_UNDECIDED: Final = re.compile(rb"[ \t]*(?::|##?)?\Z")


#: In more lines than this in a sample the search for a line's beginning stops too often: look for what is rarer first.
_SAMPLE_BYTES: Final = 4_096
_SAMPLE_LINES: Final = 256


class OutputScanner:
    """Finds commands in a stream of bytes, however it is cut. What it writes, joined, is what it was fed."""

    __slots__ = ("_at_line_start", "_command", "_held", "_write", "resume_token")

    def __init__(self, command: Callable[[LogCommand], None], write: Callable[[bytes], None]) -> None:
        self._command = command
        self._write = write
        self._held = b""
        self._at_line_start = True
        #: set by whoever handles `stop-commands`; commands are plain output until `::TOKEN::`
        self.resume_token: str | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes. A line that may be a command is held until its end is there."""
        if self._held:
            data = self._held + data
            self._held = b""
        written = 0
        line = 0 if self._at_line_start and _HERE.match(data) else _next_line(data)
        while line >= 0:
            end = data.find(b"\n", line)
            if end < 0:
                break
            command = parse(data[line:end], self.resume_token) if end - line <= COMMAND_LIMIT_BYTES else None
            if command is not None:
                if line > written and command.name == "add-mask":
                    self._write(data[written:line])
                    written = line
                self._heed(command)
            match = _NEXT.search(data, end)
            line = match.start() + 1 if match else -1
        else:
            line = self._undecided(data)
        if line >= 0 and len(data) - line <= COMMAND_LIMIT_BYTES:
            self._held = data[line:]
            self._at_line_start = True
            data = data[:line]
        elif line >= 0:
            self._at_line_start = False
        if len(data) > written:
            self._write(data[written:] if written else data)

    def flush(self) -> None:
        """The stream has ended: a last line without a newline is a line."""
        held, self._held = self._held, b""
        self._at_line_start = True
        if held:
            command = parse(held, self.resume_token)
            if command is not None:
                self._heed(command)
            self._write(held)

    def _undecided(self, data: bytes) -> int:
        # where a last line begins that may yet become a command, -1 if there is none
        start = data.rfind(b"\n") + 1
        if start == 0 and not self._at_line_start:
            return -1
        if start == len(data):
            self._at_line_start = True
            return -1
        if _UNDECIDED.match(data, start):
            return start
        self._at_line_start = False
        return -1

    def _heed(self, command: LogCommand) -> None:
        if self.resume_token is not None:
            self.resume_token = None
        else:
            self._command(command)


def _next_line(data: bytes) -> int:
    # where the first line after the first begins that begins like a command, -1 if none does
    if data.count(b"\n", 0, _SAMPLE_BYTES) > _SAMPLE_LINES and b"::" not in data and b"##[" not in data:
        return -1
    match = _NEXT.search(data)
    return match.start() + 1 if match else -1
