"""An operator's own policy: a small class that says who goes first and which node is better.

It proposes, the scheduler disposes: whatever it says, a job only runs where it fits, and only within quotas. If it raises, takes too
long or answers what is no number, it is set aside for good, the usual policy decides from then on, and the operator is told.
"""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final, NamedTuple

from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.queue import Waiting

_log = logging.getLogger(__name__)

#: What all calls of one turn may take together, and one call alone.
PATIENCE_S: Final = 0.2
_LOOK_EVERY_S: Final = 0.05


class JobView(NamedTuple):
    """A job, as a policy sees it."""

    run: str
    job: int
    priority: int
    tenant: str
    labels: frozenset[str]
    cpus: float
    memory_bytes: int
    resources: dict[str, float]  #: what else it asks for


class NodeView(NamedTuple):
    """A node during a round, as a policy sees it."""

    id: str
    labels: frozenset[str]
    pool: str
    zone: str
    load: float  #: as it reports: 1.0 is busy
    total: dict[str, float]  #: places, cpu, memory, …
    free: dict[str, float]


class CustomPolicy:
    """What to derive from. Leave out what the usual policy is to decide."""

    def order(self, job: JobView) -> float:
        """Less goes first, within one priority; asked once, when the job is queued. As it stands: by arrival."""
        return 0.0

    def score(self, job: JobView, node: NodeView) -> float:
        """Which of the nodes that it fits is best: the greatest. As it stands: the one with most free places."""
        return node.free["places"]


class PolicyFailed(Exception):
    """A custom policy raised, took too long, or answered nonsense."""


class Guard:
    """A custom policy that cannot do harm. `failed` tells why it was set aside; "" while it decides."""

    def __init__(self, policy: Any, tell: Callable[[str], None] | None = None) -> None:
        self.name = type(policy).__name__
        self.failed = ""
        self._policy = policy
        self._tell = tell or _log.warning
        self._spent_s = 0.0
        self._asking = False  # it is at it
        self._begun = 0.0  # when it was asked
        self._looks = 0  # of the timer, since then
        self._watched = False  # there is a timer

    def order(self, waiting: Waiting, priority: int, demand: Demand, tenant: str) -> float:
        """Its key of a job that is queued; 0 once it has failed."""
        if self.failed:
            return 0.0
        try:
            with self.round():
                return self._ask("order", view_of(waiting, priority, demand, tenant))
        except PolicyFailed as failure:
            self.set_aside(failure)
            return 0.0

    def score(self, job: JobView, node: NodeView) -> float:
        """Its grade of a node. Raises PolicyFailed."""
        return self._ask("score", job, node)

    def set_aside(self, failure: PolicyFailed) -> None:
        """The usual policy decides from now on."""
        self.failed = str(failure)
        self._tell(
            f"the scheduling policy {self.name} is set aside, and the usual one decides until the engine is started again: "
            f"{self.failed}"
        )

    @contextmanager
    def round(self) -> Iterator[None]:
        """Within it the policy may be asked, for `PATIENCE_S` in all. A call that does not return is broken off where
        signals can be had: in the main thread.

        There, too, time in which this process stood still (it was stopped, or had no part of the processor) is not the
        policy's: however long that was, the timer looks once.
        """
        self._spent_s = 0.0
        self._looks = 0
        self._watched = threading.current_thread() is threading.main_thread()
        if not self._watched:
            yield
            return
        before = signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY_S, _LOOK_EVERY_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _look(self, number: int, frame: Any) -> None:
        self._looks += 1
        if self._asking and self._took_s() > PATIENCE_S:
            # Only in the policy's own code: what the scheduler is at is never broken off halfway.
            raise _TookTooLong

    def _took_s(self) -> float:
        """How long the call takes by now."""
        took_s = perf_counter() - self._begun
        return min(took_s, (self._looks + 1) * _LOOK_EVERY_S) if self._watched else took_s

    def _ask(self, what: str, *about: Any) -> float:
        self._begun = perf_counter()
        self._looks = 0
        try:
            self._asking = True
            try:
                answer = getattr(self._policy, what)(*about)
            finally:
                self._asking = False
            number = float(answer)
        except _TookTooLong:
            raise PolicyFailed(f"{what} did not return within {PATIENCE_S:g} s") from None
        except Exception as error:
            raise PolicyFailed(f"{what} raised {type(error).__name__}: {error}"[:500]) from error
        if not math.isfinite(number) or isinstance(answer, (bool, str)):
            raise PolicyFailed(f"{what} answered {answer!r}"[:500] + ", which is no number")
        self._spent_s += self._took_s()
        if self._spent_s > PATIENCE_S:
            raise PolicyFailed(f"its answers took more than {PATIENCE_S:g} s in one round")
        return number


class _TookTooLong(BaseException):
    """Raised in the policy's code, past its `except Exception`."""


def view_of(waiting: Waiting, priority: int, demand: Demand, tenant: str) -> JobView:
    """A job as a policy sees it."""
    return JobView(
        waiting.run,
        waiting.job,
        priority,
        tenant,
        demand.labels,
        demand.cpus or 0.0,
        demand.memory_bytes or 0,
        dict(demand.extras),
    )


def node_view(agent: AgentCapacity, total: dict[str, float], free: dict[str, float]) -> NodeView:
    """A node as a policy sees it."""
    return NodeView(agent.id, agent.labels, agent.pool, agent.zone, agent.load, total, free)
