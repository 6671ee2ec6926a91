"""Named places where tests make a process die or stop. Without RELEVO_FAILPOINTS they do nothing."""

from __future__ import annotations


def reach(name: str) -> None:
    """Say that the program is at the place `name`."""
