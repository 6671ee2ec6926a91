"""The limiter lets through exactly what the leaky bucket would."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.core.gcra import NANO, Gcra, decide

REQUESTS = st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 5)), max_size=60)


class Bucket:
    """The leaky bucket, as one would write it down: a level that sinks by one each interval."""

    def __init__(self, interval_ns: int, burst: int) -> None:
        self.interval_ns = interval_ns
        self.burst = burst
        self.level = Fraction(0)
        self.at_ns = 0

    def allow(self, now_ns: int, amount: int) -> bool:
        self.level = max(Fraction(0), self.level - Fraction(now_ns - self.at_ns, self.interval_ns))
        self.at_ns = now_ns
        if self.level + amount > self.burst:
            return False
        self.level += amount
        return True


@given(REQUESTS, st.integers(1, 2_000), st.integers(1, 8))
def test_it_equals_the_bucket(requests: list[tuple[int, int]], interval_ns: int, burst: int) -> None:
    bucket = Bucket(interval_ns, burst)
    now_ns = tat_ns = 0
    for gap_ns, amount in requests:
        now_ns += gap_ns
        before = tat_ns
        tat_ns, wait_ns = decide(tat_ns, now_ns, amount, interval_ns, burst)
        assert (wait_ns == 0) is bucket.allow(now_ns, amount)
        if wait_ns:
            assert tat_ns == before


@given(REQUESTS, st.integers(1, 2_000), st.integers(1, 8))
def test_the_wait_is_exact(requests: list[tuple[int, int]], interval_ns: int, burst: int) -> None:
    now_ns = tat_ns = 0
    for gap_ns, amount in requests:
        now_ns += gap_ns
        tat_ns, wait_ns = decide(tat_ns, now_ns, amount, interval_ns, burst)
        if wait_ns > 0:
            assert decide(tat_ns, now_ns + wait_ns, amount, interval_ns, burst).wait_ns == 0
            assert decide(tat_ns, now_ns + wait_ns - 1, amount, interval_ns, burst).wait_ns == 1
        elif wait_ns < 0:
            assert amount > burst


@given(REQUESTS, st.integers(1, 1_000), st.integers(1, 8))
def test_the_limiter_equals_the_rule(requests: list[tuple[int, int]], rate: int, burst: int) -> None:
    limit = Gcra(float(rate), burst)
    interval_ns = max(1, round(NANO / rate))
    now_ms = 0
    tat_ns = 0
    for gap_ms, amount in requests:
        now_ms += gap_ms
        now_s = now_ms / 1_000
        decision = decide(tat_ns, int(now_s * NANO), amount, interval_ns, burst)
        assert (limit.delay_s(now_s, amount) == 0) is (decision.wait_ns == 0)
        assert limit.allow(now_s, amount) is (decision.wait_ns == 0)
        tat_ns = decision.tat_ns


def test_in_seconds() -> None:
    limit = Gcra(rate=2.0, burst=3)
    assert [limit.allow(10.0) for _ in range(4)] == [True, True, True, False]
    assert limit.delay_s(10.0) == 0.5
    assert limit.delay_s(10.0, 4) == float("inf")
    assert not limit.allow(10.0 + 0.499)
    assert limit.allow(10.5)
    assert limit.delay_s(100.0, 3) == 0.0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_nonsense_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Gcra(rate, burst)


def test_time_that_goes_back_gives_nothing_away() -> None:
    limit = Gcra(rate=1.0, burst=1)
    assert limit.allow(100.0)
    assert not limit.allow(50.0)
    assert limit.delay_s(50.0) == 51.0
    assert NANO == 10**9
