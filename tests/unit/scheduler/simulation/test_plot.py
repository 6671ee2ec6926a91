"""The figure: well-formed, within its bounds, and the same for the same."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from relevo.scheduler.simulation import plot
from relevo.scheduler.simulation.generate import Recipe, generate
from relevo.scheduler.simulation.machines import Machines, Shape
from relevo.scheduler.simulation.policies import compare
from relevo.scheduler.simulation.workload import Job, Workload

PLACES = Machines((Shape(2), Shape(2)))
LOADS = {
    "tenants": generate(Recipe(400, 86_400.0, "bursts", "pareto", 500.0, 2, 0.3)),
    "one tenant": generate(Recipe(400, 86_400.0, "poisson", "exponential", 500.0)),
    "no waits": generate(Recipe(50, 86_400.0, "poisson", "constant", 1.0)),
    "one job": Workload([Job("<a>&", "r", 0.0, 1.0)]),
    "no time": Workload([Job("a", "r", 0.0, 0.0), Job("b", "q", 0.0, 0.0, "<&\x07>")]),
    "long": Workload([Job(f"{at}", f"r{at}", 0.0, 1e7) for at in range(200)]),
}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", LOADS)
@pytest.mark.parametrize(
    "policies", [["relevo"], ["relevo", "fifo", "srpt"], ["relevo", "fifo", "srpt", "fifo", "srpt"]]
)
def test_a_figure_is_well_formed_and_all_of_it_can_be_seen(name, policies):
    svg = plot.figure(compare(policies, LOADS[name], PLACES), PLACES, "jobs & <agents>")
    assert svg == plot.figure(compare(policies, LOADS[name], PLACES), PLACES, "jobs & <agents>")
    root = ElementTree.fromstring(svg)
    shown = [one.text or "" for one in root.iter(f"{SVG}text")]
    assert "jobs & <agents>" in shown
    assert all(policy in shown for policy in policies)
    assert len(list(root.iter(f"{SVG}polyline"))) == 3 * len(policies)
    for one in root.iter(f"{SVG}polyline"):
        for x, y in (point.split(",") for point in one.attrib["points"].split()):
            assert 0 <= float(x) <= plot.WIDTH
            assert 0 <= float(y) <= plot.HEIGHT
    for one in root.iter(f"{SVG}circle"):
        assert 0 <= float(one.attrib["cx"]) <= plot.WIDTH
    for one in root.iter(f"{SVG}text"):
        assert 0 <= float(one.attrib["x"]) <= plot.WIDTH - 8
    assert not re.search(r"\b(nan|inf)\b", svg)
    assert len(svg) < 120_000


def test_a_png_is_drawn_of_the_same():
    svg = plot.figure(compare(["relevo"], LOADS["tenants"], PLACES), PLACES, "x")
    assert plot.as_png(svg, zoom=1).startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (12.3, "12 s"),
        (59.7, "1 min"),
        (3_569, "59 min"),
        (3_599, "1 h"),
        (5_400, "1 h 30"),
        (86_399, "1 d"),
        (194_400, "2 d 6 h"),
        (1e7, "116 d"),
    ],
)
def test_times_are_told_shortly(seconds, told):
    assert plot.short(seconds) == told
