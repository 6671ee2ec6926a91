"""A home and a working tree for each test, and the program as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

RELEVO = [sys.executable, "-m", "relevo.cli.main"]


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: bytes
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def run(self) -> str:
        return str(self.events[0]["run"])


class User:
    """Somebody at a terminal, in a working tree of their own."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.witness = folder / "witness"
        self.env = {**os.environ, "RELEVO_HOME": str(folder / "home"), "NO_COLOR": "1"}
        self.started: list[subprocess.Popen[bytes]] = []

    def workflow(self, text: str, name: str = "w.yml") -> None:
        (self.tree / name).write_text(text.replace("$WITNESS", str(self.witness)))

    def relevo(self, *args: str, env: dict[str, str] | None = None, timeout_s: float = 100) -> Done:
        done = subprocess.run(
            [*RELEVO, *args],
            cwd=self.tree,
            env={**self.env, **(env or {})},
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        err = done.stderr.decode()
        assert "Traceback" not in err, err
        return Done(done.returncode, done.stdout, err)

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """A command that goes on while the test does something else."""
        process = subprocess.Popen(
            [*RELEVO, *args], cwd=self.tree, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.started.append(process)
        return process

    @staticmethod
    def until(met: Callable[[], object]) -> None:
        """Wait for what a step does, and no event tells."""
        deadline = time.monotonic() + 60
        while not met():
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.01)

    @staticmethod
    def await_event(
        process: subprocess.Popen[bytes], wanted: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Read events of a `--json` command until one is as wanted."""
        assert process.stdout is not None
        for line in process.stdout:
            event: dict[str, Any] = json.loads(line)
            if wanted(event):
                return event
        assert process.stderr is not None
        raise AssertionError(f"it never came: {process.stderr.read().decode()}")


def processes_of(folder: str) -> list[str]:
    """Command lines that name a folder: agents, launchers and steps of a home in it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it has just ended
        if folder in text:
            found.append(f"{pid}: {text}")
    return found


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    user = User(tmp_path)
    yield user
    for process in user.started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    deadline = time.monotonic() + 60
    while left := processes_of(str(tmp_path)):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)
