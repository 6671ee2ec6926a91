"""What the person at the terminal should know besides what they asked for: a disk that is full, an agent that is too old.

All else that is logged stands in engine.log, for whoever looks into the engine. Of what should not happen the terminal has one
line that leads there.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Final

NOTICES: Final = logging.getLogger("relevo.notices")


#: Whose errors are ours; what a library has to say of itself is for the file.
_OURS: Final = ("relevo", "asyncio")


class Terminal(logging.Handler):
    """Shows notices, and that something went wrong inside. `show` gets one line each."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.show: Callable[[str], None] = _to_stderr
        self.tells_more = ""  #: the file that does
        self._users = 0

    def attach(self) -> None:
        """Show from now on. Each user detaches once."""
        self._users += 1
        logging.getLogger().addHandler(self)

    def detach(self) -> None:
        """One that attached needs it no more."""
        self._users -= 1
        if not self._users:
            logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == NOTICES.name:
            self.show(f"relevo: {_one_line(record.getMessage())}")
        elif record.levelno >= logging.ERROR and record.name.partition(".")[0] in _OURS:
            error = record.exc_info[1] if record.exc_info else None
            why = f": {error}" if error is not None and str(error) else ""
            more = f"\n  {self.tells_more} tells more" if self.tells_more else ""
            self.show(f"relevo: {_one_line(record.getMessage() + why)}{more}")


def _to_stderr(line: str) -> None:
    try:
        sys.stderr.write(f"{line}\n")
    except (OSError, ValueError):
        pass  # nobody is there


def _one_line(text: str) -> str:
    """The first line that says something, without what would move a cursor."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return "".join(char if char.isprintable() else "�" for char in first)


#: That of this process. Whoever draws on the terminal puts its own `show` there meanwhile.
TERMINAL: Final = Terminal()
