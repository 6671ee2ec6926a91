"""The page in a real browser before a real `relevo up`: weight, first paint, how soon a line is on it, how it bears many events.

Times of lines count from what the step's own shell took from the clock before it printed, to the moment at which the page's DOM had
the line; browser, server, engine, agent and step share the machine.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Figure
from relevo.console import static_folder

PACE = 500  #: events a second, for the goal
SEEN = """() => {
  window.seen = {};
  new MutationObserver(() => {
    const at = performance.timeOrigin + performance.now();
    for (const line of document.querySelectorAll('.log-line .log-text')) {
      const found = /^stamp (\\d+)$/.exec(line.textContent);
      if (found) window.seen[found[1]] ??= at;
    }
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
WATCH = """() => {
  window.long = [];
  new PerformanceObserver(list => list.getEntries().forEach(each => window.long.push(each.duration))).observe({type: 'longtask'});
}"""


def run(quick: bool) -> list[Figure]:
    """Needs chromium and playwright; without them only the weight is told."""
    figures = _weight()
    if shutil.which("chromium") is None:
        return figures
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        _server(Path(folder)) as server,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            figures += _paint(browser, server, rounds=3 if quick else 9)
            figures += _lines(browser, server, count=100 if quick else 400)
            figures += _long_log(browser, server, jumps=10 if quick else 40)
            figures += _storms(browser, server, legs=500 if quick else 2_000)
        finally:
            browser.close()
    return figures


def _figure(name: str, value: float, unit: str, goal: str, **more: Any) -> Figure:
    return {"name": name, "value": value, "unit": unit, "baseline": None, "ratio": None, "goal": goal, **more}


def _weight() -> list[Figure]:
    assets = Path(static_folder()) / "assets"

    def packed(*patterns: str) -> float:
        paths = {path for pattern in patterns for path in assets.glob(pattern)}
        return sum(len(gzip.compress(path.read_bytes(), 9)) for path in paths) / 1_000

    return [
        _figure(
            "page: first screen, JavaScript and CSS, gzip", packed("index-*.js", "index-*.css"), "kB", "<= 60"
        ),
        _figure(
            "page: with the graph of a run", packed("index-*.js", "index-*.css", "place-*.js"), "kB", "<= 60"
        ),
        _figure("page: all there is", packed("*.js", "*.css"), "kB", ""),
    ]


class _Server:
    def __init__(self, url: str, token: str, folder: Path) -> None:
        self.url = url
        self.token = token
        self.folder = folder

    def ask(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def submit(self, job: dict[str, Any], script: str) -> str:
        told = {
            "on": "workflow_dispatch",
            "jobs": {"a": {"runs-on": "ubuntu-latest", **job, "steps": [{"run": script}]}},
        }
        run = self.ask("/runs", {"workflow": {"path": "w.yml", "text": json.dumps(told)}})["run"]
        return str(run)

    def ended(self, run: str) -> dict[str, Any]:
        while True:
            told: dict[str, Any] = self.ask(f"/runs/{run}")
            if told["status"] in ("succeeded", "failed", "cancelled"):
                assert told["status"] == "succeeded", told["message"]
                return told
            time.sleep(0.2)


@contextmanager
def _server(folder: Path) -> Iterator[_Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", "relevo.cli.main", "up", "--port", "0", "--jobs", "2"],
        env={**os.environ, "RELEVO_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        link = next(word for line in process.stdout for word in line.split() if "#token=" in word)
        url, token = link.split("/#token=")
        yield _Server(url, token, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def _entered(browser: Any, server: _Server, path: str = "/runs") -> Any:
    page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{server.url}{path}#token={server.token}")
    page.locator("main h1").first.wait_for(state="attached")
    return page


def _paint(browser: Any, server: _Server, rounds: int) -> list[Figure]:
    for _ in range(50):
        server.ended(server.submit({}, ":"))
    paints, rows = [], []
    for _ in range(rounds):
        page = _entered(browser, server)
        cookies = page.context.cookies()
        page.context.close()
        context = browser.new_context()  # nothing is cached
        context.add_cookies(cookies)
        page = context.new_page()
        page.goto(f"{server.url}/runs")
        page.locator(".run-row").first.wait_for()
        rows.append(page.evaluate("performance.now()"))
        paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        context.close()
    return [
        _figure("page: first paint, nothing cached", median(paints), "ms", "<= 500"),
        _figure("page: 50 runs shown, nothing cached", median(rows), "ms", "<= 1000"),
    ]


def _lines(browser: Any, server: _Server, count: int) -> list[Figure]:
    gate = server.folder / "gate"
    done = server.folder / "done"
    run = server.submit(
        {},
        f'until [ -e {gate} ]; do sleep 0.02; done; for i in $(seq 1 {count}); do echo "stamp $(date +%s%N)"; sleep 0.02; done; '
        f"until [ -e {done} ]; do sleep 0.02; done",
    )
    page = _entered(browser, server, f"/runs/{run}/jobs/0")
    page.get_by_text("Nothing was written yet.").wait_for()
    page.evaluate(SEEN)
    gate.touch()
    while page.evaluate("Object.keys(window.seen).length") < count:
        time.sleep(0.2)
    delays = sorted(at - int(stamp) / 1e6 for stamp, at in page.evaluate("window.seen").items())
    done.touch()
    server.ended(run)
    page.context.close()
    return [
        _figure("page: printed line until it is on it, p50", delays[len(delays) // 2], "ms", "<= 100"),
        _figure("page: the same, p99", delays[len(delays) * 99 // 100], "ms", "<= 100"),
    ]


def _long_log(browser: Any, server: _Server, jumps: int) -> list[Figure]:
    run = server.submit({}, "seq 1 10000000")
    server.ended(run)
    page = _entered(browser, server, f"/runs/{run}/jobs/0")
    page.locator('.log-line[data-line="1"] .log-text').wait_for()
    took = []
    for jump in range(jumps):
        share = (jump * 0.618) % 1
        took.append(
            page.evaluate(
                """share => new Promise(done => {
                  const box = document.querySelector('.log .virtual');
                  const from = performance.now();
                  box.scrollTop = share * (box.scrollHeight - box.clientHeight);
                  const look = () => {
                    const lines = [...document.querySelectorAll('.log-line')];
                    const there = lines.length && lines.every(line => line.querySelector('.log-text').textContent === line.dataset.line);
                    const near = Math.abs(+lines[0].dataset.line / 1e7 - share) < 0.01;
                    if (there && near) done(performance.now() - from); else requestAnimationFrame(look);
                  };
                  requestAnimationFrame(look);
                })""",
                share,
            )
        )
    page.context.close()
    return [
        _figure(
            "page: a jump in a log of 10 million lines until its lines are there",
            median(took),
            "ms",
            "<= 100",
        )
    ]


def _storms(browser: Any, server: _Server, legs: int) -> list[Figure]:
    """As many events as the engine makes of jobs that do nothing, and PACE of them."""
    most, events, long = _storm(browser, server, legs, ":")
    per_leg = events / legs
    with _paced(server.folder / "pace", PACE / per_leg) as wait:
        paced, _, paced_long = _storm(browser, server, legs // 2, wait)
    return [
        _figure(
            f"page: longest task under {rate:.0f} events/s{words}",
            max(tasks, default=0.0),
            "ms",
            goal,
            tasks_over_50_ms=len(tasks),
        )
        for rate, words, tasks, goal in (
            (paced, "", paced_long, "<= 50"),
            (most, ", all that come of jobs that do nothing", long, ""),
        )
    ]


@contextmanager
def _paced(pipe: Path, rate: float) -> Iterator[str]:
    """A script that ends as often as `rate` a second, over all that run it: each takes a byte, and these come by the clock."""
    os.mkfifo(pipe)
    stop = threading.Event()
    file = os.open(pipe, os.O_RDWR)

    def feed() -> None:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            os.write(file, b"\n")
            due += 1 / rate

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        yield f"read -r < {pipe}"
    finally:
        stop.set()
        feeding.join()
        os.close(file)


def _storm(browser: Any, server: _Server, legs: int, script: str) -> tuple[float, int, list[float]]:
    """(events a second, events, tasks of the page over 50 ms) of a matrix that is looked at from its start."""
    page = _entered(browser, server)
    page.evaluate(WATCH)
    run = server.submit(
        {"strategy": {"matrix": {"n": list(range(legs // 10)), "m": list(range(10))}}}, script
    )
    page.locator(f'[data-run="{run}"]').click()
    told = server.ended(run)
    page.locator(".head .status-text", has_text="Succeeded").wait_for()
    events, after = 0, "0"
    while after is not None:
        part = server.ask(f"/runs/{run}/events?after={after}&limit=10000")
        events, after = events + len(part["items"]), part["next"]
    long: list[float] = page.evaluate("window.long")
    page.context.close()
    return events / ((told["ended_ms"] - told["created_ms"]) / 1_000), events, long
