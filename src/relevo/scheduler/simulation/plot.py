"""A comparison as one figure, in SVG: how long jobs wait, who waits, and queue and slots over time.

PNG is made of the same SVG by resvg, where that is installed (the extra `plot`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import ceil, floor, log10
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from relevo.domain.errors import UserError
from relevo.scheduler.simulation.machines import Machines
from relevo.scheduler.simulation.results import Result

WIDTH: Final = 1120
HEIGHT: Final = 780
#: Told apart also by those who see no red or no green (after Okabe and Ito), and in grey.
COLOURS: Final = ("#0b66c3", "#e08214", "#1a936f", "#b5179e", "#6b7280", "#c1292e", "#7b5ea7", "#4aa3df")
#: Points of a curve at most: more cannot be seen.
POINTS: Final = 400
#: Policies whose names can have something beside them.
FITTING: Final = 4
#: Rows of the panel of tenants at most.
ROWS: Final = 8
_FONT: Final = "Inter, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"
_INK: Final = "#1f2937"
_FAINT: Final = "#6b7280"
_GRID: Final = "#e5e7eb"
#: Times that an axis by powers may name.
_MARKS: Final = (
    (0.001, "1 ms"),
    (0.01, "10 ms"),
    (0.1, "0.1 s"),
    (1.0, "1 s"),
    (10.0, "10 s"),
    (60.0, "1 min"),
    (600.0, "10 min"),
    (3_600.0, "1 h"),
    (36_000.0, "10 h"),
    (345_600.0, "4 d"),
    (3_456_000.0, "40 d"),
    (34_560_000.0, "400 d"),
)
#: Steps of an axis of time, in seconds.
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200),
    *(86_400 * days for days in (1, 2, 5, 7, 14, 28, 91, 182, 365, 730, 1_825, 3_650, 18_250)),
)


class _Frame(NamedTuple):
    """Where a panel draws: the rectangle within its axes."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


class _Axis(NamedTuple):
    """Values to places, and what is written at which value."""

    place: Callable[[float], float]
    ticks: list[tuple[float, str]]


