"""A trace as Chrome's trace-event JSON, which ui.perfetto.dev and chrome://tracing open.

    process "run"         the run, and how many jobs wait and run (a counter)
    process "jobs"        a track for each job: its waits, its attempts, their steps; retries and annotations as marks
    process "agent …"     a track for each place of the agent: the jobs that had it, one after another

Source: Trace Event Format, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import IO, Any, Final

import msgspec

from relevo.telemetry.spans import Span, Trace, attributes

_RUN: Final = 1
_JOBS: Final = 2
_AGENTS: Final = 3  #: the first of them
#: Colours of Chrome's own palette; Perfetto chooses by name.
_COLOURS: Final = {"success": "good", "failure": "terrible", "timeout": "bad", "error": "bad", "skip": "grey"}

_encode = msgspec.json.Encoder().encode


def write(trace: Trace, file: IO[bytes]) -> None:
    """Write a trace as one JSON object, an event a line."""
    file.write(b'{"displayTimeUnit":"ms","otherData":')
    about = {"run": trace.run, "workflow": trace.workflow, "trace_id": trace.trace_id}
    file.write(_encode({**about, "complete": trace.ended}))
    file.write(b',"traceEvents":[\n')
    separator = b""
    for event in events(trace):
        file.write(separator + _encode(event))
        separator = b",\n"
    file.write(b"\n]}\n")


def events(trace: Trace) -> Iterator[dict[str, Any]]:
    """The trace events, those that name tracks first."""
    yield from _process(_RUN, f"run {trace.run}", 0)
    yield from _process(_JOBS, "jobs", 1)
    yield _thread(_RUN, 1, trace.workflow or "run")
    seen: set[int] = set()
    for span in trace.spans:
        if span.job >= 0 and span.job not in seen:
            seen.add(span.job)
            yield _thread(_JOBS, span.job + 1, span.name)
    for span in trace.spans:
        pid, tid = (_RUN, 1) if span.job < 0 else (_JOBS, span.job + 1)
        yield _slice(trace, span, pid, tid)
        for moment in span.moments:
            yield {
                "ph": "i",
                "s": "t",
                "name": moment.name,
                "cat": "moment",
                "pid": pid,
                "tid": tid,
                "ts": moment.at_ms * 1_000,
                "args": moment.attributes,
            }
    yield from _places(trace)
    yield from _counters(trace.spans)


def _slice(trace: Trace, span: Span, pid: int, tid: int, since_ms: int | None = None) -> dict[str, Any]:
    start_ms = span.start_ms if since_ms is None else since_ms
    name = f"attempt {span.attempt}" if span.kind == "attempt" and pid == _JOBS else span.name
    found: dict[str, Any] = {
        "ph": "X",
        "name": "queue" if span.kind == "queue" else name,
        "cat": span.kind,
        "pid": pid,
        "tid": tid,
        "ts": start_ms * 1_000,
        "dur": (span.end_ms - start_ms) * 1_000,
        "args": {**dict(attributes(trace, span)), "span_id": span.id},
    }
    if span.message:
        found["args"]["message"] = span.message
    if span.result in _COLOURS:
        found["cname"] = _COLOURS[span.result]
    return found


def _places(trace: Trace) -> Iterator[dict[str, Any]]:
    """Attempts, from when their worker was there, laid onto as few tracks as have room for them, for each agent."""
    by_agent: dict[str, list[Span]] = {}
    for span in trace.spans:
        if span.running_ms >= 0:
            by_agent.setdefault(span.agent, []).append(span)
    for pid, (agent, spans) in enumerate(sorted(by_agent.items()), _AGENTS):
        yield from _process(pid, f"agent {agent}", pid)
        free: list[int] = []  # tracks that were used and are free, the lowest first
        busy: list[tuple[int, int]] = []  # (end, track)
        tracks = 0
        for span in sorted(spans, key=lambda span: (span.running_ms, span.end_ms)):
            while busy and busy[0][0] <= span.running_ms:
                heappush(free, heappop(busy)[1])
            if free:
                track = heappop(free)
            else:
                tracks = track = tracks + 1
                yield _thread(pid, track, f"place {track}")
            heappush(busy, (span.end_ms, track))
            yield _slice(trace, span, pid, track, since_ms=span.running_ms)


def _counters(spans: Iterable[Span]) -> Iterator[dict[str, Any]]:
    changes: dict[int, list[int]] = {}  # time → changes of how many wait, and run
    for span in spans:
        if span.kind not in ("queue", "attempt"):
            continue
        begun_ms = span.running_ms if span.running_ms >= 0 else span.end_ms
        changes.setdefault(span.start_ms, [0, 0])[0] += 1
        changes.setdefault(begun_ms, [0, 0])[0] -= 1
        changes.setdefault(begun_ms, [0, 0])[1] += 1
        changes.setdefault(span.end_ms, [0, 0])[1] -= 1
    waiting = running = 0
    for at_ms, (more_waiting, more_running) in sorted(changes.items()):
        waiting, running = waiting + more_waiting, running + more_running
        yield {
            "ph": "C",
            "name": "jobs",
            "pid": _RUN,
            "ts": at_ms * 1_000,
            "args": {"waiting": waiting, "running": running},
        }


def _process(pid: int, name: str, order: int) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
    yield {"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": order}}


def _thread(pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}
