"""Errors, a small tree by whose fault it is.

A failed step is a result, not an exception. `UserError` is answered with its message and exit code 2;
everything else is ours.
"""

from __future__ import annotations


class RelevoError(Exception):
    """The root of all errors of relevo's own."""


class UserError(RelevoError):
    """Something the user gave or asked for is wrong; the message says what, where and what to do.

    `hint` is the advice, printed on its own line.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InfrastructureError(RelevoError):
    """The machine, a provider or a disk let us down; trying again may help."""


class DamagedError(RelevoError):
    """Stored bytes do not agree with their checksum or order. `where` names file and position."""

    def __init__(self, message: str, *, where: str) -> None:
        super().__init__(f"{message} ({where})")
        self.where = where


class InvalidTransition(RelevoError):
    """A move that the transition tables do not know: a bug of ours. `story` tells how it came to it."""

    def __init__(self, what: str, source: str, target: str, story: tuple[str, ...] = ()) -> None:
        told = "".join(f"\n  {line}" for line in story)
        super().__init__(f"{what}: no way from {source} to {target}{told}")
        self.what = what
        self.source = source
        self.target = target
        self.story = story
