"""Named places where a test makes a process die, stop or fail. Without RELEVO_FAILPOINTS they do nothing.

    RELEVO_FAILPOINTS="store.before-commit=kill:3,logs.at-seal=stop"

`kill` and `stop` send SIGKILL and SIGSTOP to the process itself, `error` raises OSError(EIO), as a failing disk would.
The number is the reach at which it happens, 1 for the first; before and after it nothing happens.

Places: store.before-commit · store.after-commit · store.in-migration · logs.at-seal · provider.after-exec ·
provider.in-cleanup, and those of the agent's spool and links.
"""

from __future__ import annotations

import os

from relevo.domain.errors import UserError

#: What is left to do by place: [action, reaches until it happens]. Empty is the rule, and `reach` must then cost nothing.
_armed: dict[str, list[str | int]] = {}


def reach(name: str) -> None:
    """Say that the program is at the place `name`. Raises OSError where a test asked for it."""
    if _armed and name in _armed:
        _reached(name)


def arm(spec: str) -> None:
    """Set what happens where; replaces what was set before, "" disarms all. Raises UserError."""
    _armed.clear()
    for part in filter(None, (piece.strip() for piece in spec.split(","))):
        name, _, what = part.partition("=")
        action, _, nth = what.partition(":")
        if not name or action not in ("kill", "stop", "error") or not (nth or "1").isdecimal():
            raise UserError(
                f"RELEVO_FAILPOINTS: {part!r} is no failpoint",
                hint="write name=kill, name=stop or name=error, and :N behind it for the Nth reach",
            )
        _armed[name] = [action, int(nth or "1")]


def _reached(name: str) -> None:
    entry = _armed[name]
    action, left = entry
    assert isinstance(left, int)
    entry[1] = left - 1
    if left != 1:
        return
    if action == "error":
        import errno

        raise OSError(errno.EIO, f"failpoint {name}")
    import signal

    os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)


if "RELEVO_FAILPOINTS" in os.environ:
    arm(os.environ["RELEVO_FAILPOINTS"])
