"""What agents say of their load is bounded by what can be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.protocol import messages as m
from relevo.workers.load import load_of

HELLO = m.Hello(1, "a", 1, 1, "b", [], 4, 8.0, 1 << 30, "dummy", 1, 1, [], 0)


@pytest.mark.parametrize(
    ("beat", "load"),
    [
        (m.Beat(), 0.0),
        (m.Beat(load=4.0), 0.5),
        (m.Beat(load=80.0), 1.0),
        (m.Beat(pressure=0.25), 0.25),
        (m.Beat(load=4.0, pressure=0.75), 0.75),
        (m.Beat(memory_free_bytes=1 << 28), 0.75),
        (m.Beat(memory_free_bytes=0), 1.0),
        (m.Beat(memory_free_bytes=1 << 31), 0.0),  # more than there is
        (m.Beat(memory_free_bytes=-7), 0.0),
        (m.Beat(load=math.nan, pressure=math.nan), 0.0),
        (m.Beat(load=math.inf, pressure=0.5), 0.5),
        (m.Beat(load=-3.0, pressure=-1.0), 0.0),
        (m.Beat(load=1e300, pressure=1e300), 1.0),
    ],
)
def test_the_greatest_of_what_can_be(beat, load):
    assert load_of(beat, HELLO) == load


@given(st.floats(), st.floats(), st.integers(), st.floats(), st.integers())
def test_whatever_is_said_it_is_a_share(load, pressure, free, cpus, memory):
    hello = m.Hello(1, "a", 1, 1, "b", [], 4, cpus, memory, "dummy", 1, 1, [], 0)
    assert 0 <= load_of(m.Beat(load=load, pressure=pressure, memory_free_bytes=free), hello) <= 1
