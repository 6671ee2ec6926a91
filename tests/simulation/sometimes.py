"""Rare paths: which there are, and how it is seen that one was reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from relevo.agent.agent import Agent
from relevo.agent.session import Session
from relevo.agent.spool import Spool
from relevo.orchestrator.orchestrator import Orchestrator
from relevo.scheduler.actor import Scheduler
from relevo.workers.link import Link
from relevo.workers.manager import WorkerManager
from tests.simulation.faults import KINDS

if TYPE_CHECKING:
    from tests.simulation.world import World

#: (class, method, what was reached, when: given the result and the arguments)
_PROBES: Final[list[tuple[type, str, str, Callable[..., bool]]]] = [
    (Link, "rewind", "rewind", lambda result, *given: True),
    (Link, "_ask", "resend", lambda result, *given: True),
    (Orchestrator, "_reload", "reload after a refused append", lambda result, *given: True),
    (Spool, "_scan", "torn spool", lambda result, *given: result is not None),
    (Spool, "_again", "the spool waits for room", lambda result, *given: True),
    (Agent, "_forget", "the engine does not want an attempt any more", lambda result, *given: True),
    (
        Scheduler,
        "expect",
        "the next engine waits for room that is being made",
        lambda result, *given: bool(result),
    ),
    (WorkerManager, "lose_all", "an agent counts as gone for good", lambda result, *given: False),
    (Session, "pause_writing", "the agent's sending is held", lambda result, *given: True),
]

#: What a batch of schedules must have reached.
SOMETIMES: Final = (
    *(f"fault: {kind}" for kind in KINDS),
    "a call gives something back",
    "a call is cancelled",
    "a deadlock of groups",
    "a group cancels what has it",
    "a job gets its group",
    "a run gets its group",
    "another takes a place in a group",
    "others wait on for a group",
    "a cancel overtakes making room",
    "a command is answered with NoSuchRun",
    "a repeated submission finds its run",
    "a result overtakes a cancel",
    "a result overtakes making room",
    "a spared job starts after a cancel",
    "a submission is refused",
    "adopted",
    "an agent cannot start",
    "an engine dies while it starts",
    "an engine takes up where another stopped",
    "engine dies after a commit",
    "engine dies before a commit",
    "failed, retried",
    "fenced",
    "handed in",
    "held",
    "lost thrice, failed",
    "lost, retried",
    "lost while it makes room",
    "preempted, waits again",
    "outputs as an input of a call",
    "outputs of a call",
    "outputs of a need",
    "released",
    "reload after a refused append",
    "resend",
    "retried after a delay",
    "rewind",
    "run cancelled",
    "run failed",
    "run succeeded",
    "store: Conflict",
    "store: FactExists",
    "store: Fenced",
    "store: StoreUnavailable",
    "the agent's sending is held",
    "the engine does not want an attempt any more",
    "the next engine waits for room that is being made",
    "the spool waits for room",
    "timed out",
    "torn spool",
)


@contextmanager
def probing(world: World) -> Iterator[None]:
    """Have a world told which paths are reached in it."""
    originals = [(owner, name, getattr(owner, name)) for owner, name, _, _ in _PROBES]
    for owner, name, what, when in _PROBES:
        setattr(owner, name, _probed(getattr(owner, name), world, what, when))
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _probed(
    call: Callable[..., Any], world: World, what: str, when: Callable[..., bool]
) -> Callable[..., Any]:
    def probed(*given: Any, **named: Any) -> Any:
        result = call(*given, **named)
        if when(result, *given):
            world.saw(what)
        return result

    return probed
