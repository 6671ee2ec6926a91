"""Worlds that must end clean, and the account of all kills."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from relevo.providers.process.procfs import children
from tests.faults.world import World

COUNTED = ("kills", "lost", "repeated", "false_green", "log", "orphans")


def _descriptors() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread, process or descriptor of a test outlives it."""
    threads = set(threading.enumerate())
    before = _descriptors()
    families = children(os.getpid())
    yield
    assert set(threading.enumerate()) <= threads
    assert children(os.getpid()) == families
    left = {fd: what for fd, what in _descriptors().items() if before.get(fd) != what}
    assert left == {}


@pytest.fixture
def world(nothing_left: None, request: pytest.FixtureRequest) -> Iterator[World]:
    """A world that must be clean at the end of a test that passed."""
    with World() as made:
        yield made
        report = getattr(request.node, "outcome_of_call", None)
        if report == "passed":
            assert made.until_clean() == [], made.report()
        elif report == "failed":
            print(made.report())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.outcome_of_call = report.outcome
    return report


@pytest.fixture
def count_kills(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Adds kills to the account."""
    return lambda count: record_property("faults.kills", count)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the account: what was done to the processes, and what came of it."""
    counts = dict.fromkeys(COUNTED, 0)
    seeds: list[int] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") != "call":
                continue
            for name, value in report.user_properties:
                if name.startswith("faults."):
                    counts[name.removeprefix("faults.")] += value
                elif name == "seed":
                    seeds.append(value)
    if not counts["kills"]:
        return
    told = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())
    terminalreporter.write_sep("-", "kills of real processes")
    terminalreporter.write_line(f"{told}; seeds {_ranges(sorted(set(seeds)))}")


def _ranges(numbers: list[int]) -> str:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}–{last}" if first != last else f"{first}" for first, last in found) or "none"
