"""Runs one attempt over a provider, and keeps what it reported."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from msgspec import Struct, field

from relevo.agent.attempt import AttemptRun
from relevo.agent.reporter import BlobUnavailable
from relevo.agent.workspace import Places
from relevo.protocol.messages import Assignment, JobFacts
from relevo.providers.contract import WorkerProvider
from relevo.runtime.clock import SystemClock
from relevo.workflow.contexts import JobContexts
from relevo.workflow.model import JobSpec, Position, StepSpec


class Ended(Struct):
    """A step as it was reported."""

    name: str
    outcome: str
    conclusion: str
    exit_code: int | None
    message: str
    summary: str


class RecordingReporter:
    """A Reporter that keeps everything. `capacity`: log bytes taken before it has no room; `make_room` makes some."""

    def __init__(self, capacity: int | None = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.steps: dict[int, Ended] = {}
        self.logs: dict[int, bytearray] = {}
        self.annotations: list[tuple[int, str, str]] = []
        self.result: str | None = None
        self.outputs: dict[str, str] | None = None
        self.message = ""
        self.exit_code: int | None = None
        self.capacity = capacity
        self.held = 0
        self.room_asked = asyncio.Event()
        self.room_made = asyncio.Event()
        self.blobs: dict[str, bytes] = {}
        self.on_log: Callable[[], None] | None = None
        self.on_step_started: Callable[[int], None] | None = None

    def started(self) -> None:
        self.calls.append(("started",))

    def step_started(self, step: int, name: str) -> None:
        self.calls.append(("step_started", step, name))
        if self.on_step_started is not None:
            self.on_step_started(step)

    def step_finished(
        self,
        step: int,
        name: str,
        *,
        outcome: str,
        conclusion: str,
        exit_code: int | None = None,
        message: str = "",
        summary: str = "",
    ) -> None:
        assert step not in self.steps, "told twice"
        self.calls.append(("step_finished", step))
        self.steps[step] = Ended(name, outcome, conclusion, exit_code, message, summary)

    def annotation(
        self,
        step: int,
        level: str,
        message: str,
        *,
        title: str = "",
        file: str = "",
        line: int = 0,
        column: int = 0,
    ) -> None:
        self.calls.append(("annotation", step, level, message, title, file, line, column))
        self.annotations.append((step, level, message))

    def log(self, step: int, data: bytes) -> bool:
        assert data
        assert self.result is None, "a log after the end record"
        self.logs.setdefault(step, bytearray()).extend(data)
        self.held += len(data)
        if self.on_log is not None:
            self.on_log()
        return self.capacity is None or self.held < self.capacity

    async def room(self) -> None:
        self.room_asked.set()
        await self.room_made.wait()
        self.room_made.clear()
        self.held = 0

    async def intend(self, step: int) -> None:
        self.calls.append(("intend", step))

    def artifact(self, name: str, digest: str, size_bytes: int, files: int) -> None:
        self.calls.append(("artifact", name, digest, size_bytes, files))

    def finished(
        self,
        result: str,
        *,
        outputs: dict[str, str] | None = None,
        message: str = "",
        exit_code: int | None = None,
    ) -> None:
        assert self.result is None, "finished twice"
        self.result = result
        self.outputs = outputs
        self.message = message
        self.exit_code = exit_code

    async def get_blob(self, what: str) -> AsyncIterator[bytes]:
        if what not in self.blobs:
            raise BlobUnavailable(f"there is no {what}")
        yield self.blobs[what]

    async def put_blob(self, chunks: AsyncIterator[bytes]) -> str:
        data = b"".join([chunk async for chunk in chunks])
        digest = str(len(self.blobs))
        self.blobs[f"blob:{digest}"] = data
        return digest

    @property
    def outcomes(self) -> list[str]:
        return [self.steps[index].outcome for index in sorted(self.steps)]

    @property
    def conclusions(self) -> list[str]:
        return [self.steps[index].conclusion for index in sorted(self.steps)]

    def log_of(self, step: int) -> str:
        return bytes(self.logs.get(step, b"")).decode()

    @property
    def raw(self) -> bytes:
        return b"".join(bytes(self.logs[index]) for index in sorted(self.logs))


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(function, *args)


async def at_once(function: Callable[..., Any], *args: Any) -> Any:
    """Instead of a pool, in virtual time."""
    return function(*args)


class Job(Struct):
    """What a test asks for; a step is its script, or the fields of a StepSpec."""

    steps: list[str | dict[str, Any]]
    env: dict[str, Any] | str = {}
    workflow_env: dict[str, Any] | str = {}
    run_env: dict[str, str] = {}
    outputs: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    masks: tuple[str, ...] = ()
    matrix: dict[str, Any] | None = None
    needs: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    vars: dict[str, Any] = {}
    github: dict[str, Any] = field(
        default_factory=lambda: {"repository": "me/it", "run_id": "7", "actor": "me"}
    )
    defaults_shell: str | None = None
    defaults_working_directory: str | None = None
    timeout_s: float = 3_600.0
    number: int = 1


#: Of this process alone: providers end whatever is marked as belonging to an attempt of that name.
RUN = f"run-{os.getpid()}"
_specs = 0
_places: dict[str, Places] = {}


def places_of(folder: str) -> Places:
    """The places of the one agent that a test has in a folder."""
    if folder not in _places:
        _places[folder] = Places(f"{folder}/work", f"{folder}/temp", f"{folder}/tools")
    return _places[folder]


def attempt(
    job: Job,
    provider: WorkerProvider,
    reporter: RecordingReporter,
    folder: str,
    *,
    clock: Any = None,
    blocking: Callable[..., Awaitable[Any]] = in_thread,
    keep: bool = False,
    cpus: float | None = None,
    memory_bytes: int | None = None,
) -> AttemptRun:
    global _specs
    _specs += 1
    steps = tuple(
        StepSpec(Position(1, 1), run=step) if isinstance(step, str) else StepSpec(Position(1, 1), **step)
        for step in job.steps
    )
    spec = JobSpec(
        "job",
        Position(1, 1),
        steps,
        env=job.env,
        workflow_env=job.workflow_env,
        outputs=job.outputs,
        defaults_shell=job.defaults_shell,
        defaults_working_directory=job.defaults_working_directory,
    )
    contexts = JobContexts(
        job.github,
        vars=job.vars,
        inputs=job.inputs,
        needs=job.needs,
        matrix=job.matrix,
        job_name="job",
        env=job.run_env,
        masks=job.masks,
    )
    return AttemptRun(
        Assignment(
            RUN,
            0,
            job.number,
            f"spec-{_specs}",
            "contexts",
            JobFacts("job"),
            timeout_s=job.timeout_s,
            keep=keep,
            cpus=cpus,
            memory_bytes=memory_bytes,
        ),
        spec,
        contexts,
        provider=provider,
        reporter=reporter,
        places=places_of(folder),
        clock=clock or SystemClock(),
        loop=asyncio.get_running_loop(),
        blocking=blocking,
        secrets=job.secrets,
    )


async def run(job: Job, provider: WorkerProvider, folder: str, **options: Any) -> RecordingReporter:
    reporter = RecordingReporter()
    await attempt(job, provider, reporter, folder, **options).run()
    return reporter
