"""The generic cell rate algorithm: a leaky bucket that is one number.

Source: ITU-T I.371, virtual scheduling. The state is the theoretical arrival time (TAT): the moment at which the
bucket will be empty. A request of `n` at `now` conforms when max(TAT, now) + n·T ≤ now + τ + T, with T = 1/rate the emission
interval and τ = (burst − 1)·T the tolerance; then TAT becomes max(TAT, now) + n·T. Integers of nanoseconds, hence exact.
"""

from __future__ import annotations

from typing import Final, NamedTuple

NANO: Final = 1_000_000_000


class Decision(NamedTuple):
    """What becomes of one request."""

    tat_ns: int  #: the state after it
    wait_ns: int  #: 0: admitted; else: the same request is admitted after this time, if none comes between; -1: never


def decide(tat_ns: int, now_ns: int, amount: int, interval_ns: int, burst: int) -> Decision:
    """Whether `amount` may pass at `now_ns`, one each `interval_ns` in the long run, `burst` at once after a pause.

    A refused request leaves the state as it is.
    """
    if amount > burst:
        return Decision(tat_ns, -1)
    base = max(tat_ns, now_ns)
    after = base + amount * interval_ns
    over = after - now_ns - burst * interval_ns
    return Decision(tat_ns, over) if over > 0 else Decision(after, 0)


class Gcra:
    """A limiter: `rate` a second in the long run, `burst` at once. Times are seconds of any one clock."""

    __slots__ = ("_burst", "_interval_ns", "_tat_ns", "_tolerance_ns")

    def __init__(self, rate: float, burst: int) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"rate {rate} and burst {burst} must be above zero")
        self._interval_ns = max(1, round(NANO / rate))
        self._burst = burst
        self._tolerance_ns = burst * self._interval_ns
        self._tat_ns = -(1 << 62)

    def allow(self, now_s: float, amount: int = 1) -> bool:
        """Take `amount`, if it may pass now: `decide`, without the making of a `Decision`."""
        now_ns = int(now_s * NANO)
        tat_ns = self._tat_ns
        after = (tat_ns if tat_ns > now_ns else now_ns) + amount * self._interval_ns
        if after - now_ns > self._tolerance_ns:
            return False
        self._tat_ns = after
        return True

    def delay_s(self, now_s: float, amount: int = 1) -> float:
        """Seconds until `amount` may pass; 0.0 means now, infinity never. Takes nothing."""
        wait_ns = decide(self._tat_ns, int(now_s * NANO), amount, self._interval_ns, self._burst).wait_ns
        return float("inf") if wait_ns < 0 else wait_ns / NANO
