"""A worker provider that fails on command, around one that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import (
    Command,
    Exit,
    Process,
    Sink,
    Worker,
    WorkerProvider,
    WorkerSpec,
    WorkerUnavailable,
)

#: Where it can fail:
#:   recover  raises WorkerUnavailable (asked without an attempt)
#:   create   raises WorkerUnavailable
#:   start    raises WorkerUnavailable
#:   vanish   the worker goes away under the process that was just started
#:   silent   the end of the process is never told
#:   destroy  raises WorkerUnavailable, and nothing was ended
POINTS: Final = ("recover", "create", "start", "vanish", "silent", "destroy")

#: Asked at each point, with the attempt; True: fail here.
Decide = Callable[[str, AttemptKey | None], bool]


class FaultyProvider:
    """A WorkerProvider. Counts in `failed` how often it failed where, so that tests can show that they saw it."""

    def __init__(self, inner: WorkerProvider, decide: Decide) -> None:
        self._inner = inner
        self._decide = decide
        self.inline_scripts: bool = getattr(inner, "inline_scripts", False)
        self.failed: dict[str, int] = dict.fromkeys(POINTS, 0)

    @property
    def name(self) -> str:
        return self._inner.name

    async def recover(self) -> list[AttemptKey]:
        self.perhaps("recover", None)
        return await self._inner.recover()

    async def create(self, spec: WorkerSpec) -> Worker:
        self.perhaps("create", spec.attempt)
        return _FaultyWorker(self, await self._inner.create(spec), spec.attempt)

    def forget(self, attempt: AttemptKey) -> None:
        self._inner.forget(attempt)

    async def close(self) -> None:
        await self._inner.close()

    def fails(self, point: str, attempt: AttemptKey | None) -> bool:
        """Ask, and count."""
        if not self._decide(point, attempt):
            return False
        self.failed[point] += 1
        return True

    def perhaps(self, point: str, attempt: AttemptKey | None) -> None:
        """Raises WorkerUnavailable if it is to fail here."""
        if self.fails(point, attempt):
            raise WorkerUnavailable(f"{point} of attempt {attempt} fails on command")


class _FaultyWorker:
    def __init__(self, provider: FaultyProvider, inner: Worker, attempt: AttemptKey) -> None:
        self._provider = provider
        self._inner = inner
        self._attempt = attempt
        self.warnings = inner.warnings

    async def start(self, command: Command, sink: Sink) -> Process:
        self._provider.perhaps("start", self._attempt)
        if self._provider.fails("silent", self._attempt):
            return await self._inner.start(command, _SilentSink(sink))
        if self._provider.fails("vanish", self._attempt):
            process = await self._inner.start(command, _LosingSink(sink))
            await self._inner.destroy()
            return process
        return await self._inner.start(command, sink)

    async def end(self, grace_s: float) -> None:
        await self._inner.end(grace_s)

    async def destroy(self) -> None:
        self._provider.perhaps("destroy", self._attempt)
        await self._inner.destroy()


class _SilentSink:
    def __init__(self, inner: Sink) -> None:
        self._inner = inner

    def output(self, data: bytes) -> None:
        self._inner.output(data)

    def ended(self, exit: Exit) -> None:
        pass  # this is the fault


class _LosingSink:
    def __init__(self, inner: Sink) -> None:
        self._inner = inner

    def output(self, data: bytes) -> None:
        self._inner.output(data)

    def ended(self, exit: Exit) -> None:
        self._inner.ended(Exit(None, lost=True))
