"""Counters, gauges and histograms: one number, or one list of numbers, changed in place.

Hold the labelled child where it is used: `ended = jobs.labels("succeeded")`, then `ended.inc()`. Any thread may count:
an in-place addition of numbers is not interrupted under the GIL (it contains no call and no backward jump); a build
without the GIL has to use the accelerated twin.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil, ldexp
from typing import Final, Generic, TypeVar

#: Children of one family; whoever comes later is counted together as `_other`, so that labels cannot explode.
CHILDREN: Final = 1_000
OTHER: Final = "_other"

#: Buckets of a histogram within each power of two: a quantile is at most 1/8 too high.
_PARTS: Final = 8
_LOWEST: Final = -20  #: the first bucket ends at 2^-20: a microsecond, when the unit is seconds
_OCTAVES: Final = 34  #: the last one ends at 2^14: 4.5 hours
#: The end of each bucket but the last, which has none.
_BOUNDS: Final = [ldexp(1.0, _LOWEST)] + [
    ldexp(1.0 + part / _PARTS, _LOWEST + octave)
    for octave in range(_OCTAVES)
    for part in range(1, _PARTS + 1)
]
#: The bucket of each short time in whole milliseconds, for those that are counted for every job.
_OF_MS: Final = [bisect_left(_BOUNDS, milliseconds / 1_000) for milliseconds in range(256)]


class Counter:
    """A sum that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add `amount`, which is not negative."""
        self.value += amount


class Gauge:
    """A value that goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def set(self, value: float) -> None:
        """Set it."""
        self.value = value

    def add(self, amount: float) -> None:
        """Change it by `amount`."""
        self.value += amount


class Histogram:
    """How values are spread, log-linear: eight buckets in each power of two from 2^-20 to 2^14, ends included above.

    Source: the layout of Gil Tene's HdrHistogram. Values are not NaN.
    """

    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets: list[int] = [0] * (len(_BOUNDS) + 1)
        self.sum: float = 0.0

    @property
    def count(self) -> int:
        """How many values there were. O(buckets)."""
        return sum(self.buckets)

    def record(self, value: float) -> None:
        """Count one value. O(log buckets), in one call of C."""
        self.sum += value
        self.buckets[bisect_left(_BOUNDS, value) if value else 0] += 1

    def record_ms(self, milliseconds: int) -> None:
        """Count a time in whole milliseconds, not negative, in a histogram of seconds. O(1) below a quarter of a second."""
        if milliseconds < len(_OF_MS):
            self.sum += milliseconds / 1_000
            self.buckets[_OF_MS[milliseconds]] += 1
        else:
            self.record(milliseconds / 1_000)

    def quantile(self, share: float) -> float:
        """A value that at least `share` (0 to 1) of the values do not exceed; NaN when there are none."""
        counts = list(self.buckets)
        rank = max(1, ceil(share * sum(counts)))
        seen = 0
        for index, count in enumerate(counts):
            seen += count
            if seen >= rank:
                return upper_bound(index)
        return float("nan")

    def octaves(self) -> Iterator[tuple[float, int]]:
        """(bound, how many values do not exceed it) for each power of two, the last bound infinite."""
        counts = list(self.buckets)
        seen = counts[0]
        yield _BOUNDS[0], seen
        for octave in range(_OCTAVES):
            start = 1 + octave * _PARTS
            seen += sum(counts[start : start + _PARTS])
            yield _BOUNDS[(octave + 1) * _PARTS], seen
        yield float("inf"), sum(counts)


def upper_bound(index: int) -> float:
    """The greatest value that bucket `index` counts; each but the first counts none that the one before it does."""
    return _BOUNDS[index] if index < len(_BOUNDS) else float("inf")


M = TypeVar("M", Counter, Gauge, Histogram)


class _ByValue(dict[str, M], Generic[M]):
    """Children that are made when they are asked for first."""

    def __init__(self, labels: Callable[[str], M], most: int) -> None:
        super().__init__()
        self._labels: Callable[[str], M] = labels
        self._most = most

    def __missing__(self, value: str) -> M:
        child: M = self._labels(value)
        if len(self) < self._most:
            self[value] = child
        return child


class Family(Generic[M]):
    """A metric by labels."""

    __slots__ = ("_children", "_make", "_most", "help", "kind", "label_names", "name", "of", "unit")

    def __init__(
        self,
        name: str,
        help: str,
        kind: str,
        make: Callable[[], M],
        label_names: Sequence[str] = (),
        unit: str = "",
        most: int = CHILDREN,
    ) -> None:
        self.name = name
        self.help = help
        self.kind = kind
        self.unit = unit
        self.label_names = tuple(label_names)
        self._make: Callable[[], M] = make
        self._most = most
        self._children: dict[tuple[str, ...], M] = {}
        #: children by the value of the only label, for where each call counts
        self.of: Mapping[str, M] = _ByValue(self.labels, most)

    def labels(self, *values: str) -> M:
        """The child with these label values, made when it is new. Beyond the bound all share one, labelled `_other`."""
        child = self._children.get(values)
        if child is not None:
            return child
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {self.label_names}, not {len(values)} of them")
        if len(self._children) >= self._most:
            values = (OTHER,) * len(values)
        # setdefault: two threads that come at once get the same child
        return self._children.setdefault(values, self._make())

    def children(self) -> list[tuple[tuple[str, ...], M]]:
        """Label values and child, in order of the values."""
        return sorted(self._children.items(), key=lambda item: item[0])


class Registry:
    """All metrics of a process."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Counter] | Family[Gauge] | Family[Histogram]] = {}
        self._readers: list[Callable[[], None]] = []

    def counter(self, name: str, help: str, labels: Sequence[str] = (), unit: str = "") -> Family[Counter]:
        """A family of counters; `name` is without `_total`. Raises ValueError when the name is taken."""
        return self._add(Family(name, help, "counter", Counter, labels, unit))

    def gauge(self, name: str, help: str, labels: Sequence[str] = (), unit: str = "") -> Family[Gauge]:
        """A family of gauges. Raises ValueError when the name is taken."""
        return self._add(Family(name, help, "gauge", Gauge, labels, unit))

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), unit: str = "seconds"
    ) -> Family[Histogram]:
        """A family of histograms. Raises ValueError when the name is taken."""
        return self._add(Family(name, help, "histogram", Histogram, labels, unit))

    def before_reading(self, read: Callable[[], None]) -> None:
        """Call `read` before each reading: it sets the gauges that nobody sets meanwhile."""
        self._readers.append(read)

    def families(self) -> list[Family[Counter] | Family[Gauge] | Family[Histogram]]:
        """All families, in order of their names, up to date."""
        for read in self._readers:
            read()
        return [self._families[name] for name in sorted(self._families)]

    def _add(self, family: Family[M]) -> Family[M]:
        if family.name in self._families:
            raise ValueError(f"there is a metric {family.name} already")
        self._families[family.name] = family
        return family
