"""Traces of simulated runs, whose engines and agents die: each is whole, and follows from what is stored and nothing else."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest

from relevo.orchestrator.plans import GROUP_STREAM
from relevo.orchestrator.public import Projection
from relevo.telemetry import ids
from relevo.telemetry.spans import Span, Trace, derive

from .batch import undisturbed
from .world import World

SEEDS = range(40)


def histories(seed: int) -> dict[str, list[dict[str, Any]]]:
    """The public events of all runs of a schedule."""
    world = World(seed)
    with undisturbed():
        world.run()
    found = {}
    for stream, appends in world.store_disk.streams.items():
        if stream.startswith(GROUP_STREAM):
            continue
        projection = Projection()
        found[stream] = [event for stored in appends for event in projection.project(stored)]
    return found


def check(trace: Trace, events: list[dict[str, Any]]) -> None:
    kinds: dict[str, list[Span]] = {}
    for span in trace.spans:
        kinds.setdefault(span.kind, []).append(span)
    assert trace.ended == bool(_of(events, "run.finished")), "one that is held has not ended"
    assert [span.parent for span in kinds["run"]] == [None]
    assert len({span.id for span in trace.spans}) == len(trace.spans), "a span twice"
    seen: set[int] = set()
    ends: dict[str, int] = {}
    for span in trace.spans:
        assert re.fullmatch("[0-9a-f]{16}", span.id)
        assert 0 <= span.start_ms <= span.end_ms
        if trace.ended and span.kind != "queue":
            assert span.result, "an ended run has nothing that goes on"
        if span.parent is not None:
            assert id(span.parent) in seen, "a parent comes first"
            assert span.parent.start_ms <= span.start_ms
            assert span.end_ms <= span.parent.end_ms
            if span.kind != "job":
                assert ends.get(span.parent.id, 0) <= span.start_ms, "one after another"
                ends[span.parent.id] = span.end_ms
        for moment in span.moments:
            assert span.start_ms <= moment.at_ms <= span.end_ms
        seen.add(id(span))
    numbers = {event["job"]: number for number, event in enumerate(_of(events, "job.added"))}
    assert {(span.job, span.attempt) for span in kinds.get("attempt", [])} == {
        (numbers[event["job"]], event["attempt"]) for event in _of(events, "job.assigned")
    }
    assert {(span.job, span.attempt, span.step) for span in kinds.get("step", [])} == {
        (numbers[event["job"]], event["attempt"], event["step"]) for event in _of(events, "step.started")
    }
    assert {span.job for span in kinds.get("job", [])} >= {
        numbers[event["job"]] for event in _of(events, "job.finished")
    }
    for span in kinds.get("attempt", []):
        again = span.attempt > 1
        before = ids.attempt_span(trace.run, span.job, span.attempt - 1)
        assert span.link == ((trace.trace_id, before) if again else None)


def _of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


@pytest.mark.parametrize("seed", SEEDS)
def test_traces_of_runs_in_trouble_are_whole(seed: int) -> None:
    random = Random(seed)
    for run, events in histories(seed).items():
        trace = derive(run, events, 0)
        check(trace, events)
        assert derive(run, events, 7) == trace, "who reads the same comes to the same"

        # what a later engine, or somebody who looks on, derives from the beginning has the same ids
        some = derive(run, events[: random.randrange(1, len(events))], 10**15)
        assert [span.id for span in some.spans] == [span.id for span in trace.spans][: len(some.spans)]

        # whatever the clocks say
        for event in events:
            event["at"] = random.choice((event["at"], random.randrange(10**13)))
        check(derive(run, events, 0), events)
