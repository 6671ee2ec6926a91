"""Named places where a test may end, stop or fail this process.

RELEVO_FAILPOINTS holds `name=action[:nth]`, separated by commas. Actions: `kill` (SIGKILL to this process), `stop`
(SIGSTOP), `error` (OSError with EIO). `nth`: at the nth time that the place is reached (1, the default: the first). Unset, as in
production, a place costs one look at an empty table.
"""

from __future__ import annotations

import os

_armed: dict[str, tuple[str, int]] = {}


def arm(text: str) -> None:
    """Arm places, as RELEVO_FAILPOINTS does. An empty text disarms all."""
    _armed.clear()
    for entry in filter(None, text.split(",")):
        name, _, action = entry.partition("=")
        action, _, nth = action.partition(":")
        _armed[name] = (action or "kill", int(nth or 1))


def reach(name: str) -> None:
    """Say that the program is at the place `name`."""
    if _armed and name in _armed:
        _strike(name)


def _strike(name: str) -> None:
    action, left = _armed[name]
    if left > 1:
        _armed[name] = (action, left - 1)
        return
    del _armed[name]
    if action == "error":
        raise OSError(5, f"failpoint {name}")
    import signal

    os.kill(os.getpid(), signal.SIGSTOP if action == "stop" else signal.SIGKILL)


arm(os.environ.get("RELEVO_FAILPOINTS", ""))
