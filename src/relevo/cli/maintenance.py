"""What the care of a home is asked for and answers (relevo prune, relevo db check)."""

from __future__ import annotations

from typing import NamedTuple


class Retention(NamedTuple):
    """Which ended runs are kept: those that are young enough, and then as many as fit. Live runs always are."""

    runs: int
    days: float
    size_bytes: int


class Pruned(NamedTuple):
    """What was removed, or would be."""

    runs: list[str]
    size_bytes: int


class Checked(NamedTuple):
    """What a check of the store found."""

    runs: int
    appends: int
    problems: list[str]  #: each names where and what
    rebuilt: bool
