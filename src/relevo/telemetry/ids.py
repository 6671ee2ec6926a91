"""Ids of traces and spans, which follow from what they are of: whoever derives them comes to the same.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

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
    return _known(run)[0] if parent is None else parent.trace_id


def sampled(given: str) -> bool:
    """Whether a run's spans are recorded: not when whoever submitted it records none."""
    parent = parse(given) if given else None
    return parent is None or parent.sampled


def run_span(run: str) -> str:
    """The id of a run's span."""
    return _span(_known(run)[1], _RUN, 0)


def job_span(run: str, job: int) -> str:
    """The id of a job's span; `job`: its number in the run."""
    return _span(_known(run)[1], _JOB, job)


def queue_span(run: str, job: int, attempt: int) -> str:
    """The id of the span of the wait before an attempt."""
    return _span(_known(run)[1], _QUEUE, job, attempt)


def attempt_span(run: str, job: int, attempt: int) -> str:
    """The id of an attempt's span."""
    return _span(_known(run)[1], _ATTEMPT, job, attempt)


def step_span(run: str, job: int, attempt: int, step: int) -> str:
    """The id of a step's span."""
    return _span(_known(run)[1], _STEP, job, attempt, step)


def step_parent(run: str, given: str, job: int, attempt: int, step: int) -> str:
    """What the own spans of a step's processes hang on: their TRACEPARENT. `given`: the one that the run was submitted with.

    Each step of each attempt asks for it, and hardly anybody twice: hence all in one place, and the digits without a format.
    """
    spread = _number(run.encode()) * _SPREADS & _128_BITS or 1
    span = (spread >> 64) ^ (_STEP | job << _JOB_AT | attempt << _ATTEMPT_AT | step) or 1
    if given and (parent := parse(given)) is not None:
        return str(Parent(parent.trace_id, span.to_bytes(8).hex(), parent.sampled))
    return f"00-{spread.to_bytes(16, 'little').hex()}-{span.to_bytes(8).hex()}-01"


#: Kinds of spans, in the first bits of their ids; behind them an attempt's job (22 bits), its number (15), and a step (24).
_RUN, _JOB, _QUEUE, _ATTEMPT, _STEP = (kind << 61 for kind in range(5))
_JOB_AT: Final = 39
_ATTEMPT_AT: Final = 24


#: 2^128 divided by the golden ratio, odd: as a factor it spreads what differs over all higher bits, and is one to one.
_SPREADS: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835
_128_BITS: Final = (1 << 128) - 1
_number: Final = int.from_bytes


def _own(run: str) -> tuple[str, int]:
    """The id of a run's own trace, and what the ids of its spans are made of.

    Ids of runs are by chance already: they only have to be spread, which takes a fifth of the time of a hash. Those who choose traces
    by their ids look at the end of them: there are the bits that are spread best. Source: Knuth, TAOCP 3, 6.4.
    """
    # of the 18 characters of an id the last 16 have all that is chance, and are all that is left of it in 128 bits
    spread = _number(run.encode()) * _SPREADS & _128_BITS or 1
    return spread.to_bytes(16, "little").hex(), spread >> 64


#: For who asks for one span after another.
_known: Final = lru_cache(maxsize=256)(_own)


def _span(seed: int, kind: int, job: int, attempt: int = 0, step: int = 0) -> str:
    """An id that no other span of the run has, and hardly another run's: its place, laid over the run's seed."""
    return (
        f"{seed ^ (kind | job << _JOB_AT | attempt << _ATTEMPT_AT | step) or 1:016x}"  # all zeros mean: no id
    )
