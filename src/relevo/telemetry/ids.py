"""Ids of traces and spans, which follow from what they are of: whoever derives them comes to the same.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from blake3 import blake3

#: A tracestate that is longer is left out, as the recommendation allows.
STATE_LIMIT: Final = 512

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_TRACESTATE: Final = re.compile(r"[\x20-\x7e]*", re.ASCII)
_SAMPLED: Final = 1


class Parent(NamedTuple):
    """Where a span hangs: the trace, the span above it, and whether it is recorded."""

    trace_id: str  #: 32 hexadecimal digits
    span_id: str  #: 16 hexadecimal digits
    sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def parse(text: str) -> Parent | None:
    """A `traceparent`, None when it is none. Of later versions what version 00 knows is read."""
    found = _TRACEPARENT.fullmatch(text.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def state(text: str) -> str:
    """A `tracestate` as it may be passed on; "" for one that is too long, or no text of one line."""
    text = text.strip()
    return text if len(text) <= STATE_LIMIT and _TRACESTATE.fullmatch(text) else ""


def trace_of(run: str, given: str = "") -> str:
    """The id of the trace that a run is part of: that of the `traceparent` that was given with it, else its own."""
    parent = parse(given) if given else None
    return _hex("trace", run, 16) if parent is None else parent.trace_id


def sampled(given: str) -> bool:
    """Whether a run's spans are recorded: not when whoever submitted it records none."""
    parent = parse(given) if given else None
    return parent is None or parent.sampled


def run_span(run: str) -> str:
    """The id of a run's span."""
    return _hex("run", run, 8)


def job_span(run: str, job: int) -> str:
    """The id of a job's span; `job`: its number in the run."""
    return _hex("job", f"{run}/{job}", 8)


def queue_span(run: str, job: int, attempt: int) -> str:
    """The id of the span of the wait before an attempt."""
    return _hex("queue", f"{run}/{job}/{attempt}", 8)


def attempt_span(run: str, job: int, attempt: int) -> str:
    """The id of an attempt's span."""
    return _hex("attempt", f"{run}/{job}/{attempt}", 8)


def step_span(run: str, job: int, attempt: int, step: int) -> str:
    """The id of a step's span."""
    return _hex("step", f"{run}/{job}/{attempt}/{step}", 8)


class StepParents:
    """What the own spans of an attempt's steps hang on: their TRACEPARENT. What they share is found once."""

    __slots__ = ("_after", "_before", "_place")

    def __init__(self, run: str, given: str, job: int, attempt: int) -> None:
        """`given`: the `traceparent` that the run was submitted with."""
        self._before = f"00-{trace_of(run, given)}-"
        self._after = f"-{int(sampled(given)):02x}"
        self._place = (run, job, attempt)

    def of(self, step: int) -> str:
        """The `traceparent` of a step."""
        return f"{self._before}{step_span(*self._place, step)}{self._after}"


def _hex(kind: str, name: str, size_bytes: int) -> str:
    digest = blake3(f"relevo/{kind}/{name}".encode()).hexdigest(size_bytes)
    return digest if digest.strip("0") else f"{digest[:-1]}1"  # all zeros mean: no id
