"""Exit codes: part of what scripts rely on."""

from __future__ import annotations

from typing import Final

SUCCEEDED: Final = 0  #: or nothing to resume
FAILED: Final = 1
BAD_INPUT: Final = 2
HELD: Final = 3  #: a job asks: relevo retry --job, or relevo fail --job
INFRASTRUCTURE: Final = 4  #: lost again and again, or relevo itself failed
CANCELLED: Final = 130
CLOSED_PIPE: Final = 141  #: as the shell tells a program that SIGPIPE ended


def signalled(number: int) -> int:
    """The code of a command that a signal made leave."""
    return 128 + number
