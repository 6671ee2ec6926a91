"""What is too long for an event and lies in a fact beside it: outputs, summaries, inputs of calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from msgspec.msgpack import decode, encode
from msgspec.structs import replace

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.orchestrator.plans import digest_of
from relevo.store.contract import Fact

#: A step's summary that is longer is stored as a fact, and its event holds the fact's name.
SUMMARY_INLINE: Final = 8_192
OUTPUTS_INLINE: Final = 16_384
#: Encoded inputs of a call that are longer are stored as a fact.
INPUTS_INLINE: Final = 2_048

#: Events of which something may lie in facts.
MAY_LIE_APART: Final = frozenset({e.AttemptEnded, e.CallReturned, e.NodeExpanded})

C = TypeVar("C", c.EndAttempt, c.ReturnCall)


def shortened(command: c.Record, run: str, facts: list[Fact]) -> c.Record:
    """A record; the summary of a step that is too long for an event lies in a fact."""
    event = command.event
    if type(event) is not e.StepEnded or len(event.summary) <= SUMMARY_INLINE:
        return command
    key = e.summary_fact(run, event.job, event.number, event.step)
    facts.append(Fact(key, event.summary.encode("utf-8", "replace")))
    return c.Record(replace(event, summary=f"fact:{key}"))


def outputs_stored(command: C, run: str, facts: list[Fact]) -> C:
    """Outputs that are too long for an event lie in a fact; the event in memory keeps them, the stored one does not."""
    if sum(len(name) + len(value) for name, value in command.outputs.items()) <= OUTPUTS_INLINE:
        return command
    number = getattr(command, "number", 0)  # a call has no attempts
    key = f"outputs/{run}/{command.job}/{number}"
    facts.append(Fact(key, encode(command.outputs)))
    return replace(command, outputs_fact=key)


def inputs_stored(command: c.ExpandNode, run: str, facts: list[Fact]) -> c.ExpandNode:
    """Likewise the inputs of calls. They are stored once for all legs that have the same."""
    if not command.nodes:
        return command
    stored: dict[str, Fact] = {}
    jobs = []
    for job in command.jobs:
        packed = encode(job.inputs) if job.inputs else b""
        if len(packed) > INPUTS_INLINE:
            key = f"inputs/{run}/{digest_of(packed)}"
            stored[key] = Fact(key, packed)
            job = replace(job, inputs_fact=key)
        jobs.append(job)
    facts += stored.values()
    return replace(command, jobs=jobs) if stored else command


def as_stored(event: e.Event) -> e.Event:
    """An event without what lies in facts."""
    if isinstance(event, e.AttemptEnded | e.CallReturned) and event.outputs_fact:
        return replace(event, outputs={})
    if isinstance(event, e.NodeExpanded) and any(job.inputs_fact for job in event.jobs):
        jobs = [replace(job, inputs={}) if job.inputs_fact else job for job in event.jobs]
        return replace(event, jobs=jobs)
    return event


def lies_apart(event: e.Event) -> bool:
    """Whether some of a stored event lies in facts."""
    kind = type(event)
    if kind is e.AttemptEnded or kind is e.CallReturned:
        return bool(event.outputs_fact)  # type: ignore[union-attr]  # these two have it
    return kind is e.NodeExpanded and any(job.inputs_fact for job in event.jobs)  # type: ignore[union-attr]


async def whole(event: e.Event, fact: Callable[[str], Awaitable[bytes | None]]) -> e.Event:
    """A stored event, and what lies in facts put back into it."""
    if isinstance(event, e.AttemptEnded | e.CallReturned) and event.outputs_fact:
        return replace(event, outputs=await _unpacked(event.outputs_fact, fact))
    if isinstance(event, e.NodeExpanded) and any(job.inputs_fact for job in event.jobs):
        jobs = [
            replace(job, inputs=await _unpacked(job.inputs_fact, fact)) if job.inputs_fact else job
            for job in event.jobs
        ]
        return replace(event, jobs=jobs)
    return event


async def _unpacked(key: str, fact: Callable[[str], Awaitable[bytes | None]]) -> dict[str, Any]:
    packed = await fact(key)
    return decode(packed, type=dict[str, Any]) if packed else {}
