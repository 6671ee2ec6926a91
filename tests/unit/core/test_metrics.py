"""Counters, gauges, histograms, their labels and their text."""

from __future__ import annotations

import threading
from math import inf, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.core.metrics import Counter, Family, Gauge, Histogram, Registry, upper_bound
from relevo.core.openmetrics import render

VALUES = st.floats(0, 1e6, allow_nan=False) | st.sampled_from([2.0**n for n in range(-25, 20)])


@given(VALUES)
def test_a_value_is_in_the_one_bucket_that_bounds_it(value: float) -> None:
    histogram = Histogram()
    histogram.record(value)
    index = histogram.buckets.index(1)
    assert value <= upper_bound(index)
    if index:
        assert value > upper_bound(index - 1)
    if 2.0**-20 < value <= 2.0**14:
        assert upper_bound(index) <= value * 1.125


def test_bounds_grow() -> None:
    bounds = [upper_bound(index) for index in range(len(Histogram().buckets))]
    assert bounds == sorted(set(bounds))
    assert bounds[0] == 2.0**-20
    assert bounds[-1] == inf
    assert bounds[-2] == 2.0**14


@given(st.lists(VALUES, min_size=1, max_size=50), st.floats(0.01, 1))
def test_quantiles_are_never_too_low_and_hardly_too_high(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    found = histogram.quantile(share)
    assert sum(1 for value in values if value <= found) >= share * len(values)
    exact = sorted(values)[max(1, -int(-share * len(values) // 1)) - 1]
    if 2.0**-20 < exact <= 2.0**14:
        assert exact <= found <= exact * 1.125
    assert histogram.count == len(values)
    for bound, count in histogram.octaves():
        assert count == sum(1 for value in values if value <= bound)


@given(st.integers(0, 100_000) | st.sampled_from([0, 255, 256]))
def test_whole_milliseconds_are_counted_as_the_seconds_that_they_are(milliseconds: int) -> None:
    seconds, whole = Histogram(), Histogram()
    seconds.record(milliseconds / 1_000)
    whole.record_ms(milliseconds)
    assert (whole.sum, whole.buckets) == (seconds.sum, seconds.buckets)


def test_an_empty_histogram_has_no_quantiles() -> None:
    assert isnan(Histogram().quantile(0.5))


def test_children_by_their_only_label_are_those_that_labels_gives() -> None:
    family = Family("jobs", "", "counter", Counter, ["status"], most=2)
    for status in ("ok", "lost", "held", "ok", "late"):
        family.of[status].value += 1
    assert family.of["ok"] is family.labels("ok")
    assert {values: child.value for values, child in family.children()} == {
        ("ok",): 2,
        ("lost",): 1,
        ("_other",): 2,
    }
    assert len(family.of) == 2


def test_labels_are_bounded() -> None:
    family = Family("jobs", "", "counter", Counter, ["run"], most=3)
    for n in range(10):
        family.labels(f"run-{n}").inc()
    assert [(values[0], child.value) for values, child in family.children()] == [
        ("_other", 7),
        ("run-0", 1),
        ("run-1", 1),
        ("run-2", 1),
    ]
    with pytest.raises(ValueError, match="jobs has the labels"):
        family.labels("a", "b")


def test_names_are_unique() -> None:
    registry = Registry()
    registry.gauge("depth", "")
    with pytest.raises(ValueError, match="depth"):
        registry.counter("depth", "")


def test_threads_may_count_at_once() -> None:
    counter, histogram = Counter(), Histogram()

    def count() -> None:
        for _ in range(20_000):
            counter.inc()
            histogram.record(1.0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 80_000
    assert histogram.sum == 80_000.0


def test_the_text_is_openmetrics() -> None:
    registry = Registry()
    jobs = registry.counter("relevo_jobs", "Ended jobs.", ["result"])
    jobs.labels("succeeded").inc(2)
    jobs.labels('a"b\\c\nd').inc(0.5)
    depth = registry.gauge("relevo_depth", "Waiting.").labels()
    registry.before_reading(lambda: depth.set(7))
    took = registry.histogram("relevo_took_seconds", "How long.").labels()
    for value in (0.0, 0.25, 0.3, 1e9):
        took.record(value)
    text = render(registry)
    assert isinstance(depth, Gauge)
    assert "# TYPE relevo_jobs counter\n# HELP relevo_jobs Ended jobs.\n" in text
    assert 'relevo_jobs_total{result="succeeded"} 2\n' in text
    assert 'relevo_jobs_total{result="a\\"b\\\\c\\nd"} 0.5\n' in text
    assert "relevo_depth 7\n" in text
    assert "# UNIT relevo_took_seconds seconds\n" in text
    assert 'relevo_took_seconds_bucket{le="0.25"} 2\n' in text
    assert 'relevo_took_seconds_bucket{le="0.5"} 3\n' in text
    assert 'relevo_took_seconds_bucket{le="+Inf"} 4\nrelevo_took_seconds_count 4\n' in text
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
