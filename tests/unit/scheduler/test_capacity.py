"""How many jobs an agent has in hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.scheduler.capacity import DEEPEST, AgentCapacity, jobs_ahead
from relevo.scheduler.demand import Demand

ANY = Demand(frozenset(), None, None)


def agent(window: int = 2) -> AgentCapacity:
    return AgentCapacity("a", frozenset(), 2, 4.0, 1 << 30, window)


@pytest.mark.parametrize(
    ("window", "between_s", "expected"),
    [
        (2, 60.0, 2),  # jobs that take their time: the next one is soon enough
        (2, 0.02, 2),
        (2, 0.005, 8),
        (2, 0.003, 14),
        (2, 0.0001, 16),
        (2, 0.0, 16),
        (0, 0.0, 0),  # one that takes nothing beyond its slots
        (8, 1.0, 8),
    ],
)
def test_the_shorter_jobs_are_the_more_wait_at_their_agent(
    window: int, between_s: float, expected: int
) -> None:
    assert jobs_ahead(window, between_s) == expected


def test_an_agent_whose_jobs_end_fast_gets_more_and_no_more_when_none_ends() -> None:
    fast = agent()
    for turn in range(100):
        fast.ended(turn * 0.004)
    fast.keep_pace(0.4)
    assert fast.places == fast.free == 2 + 10
    fast.take(ANY)
    fast.keep_pace(0.4 + 1.0)
    assert (fast.places, fast.free) == (4, 3)


@given(st.lists(st.tuples(st.sampled_from(["take", "give", "ended", "pace"]), st.floats(0, 5))))
def test_places_stay_within_bounds_and_free_ones_are_those_not_taken(steps: list[tuple[str, float]]) -> None:
    made = agent()
    now_s, taken = 0.0, 0
    for what, later_s in steps:
        now_s += later_s
        if what == "take":
            made.take(ANY)
            taken += 1
        elif what == "give" and taken:
            made.give(ANY)
            taken -= 1
        elif what == "ended":
            made.ended(now_s)
        else:
            made.keep_pace(now_s)
        assert 4 <= made.places <= 2 + 2 * DEEPEST
        assert made.free == made.places - taken
