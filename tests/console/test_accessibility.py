"""Every screen, in both themes and at the width of a phone, without violations that axe knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import Up, Visit, workflow

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}


#: What a look may change; the others find the same in each.
RULES = {
    "light": [],
    "dark": ["color-contrast"],
    "phone": ["scrollable-region-focusable", "target-size", "aria-hidden-focus"],
}


def violations(page: Page, look: str) -> list[str]:
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(AXE.read_text())
    told: dict[str, Any] = page.evaluate(
        "rules => axe.run(document, {resultTypes: ['violations'], ...(rules.length ? {runOnly: rules} : {})})",
        RULES[look],
    )
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]}: {node['failureSummary'][:200]}"
        for each in told["violations"]
        for node in each["nodes"][:3]
    ]


@pytest.fixture(scope="module")
def runs(up: Up) -> dict[str, str]:
    script = "echo '::group::Much'; seq 1 20; echo '::endgroup::'; printf '\\033[31mred\\033[0m \\033[33;44mon blue\\033[0m\\n'; echo '::error file=a.py,line=1::Wrong'; printf '# Sum\\n\\n|a|\\n|-|\\n|1|\\n' >> $GITHUB_STEP_SUMMARY; exit 1"
    ended = up.submit(
        workflow(
            {
                "a": {"run": {"Print": script}},
                "b": {"strategy": {"matrix": {"n": [1, 2]}}, "run": {"Do": ":"}},
                "c": {"needs": ["a", "b"], "run": {"Do": ":"}},
            }
        )
    )
    up.ended(ended)
    return {"ended": ended}


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: scripts/console --packages")
@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_no_violations(up: Up, visit: Visit, runs: dict[str, str], look: str) -> None:
    live = up.submit(
        workflow(
            {f"w{n}": {"run": {"Print": f"seq 1 100; {up.gate('never')}"}} for n in range(6)}, name="Live"
        )
    )
    options: dict[str, Any] = {"color_scheme": "dark" if look == "dark" else "light"}
    if look == "phone":
        options["viewport"] = PHONE
    visitor = visit(up, **options)
    page = visitor.page
    page.goto(up.url)
    page.get_by_label("Token").wait_for()
    found = {"sign-in": violations(page, look)}
    visitor.enter("/runs")
    places = {
        "runs": ("/runs", ".run-row"),
        "run": (f"/runs/{runs['ended']}?node=b", ".graph-box"),
        "run-live": (f"/runs/{live}", ".graph-box"),
        "timeline": (f"/runs/{runs['ended']}?view=timeline", ".time-row"),
        "jobs": (f"/runs/{runs['ended']}?view=jobs", ".job-row"),
        "log": (f"/runs/{runs['ended']}/jobs/0", ".log-line"),
        "log-live": (f"/runs/{live}/jobs/0", ".log-line"),
        "workers": ("/workers", ".agent"),
        "queue": ("/queue", ".queue-row"),
        "actors": ("/actors", ".actor-row"),
    }
    for name, (path, sign) in places.items():
        visitor.go(path)
        page.locator(sign).first.wait_for()
        if name == "run":
            page.locator(".markdown table").wait_for()
        found[name] = violations(page, look)
        # Nothing stands out at the right: who has a phone need not look for it.
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found[name].append("the page is wider than the window")
        visitor.picture(f"{name}-{look}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    found["help"] = violations(page, look)
    visitor.picture(f"help-{look}")
    assert {name: each for name, each in found.items() if each} == {}
