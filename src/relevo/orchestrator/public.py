"""Stored events as users see them: one JSON-able map each, versioned, the same on every wire (see orchestrator/api.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from relevo.domain import events as e
from relevo.domain.stored import Stored
from relevo.orchestrator.plans import GROUP_STREAM

VERSION = 1
#: In an event on its way to a user: names the fact that holds what was too long for the event itself.
SUMMARY_FACT = "summary_fact"
OUTPUTS_FACT = "outputs_fact"


def _traced(event: e.RunAccepted) -> dict[str, str]:
    """Where the run's trace hangs; most hang nowhere."""
    fields = ("traceparent", "tracestate", "retried_traceparent")
    return {field: value for field in fields if (value := getattr(event, field))}


async def resolved(event: dict[str, Any], fact: Callable[[str], Awaitable[bytes | None]]) -> dict[str, Any]:
    """A public event with what `fact` holds of it."""
    key = event.pop(SUMMARY_FACT, None)
    if key is not None:
        event["summary"] = ((await fact(key)) or b"").decode("utf-8", "replace")
    key = event.pop(OUTPUTS_FACT, None)
    if key is not None:
        packed = await fact(key)
        event["outputs"] = msgspec.msgpack.decode(packed) if packed else {}
    return event


def published(history: Iterable[Stored]) -> list[dict[str, Any]]:
    """The public events of a run from its appends, in order from the first. What lies in facts is left there."""
    projection = Projection()
    return [event for stored in history for event in projection.project(stored)]


def ends_run(stored: Stored) -> bool:
    """Whether a run ended in this append."""
    if stored.stream.startswith(GROUP_STREAM):
        return False  # other events
    return any(isinstance(event, e.RunEnded) for event in e.decode(stored.events))


