"""What outcomes come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.scheduler.demand import Demand
from relevo.scheduler.simulation.fairness import dominant_share, fill, jain, shares
from relevo.scheduler.simulation.machines import Machines, Shape
from relevo.scheduler.simulation.policies import compare, play
from relevo.scheduler.simulation.results import Distribution, most, over_time
from relevo.scheduler.simulation.workload import Job, Workload

ONE = Machines((Shape(1, window=0),))


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_values_that_occur_and_so_many_are_not_above(values):
    found = Distribution.of(values)
    for part, value in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99), (1.0, found.max)):
        assert value in values
        assert sum(one <= value for one in values) >= part * len(values) - 1e-9
        assert sum(one < value for one in values) < part * len(values) + 1e-9


def test_percentiles_of_a_hundred():
    assert Distribution.of(range(1, 101)) == (50.5, 50, 90, 99, 100)
    assert Distribution.of([]) == (0, 0, 0, 0, 0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=20), st.integers(1, 50))
def test_a_curve_keeps_the_area(spans, points):
    changes = []
    for begin, end in spans:
        changes += [(min(begin, end), 1), (max(begin, end), -1)]
    found = over_time(changes, 100.0, points)
    assert sum(found) * 100.0 / points == pytest.approx(
        sum(abs(end - begin) for begin, end in spans), abs=1e-6
    )


def test_the_highest_level_is_one_that_lasts():
    assert most([(0.0, 1), (1.0, 1), (1.0, -1), (2.0, 1), (2.0, -1), (3.0, -1)]) == 1
    assert most([(0.0, 1), (0.0, 1), (1.0, -1), (1.0, -1)]) == 2
    assert most([]) == 0


def test_a_curve_by_hand_and_what_comes_after_the_span_is_left_out():
    assert over_time([(1.0, 1), (3.0, -1), (2.0, 1), (9.0, -1)], 4.0, 4) == [0.0, 1.0, 2.0, 1.0]


@given(st.floats(0, 10), st.lists(st.floats(0, 5), min_size=1, max_size=8))
def test_fair_parts_are_max_min(amount, asks):
    parts = fill(amount, asks)
    assert sum(parts) == pytest.approx(min(amount, sum(asks)), abs=1e-6)
    for one, (part, asked) in enumerate(zip(parts, asks, strict=True)):
        assert -1e-9 <= part <= asked + 1e-9
        # Whoever has less than he asks for has as much as anybody.
        assert part >= asked - 1e-6 or all(
            part >= other - 1e-6 for at, other in enumerate(parts) if at != one
        )


def test_jain():
    assert jain([]) == 1
    assert jain([2, 2, 2]) == pytest.approx(1)
    assert jain([1, 0, 0, 0]) == pytest.approx(0.25)


def test_the_dominant_share_is_that_of_the_scarcest():
    places = Machines((Shape(4, cpus=8.0, memory_bytes=100), Shape(4, cpus=8.0, memory_bytes=100)))
    assert dominant_share(Demand(frozenset(), None, None), places) == 1 / 8
    assert dominant_share(Demand(frozenset(), 4.0, 10), places) == 1 / 4
    assert dominant_share(Demand(frozenset(), 1.0, 100), places) == 1 / 2


def test_shares_are_of_what_one_is_entitled_to_while_somebody_waits():
    # x has the slot for 30 s while y waits from 10 on, then y has it: of [10, 30] x had 20 s and was entitled to 10, y to 10.
    load = Workload([Job("a", "a", 0, 30, "x"), Job("b", "b", 10, 5, "y"), Job("c", "c", 100, 5, "z")])
    found, index = shares(load, ONE, play("fifo", load, ONE))
    assert found == {"x": pytest.approx(1.0), "y": pytest.approx(0.0)}
    assert index == pytest.approx(0.5)


def test_one_tenant_has_nobody_to_share_with():
    load = Workload([Job("a", "a", 0, 30, "x"), Job("b", "b", 10, 5, "x")])
    assert shares(load, ONE, play("fifo", load, ONE)) == ({}, 1.0)


def test_a_comparison_by_hand():
    load = Workload([Job("a", "r", 0, 10, "x"), Job("b", "r", 0, 30, "x"), Job("c", "q", 5, 0.5, "y")])
    (found,) = compare(["fifo"], load, ONE)
    assert (found.jobs, found.ended, found.lost, found.skipped) == (3, 3, 0, 0)
    assert found.wait == Distribution.of([0, 10, 35])
    assert found.response == Distribution.of([10, 40, 35.5])
    assert found.run_response == Distribution.of([40, 35.5])
    assert found.slowdown == pytest.approx((1 + 40 / 30 + 35.5) / 3)  # a job under a second counts as one
    assert found.longest_wait == "q / c"
    assert found.makespan_s == found.span_s == 40.5
    assert found.used == pytest.approx(1.0)
    assert [(one.tenant, one.jobs, one.wait.max) for one in found.tenants] == [("x", 2, 10), ("y", 1, 35)]


def test_what_a_few_long_jobs_take_does_not_stretch_the_figure():
    jobs = [Job(f"j{at}", "r", float(at), 1.0) for at in range(2_000)]
    jobs[1_000] = jobs[1_000]._replace(duration_s=1e6)
    (found,) = compare(["fifo"], Workload(jobs), Machines((Shape(4),)))
    assert found.span_s < 2_001
    assert found.makespan_s == 1_001_000
