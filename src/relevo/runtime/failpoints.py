"""Named places at which a test may let the process die. Replaced when the store's branch lands."""

from __future__ import annotations


def reach(name: str) -> None:
    """Do nothing."""
