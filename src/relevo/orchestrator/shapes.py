"""Runs that are alike go the same way: what the rules made of the first of them is filled in for the others.

    queued ── assigned to an agent ──► at an agent ── begun ──► running ── ended ──► over
                                          ↺ a record is kept       ↺

What the rules say of a run of one plan depends on where it stands (a `Shape`) and on what it is told, and not on the names and times
in it: these are copied into events as they are. So the rules are asked once, with marks in the place of names and times, and what
they say is kept with holes where the marks came out (a `Way`). `domain` remains the only place that knows a rule; nothing here
decides anything.

Only what is usual is kept: runs of one job without expressions and concurrency groups that finds a place at once and ends at
its first attempt. All else has no way, and goes by the rules themselves, from the state that the events make (`Course.run`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs
from msgspec.msgpack import Encoder

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.evolution import replay
from relevo.domain.ids import AttemptKey
from relevo.domain.machine import accepted, handle
from relevo.domain.run import Run
from relevo.orchestrator.apart import SUMMARY_INLINE
from relevo.orchestrator.plans import SharedContexts, expand
from relevo.workflow.evaluate import known_verdict

if TYPE_CHECKING:
    from relevo.orchestrator.plans import Plan
    from relevo.scheduler.demand import Demand
    from relevo.workflow.model import Verdict

#: Ways that begin in one shape at most.
MOST_WAYS: Final = 64
#: What a way may consist of. Others ask for more than the job's place and its end.
USUAL: Final = frozenset(
    {
        e.RunStarted,
        e.AttemptAssigned,
        e.AttemptStarting,
        e.AttemptStarted,
        e.AttemptEnded,
        e.JobEnded,
        e.RunEnded,
    }
)

_encode = Encoder().encode


class Way(Struct, frozen=True):
    """What a command makes of all runs of one shape."""

    to: Shape
    count: int  #: of events
    text: bytes  #: these, encoded one after the other, with `%b` for each hole
    fill: Callable[[Sequence[bytes]], Any]  #: picks what goes into the holes, of what a command has


class Shape:
    """Where runs of one plan stand that went the same way."""

    __slots__ = ("_events", "_ways", "run")

    def __init__(self, events: list[e.Event]) -> None:
        self._events = events
        self._ways: dict[tuple[Any, ...], Way | None] = {}
        self.run = replay(events)  #: one of them, with marks for names and times. Nobody changes it

    def way(self, key: tuple[Any, ...], command: c.Command) -> Way | None:
        """What becomes of them by a command that is known by `key`. None: that is for the rules to say, each time."""
        try:
            return self._ways[key]
        except KeyError:
            if len(self._ways) >= MOST_WAYS:
                return None
        found = self._ways[key] = self._explored(command)
        return found

    def _explored(self, command: c.Command) -> Way | None:
        run = replay(self._events)
        if type(command) is c.Record:
            kept = handle(run, command) == [command.event]
            return Way(self, 1, b"%b", itemgetter(0)) if kept else None
        marks = _MARKS[type(command)]
        events = handle(run, structs.replace(command, **marks))
        if not events or not USUAL.issuperset(map(type, events)):
            return None
        text, holes = _with_holes(events, list(marks.values()))
        return Way(Shape(self._events + events), len(events), text, itemgetter(*holes))


def encoded(events: Sequence[e.Event]) -> bytes:
    """Events one after the other, as they stand in the blob of an append after its head."""
    return b"".join(map(_encode, events))


def _head(count: int) -> bytes:
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def _with_holes(events: list[e.Event], marks: list[Any]) -> tuple[bytes, list[int]]:
    """Events encoded with `%b` where one of the marks stands, and which of them it is, in order."""
    parts: list[bytes] = []
    holes: list[int] = []
    for event in events:
        fields = structs.astuple(event)
        parts.append(_head(len(fields) + 1) + _encode(type(event).__struct_config__.tag))
        for field in fields:
            hole = next((index for index, mark in enumerate(marks) if mark is field), None)
            if hole is None:
                parts.append(_encode(field).replace(b"%", b"%%"))
            else:
                parts.append(b"%b")
                holes.append(hole)
    return b"".join(parts), holes


# --- commands: what a way is known by, and what goes into its holes --------------------------------------------------

Read = tuple[tuple[Any, ...], tuple[bytes, ...]]

#: By kind of command, in the order in which it is read: what stands for its names and times when the rules are asked.
_MARKS: Final[dict[type, dict[str, Any]]] = {
    c.AssignJob: {"agent": "an agent", "at_ms": (1 << 63) + 1},
    c.StartingAttempt: {"at_ms": (1 << 63) + 2},
    c.StartAttempt: {"at_ms": (1 << 63) + 2},
    c.EndAttempt: {"log_size": (1 << 63) + 3, "log_digest": b"a digest", "at_ms": (1 << 63) + 4},
}


def _assigned(command: c.AssignJob) -> Read:
    return (c.AssignJob, command.job), (_encode(command.agent), _encode(command.at_ms))


def _begun(command: c.StartingAttempt | c.StartAttempt) -> Read:
    return (type(command), command.job, command.number), (_encode(command.at_ms),)


def _kept(command: c.Record) -> Read | None:
    event = command.event
    if type(event) is e.StepEnded and len(event.summary) > SUMMARY_INLINE:
        return None
    return (c.Record, event.job, event.number), (_encode(event),)


def _ended(command: c.EndAttempt) -> Read | None:
    if command.message or command.outputs or command.outputs_fact or command.held:
        return None
    key = (c.EndAttempt, command.job, command.number, command.result, command.exit_code)
    return key, (_encode(command.log_size), _encode(command.log_digest), _encode(command.at_ms))


_READ: Final[dict[type, Callable[[Any], Read | None]]] = {
    c.AssignJob: _assigned,
    c.StartingAttempt: _begun,
    c.StartAttempt: _begun,
    c.Record: _kept,
    c.EndAttempt: _ended,
}


# --- runs ------------------------------------------------------------------------------------------------------------


class Start(Struct, frozen=True):
    """Where the runs of a plan begin: their one job is queued."""

    verdict: Verdict  #: what its job came to
    shape: Shape
    count: int  #: of the events that lead there; 0: by others than is usual
    text: bytes  #: these, encoded, without the first, which is the run's own
    demand: Demand


def start_of(plan: Plan) -> Start | None:
    """None where runs of a plan have more than one job, or one that has to be evaluated for each."""
    if len(plan.templates) != 1:
        return None
    verdict = known_verdict(plan.templates[0].node, ())
    if verdict is None:
        return None
    start = plan.start
    if start is None or start.verdict is not verdict:
        start = plan.start = _start(plan, verdict)
    return start if start.count else None


def _start(plan: Plan, verdict: Verdict) -> Start:
    run = Run()
    events = handle(run, c.Submit("a run", "", "", "", "", "", plan.declarations()))
    events += handle(run, expand(run, plan, SharedContexts(), 0, {}, 0))
    shape = Shape(events)
    usual = [type(event) for event in events] == [e.RunAccepted, e.NodesAdded, e.NodeExpanded, e.JobsQueued]
    decl = run.jobs[0].decl
    demand = plan.demand(0, decl.labels)
    return Start(verdict, shape, len(events) if usual and not decl.groups else 0, encoded(events[1:]), demand)


class Made(Struct, frozen=True, gc=False):
    """What an append consists of."""

    count: int  #: of its events
    events: bytes  #: as `domain.events.encode` has them


class Course:
    """A run that goes as others went before: where it stands, and what it has for itself."""

    __slots__ = ("_record", "_told", "accepted", "agent", "ended_ms", "key", "shape", "version")

    def __init__(self, start: Start, submit: c.Submit, agent: str) -> None:
        self.accepted = accepted(submit)
        self.shape = start.shape
        self.agent = agent  #: who is to have its job
        self.key = AttemptKey(submit.run, 0, 1)  #: of the only attempt
        self.version = 0  #: appends stored; kept by the actor
        self.ended_ms: int | None = None
        self._record = 0  # highest record of its attempt that was kept
        self._told: list[bytes] = []  # blobs of its events

    @classmethod
    def begin(cls, start: Start, submit: c.Submit, agent: str, at_ms: int) -> tuple[Course, Made]:
        """A run is accepted, and its job assigned to `agent`."""
        course = cls(start, submit, agent)
        first = _encode(course.accepted) + start.text
        made = course.go((c.AssignJob(0, agent, at_ms),), start.count, first)
        assert made is not None  # a job that is queued has this way
        return course, made

    def go(self, commands: Sequence[c.Command], count: int = 0, text: bytes = b"") -> Made | None:
        """Let commands happen to it, after `count` events that are `text`. None, and nothing has happened, where one of them has
        no way."""
        shape, record = self.shape, self._record
        parts = [text]
        for command in commands:
            kind = type(command)
            if kind is c.Record:
                if command.event.record <= record:  # type: ignore[union-attr]  # a record has it
                    return None
                record = command.event.record  # type: ignore[union-attr]
            read = _READ.get(kind)
            found = None if read is None else read(command)
            if found is None:
                return None
            way = shape.way(found[0], command)
            if way is None:
                return None
            parts.append(way.text % way.fill(found[1]))
            count += way.count
            shape = way.to
        if shape.run.ended:
            self.ended_ms = commands[-1].at_ms  # type: ignore[union-attr]  # no record comes after the end
        self.shape, self._record = shape, record
        made = _head(count) + b"".join(parts)
        self._told.append(made)
        return Made(count, made)

    def run(self) -> Run:
        """The run, as its events make it."""
        run = replay(event for told in self._told for event in e.decode(told))
        run.version = self.version
        return run
