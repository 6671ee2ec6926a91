"""A log of a gigabyte and a run of 10,000 jobs, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.conftest import PATIENCE_S, Up, Visit, workflow

pytestmark = pytest.mark.soak

MIB = 1 << 20
#: Longest tasks, and what one heap holds once what it let go of is collected.
WATCH = """() => {
  window.long = [];
  new PerformanceObserver(list => list.getEntries().forEach(each => window.long.push(each.duration))).observe({type: 'longtask'});
}"""


def heap_bytes(page: Any) -> int:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return int(session.send("Runtime.getHeapUsage")["usedSize"])


def test_a_log_of_a_gigabyte(up: Up, visit: Visit, record_property: Callable[[str, object], None]) -> None:
    line = "x" * 99
    script = f"yes {line} | head -c 1000000000; echo the end"
    run = up.submit(workflow({"a": {"run": {"Print": script}}}))
    up.until(lambda: up.ask(f"/runs/{run}/row")["status"] == "succeeded", patience_s=600)
    visitor = visit(up)
    page = visitor.enter(f"/runs/{run}/jobs/0")
    expect(page.locator(".log-foot")).to_contain_text("10,000,001 lines", timeout=PATIENCE_S * 1_000)
    expect(page.locator('.log-line[data-line="1"] .log-text')).to_have_text(line)
    before = heap_bytes(page)
    box = page.locator(".log .virtual")
    took = []
    for jump in range(40):
        share = jump * 0.618 % 1
        took.append(
            box.evaluate(
                """(box, share) => new Promise(done => {
                  const from = performance.now();
                  box.scrollTop = share * (box.scrollHeight - box.clientHeight);
                  const look = () => {
                    const lines = [...document.querySelectorAll('.log-line')];
                    const near = lines.length && Math.abs(+lines[0].dataset.line / 1e7 - share) < 0.01;
                    if (near && lines.every(line => line.querySelector('.log-text').textContent)) done(performance.now() - from);
                    else requestAnimationFrame(look);
                  };
                  requestAnimationFrame(look);
                })""",
                share,
            )
        )
    page.keyboard.press("G")
    expect(page.locator('.log-line[data-line="10000001"] .log-text')).to_have_text("the end")
    visitor.picture("log-gigabyte")
    record_property("jump_ms_p50", round(sorted(took)[20]))
    record_property("heap_mib", round(heap_bytes(page) / MIB, 1))
    assert page.locator(".log-line").count() < 120
    assert heap_bytes(page) - before < 40 * MIB, "what has left the sight is let go of"


def test_a_matrix_of_10000(up: Up, visit: Visit, record_property: Callable[[str, object], None]) -> None:
    visitor = visit(up)
    page = visitor.enter("/runs")
    visitor.live()
    page.evaluate(WATCH)
    jobs = {
        "shard": {
            "strategy": {"fail-fast": False, "matrix": {"n": list(range(100)), "part": list(range(100))}},
            "run": {"Do": 'test "${{ matrix.n }}-${{ matrix.part }}" != 7-77'},
        },
        "end": {"needs": "shard", "if": "always()", "run": {"Do": ":"}},
    }
    run = up.submit(workflow(jobs, name="Huge"))
    page.goto(f"{up.url}/runs/{run}?node=shard")
    page.evaluate(WATCH)
    page.get_by_role("button", name="shard 10,000").wait_for()
    assert page.locator(".opened .job-row").count() < 60
    visitor.picture("huge-live")
    # Live: counted while it goes on, filtered, scrolled.
    page.goto(f"{up.url}/runs/{run}?view=jobs")
    page.evaluate(WATCH)
    expect(page.locator(".tabs")).to_contain_text("10,001", timeout=600_000)
    page.get_by_label("Only jobs whose names hold this").fill("(99, 9")
    expect(page.locator(".job-row").first).to_contain_text("shard (99, 9")
    page.get_by_label("Only jobs whose names hold this").fill("")
    listed = page.locator(".virtual").first
    for share in (0.9, 0.1, 0.5):
        listed.evaluate("(box, share) => box.scrollTop = share * box.scrollHeight", share)
        page.wait_for_function("document.querySelectorAll('.job-row').length > 5")
    up.until(lambda: not up.ask(f"/runs/{run}/row")["live"], patience_s=900)
    expect(page.locator(".head .status-text")).to_have_text("Failed")
    expect(page.locator(".counts-legend")).to_contain_text("1 failed")
    page.get_by_role("button", name="Failed", exact=True).click()
    expect(page.locator(".job-row")).to_have_count(1)
    expect(page.locator(".job-row")).to_contain_text("shard (7, 77)")
    visitor.picture("huge-failed")
    record_property("longest_task_ms", max(page.evaluate("window.long"), default=0))
    record_property("heap_mib", round(heap_bytes(page) / MIB, 1))
    assert heap_bytes(page) < 120 * MIB
    page.goto(f"{up.url}/runs/{run}")
    expect(page.get_by_role("button", name="shard 10,000")).to_be_visible()
    visitor.picture("huge-graph")
