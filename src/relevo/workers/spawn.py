"""The birth of this machine's agent: a process in a session of its own, that outlives whoever started it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final

from relevo.runtime.failpoints import reach

#: An agent.log that is longer is put aside when the next agent starts.
LOG_BYTES: Final = 5 << 20
_APPENDING: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
#: An agent is told by these to leave. They are held back until it can heed them: it may have to clear away first what an
#: earlier agent left.
HELD_BACK: Final = (signal.SIGTERM, signal.SIGINT)


def spawn(argv: Sequence[str], folder: str, env: Mapping[str, str]) -> int:
    """Start an agent on its folder; returns its pid. What it says goes to `agent.log` there. Raises OSError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = f"{folder}/agent.log"
    log = os.open(path, _APPENDING, 0o600)
    if os.fstat(log).st_size > LOG_BYTES:
        os.close(log)
        os.replace(path, f"{path}.1")
        log = os.open(path, _APPENDING, 0o600)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            env,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
            setsigmask=HELD_BACK,
            setsigdef=(2, 13, 15),
        )
    finally:
        os.close(log)
        os.close(null)
    reach("keeper.after-spawn")
    return pid
