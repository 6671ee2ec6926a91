"""Named places where a test makes a process die, stop or fail. Without RELEVO_FAILPOINTS they do nothing.

    RELEVO_FAILPOINTS="store.before-commit=kill:3,spool.before-sync=kill:1@/tmp/ticket,logs.at-seal=stop"

`kill` and `stop` send SIGKILL and SIGSTOP to the process itself, `error` raises OSError(EIO), as a failing disk would.
The number is the reach at which it happens, 1 for the first; before and after it nothing happens. A place may be named
several times. With `@FILE` it happens only to the process that can take that file away: processes that are started anew with
the same environment are spared then.

Places, of the engine: engine.before-acknowledge · engine.after-lease · store.before-commit · store.after-commit ·
store.in-migration · logs.before-sync · logs.at-seal · blobs.before-rename · keeper.after-spawn. Of the agent: agent.before-send ·
agent.after-lock · agent.before-losses · agent.before-end · provider.after-exec · provider.in-cleanup · provider.after-kill · spool.after-write · spool.before-sync.
"""

from __future__ import annotations

import os

from relevo.domain.errors import UserError

#: What is left to do by place: [action, reaches until it happens, ticket] each. Empty is the rule, and `reach` must then cost nothing.
_armed: dict[str, list[list[str | int]]] = {}


def reach(name: str) -> None:
    """Say that the program is at the place `name`. Raises OSError where a test asked for it."""
    if _armed and name in _armed:
        for entry in _armed[name]:
            _reached(name, entry)


def arm(spec: str) -> None:
    """Set what happens where; replaces what was set before, "" disarms all. Raises UserError."""
    _armed.clear()
    for part in filter(None, (piece.strip() for piece in spec.split(","))):
        name, _, what = part.partition("=")
        what, _, ticket = what.partition("@")
        action, _, nth = what.partition(":")
        if not name or action not in ("kill", "stop", "error") or not (nth or "1").isdecimal():
            raise UserError(
                f"RELEVO_FAILPOINTS: {part!r} is no failpoint",
                hint="write name=kill, name=stop or name=error, and :N behind it for the Nth reach",
            )
        _armed.setdefault(name, []).append([action, int(nth or "1"), ticket])


def _reached(name: str, entry: list[str | int]) -> None:
    action, left, ticket = entry
    assert isinstance(left, int)
    entry[1] = left - 1
    if left != 1:
        return
    if ticket:
        try:
            os.unlink(str(ticket))
        except FileNotFoundError:
            return
    if action == "error":
        import errno

        raise OSError(errno.EIO, f"failpoint {name}")
    import signal
    import threading

    # To this thread, not to the process: another thread might take the signal, and this one go on meanwhile.
    signal.pthread_kill(threading.get_ident(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)


if "RELEVO_FAILPOINTS" in os.environ:
    arm(os.environ["RELEVO_FAILPOINTS"])
