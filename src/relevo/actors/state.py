"""Where an actor is in its life."""

from __future__ import annotations

from enum import Enum
from typing import Final

#: Reasons for not delivering mail.
PAUSED: Final = 1
DOWN: Final = 2  #: not started, failed, stopping or stopped


class State(Enum):
    """It is starting again after each failure."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
