"""What a native action is given: `actions/contract.py`, on top of the step that it is used by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from relevo.agent.actions.contract import ActionFailed, Blobs
from relevo.agent.masks import Masks
from relevo.agent.step_contexts import Contexts
from relevo.agent.step_log import Running, StepLog
from relevo.agent.step_record import StepRecord
from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, Worker, WorkerUnavailable

T = TypeVar("T")

#: How long processes of an action may take to end when it is cancelled, seconds.
_GRACE_S = 10.0
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
#: Not the user's to set by GITHUB_ENV either.
REFUSED_VARIABLES = frozenset({"NODE_OPTIONS"})


class Blocking(Protocol):
    """Runs a blocking function in a pool."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]: ...


class StepActionContext:
    """An ActionContext. One for main, one for post."""

    def __init__(
        self,
        attempt: AttemptKey,
        inputs: Mapping[str, str],
        env: Mapping[str, str],
        state: Mapping[str, str],
        *,
        contexts: Contexts,
        tool_cache: str,
        masks: Masks,
        reporter: Blobs,
        record: StepRecord,
        log: StepLog,
        worker: Worker,
        blocking: Blocking,
    ) -> None:
        """`inputs` as they were written."""
        self.inputs = {name: text.strip() for name, text in inputs.items()}
        self.env = env
        self.state = state
        self.workspace = contexts.folders.workspace
        self.github = contexts.github()
        self.run_id, self.job, self.attempt = attempt
        self.temp = contexts.folders.temp
        self.tool_cache = tool_cache
        self.caches = contexts.folders.caches
        self.reporter = reporter
        self.wants_post = False
        self._contexts = contexts
        self._masks = masks
        self._record = record
        self._log = log
        self._worker = worker
        self._blocking = blocking

    @property
    def job_status(self) -> str:
        return self._contexts.job_status

    def input(self, name: str, default: str = "") -> str:
        return self.inputs.get(name.lower()) or default

    def flag(self, name: str, default: bool) -> bool:
        text = self.input(name)
        if not text:
            return default
        if text not in _BOOLEANS:
            raise ActionFailed(f"Input '{name}' is '{text}': it must be true or false")
        return _BOOLEANS[text]

    def log(self, text: str) -> None:
        self._log.write(text.encode("utf-8", "surrogateescape") + b"\n")

    def warn(self, message: str) -> None:
        self._annotate("warning", message)

    def notice(self, message: str) -> None:
        self._annotate("notice", message)

    def mask(self, secret: str) -> None:
        self._masks.add(secret)

    def set_output(self, name: str, value: str) -> None:
        self._record.outputs[name] = value

    def set_env(self, name: str, value: str) -> None:
        if not name or "=" in name or name.upper() in REFUSED_VARIABLES:
            raise ActionFailed(f"the variable '{name}' cannot be set")
        self._contexts.set_env(name, value)

    def add_path(self, folder: str) -> None:
        self._contexts.add_path(folder)

    def save_state(self, name: str, value: str) -> None:
        self._record.state[name] = value

    def register_post(self) -> None:
        self.wants_post = True

    async def blocking(self, function: Callable[..., T], *args: Any) -> T:
        return await self._blocking(function, *args)

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> int:
        log = self._log
        running = log.running = Running(
            asyncio.get_running_loop(), log.write if on_output is None else on_output
        )
        command = Command(argv, self.env if env is None else env, cwd or self.workspace)
        try:
            process = running.process = await self._worker.start(command, running)
            if log.full:
                process.pause()
            while running.exit is None:
                if log.full:
                    await log.room()
                    process.resume()
                else:
                    await running.woken()
        except (FileNotFoundError, PermissionError, ValueError) as error:
            raise ActionFailed(f"{argv[0]} could not be started: {error}") from error
        except asyncio.CancelledError:
            await self._worker.end(_GRACE_S)
            raise
        finally:
            log.running = None
            running.process = None
        return exit_code(running.exit)

    def _annotate(self, level: str, message: str) -> None:
        self._record.annotate(level, message)
        self.log(f"{level.capitalize()}: {message}")


def exit_code(exit: Exit) -> int:
    """As a shell has it: 128 + n for signal n. Raises WorkerUnavailable when the worker went away."""
    if exit.lost:
        raise WorkerUnavailable("the worker went away under its step")
    return exit.code if exit.code is not None else 128 + (exit.signal or 0)
