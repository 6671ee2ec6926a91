"""A head start for the agent: of all that `relevo run` needs, it takes longest to start, so it is started first, while
this process still imports its own parts.

Only where it is plain that none lives: nobody listens at the socket, and nobody owns the agent's folder. If that changes
meanwhile, the agent finds its folder occupied, and leaves. Imports nothing that takes time.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from relevo.assembly.home import Home
from relevo.assembly.place import local_place
from relevo.assembly.resources import local_resources
from relevo.workers.spawn import spawn

#: The agent's program. Imports make no garbage: looking for it meanwhile costs a fifth of the start.
AGENT: Final = "import gc; gc.disable(); from relevo.assembly.agent import main; main()"
#: Agents started here that no keeper watches over yet: folder → pid.
_started: dict[str, int] = {}


def start(home: Home, *, slots: int | None = None) -> None:
    """Start the agent of a home if none lives. Whatever stands against it is told later, by who needs the agent."""
    if os.path.exists(home.socket) or _occupied(home.agent):
        return
    try:
        home.make()
        _started[home.agent] = spawn(arguments(home, slots=slots), home.agent, os.environ)
    except Exception:  # noqa: S110  # the engine meets the same trouble, and tells it properly
        pass


def taken(home: Home) -> int | None:
    """The pid of the agent that was started ahead, once."""
    return _started.pop(home.agent, None)


def arguments(
    home: Home, *, slots: int | None = None, window: int | None = None, provider: str = "process"
) -> list[str]:
    """The agent's command line."""
    import json

    count = slots or os.cpu_count() or 1
    place = local_place()
    options = {
        "folder": home.agent,
        "socket": home.socket,
        "labels": sorted(place.labels),
        "slots": count,
        "window": count if window is None else window,
        "provider": provider,
        "resources": local_resources(home.path),
        "taints": sorted(place.taints),
        "pool": place.pool,
        "zone": place.zone,
    }
    # -P: what lies in the folder that the user stands in is none of our modules.
    return [sys.executable, "-P", "-c", AGENT, json.dumps(options)]


def _occupied(folder: str) -> bool:
    import fcntl

    try:
        fd = os.open(f"{folder}/lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