def figure(results: Sequence[Result], machines: Machines, heading: str) -> str:
    """The SVG of a comparison."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="{_FONT}" font-size="12" fill="{_INK}">',
        f"<title>{escape(heading)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(40, 38, "Who waits for how long", size=20, weight=600),
        _text(40, 60, heading, colour=_FAINT, size=13),
        *_legend(results),
    ]
    left, right, top, bottom, wide, high = 84.0, 656.0, 168.0, 492.0, 424.0, 232.0
    parts += _spread(_Frame(left, top, wide, high), results)
    parts += _rows(_Frame(right + 44, top, wide - 44, high), results)
    span_s = max(result.span_s for result in results)
    parts += _queue(_Frame(left, bottom, wide, high), results, span_s)
    parts += _use(_Frame(right, bottom, wide, high), results, span_s, machines.slots)
    parts.append("</svg>\n")
    return "\n".join(parts)


def as_png(svg: str, *, zoom: int = 2) -> bytes:
    """An SVG as PNG. Raises UserError when what draws it is not installed."""
    try:
        import resvg_py
    except ImportError as error:
        raise UserError(
            "to draw a PNG needs resvg, which is not installed",
            hint="pip install 'relevo[plot]', or draw an .svg",
        ) from error
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom))


# --- panels -------------------------------------------------------------------------------------------------------------------


def _legend(results: Sequence[Result]) -> Iterable[str]:
    several = len(results[0].tenants) > 1
    few = len(results) <= 3
    x = 40.0
    for number, result in enumerate(results):
        told = f"mean wait {short(result.wait.mean)}"
        if few or (not several and len(results) == FITTING):
            told += f", slowdown {result.slowdown:.3g} ×"
        if several and len(results) <= FITTING:
            told += f", fairness {result.jain:.3f}"
        yield f'<rect x="{x:.1f}" y="81" width="22" height="5" rx="2.5" fill="{_colour(number)}"/>'
        yield _text(x + 30, 88, result.policy, weight=600, size=13)
        yield _text(x + 30, 105, told, colour=_FAINT, size=11.5)
        x += max(130.0, 62 + 5.9 * len(told)) if few else (WIDTH - 80) / len(results)


def _spread(frame: _Frame, results: Sequence[Result]) -> Iterable[str]:
    """How many jobs wait no longer than …"""
    yield _title(frame, "Jobs that waited no longer than …")
    longest = max((result.waits[-1] for result in results if result.waits), default=1.0)
    across = _powers(frame, max(longest, 60.0))
    # Where nearly nobody waits, what there is to see is at the top.
    at_once = [bisect_right(result.waits, 1.0) / len(result.waits) for result in results if result.waits]
    low = next(part for part in (0.99, 0.9, 0.5, 0.0) if part <= min(at_once, default=0.0))
    up = _Axis(
        lambda part: frame.bottom - max(0.0, part - low) / (1 - low) * frame.height,
        [(low + (1 - low) * part / 4, f"{100 * low + 25 * part * (1 - low):.4g} %") for part in range(5)],
    )
    yield from _grid(frame, across, up)
    for number, result in enumerate(results):
        waits = result.waits
        if not waits:
            continue
        count = len(waits)
        # The last ones all: one of them may be much of the figure's width.
        evenly = {round(step * (count - 1) / POINTS) for step in range(POINTS + 1)}
        wanted = sorted(evenly.union(range(max(0, count - POINTS // 4), count)))
        # From the axis up: whoever did not wait stands there.
        points = [(across.place(waits[0]), up.place(low))]
        points += [(across.place(waits[index]), up.place((index + 1) / count)) for index in wanted]
        points.append((frame.right, up.place(1.0)))
        yield _line(points, number)


def _rows(frame: _Frame, results: Sequence[Result]) -> Iterable[str]:
    """Percentiles of all waits, or, where there are tenants, one of each tenant's."""
    rows: list[tuple[str, list[float]]]
    tenants = results[0].tenants
    if len(tenants) > 1:
        yield _title(frame, "How long the unluckiest hundredth waited (p99), by tenant")
        shown = sorted(tenants, key=lambda one: (-one.jobs, one.tenant))[:ROWS]
        rows = [
            (
                _clipped(one.tenant or "-", 16),
                [
                    next(his.wait.p99 for his in result.tenants if his.tenant == one.tenant)
                    for result in results
                ],
            )
            for one in shown
        ]
    else:
        yield _title(frame, "Waits: half of all jobs, 90 %, 99 %, and all wait no longer")
        rows = [
            (name, [getattr(result.wait, key) for result in results])
            for name, key in (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("longest", "max"))
        ]
    across = _powers(frame, max(60.0, *(value for _, values in rows for value in values)))
    yield from _grid(frame, across, None)
    height = frame.height / len(rows)
    for position, (name, values) in enumerate(rows):
        middle = frame.y + (position + 0.5) * height
        yield _text(frame.x - 12, middle + 4, name, anchor="end")
        apart = min(13.0, (height - 6) / (len(values) + 0.6))
        for number, value in enumerate(values):
            x, y = across.place(value), middle + (number - (len(values) - 1) / 2) * apart
            yield (
                f'<line x1="{frame.x}" y1="{y:.1f}" x2="{x:.1f}" y2="{y:.1f}" stroke="{_colour(number)}" '
                'stroke-opacity="0.35" stroke-width="2.5"/>'
            )
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{min(5.0, apart / 2):.1f}" fill="{_colour(number)}"/>'


def _queue(frame: _Frame, results: Sequence[Result], span_s: float) -> Iterable[str]:
    yield _title(frame, "Waiting jobs")
    across = _moments(frame, span_s)
    up = _amounts(frame, max(1.0, *(max(result.queue_over_time) for result in results)))
    yield from _grid(frame, across, up)
    for number in reversed(range(len(results))):
        yield _curve(results[number].queue_over_time, results[number].span_s, across, up, number)


def _use(frame: _Frame, results: Sequence[Result], span_s: float, slots: int) -> Iterable[str]:
    yield _title(frame, f"Slots in use, of {slots:,}")
    across, up = _moments(frame, span_s), _amounts(frame, float(slots))
    yield from _grid(frame, across, up)
    y = up.place(slots)
    yield (
        f'<line x1="{frame.x}" y1="{y:.1f}" x2="{frame.right}" y2="{y:.1f}" stroke="{_FAINT}" '
        'stroke-dasharray="3 4"/>'
    )
    for number in reversed(range(len(results))):
        yield _curve(results[number].use_over_time, results[number].span_s, across, up, number)


# --- axes ---------------------------------------------------------------------------------------------------------------------


