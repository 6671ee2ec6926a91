"""What `relevo simulate` tells: tables for people, one object for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from relevo.cli.cells import fitted
from relevo.cli.text import counted, duration, safe, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from relevo.cli.palette import Palette
    from relevo.scheduler.simulation.machines import Machines
    from relevo.scheduler.simulation.results import Result
    from relevo.scheduler.simulation.workload import Workload

#: Tenants that are listed at most.
TENANTS: Final = 12
#: With more policies than that each tenant is told less of, to fit a window.
NARROW: Final = 2
#: Characters of a curve.
WIDTH: Final = 48
_BARS: Final = "▁▂▃▄▅▆▇█"


class Told(NamedTuple):
    """All there is to tell."""

    workload: Workload
    machines: Machines
    seed: int
    left_out: int  #: jobs that fit no agent
    least_s: float  #: what the mean response of no schedule is below
    results: list[Result]


def progress(policy: str) -> None:
    """Somebody who waits sees what is at work; it is gone when that has ended ("")."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{policy and f'simulating {policy} …'}")
        sys.stderr.flush()


def heading(told: Told) -> str:
    """The load in one line."""
    workload, machines = told.workload, told.machines
    tenants = f" of {len(workload.tenants):,} tenants" if len(workload.tenants) > 1 else ""
    work_s = workload.work_s + machines.startup_s * len(workload)
    load = f", load {work_s / (workload.span_s * machines.slots):.2f}" if workload.span_s else ""
    return (
        f"{counted(len(workload), 'job')}{tenants} in {_time(workload.span_s)} on "
        f"{counted(len(machines.shapes), 'agent')} with {counted(machines.slots, 'slot')}{load}"
    )


def as_json(told: Told) -> str:
    """One object."""
    import json

    workload, machines = told.workload, told.machines
    return json.dumps(
        {
            "v": 1,
            "seed": told.seed,
            "load": {
                "jobs": len(workload),
                "left_out": told.left_out,
                "span_s": workload.span_s,
                "work_s": workload.work_s,
                "tenants": len(workload.tenants),
            },
            "machines": {
                "agents": machines.told(),
                "slots": machines.slots,
                "startup_s": machines.startup_s,
                "fails_after_s": machines.fails_after_s,
                "repair_s": machines.repair_s,
            },
            "least_mean_response_s": told.least_s,
            "policies": [result.as_json() for result in told.results],
        },
        ensure_ascii=False,
    )


def as_text(told: Told) -> list[str]:
    """Lines."""
    from relevo.cli.output import colours
    from relevo.cli.palette import Palette

    palette = Palette(colours(sys.stdout))
    lines = [palette("bold", heading(told))]
    if told.left_out:
        lines.append(palette("warning", f"left out: {counted(told.left_out, 'job')} that fit no agent"))
    lines += ["", *_times(told, palette), "", *_rest(told, palette)]
    if len(told.workload.tenants) > 1:
        lines += ["", *_tenants(told, palette)]
    lines += ["", *_curves(told, palette)]
    nearest = [
        f"{result.policy} {result.response.mean / told.least_s:.2f} ×"
        for result in told.results
        if told.least_s
    ]
    lines += [
        "",
        palette("dim", f"no schedule has a mean response below {_time(told.least_s)}: {', '.join(nearest)}"),
    ]
    return lines


def _times(told: Told, palette: Palette) -> list[str]:
    """Waits and responses."""
    names = ("mean", "p50", "p90", "p99", "max")
    rows = [
        ["", palette("bold", "wait"), *[""] * 4, "", palette("bold", "response"), *[""] * 4],
        [palette("dim", name) for name in ("policy", *names, "", *names)],
    ]
    rows += [
        [result.policy, *map(_time, result.wait), palette("dim", "│"), *map(_time, result.response)]
        for result in told.results
    ]
    for column in (*range(1, 6), *range(7, 12)):
        group = "wait" if column < 6 else "response"
        _mark_best(
            rows, column, [getattr(result, group)[(column - 1) % 6] for result in told.results], palette
        )
    return table(rows, right=frozenset({*range(1, 6), *range(7, 12)}))


