"""What every worker provider promises. `relevo.testing.contracts.providers` holds the tests of it.

Call order: `recover` once at start, then for each attempt `create`, any number of `start` one after another, `destroy`, `forget`.
`destroy` may be called at any time after `create` was called, also when that failed, also twice; when it returns,
no process of the attempt is left, whatever it did to hide (own session, cleared environment, ignored signals).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from relevo.domain.errors import InfrastructureError
from relevo.domain.ids import AttemptKey


class WorkerUnavailable(InfrastructureError):
    """The worker could not be made, or is gone: the attempt is lost, and may be retried elsewhere."""


class WorkerSpec(Struct, frozen=True):
    """What is asked of a worker."""

    attempt: AttemptKey
    workspace: str  #: absolute path of the folder that steps work in; exists
    cpus: float | None = None
    memory_bytes: int | None = None
    pids: int | None = None


class Command(Struct, frozen=True):
    """A process to start in a worker. The environment is complete: nothing is inherited."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str


class Exit(Struct, frozen=True):
    """How a process ended."""

    code: int | None  #: None when a signal ended it
    signal: int | None = None
    out_of_memory: bool = False  #: the kernel killed something in the worker for lack of memory
    lost: bool = False  #: the worker went away under it: no fault of the step

    @property
    def ok(self) -> bool:
        return self.code == 0


class Sink(Protocol):
    """Who takes what a process does. Called on the event loop."""

    def output(self, data: bytes) -> None:
        """Bytes of its one pipe for stdout and stderr, in order, as they came."""

    def ended(self, exit: Exit) -> None:
        """Once, after the first process has ended and what it left in the pipe was handed to `output`.

        A background child that keeps the pipe open does not delay it; what such a child writes later is still
        handed to `output` until the worker's next `start` or `destroy`.
        """


class Process(Protocol):
    """A started process."""

    def signal(self, number: int) -> None:
        """Send a signal to it and all its descendants that can be found. Without effect after the end."""

    def pause(self) -> None:
        """Stop reading its pipe (back-pressure: the process blocks when the pipe is full)."""

    def resume(self) -> None:
        """Read its pipe again."""


class Worker(Protocol):
    """A place in which the processes of one attempt run."""

    @property
    def warnings(self) -> Sequence[str]:
        """What of its spec it does not keep, each in a sentence for the user."""

    async def start(self, command: Command, sink: Sink) -> Process:
        """Start a process; at most one at a time. stdin is empty. Raises WorkerUnavailable; a program that is not found
        is reported as FileNotFoundError with its name, one that may not be run as PermissionError."""

    async def end(self, grace_s: float) -> None:
        """End all processes: SIGINT, half of the grace later SIGTERM, then SIGKILL of the whole tree. Idempotent."""

    async def destroy(self) -> None:
        """Kill what is left and give everything back. Idempotent; raises WorkerUnavailable if something could not be
        ended (call it again)."""


class WorkerProvider(Protocol):
    """Makes workers of one kind."""

    @property
    def name(self) -> str:
        """process, container, kubernetes, dummy."""

    async def recover(self) -> list[AttemptKey]:
        """End and clear all workers that an earlier incarnation of this agent left; returns whose they were, and who else is
        not forgotten: attempts whose end may be written down, or not."""

    async def create(self, spec: WorkerSpec) -> Worker:
        """Make a worker. Raises WorkerUnavailable."""

    def forget(self, attempt: AttemptKey) -> None:
        """The end of an attempt is written down, where the next incarnation finds it: that one need not hear of it from
        `recover`. An attempt that is in neither place would count as never begun, and be begun once more. Without effect for
        one that never had a worker."""

    async def close(self) -> None:
        """Destroy all workers. Idempotent."""
