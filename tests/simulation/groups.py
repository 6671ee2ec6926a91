"""Concurrency groups of a schedule: who asks for which, and what must hold of them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from relevo.domain import events as e
from relevo.domain import groups as g
from relevo.domain.ids import AttemptKey
from relevo.domain.run import Run
from relevo.domain.stored import Stored
from relevo.workflow.model import JobNode, Workflow

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Two groups, one of them written in two ways.
_NAMES: Final = ("shared", "Shared", "other")


def grouped(random: Random, workflow: Workflow) -> Workflow:
    """The workflow, in which it, some of its jobs, and what they call have concurrency groups."""
    jobs: dict[str, JobNode] = {}
    for id, node in workflow.jobs.items():
        called = None if node.called is None else grouped(random, node.called)
        asks = _asks(random, matrix=node.matrix is not None) if random.random() < 0.3 else None
        jobs[id] = replace(node, called=called, concurrency=asks)
    asks = _asks(random) if random.random() < 0.25 else None
    return replace(workflow, jobs=jobs, concurrency=asks)


def _asks(random: Random, *, matrix: bool = False) -> Any:
    name = random.choice(_NAMES)
    if matrix and random.random() < 0.5:
        name = f"{name}-${{{{ strategy.job-index }}}}"
    more = random.choice(({}, {"queue": "max"}, {"queue": "max"}, {"cancel-in-progress": True}))
    return {"group": name, **more} if more else name


class _Model:
    """A group, as a second look at its events makes it."""

    def __init__(self) -> None:
        self.version = 0
        self.holder: g.Key | None = None
        self.waiting: list[g.Key] = []
        self.refused: set[g.Key] = set()
        self.granted: set[g.Key] = set()


class GroupChecker:
    """Watches all groups of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._models: dict[str, _Model] = {}
        self._at_work: dict[str, set[g.Key]] = {}  #: by group, who has it as the runs' events say

    # --- the groups' events -----------------------------------------------------------------------------------------

    def committed(self, stored: Stored) -> None:
        """An append of a group is durable."""
        model = self._models.setdefault(stored.stream, _Model())
        if stored.version != model.version + 1:
            self._world.violated("replay", f"{stored.stream} goes from {model.version} to {stored.version}")
        model.version = stored.version
        for event in g.decode(stored.events):
            self._world.note("group", stored.stream, type(event).__name__, event.run, event.job)
            self._take(stored.stream, model, event)

    def deleted(self, stream: str) -> None:
        """The stream of a group is gone."""
        model = self._models.pop(stream, None)
        if model is not None and (model.holder or model.waiting):
            self._world.violated("one of a group", f"{stream} is deleted, and {model.holder} has it")

    def _take(self, stream: str, model: _Model, event: g.GroupEvent) -> None:
        key = g.Key(event.run, event.job)
        world = self._world
        if isinstance(event, g.Asked):
            model.waiting.append(key)
        elif isinstance(event, g.Granted):
            if model.holder is not None:
                world.violated("one of a group", f"{stream} is granted to {key}, and {model.holder} has it")
            if model.waiting[:1] != [key]:
                world.violated("group order", f"{stream} is granted to {key}, before {model.waiting}")
            if len(model.waiting) > 1:
                world.saw("others wait on for a group")
            model.waiting = [one for one in model.waiting if one != key]
            model.holder = key
            model.granted.add(key)
        elif isinstance(event, g.Refused):
            model.waiting.remove(key)
            model.refused.add(key)
            world.saw(
                "a deadlock of groups" if "deadlock" in event.reason else "another takes a place in a group"
            )
        elif isinstance(event, g.Ousted):
            world.saw("a group cancels what has it")
        else:
            if self._has(stream, key):
                world.violated("one of a group", f"{key} lets go of {stream} while it is at work")
            model.waiting = [one for one in model.waiting if one != key]
            model.granted.discard(key)
            if model.holder == key:
                model.holder = None

    # --- the runs' events -------------------------------------------------------------------------------------------

    def run_event(self, run: Run, stream: str, event: e.Event) -> None:
        """An event of a run is durable, and has not happened to `run` yet."""
        world = self._world
        if isinstance(event, e.GroupGranted):
            key = g.Key(stream, event.job)
            model = self._models.get(event.stream)
            if model is None or key not in model.granted:
                world.violated("only stored", f"{key} has {event.stream}, and that is not stored")
            others = self._at_work.setdefault(event.stream, set())
            if others - {key}:
                world.violated("one of a group", f"{key} has {event.stream}, and {others} have it")
            others.add(key)
            world.saw("a run gets its group" if event.job < 0 else "a job gets its group")
        elif isinstance(event, e.JobEnded | e.JobHeld):
            self._let_go(g.Key(stream, event.job))
        elif isinstance(event, e.RunEnded):
            self._let_go(g.Key(stream, g.RUN))
        elif isinstance(event, e.AttemptAssigned):
            job = run.jobs[event.job]
            if run.waiting or job.granted < len(job.decl.groups):
                world.violated("one of a group", f"{stream}/{event.job} is assigned without its groups")

    def _let_go(self, key: g.Key) -> None:
        for holders in self._at_work.values():
            holders.discard(key)

    def _has(self, stream: str, key: g.Key) -> bool:
        return key in self._at_work.get(stream, ())

    # --- what really runs -------------------------------------------------------------------------------------------

    def process_started(self, key: AttemptKey, running: list[AttemptKey]) -> None:
        """A process begins, while others run: no two of different members of a group."""
        own = self._memberships(key)
        if not own:
            return
        for other in running:
            for stream, member in self._memberships(other).items():
                if stream in own and own[stream] != member:
                    self._world.violated(
                        "one of a group", f"{key} runs for {own[stream]} of {stream}, {other} for {member}"
                    )

    def _memberships(self, key: AttemptKey) -> dict[str, g.Key]:
        """By group, the member that a process runs for."""
        run = self._world.checker.runs.get(key.run)
        if run is None or key.job >= len(run.jobs):
            return {}
        found: dict[str, g.Key] = {}
        job = run.jobs[key.job]
        while True:
            for ask in job.decl.groups:
                found[ask.stream] = g.Key(key.run, job.index)
            if job.node.call is None:
                break
            job = job.node.call
        accepted = run.accepted
        if accepted is not None and accepted.group is not None:
            found[accepted.group.stream] = g.Key(key.run, g.RUN)
        return found

    # --- the end ----------------------------------------------------------------------------------------------------

    def left(self) -> str:
        """What groups have yet to do, when all runs are over."""
        groups = self._world.engine.engine.orchestrator.groups
        for stream, actor in groups._actors.items():
            for key in actor.group.members:
                run = self._world.checker.runs.get(key.run)
                if run is None or run.ended:
                    return f"{key} is a member of {stream} still"
            if not actor.group.members:
                return f"{stream} is empty and has an actor"
        return ""