def _rest(told: Told, palette: Palette) -> list[str]:
    """All that is one number."""
    columns: list[tuple[str, Callable[[Result], str]]] = [
        ("slowdown", lambda result: f"{result.slowdown:.2f} ×"),
        ("runs, mean", lambda result: _time(result.run_response.mean)),
        ("slots used", lambda result: f"{result.used * 100:.1f} %"),
        ("all done", lambda result: _time(result.makespan_s)),
        ("queue, most", lambda result: f"{result.queue_most:,}"),
    ]
    if len(told.workload.tenants) > 1:
        columns.append(("fairness", lambda result: f"{result.jain:.4f}"))
        columns.append(("least share", lambda result: f"{result.least_share * 100:.1f} %"))
    if told.results[0].late is not None:
        columns.append(("late", lambda result: f"{result.late or 0:,}"))
    if any(result.preemptions for result in told.results):
        columns.append(("stopped", lambda result: f"{result.preemptions:,}"))
    if told.machines.fails_after_s is not None:
        columns.append(("lost tries", lambda result: f"{result.losses:,}"))
        columns.append(("given up", lambda result: f"{result.lost + result.skipped:,}"))
    columns.append(("waited longest", lambda result: fitted(safe(result.longest_wait, colours=False), 32)))
    rows = [[palette("dim", name) for name in ("policy", *(name for name, _ in columns))]]
    rows += [[result.policy, *(tell(result) for _, tell in columns)] for result in told.results]
    return table(rows, right=frozenset(range(1, len(columns))))


def _tenants(told: Told, palette: Palette) -> list[str]:
    """How each tenant fared: the worst off first."""
    first = told.results[0]
    worst = sorted(first.tenants, key=lambda one: (1.0 if one.share is None else one.share, one.tenant))
    rows = [["", ""], [palette("dim", "tenant"), palette("dim", "jobs")]]
    heads = ("p99 wait", "slowdown", "share") if len(told.results) <= NARROW else ("p99 wait", "share")
    for result in told.results:
        rows[0] += [palette("dim", "│"), palette("bold", result.policy), *[""] * (len(heads) - 1)]
        rows[1] += [palette("dim", text) for text in ("│", *heads)]
    for one in worst[:TENANTS]:
        row = [fitted(safe(one.tenant, colours=False), 32) or "-", f"{one.jobs:,}"]
        for result in told.results:
            his = next(tenant for tenant in result.tenants if tenant.tenant == one.tenant)
            told_of = {
                "p99 wait": _time(his.wait.p99),
                "slowdown": f"{his.slowdown:.2f} ×",
                "share": "" if his.share is None else f"{his.share * 100:.1f} %",
            }
            row += [palette("dim", "│"), *(told_of[head] for head in heads)]
        rows.append(row)
    columns = range(1, len(rows[0]))
    lines = table(rows, right=frozenset(column for column in columns if (column - 2) % (len(heads) + 1)))
    if len(worst) > TENANTS:
        lines.append(palette("dim", f"and {len(worst) - TENANTS:,} tenants more"))
    return lines


def _curves(told: Told, palette: Palette) -> list[str]:
    """Queue and use over time, each by one scale for all policies."""
    most = max(max(result.queue_over_time) for result in told.results)
    slots = told.machines.slots
    rows = [[palette("dim", text) for text in ("over time", "waiting jobs", f"slots used, of {slots:,}")]]
    rows += [
        [result.policy, curve(result.queue_over_time, most), curve(result.use_over_time, float(slots))]
        for result in told.results
    ]
    return table(rows)


def curve(values: list[float], most: float, width: int = WIDTH) -> str:
    """Values as bars, each the mean of its part; a blank where there is nothing."""
    parts = [
        values[
            part * len(values) // width : max(
                (part + 1) * len(values) // width, part * len(values) // width + 1
            )
        ]
        for part in range(width)
    ]
    means = [sum(part) / len(part) for part in parts]
    return "".join(
        " " if mean <= 0 or most <= 0 else _BARS[min(len(_BARS) - 1, int(mean / most * len(_BARS)))]
        for mean in means
    )


def _mark_best(rows: list[list[str]], column: int, values: list[float], palette: Palette) -> None:
    """The least of a column stands out, if they differ."""
    if len({f"{value:.1f}" for value in values}) > 1:
        best = values.index(min(values))
        rows[best + 2][column] = palette("good", rows[best + 2][column])


def _time(seconds: float) -> str:
    if seconds >= 100 * 3600:
        hours = round(seconds / 3600)
        return f"{hours // 24}d{hours % 24:02}h"
    return duration(round(seconds * 1000))
