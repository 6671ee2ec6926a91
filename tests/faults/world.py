"""A home of its own with real `relevo` processes in it: started, killed, stopped, waited for, and looked for afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from relevo.runtime import processes
from relevo.runtime.processes import ProcessIdentity

SOURCE = str(Path(__file__).parents[2] / "src")
#: How long anything may take before a test calls it hung. Generous: the machine may be busy.
PATIENCE_S = 60.0
GROUPS = "/sys/fs/cgroup"


def until(condition: Callable[[], Any], what: str, *, within_s: float = PATIENCE_S) -> Any:
    """Wait until something holds; returns what the condition returned. Raises AssertionError when it never does."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.005)
    return found


class Command:
    """One `relevo …` that runs, and what it has said."""

    def __init__(
        self, argv: list[str], folder: Path, env: dict[str, str], before: Sequence[str] = ()
    ) -> None:
        self.argv = argv
        self.lines: list[str] = []
        self._said = threading.Condition()
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", "relevo.cli.main", *argv],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name=f"reads {argv[0]}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._said:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def told(self) -> list[dict[str, Any]]:
        """The JSON lines so far; a line that a kill cut is none."""
        found = []
        for line in list(self.lines):
            if line.startswith("{"):
                try:
                    found.append(json.loads(line))
                except json.JSONDecodeError:
                    continue
        return found

    @property
    def result(self) -> dict[str, Any] | None:
        """The last line of --json, once it was told."""
        return next((line for line in self.told() if "jobs" in line and "event" not in line), None)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait(self, within_s: float = PATIENCE_S) -> int | None:
        """Its exit code; None when it still runs after that time."""
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join()
        return code

    def end(self, within_s: float = PATIENCE_S) -> int:
        """Its exit code; it must end by itself."""
        code = self.wait(within_s)
        assert code is not None, f"relevo {' '.join(self.argv)} hangs; it said:\n{self.text}"
        return code

    def until(self, says: Callable[[dict[str, Any]], bool], within_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait for a JSON line; returns it."""

        def found() -> dict[str, Any] | None:
            return next((line for line in self.told() if says(line)), None)

        return self._until(found, within_s)

    def until_lines(self, count: int, within_s: float) -> bool:
        """Wait until it has said so many lines or has ended; whether it said them."""
        with self._said:
            self._said.wait_for(lambda: len(self.lines) >= count or not self._reader.is_alive(), within_s)
            return len(self.lines) >= count

    def _until(self, found: Callable[[], Any], within_s: float) -> Any:
        deadline = time.monotonic() + within_s
        with self._said:
            while not (line := found()):
                left = deadline - time.monotonic()
                assert left > 0, f"not said within {within_s} s; it said:\n{self.text}"
                assert self._reader.is_alive(), f"it ended without saying it; it said:\n{self.text}"
                self._said.wait(min(left, 0.2))
        return line

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def close(self) -> None:
        """Leave nothing of it."""
        if self._process.poll() is None:
            self.kill()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


class World:
    """A folder with a workflow, a home and a runtime folder, all short-lived; `with` removes all of it."""

    def __init__(self, *, home: str | None = None) -> None:
        #: short, because addresses of sockets are
        self.folder = Path(tempfile.mkdtemp(prefix="relevo-f-"))
        self.home = Path(home) if home else self.folder / "home"
        self.tree = self.folder / "tree"
        self.runtime = self.folder / "run"
        self.witness = self.folder / "witness"
        self.gate = self.folder / "gate"
        for path in (self.tree, self.runtime):
            path.mkdir(mode=0o700)
        self.env = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("RELEVO", "GITHUB"))
            },
            "RELEVO_HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PYTHONPATH": SOURCE,
            "NO_COLOR": "1",
        }
        self.before: list[str] = []  #: what is put before commands: programs that run them otherwise
        self.commands: list[Command] = []
        self.story: list[str] = []
        self._began = time.monotonic()

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        for command in self.commands:
            command.close()
        for who in self.processes():
            processes.kill(who)
        until(lambda: not self.processes(), "killed processes are gone")
        for group in reversed(self.groups()):
            _remove_group(group)
        if kind is None or "RELEVO_KEEP_FAILED" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)

    def open_gate(self) -> None:
        """Let steps go on that wait for it."""
        self.gate.touch()

    # --- commands -----------------------------------------------------------------------------------------------------

    def start(self, *argv: str, failpoints: str = "") -> Command:
        env = {**self.env, "RELEVO_FAILPOINTS": failpoints} if failpoints else self.env
        command = Command(list(argv), self.tree, env, self.before)
        self.commands.append(command)
        return command

    def workflow(self, text: str, name: str = "workflow.yml") -> str:
        (self.tree / name).write_text(text)
        return name

    def call(self, *argv: str, exits: int | None = 0) -> bytes:
        """Run a command to its end; returns its stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "relevo.cli.main", *argv],
            cwd=self.tree,
            env=self.env,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert exits is None or done.returncode == exits, (argv, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def log(self, run: str, job: str, attempt: int | None = None) -> bytes:
        """What `relevo logs --raw` gives."""
        return self.call("logs", run, job, "--raw", *([] if attempt is None else ["--attempt", str(attempt)]))

    def logs(self, run: str, jobs: list[str]) -> dict[str, bytes]:
        """The same bytes as `log`, of many jobs, read in this process: a command each takes long."""
        from relevo.assembly.reader import open_reader

        async def read() -> dict[str, bytes]:
            async with open_reader(str(self.home)) as api:
                return {
                    job: b"".join([bytes(frame.data) async for frame in api.log(run, job)]) for job in jobs
                }

        return asyncio.run(read())

    def problems(self) -> list[str]:
        """What `relevo db check` finds wrong."""
        from relevo.assembly.maintenance import check

        return asyncio.run(check(str(self.home))).problems

    # --- processes ----------------------------------------------------------------------------------------------------

    @property
    def agent_folder(self) -> Path:
        return self.home / "agents" / "local"

    def agents(self) -> list[ProcessIdentity]:
        """The agents of this home that live, by their command lines."""
        mark = os.fsencode(self.agent_folder)
        return [
            who
            for who, line in _processes()
            if b"relevo.assembly.agent" in line[0] and mark in line[0] and processes.alive(who)
        ]

    def processes(self) -> list[ProcessIdentity]:
        """All that live and have this folder's name in their command line or environment, or are in its groups."""
        mark = os.fsencode(self.folder)
        found = {who.pid: who for who, texts in _processes() if any(mark in text for text in texts)}
        for group in self.groups():
            for pid in _members(group):
                try:
                    found[pid] = processes.identity(pid)
                except ProcessLookupError:
                    continue
        own = os.getpid()
        return [who for who in found.values() if who.pid != own and processes.alive(who)]

    def groups(self) -> list[str]:
        """Control groups of this home's agent, outer ones first."""
        slots = f"{self.agent_folder}/workers/slots"
        name = "relevo-" + hashlib.sha256(slots.encode()).hexdigest()[:12]
        return sorted(path for path, _, _ in os.walk(GROUPS) if f"/{name}/" in f"{path}/")

    def sockets(self) -> list[str]:
        return [str(path) for path in self.runtime.rglob("*") if path.is_socket()]

    def leftovers(self, *, sockets: bool = True) -> list[str]:
        """What a run that has ended must not leave: processes, groups, sockets."""
        found = [f"process {who.pid}: {_line(who.pid)}" for who in self.processes()]
        found += [f"group {group}" for group in self.groups()]
        return found + [f"socket {path}" for path in self.sockets() if sockets]

    def until_clean(self, within_s: float = PATIENCE_S, *, sockets: bool = True) -> list[str]:
        """Wait until nothing is left; returns what still is after that time.

        `sockets`: the last engine was not killed, which leaves its address to the next one.
        """
        deadline = time.monotonic() + within_s
        while (left := self.leftovers(sockets=sockets)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left

    # --- for people -----------------------------------------------------------------------------------------------------

    def tell(self, what: str) -> None:
        self.story.append(f"{time.monotonic() - self._began:.2f} {what}")

    def report(self) -> str:
        """All that helps to understand a failure."""
        parts = [f"folder {self.folder}", "story: " + "; ".join(self.story)]
        for command in self.commands:
            tail = "\n    ".join(command.lines[-30:])
            parts.append(f"  relevo {' '.join(command.argv)} (pid {command.pid})\n    {tail}")
        log = self.agent_folder / "agent.log"
        if log.exists():
            parts.append("  agent.log: " + log.read_text(errors="replace")[-4000:])
        if self.witness.exists():
            parts.append("  witness:\n    " + self.witness.read_text().replace("\n", "\n    "))
        return "\n".join(parts)


def _processes() -> Iterator[tuple[ProcessIdentity, tuple[bytes, bytes]]]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            who = processes.identity(int(name))
            line = Path(f"/proc/{name}/cmdline").read_bytes()
            environ = Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue  # it ended
        yield who, (line, environ)


def _line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return "gone"


def _members(group: str) -> list[int]:
    try:
        return [int(word) for word in Path(group, "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _remove_group(group: str) -> None:
    try:
        os.rmdir(group)
    except OSError:
        pass  # told by whoever looked for leftovers


def stop(world: World, command: Command) -> None:
    """SIGSTOP an engine, and not within a commit: whoever takes over would have to kill it for the lock of the database."""

    def between_commits() -> bool:
        command.signal(signal.SIGSTOP)
        until(lambda: processes.stat(command.pid).state == "T", "the engine is stopped")
        with closing(sqlite3.connect(world.home / "relevo.db", timeout=0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                command.signal(signal.SIGCONT)
                return False
            connection.rollback()
        return True

    until(between_commits, "the engine is stopped between commits")


def kill(who: ProcessIdentity, number: int = signal.SIGKILL) -> bool:
    """Signal a process by identity; with SIGKILL, wait until it is gone. False when it was gone before."""
    if not processes.kill(who, number):
        return False
    if number == signal.SIGKILL:
        until(lambda: not processes.alive(who), f"{who.pid} is gone")
    return True
