"""What a round of matching comes to."""

from __future__ import annotations

from typing import Literal, NamedTuple

from relevo.scheduler.demand import Demand
from relevo.scheduler.queue import Waiting

#: Why jobs of a tenant and class were left out: nothing has room, or the tenant has its quota.
Left = Literal["room", "quota"]


class Placement(NamedTuple):
    """A job and the agent that is to run it."""

    waiting: Waiting
    demand: Demand
    agent: str


class Reservation(NamedTuple):
    """A job that has room kept for it, and where."""

    waiting: Waiting
    demand: Demand
    agent: str


class Round(NamedTuple):
    """What one round came to."""

    placements: list[Placement]
    reservations: list[Reservation]
    left: dict[tuple[str, Demand], Left]  #: by tenant and class, of those whose turn came
    first_left: list[
        tuple[Waiting, int, str, Demand]
    ]  #: of each of them the first job: with priority, tenant, class