def _powers(frame: _Frame, most_s: float) -> _Axis:
    """Times by powers, from a second (what is less lies there) to `most_s`."""
    low = log10(1.0)
    high = log10(most_s * 1.3)
    scale = frame.width / (high - low)

    def place(seconds: float) -> float:
        return frame.x + (max(low, log10(seconds)) - low) * scale if seconds > 1 else frame.x

    ticks = [
        (mark, f"≤ {name}" if mark == 1.0 else name) for mark, name in _MARKS if 1.0 <= mark <= most_s * 1.3
    ]
    while len(ticks) > 7:
        ticks = ticks[::2]
    return _Axis(place, ticks)


def _moments(frame: _Frame, span_s: float) -> _Axis:
    """Moments of a span."""
    span_s = span_s or 1.0
    step = next((step for step in _STEPS if span_s / step <= 8), _STEPS[-1])
    ticks = [(number * step, short(number * step)) for number in range(floor(span_s / step) + 1)]
    return _Axis(
        lambda moment: frame.x + moment / span_s * frame.width, [(float(at), told) for at, told in ticks]
    )


def _amounts(frame: _Frame, most: float) -> _Axis:
    """Amounts from 0 on, in round steps."""
    rough = most / 4
    power = 10 ** floor(log10(rough)) if rough >= 1 else 1
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    step = step if step == int(step) else 2 * step
    top = max(most, step * ceil(most / step - 1e-9) if most % step > step * 0.6 else most) * 1.04
    ticks = [(number * step, f"{number * step:,.0f}") for number in range(int(top / step) + 1)]
    return _Axis(lambda amount: frame.bottom - amount / top * frame.height, ticks)


def _grid(frame: _Frame, across: _Axis, up: _Axis | None) -> Iterable[str]:
    for value, told in across.ticks:
        x = across.place(value)
        yield f'<line x1="{x:.1f}" y1="{frame.y}" x2="{x:.1f}" y2="{frame.bottom}" stroke="{_GRID}"/>'
        yield _text(x, frame.bottom + 20, told, colour=_FAINT, anchor="middle", size=11.5)
    for value, told in up.ticks if up is not None else ():
        y = up.place(value) if up is not None else 0.0
        yield f'<line x1="{frame.x}" y1="{y:.1f}" x2="{frame.right}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _text(frame.x - 10, y + 4, told, colour=_FAINT, anchor="end", size=11.5)
    yield f'<line x1="{frame.x}" y1="{frame.bottom}" x2="{frame.right}" y2="{frame.bottom}" stroke="#9ca3af"/>'


# --- marks --------------------------------------------------------------------------------------------------------------------


def _curve(values: Sequence[float], span_s: float, across: _Axis, up: _Axis, number: int) -> str:
    width = span_s / len(values)
    return _line(
        [(across.place((at + 0.5) * width), up.place(value)) for at, value in enumerate(values)], number
    )


def _line(points: Sequence[tuple[float, float]], number: int) -> str:
    """Points that lie on one pixel are drawn once."""
    kept = [points[0]]
    kept += [after for before, after in pairwise(points) if _apart(before, after)]
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in kept)
    return (
        f'<polyline points="{told}" fill="none" stroke="{_colour(number)}" stroke-width="2" stroke-linejoin="round" '
        'stroke-linecap="round"/>'
    )


def _apart(before: tuple[float, float], after: tuple[float, float]) -> bool:
    return f"{before[0]:.1f},{before[1]:.1f}" != f"{after[0]:.1f},{after[1]:.1f}"


def _title(frame: _Frame, text: str) -> str:
    return _text(40 if frame.x < 100 else 612, frame.y - 16, text, weight=600, size=13.5)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    colour: str = _INK,
    anchor: str = "start",
    size: float = 12,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size:g}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(_printable(text))}</text>'
    )


def _printable(text: str) -> str:
    """XML knows no control characters."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def short(seconds: float) -> str:
    """A time in its two greatest units at most: 0.4 s, 12 s, 3 min, 1 h 30, 2 d 6 h."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds and seconds != int(seconds) else f"{seconds:.0f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 3_570:
        return f"{seconds / 60:.0f} min"
    if seconds < 84_600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes:02}" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3_600), 24)
    if days >= 10:
        return f"{seconds / 86_400:.0f} d"
    return f"{days} d {hours} h" if hours else f"{days} d"
