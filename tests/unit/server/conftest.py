"""A real engine with its agent, behind a real server on a loopback socket, in this process."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from relevo.assembly.embedded import Embedded, open_engine
from relevo.assembly.home import Home
from relevo.assembly.relay import Relay
from relevo.runtime.entropy import SystemEntropy
from relevo.server.access import Access
from relevo.server.app import App, Limits
from relevo.server.serving import Serving, listen
from tests.unit.server.client import Client

Submit = Callable[..., Awaitable[str]]


def workflow(*scripts: str, job: str = "a") -> str:
    steps = "".join(f"      - run: |\n{_indented(script)}" for script in scripts)
    return f"on: push\njobs:\n  {job}:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"


def _indented(script: str) -> str:
    return "".join(f"          {line}\n" for line in script.splitlines())


class Up:
    """The server under test. `gate` is a file that steps wait for."""

    def __init__(self, folder: Path, home: Home) -> None:
        self.home = home
        self.gate = folder / "gate"
        self.witness = folder / "witness"
        self.access = Access(home.path, SystemEntropy())
        self.client = Client(("", 0))
        self.embedded: Embedded
        self.relay: Relay
        self.app: App
        self.serving: Serving
        self._nowhere = folder / "nowhere"
        self._nowhere.mkdir()
        self.static = ""

    async def open(self, limits: Limits | None = None, connections: int | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.embedded = await open_engine(self.home, slots=2)
        self.relay = Relay(self.home, slots=2, engine=self.embedded)
        self.access.open()
        self.app = App(
            self.relay,
            loop,
            self.access,
            nowhere=str(self._nowhere),
            static=self.static,
            limits=limits,
            blobs=lambda: self.embedded.engine.parts.blobs,
        )
        self.serving = Serving(self.app, loop, connections=connections)
        await self.serving.open(listen("127.0.0.1", 0))
        self.client = Client(self.serving.address, (Path(self.home.path) / "token").read_text().strip())

    async def close(self) -> None:
        await self.serving.close()
        await self.relay.close()

    async def submit(self, *scripts: str, **given: Any) -> str:
        told = {"workflow": {"path": "w.yml", "text": workflow(*scripts)}, **given}
        reply = await self.client("POST", "/api/v1/runs", told)
        assert reply.status == 201, reply
        return str(reply.json["run"])

    async def ended(self, run: str) -> dict[str, Any]:
        """A run once it has."""
        async with asyncio.timeout(60):
            async for event in self.relay.events(run):
                if event["event"] == "run.finished":
                    break
        return dict((await self.client("GET", f"/api/v1/runs/{run}")).json)

    async def running(self, run: str) -> None:
        """Returns once its first job runs."""
        async with asyncio.timeout(60):
            async for event in self.relay.events(run):
                if event["event"] == "step.started":
                    return

    def wait(self) -> str:
        """What a step says to wait for the gate."""
        return f"while [ ! -e {self.gate} ]; do sleep 0.02; done"


@pytest.fixture
async def made(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Up]:
    """Not opened yet."""
    with tempfile.TemporaryDirectory(prefix="relevo-h-") as name:
        folder = Path(name)
        (folder / "run").mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        up = Up(folder, Home(str(folder / "home")))
        yield up
        await _no_agent(folder)


async def _no_agent(folder: Path) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while any(str(folder) in text for text in _command_lines()):
        assert asyncio.get_running_loop().time() < deadline, "processes are left"
        await asyncio.sleep(0.02)


def _command_lines() -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue  # it has just ended
    return found


@pytest.fixture
async def up(made: Up) -> AsyncIterator[Up]:
    await made.open()
    yield made
    made.gate.touch()
    for row in await made.relay.runs(live=True):
        await made.relay.cancel(row.run, force=True)
        await made.ended(row.run)
    await made.close()
