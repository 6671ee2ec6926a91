"""Named places where a test may end this process. Production passes them at the cost of one comparison."""

from __future__ import annotations

import os

_armed = frozenset(os.environ.get("RELEVO_FAILPOINTS", "").split(",")) - {""}


def reach(name: str) -> None:
    """End this process as SIGKILL does when RELEVO_FAILPOINTS names this place."""
    if _armed and name in _armed:
        os.kill(os.getpid(), 9)
