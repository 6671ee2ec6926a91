"""Chrome's trace events: valid by their format, and a few of very many jobs."""

from __future__ import annotations

import io
import json
from typing import Any

from relevo.telemetry import chrome
from relevo.telemetry.spans import derive

#: What each phase must have besides ph, name and pid.
FIELDS = {"X": {"tid", "ts", "dur"}, "i": {"tid", "ts", "s"}, "C": {"ts", "args"}, "M": {"args"}}


def validate(text: bytes) -> dict[str, Any]:
    """A trace file as it was read. Asserts what the format asks for, and what viewers need."""
    whole = json.loads(text)
    assert whole["displayTimeUnit"] in ("ms", "ns")
    processes: set[int] = set()
    threads: set[tuple[int, int]] = set()
    slices: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event in whole["traceEvents"]:
        assert {"name", "pid", *FIELDS[event["ph"]]} <= event.keys(), event
        assert all(isinstance(event.get(key, 0), int) for key in ("ts", "dur", "pid", "tid"))
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 0) >= 0
        match event["ph"], event["name"]:
            case "M", "process_name":
                assert event["pid"] not in processes
                processes.add(event["pid"])
            case "M", "thread_name":
                assert (event["pid"], event["tid"]) not in threads
                threads.add((event["pid"], event["tid"]))
            case "X", _:
                place = (event["pid"], event["tid"])
                assert place in threads
                slices.setdefault(place, []).append((event["ts"], event["ts"] + event["dur"]))
            case "i", _:
                assert (event["pid"], event["tid"]) in threads
                assert event["s"] in "gpt"
            case "C", _:
                assert all(value >= 0 for value in event["args"].values())
        assert event["pid"] in processes
    for found in slices.values():
        open_: list[int] = []
        for start, end in sorted(found, key=lambda slice: (slice[0], -slice[1])):
            while open_ and open_[-1] <= start:
                open_.pop()
            assert not open_ or end <= open_[-1], "slices of one track nest"
            open_.append(end)
    return whole


def run_of(jobs: int, slots: int) -> list[dict[str, Any]]:
    """A run of so many jobs that all are queued at once; each runs for ten seconds in one of so many places."""
    told: list[dict[str, Any]] = [
        {"event": "run.accepted", "at": 0, "workflow": 'ci "quoted" \u2028', "title": "", "trigger": "push"}
    ]
    told += [{"event": "job.added", "at": 0, "job": f"job ({n})"} for n in range(jobs)]
    told += [{"event": "job.queued", "at": 0, "job": f"job ({n})"} for n in range(jobs)]
    for n in range(jobs):
        named = {"job": f"job ({n})", "attempt": 1}
        at = n // slots * 10_000
        step = {**named, "step": 0, "name": "Run make"}
        told += [
            {"event": "job.assigned", "at": max(0, at - 10_000), "agent": "local", **named},  # ahead
            {"event": "job.running", "at": at, **named},
            {"event": "step.started", "at": at + 10, **step},
            {"event": "annotation", "at": at + 20, "level": "notice", "message": "m", **step},
            {"event": "step.finished", "at": at + 9_000, "outcome": "success", **step},
            {"event": "attempt.finished", "at": at + 10_000, "result": "succeeded", **named},
            {"event": "job.finished", "at": at + 10_000, "job": f"job ({n})", "status": "succeeded"},
        ]
    return [*told, {"event": "run.finished", "at": jobs // slots * 10_000 + 10_000, "status": "succeeded"}]


def written(events: list[dict[str, Any]], now_ms: int = 0) -> bytes:
    file = io.BytesIO()
    chrome.write(derive("r", events, now_ms), file)
    return file.getvalue()


def test_a_run_of_ten_thousand_jobs():
    jobs, slots = 10_000, 8
    whole = validate(written(run_of(jobs, slots)))
    found = whole["traceEvents"]
    places = [event for event in found if event["name"] == "thread_name" and event["pid"] == 3]
    assert len(places) == slots, "a track for each place, not for each job"
    assert sum(event["ph"] == "X" and event["cat"] == "step" for event in found) == jobs
    counted = [event["args"] for event in found if event["ph"] == "C"]
    assert max(args["running"] for args in counted) == slots
    assert counted[0] == {"waiting": jobs - slots, "running": slots}
    assert counted[-1] == {"waiting": 0, "running": 0}
    assert whole["otherData"]["complete"]


def test_a_run_that_goes_on_can_be_written():
    events = run_of(4, 2)
    for end in range(1, len(events)):
        whole = validate(written(events[:end], 10**6))
        assert not whole["otherData"]["complete"]


def test_retries_and_annotations_are_marks():
    events = run_of(1, 1)
    lost = [
        {
            "event": "attempt.finished",
            "at": 5,
            "result": "lost",
            "message": "",
            "job": "job (0)",
            "attempt": 1,
        },
        {"event": "job.retrying", "at": 5, "message": "lost", "delay_s": 0, "job": "job (0)", "attempt": 1},
        {"event": "job.assigned", "at": 6, "agent": "local", "job": "job (0)", "attempt": 2},
    ]
    found = validate(written([*events[:5], *lost]))["traceEvents"]
    assert {"job.retrying"} <= {event["name"] for event in found if event["ph"] == "i"}
    assert {"annotation"} <= {
        event["name"] for event in validate(written(events))["traceEvents"] if event["ph"] == "i"
    }
