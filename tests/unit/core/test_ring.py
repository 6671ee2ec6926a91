"""A ring gives what is left of what was put in, and says what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.core.ring import Ring


@given(st.integers(1, 8), st.integers(0, 30), st.integers(0, 35), st.none() | st.integers(0, 10))
def test_it_equals_the_list_of_all(capacity: int, pushed: int, start: int, limit: int | None) -> None:
    ring: Ring[int] = Ring(capacity)
    assert [ring.push(item) for item in range(pushed)] == list(range(pushed))
    assert len(ring) == min(capacity, pushed)
    assert ring.first == max(0, pushed - capacity)
    read = ring.read(start, limit)
    there = [item for item in range(pushed) if item >= max(start, ring.first)]
    assert read.items == (there if limit is None else there[:limit])
    assert read.missed == max(0, ring.first - start)
    assert read.next == max(start, ring.first) + len(read.items)


@given(st.integers(1, 6), st.lists(st.integers(0, 9), max_size=30))
def test_a_reader_that_goes_on_sees_each_item_or_its_loss(capacity: int, bursts: list[int]) -> None:
    ring: Ring[int] = Ring(capacity)
    at = seen = lost = 0
    for burst in bursts:
        for _ in range(burst):
            ring.push(ring.next)
        read = ring.read(at)
        assert read.items == list(range(at + read.missed, ring.next))
        at, seen, lost = read.next, seen + len(read.items), lost + read.missed
        assert seen + lost == ring.next == at


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Ring(0)
