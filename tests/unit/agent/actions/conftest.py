from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import blake3
import msgspec
import pytest

from relevo.agent.actions.contract import ActionFailed
from relevo.agent.reporter import BlobUnavailable
from relevo.protocol.artifacts import ListedArtifact


class FakeEngine:
    """The blobs and artifacts that an engine would keep; `largest` is the biggest piece that went either way."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.artifacts: dict[str, tuple[str, int, int]] = {}
        self.saved_by = ("01RUN", 0, 1)  #: run, job and attempt that artifacts are said to come from
        self.largest = 0

    def artifact(self, name: str, digest: str, size_bytes: int, files: int) -> None:
        assert len(self.blobs[digest]) == size_bytes
        self.artifacts[name] = (digest, size_bytes, files)

    async def get_blob(self, what: str) -> AsyncIterator[bytes]:
        kind, _, name = what.partition(":")
        if kind == "artifacts":
            data = msgspec.json.encode(
                [ListedArtifact(name, *saved, *self.saved_by) for name, saved in self.artifacts.items()]
            )
        elif kind == "artifact" and name.partition("/")[2] in self.artifacts:
            data = self.blobs[self.artifacts[name.partition("/")[2]][0]]
        elif kind == "blob" and name in self.blobs:
            data = self.blobs[name]
        else:
            raise BlobUnavailable(f"no {what}")
        for start in range(0, len(data), 65_536):
            yield data[start : start + 65_536]

    async def put_blob(self, chunks: AsyncIterator[bytes]) -> str:
        data = bytearray()
        async for chunk in chunks:
            self.largest = max(self.largest, len(chunk))
            data += chunk
        digest = blake3.blake3(data).hexdigest()
        self.blobs[digest] = bytes(data)
        return digest


class FakeContext:
    """An ActionContext that remembers what the action did."""

    def __init__(self, base: Path, engine: FakeEngine, **inputs: str) -> None:
        self.inputs = {name.replace("_", "-"): value for name, value in inputs.items()}
        self.env: Mapping[str, str] = {"PATH": os.environ["PATH"], "HOME": str(base)}
        self.workspace = str(base / "workspace")
        self.temp = str(base / "temp")
        self.tool_cache = str(base / "tools")
        self.caches = str(base.parent / "caches")
        self.job_status = "success"
        self.posts = 0
        for folder in (self.workspace, self.temp):
            os.makedirs(folder, exist_ok=True)
        self.github: dict[str, Any] = {
            "repository": "team/thing",
            "ref": "refs/heads/main",
            "run_id": "42",
            "server_url": "https://localhost",
        }
        self.run_id = "01RUN"
        self.job = 0
        self.attempt = 1
        self.reporter = engine
        self.state: dict[str, str] = {}
        self.logged: list[str] = []
        self.warnings: list[str] = []
        self.notices: list[str] = []
        self.outputs: dict[str, str] = {}
        self.exported: dict[str, str] = {}
        self.paths: list[str] = []
        self.ran: list[list[str]] = []

    def input(self, name: str, default: str = "") -> str:
        return self.inputs.get(name.lower()) or default

    def flag(self, name: str, default: bool) -> bool:
        value = self.input(name)
        if not value:
            return default
        if value.lower() not in ("true", "false"):
            raise ActionFailed(f"{name}: {value!r} is no boolean")
        return value.lower() == "true"

    def log(self, text: str) -> None:
        self.logged.append(text)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def notice(self, message: str) -> None:
        self.notices.append(message)

    def mask(self, secret: str) -> None: ...

    def set_output(self, name: str, value: str) -> None:
        self.outputs[name] = value

    def set_env(self, name: str, value: str) -> None:
        self.exported[name] = value

    def add_path(self, folder: str) -> None:
        self.paths.insert(0, folder)

    def save_state(self, name: str, value: str) -> None:
        self.state[name] = value

    def register_post(self) -> None:
        self.posts += 1

    async def blocking(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.to_thread(function, *args)

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> int:
        self.ran.append(list(argv))
        return 0


class WorkingContext(FakeContext):
    """A FakeContext that runs processes."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> int:
        self.ran.append(list(argv))
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd or self.workspace,
            env=self.env if env is None else env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if on_output is not None:
            on_output(said)
        else:
            self.logged.append(said.decode())
        return process.returncode or 0


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def context(tmp_path: Path, engine: FakeEngine) -> Callable[..., FakeContext]:
    """Makes contexts with the given inputs, all in one workspace (`place=` names another one)."""

    def make(place: str = "one", **inputs: str) -> FakeContext:
        return FakeContext(tmp_path / place, engine, **inputs)

    return make


@pytest.fixture
def working(tmp_path: Path, engine: FakeEngine) -> Callable[..., WorkingContext]:
    """As `context`, with processes that run."""

    def make(place: str = "one", **inputs: str) -> WorkingContext:
        return WorkingContext(tmp_path / place, engine, **inputs)

    return make