class Projection:
    """Turns the appends of one run, in order from its first, into public events.

    What was too long for an event lies in a fact: `resolved` puts it in its place.
    """

    __slots__ = (
        "_asked",
        "_attempts",
        "_groups",
        "_inner",
        "_node_of",
        "_nodes",
        "_outputs",
        "_outputs_facts",
        "names",
        "run",
    )

    def __init__(self) -> None:
        self.run = ""
        self.names: list[str] = []  #: of jobs, by index
        #: with what stands before their ids, and the index of the first node of their file
        self._nodes: list[tuple[e.NodeDecl, str, int]] = []
        self._inner: dict[int, list[e.NodeDecl]] = {}  #: by node: the jobs of the file that it calls
        self._node_of: list[int] = []  #: of jobs, by index
        self._attempts: dict[int, int] = {}
        self._outputs: dict[int, dict[str, str]] = {}
        self._outputs_facts: dict[int, str] = {}
        self._asked: dict[int, list[str]] = {}  #: of jobs: names of their concurrency groups
        self._groups: dict[int, list[str]] = {}  #: and of those that they have yet to get

    def project(self, stored: Stored) -> list[dict[str, Any]]:
        """The public events of one append."""
        found: list[dict[str, Any]] = []
        for event in e.decode(stored.events):
            for kind, fields in self._of(event):
                found.append(
                    {
                        "v": VERSION,
                        "event": kind,
                        "run": stored.stream,
                        "seq": stored.sequence,
                        "at": getattr(event, "at_ms", 0) or stored.at_ms,
                        **fields,
                    },
                )
        return found

    def _job(self, index: int, number: int | None = None) -> dict[str, Any]:
        named: dict[str, Any] = {"job": self.names[index]}
        if number is not None:
            named["attempt"] = number
        return named

    def _of(self, event: e.Event) -> list[tuple[str, dict[str, Any]]]:  # one line for each kind
        match event:
            case e.RunAccepted():
                self.run = event.run
                waiting = [("run.waiting", {"group": event.group.name})] if event.group is not None else []
                return [
                    (
                        "run.accepted",
                        {
                            "workflow": event.workflow,
                            "title": event.title,
                            "trigger": event.trigger,
                            "retried_from": event.retried_from,
                            "run_attempt": event.run_attempt,
                            **_traced(event),
                        },
                    ),
                    *waiting,
                ]
            case e.NodesAdded():
                if event.caller >= 0:
                    self._inner.setdefault(event.caller, []).extend(event.nodes)
                    return []
                self._nodes += [(decl, "", 0) for decl in event.nodes]
                # Needs may name what comes with the next part.
                return [] if event.more else [self._node(index) for index in range(len(self._nodes))]
            case e.NodeExpanded():
                return [self._added(event.node, decl) for decl in event.jobs]
            case e.CallsOpened():
                known = len(self._nodes)
                for index in event.jobs:
                    prefix, base = f"{self.names[index]} / ", len(self._nodes)
                    self._nodes += [(decl, prefix, base) for decl in self._inner[self._node_of[index]]]
                return [
                    *(("job.calling", self._job(index)) for index in event.jobs),
                    *(self._node(index) for index in range(known, len(self._nodes))),
                ]
            case e.CallCancelling():
                return [("job.cancelling", {**self._job(event.job), "reason": event.reason})]
            case e.CallReturned():
                self._outputs[event.job] = event.outputs
                self._outputs_facts[event.job] = event.outputs_fact
                return []
            case e.JobsQueued():
                return [("job.queued", self._job(index)) for index in event.jobs]
            case e.JobsWaiting():
                for index in event.jobs:
                    self._groups[index] = list(self._asked[index])  # a held job asks anew
                return [self._waiting(index) for index in event.jobs]
            case e.GroupGranted():
                if event.job < 0:
                    return [("run.granted", {})]
                self._groups[event.job].pop(0)
                return [self._waiting(event.job)] if self._groups[event.job] else []
            case e.AttemptAssigned():
                self._attempts[event.job] = event.number
                return [("job.assigned", {**self._job(event.job, event.number), "agent": event.agent})]
            case e.AttemptStarting():
                return [("job.starting", self._job(event.job, event.number))]
            case e.AttemptStarted():
                return [("job.running", self._job(event.job, event.number))]
            case e.StepStarted():
                named = self._job(event.job, event.number)
                return [("step.started", {**named, "step": event.step, "name": event.name})]
            case e.StepEnded():
                fact = e.summary_fact(self.run, event.job, event.number, event.step)
                stored = event.summary == f"fact:{fact}"
                return [
                    (
                        "step.finished",
                        {
                            **self._job(event.job, event.number),
                            "step": event.step,
                            "name": event.name,
                            "outcome": event.outcome,
                            "conclusion": event.conclusion,
                            "exit_code": event.exit_code,
                            "message": event.message,
                            "summary": "" if stored else event.summary,
                            **({SUMMARY_FACT: fact} if stored else {}),
                        },
                    ),
                ]
            case e.Annotated():
                return [
                    (
                        "annotation",
                        {
                            **self._job(event.job, event.number),
                            "step": event.step,
                            "level": event.level,
                            "message": event.message,
                            "title": event.title,
                            "file": event.file,
                            "line": event.line,
                            "column": event.column,
                        },
                    ),
                ]
            case e.ArtifactSaved():
                named = self._job(event.job, event.number)
                return [
                    (
                        "artifact",
                        {**named, "name": event.name, "size": event.size_bytes, "digest": event.digest},
                    )
                ]
            case e.AttemptEnded():
                self._outputs[event.job] = event.outputs
                self._outputs_facts[event.job] = event.outputs_fact
                return [
                    (
                        "attempt.finished",
                        {
                            **self._job(event.job, event.number),
                            "result": event.result,
                            "message": event.message,
                            "log_size": event.log_size,
                        },
                    ),
                ]
            case e.JobRetrying():
                number = self._attempts.get(event.job, 0)
                return [
                    (
                        "job.retrying",
                        {
                            **self._job(event.job, number),
                            "message": event.reason,
                            "delay_s": event.delay_s,
                            "preempted": event.preempted,
                        },
                    )
                ]
            case e.JobHeld():
                return [
                    (
                        "job.held",
                        {**self._job(event.job, self._attempts.get(event.job, 0)), "message": event.message},
                    )
                ]
            case e.JobPreempting():
                number = self._attempts.get(event.job, 0)
                return [
                    (
                        "job.preempting",
                        {**self._job(event.job, number), "for_run": event.run, "for_job": event.name},
                    )
                ]
            case e.JobCancelling():
                return [("job.cancelling", {**self._job(event.job), "reason": event.reason})]
            case e.JobEnded():
                fact = self._outputs_facts.get(event.job, "")
                return [
                    (
                        "job.finished",
                        {
                            **self._job(event.job),
                            "status": event.status,
                            "attempts": self._attempts.get(event.job, 0),
                            "message": event.message,
                            "outputs": self._outputs.get(event.job, {}),
                            "infrastructure": event.infrastructure,
                            **({OUTPUTS_FACT: fact} if fact else {}),
                        },
                    ),
                ]
            case e.RunStarted():
                return [("run.started", {})]
            case e.RunCancelling():
                return [("run.cancelling", {"reason": event.reason})]
            case e.RunHeld():
                return [("run.held", {})]
            case e.RunReleased():
                return [("run.released", {})]
            case e.RunEnded():
                return [("run.finished", {"status": event.status})]
            case e.SummaryDelivered():
                return []
            case e.Warned():
                return [("warning", {"message": event.message})]

    def _node(self, index: int) -> tuple[str, dict[str, Any]]:
        return ("node.added", {"node": self._name(index), "needs": self._needs(index)})

    def _name(self, node: int) -> str:
        declared, prefix, _ = self._nodes[node]
        return prefix + declared.id

    def _needs(self, node: int) -> list[str]:
        declared, prefix, base = self._nodes[node]
        return [prefix + self._nodes[base + need][0].id for need in declared.needs]

    def _waiting(self, job: int) -> tuple[str, dict[str, Any]]:
        return "job.waiting", {**self._job(job), "group": self._groups[job][0]}

    def _added(self, node: int, decl: e.JobDecl) -> tuple[str, dict[str, Any]]:
        self.names.append(decl.name)
        self._node_of.append(node)
        if decl.groups:
            self._asked[len(self.names) - 1] = [ask.name for ask in decl.groups]
        return (
            "job.added",
            {
                "job": decl.name,
                "name": decl.name,
                "node": self._name(node),
                "needs": self._needs(node),
                "labels": decl.labels,
                **({"calls": decl.calls} if decl.calls else {}),
            },
        )
