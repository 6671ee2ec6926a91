"""A real `relevo up` with its agent, and a real browser that shows its page."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import processes_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright

#: Where the tests leave what the page looked like, for a person to see: RELEVO_SCREENSHOTS=folder.
SCREENSHOTS = os.environ.get("RELEVO_SCREENSHOTS", "")
#: For what may take long on a machine with much to do; what goes well takes a small part of it.
PATIENCE_S = 60.0


class Up:
    """`relevo up` in a home of its own. Steps wait for gates: files that a test makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.env = {**os.environ, "RELEVO_HOME": str(folder / "home"), "NO_COLOR": "1"}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.folder / "home" / "token").read_text().strip()

    def start(self) -> None:
        with (self.folder / "up.err").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "relevo.cli.main", "up", "--port", str(self.port), "--jobs", "2"],
                cwd=self.tree,
                env=self.env,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self.until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "up.err").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=60):
                return True
        except OSError:
            return False

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=PATIENCE_S)
            self.process = None

    @staticmethod
    def until(met: Callable[[], Any], what: str = "it", patience_s: float = PATIENCE_S) -> Any:
        deadline = time.monotonic() + patience_s
        while not (found := met()):
            assert time.monotonic() < deadline, f"{what} never came"
            time.sleep(0.02)
        return found

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def kill_agent(self) -> None:
        """As when it crashes, or the kernel has no memory left."""
        for told in processes_of(str(self.folder)):
            pid, _, line = told.partition(": ")
            if "relevo.assembly.agent" in line:
                os.kill(int(pid), signal.SIGKILL)

    def gate(self, name: str) -> str:
        """Shell words that wait until the gate is opened."""
        return f"until [ -e {self.folder / name} ]; do sleep 0.02; done"

    def open(self, name: str) -> None:
        (self.folder / name).touch()

    def submit(self, text: str, name: str = "w.yml") -> str:
        told = self.ask("/runs", {"workflow": {"path": name, "text": text}, "directory": str(self.tree)})
        return str(told["run"])

    def ended(self, run: str) -> dict[str, Any]:
        def met() -> dict[str, Any] | None:
            told: dict[str, Any] = self.ask(f"/runs/{run}")
            return told if told["status"] in ("succeeded", "failed", "cancelled") else None

        found: dict[str, Any] = self.until(met, f"the end of {run}")
        return found


def workflow(jobs: dict[str, dict[str, Any]], name: str = "Test") -> str:
    """A workflow file. A job is its keys, with `run` for scripts by the names of their steps."""
    told: dict[str, Any] = {"name": name, "on": "workflow_dispatch", "jobs": {}}
    for job, keys in jobs.items():
        scripts = keys.pop("run")
        steps = [{"name": step, "run": script} for step, script in scripts.items()]
        told["jobs"][job] = {"runs-on": "ubuntu-latest", **keys, "steps": keys.pop("steps", []) + steps}
    return json.dumps(told, indent=1)  # which is YAML, too


@pytest.fixture(scope="package")
def up(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Up]:
    """One server for all tests that do not end it."""
    yield from _serving(tmp_path_factory.mktemp("up"))


@pytest.fixture
def own_up(tmp_path: Path, chromium: Browser) -> Iterator[Up]:
    """A server that the test may end."""
    yield from _serving(tmp_path)


def _serving(folder: Path) -> Iterator[Up]:
    server = Up(folder)
    server.start()
    try:
        yield server
        _end_all(server)
    finally:
        server.stop()
        deadline = time.monotonic() + PATIENCE_S
        while left := processes_of(str(folder)):
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.05)


def _end_all(server: Up) -> None:
    for row in server.ask("/runs?live=true&limit=500")["items"]:
        server.ask(f"/runs/{row['run']}/cancel", {"force": True})
        server.ended(row["run"])


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Its loop counts as running in this thread as long as it is open: no test of another package could run one of its own."""
    if shutil.which("chromium") is None:
        pytest.skip("this machine lacks chromium (as root: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_S * 1_000)
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="package")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"),
        args=[
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    )
    yield browser
    browser.close()


class Visitor:
    """Somebody with a browser. What the page complains about fails the test."""

    def __init__(self, context: BrowserContext, up: Up) -> None:
        self.up = up
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.set_default_timeout(PATIENCE_S * 1_000)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._said)

    def _said(self, message: Any) -> None:
        # What the browser itself says of answers like 401, and of a server that is gone, is no fault of the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def enter(self, path: str = "/runs") -> Page:
        """Come by the link that `relevo up` prints."""
        self.page.goto(f"{self.up.url}{path}#token={self.up.token}")
        self.page.locator("main h1").first.wait_for(state="attached")
        return self.page

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.up.url}{path}")
        self.page.locator("main h1").first.wait_for(state="attached")
        return self.page

    def live(self) -> None:
        """Wait until the stream stands."""
        self.page.locator(".link-open").wait_for()

    def picture(self, name: str) -> None:
        if SCREENSHOTS:
            self.page.screenshot(path=f"{SCREENSHOTS}/{name}.png")


Visit = Callable[..., Visitor]


@pytest.fixture(autouse=True)
def nothing_runs_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves waiting does not hold up the next."""
    yield
    if "up" in request.fixturenames:
        _end_all(request.getfixturevalue("up"))


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Visitors, each with cookies of their own."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    def come(up: Up, **options: Any) -> Visitor:
        context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce", **options}
        )
        contexts.append(context)
        visitors.append(Visitor(context, up))
        return visitors[-1]

    yield come
    for context in contexts:
        context.close()
    for visitor in visitors:
        assert not visitor.complaints, visitor.complaints
