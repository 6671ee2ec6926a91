"""What operators decide: who goes first, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from relevo.scheduler.queue import Order

if TYPE_CHECKING:
    from relevo.scheduler.custom import Guard


#: They fail at once, or wait for another agent.
Impossible = Literal["fail", "wait"]
#: A job is ended for others so often at most. After that it runs to its end: nobody is kept from it for ever.
MOST_TIMES: Final = 3


class Weights(NamedTuple):
    """How much each reason counts to prefer a node. Each is a grade from 0 to 100; the node with the greatest sum is taken."""

    pack: int = 0  #: it is full already: leave others empty, for large jobs or to be switched off
    spread: int = 0  #: it is empty: each job gets much of a node, and few are hit by its loss
    load: int = 0  #: it has little to do, by what it says as well as by what was promised to it
    near: int = 0  #: a job of the same key ran there lately
    prefers: int = 0  #: the job prefers it


class Share(NamedTuple):
    """What a tenant gets."""

    weight: float = 1.0  #: beside other tenants, when they share
    #: at most so much at once, by name: cpu, memory, …, and `jobs`; who would go over it waits
    quota: Mapping[str, float] = {}
    #: who has less than that goes before all who have more; more is borrowed while others leave it
    guaranteed: Mapping[str, float] = {}


EVEN: Final = Share()


class Policy(NamedTuple):
    """How to choose. As it stands here, it is the policy of an engine for one machine."""

    #: assignments of one round at most, so that a round stays short
    round_limit: int = 4_096
    #: of jobs with one priority (and one tenant, when they share): runs in turn, by arrival, or earliest deadline first
    order: Order = "turns"
    #: tenants share: who has least of what he needs most (by weight) goes first, within one priority
    fair: bool = False
    #: a job that has waited so long counts as one priority more, again and again; 0: never
    ageing_s: float = 0.0
    #: None: what the job prefers, then near its key, then where most places are free
    placement: Weights | None = None
    #: a job that has waited so long and fits nowhere has room kept for it; None: never
    reserve_after_s: float | None = None
    #: such jobs at once at most
    reservations: int = 8
    shares: Mapping[str, Share] = {}  #: by tenant; the others are as `EVEN`
    custom: Guard | None = None  #: an operator's own: it orders and grades instead
    #: how long who is ended for others has to get ready; None: nobody is
    preempt_grace_s: float | None = None
    #: what becomes of jobs that no agent could ever take; it is for who admits them, not for matching
    impossible: Impossible = "fail"

    def share(self, tenant: str) -> Share:
        """What a tenant gets."""
        return self.shares.get(tenant, EVEN)
