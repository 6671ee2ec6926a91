"""How one step runs: its script in a shell in the worker, or a native action; and what it says, taken in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from relevo.agent.action_context import REFUSED_VARIABLES, Blocking, StepActionContext, exit_code
from relevo.agent.actions.contract import ActionFailed, load
from relevo.agent.activity import Activity, Interrupted
from relevo.agent.command_files import (
    FILES,
    SUMMARY_LIMIT_BYTES,
    CommandFileInvalid,
    parse_assignments,
    parse_paths,
)
from relevo.agent.deadline import Deadline
from relevo.agent.masks import Masks
from relevo.agent.prepared import Evaluated, PreparedStep
from relevo.agent.reporter import Reporter
from relevo.agent.room import once_there_is_room
from relevo.agent.shells import Shell
from relevo.agent.step_contexts import CANCELLED, FAILURE, SUCCESS, StepContexts
from relevo.agent.step_log import StepLog
from relevo.agent.step_record import StepRecord
from relevo.domain.errors import InfrastructureError
from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, Worker, WorkerUnavailable
from relevo.runtime.clock import Clock

_OUT_OF_MEMORY: Final = "out of memory: the kernel ended it"


class StepEnd(Struct):
    """How a step ended, before continue-on-error."""

    outcome: str
    exit_code: int | None = None
    message: str = ""  #: why, when it is no plain exit code
    summary: str = ""
    outputs: dict[str, str] = {}


class Post(Struct, frozen=True):
    """What an action wants to do at the job's end."""

    name: str
    run: Callable[[StepActionContext], Any]
    evaluated: Evaluated
    state: dict[str, str]
    step: PreparedStep


class StepRunner:
    """Runs the steps of one attempt, one after another."""

    __slots__ = (
        "_activity",
        "_attempt",
        "_blocking",
        "_clock",
        "_contexts",
        "_inline",
        "_loop",
        "_masks",
        "_reporter",
        "_tool_cache",
        "posts",
        "worker",
    )

    def __init__(
        self,
        attempt: AttemptKey,
        *,
        contexts: StepContexts,
        inline: bool,
        masks: Masks,
        reporter: Reporter,
        activity: Activity,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        blocking: Blocking,
        tool_cache: str,
    ) -> None:
        """`inline`: the provider takes scripts as text, and no file is to be touched for them."""
        self.worker: Worker | None = None
        self.posts: list[Post] = []  #: in order of registration
        self._attempt = attempt
        self._contexts = contexts
        self._inline = inline
        self._masks = masks
        self._reporter = reporter
        self._activity = activity
        self._clock = clock
        self._loop = loop
        self._blocking = blocking
        self._tool_cache = tool_cache

    async def run(self, step: PreparedStep, evaluated: Evaluated) -> StepEnd:
        """Run a step to its end. Raises WorkerUnavailable."""
        record = StepRecord(step.index, self._reporter, self._masks)
        log = StepLog(step.index, self._reporter, self._masks, record.command)
        timed_out = False
        deadline: Deadline | None = None
        if evaluated.timeout_s is not None:

            def expired() -> None:
                nonlocal timed_out
                timed_out = not self._activity.interrupted
                self._activity.interrupt()

            deadline = Deadline(self._clock, self._loop, evaluated.timeout_s, expired)
        try:
            if not step.spec.idempotent:
                await self._activity.awaiting(self._intend(step.index))
            if step.spec.run is not None:
                end = await self._script(step, evaluated, log)
            else:
                end = await self._action(step, evaluated, record, log)
        except Interrupted:
            end = StepEnd(CANCELLED)
        finally:
            if deadline is not None:
                deadline.cancel()
            log.close()
        await self._take_in(record, end)
        if self._activity.interrupted:
            end.outcome = CANCELLED
            if timed_out:
                end.outcome = FAILURE
                end.message = _timed_out(evaluated)
                record.annotate("error", end.message)
        return end

    async def run_post(self, post: Post, index: int) -> StepEnd:
        """Run what an action registered for the job's end, as the step with this index."""
        record = StepRecord(index, self._reporter, self._masks)
        log = StepLog(index, self._reporter, self._masks, record.command)
        context = self._context(post.evaluated, post.state, record, log)
        try:
            end = await self._act(post.step, post.run, context, record, log)
        except Interrupted:
            end = StepEnd(CANCELLED)
        finally:
            log.close()
        if self._activity.interrupted:
            end.outcome = CANCELLED
        return end

    async def _intend(self, index: int) -> None:
        await self._reporter.intend(index)

    async def _script(self, step: PreparedStep, evaluated: Evaluated, log: StepLog) -> StepEnd:
        worker = self.worker
        assert worker is not None
        cwd = self._contexts.folders.workspace
        if evaluated.working_directory:
            cwd = os.path.join(cwd, evaluated.working_directory)
        env = self._contexts.environment(evaluated.env)
        for shell in evaluated.shells:
            if self._inline:
                argv = [*shell.argv[:-1], evaluated.script]
            else:
                argv = shell.command(await self._written(step, shell, evaluated.script))
            try:
                exit = await self._activity.process(worker, Command(argv, env, cwd), log, log.scan)
            except FileNotFoundError:
                if not self._inline and not os.path.isdir(cwd):
                    return StepEnd(FAILURE, message=f"the working directory {cwd} is not there")
                continue
            except (PermissionError, NotADirectoryError, ValueError) as error:
                return StepEnd(FAILURE, message=f"{argv[0]} could not be started in {cwd}: {_why(error)}")
            return _end_of(exit)
        return StepEnd(FAILURE, message=_no_shell(evaluated.shells))

    async def _written(self, step: PreparedStep, shell: Shell, script: str) -> str:
        """The path of a step's script."""
        name, text = f"_{step.index + 1}{shell.extension}", shell.script(script)

        def write() -> str:
            return self._contexts.folders.make().write_script(name, text)

        try:
            return write()
        except OSError as error:
            return await self._activity.awaiting(once_there_is_room(self._loop, write, error))

    async def _action(
        self, step: PreparedStep, evaluated: Evaluated, record: StepRecord, log: StepLog
    ) -> StepEnd:
        make = self._contexts.folders.make
        try:
            make()
        except OSError as error:
            await self._activity.awaiting(once_there_is_room(self._loop, make, error))
        try:
            module = load(step.spec.uses or "")
        except ActionFailed as error:
            record.annotate("error", str(error))
            return StepEnd(FAILURE, message=str(error))
        context = self._context(evaluated, {}, record, log)
        try:
            return await self._act(step, module.main, context, record, log)
        finally:
            if context.wants_post and hasattr(module, "post"):
                self.posts.append(Post(evaluated.name, module.post, evaluated, record.state, step))

    def _context(
        self, evaluated: Evaluated, state: dict[str, str], record: StepRecord, log: StepLog
    ) -> StepActionContext:
        assert self.worker is not None
        return StepActionContext(
            self._attempt,
            evaluated.inputs,
            self._contexts.environment(evaluated.env),
            state,
            contexts=self._contexts,
            tool_cache=self._tool_cache,
            masks=self._masks,
            reporter=self._reporter,
            record=record,
            log=log,
            worker=self.worker,
            blocking=self._blocking,
        )

    async def _act(
        self,
        step: PreparedStep,
        run: Callable[[StepActionContext], Any],
        context: StepActionContext,
        record: StepRecord,
        log: StepLog,
    ) -> StepEnd:
        try:
            await self._activity.awaiting(run(context))
        except (Interrupted, WorkerUnavailable):
            raise
        except (ActionFailed, InfrastructureError, OSError) as error:
            message = str(error)
        except Exception as error:
            import traceback

            context.log(traceback.format_exc())
            message = f"a defect in relevo's own {step.spec.uses}: {error!r}"
        else:
            return StepEnd(SUCCESS)
        context.log(f"Error: {message}")
        record.annotate("error", message)
        return StepEnd(FAILURE, message=self._masks.hide(message))

    async def _take_in(self, record: StepRecord, end: StepEnd) -> None:
        """Take in what the step said in its command files; one that cannot be read makes it fail."""
        if not self._inline:
            try:
                for variable, data in (await self._collected()).items():
                    self._take_in_file(variable, data.decode("utf-8", "replace"), record, end)
            except CommandFileInvalid as error:
                record.fail(str(error))
            except Interrupted:
                pass  # the job is being ended, and nobody is to wait for a disk that is full
        end.outputs = record.outputs
        if record.problem:
            end.outcome = FAILURE
            end.message = end.message or self._masks.hide(record.problem)

    async def _collected(self) -> dict[str, bytes]:
        def collect() -> dict[str, bytes]:
            return self._contexts.folders.make().command_files.collect()

        try:
            return collect()
        except OSError as error:
            room = once_there_is_room(self._loop, collect, error)
            return await self._activity.awaiting(room, even_interrupted=True)

    def _take_in_file(self, variable: str, text: str, record: StepRecord, end: StepEnd) -> None:
        try:
            if variable == "GITHUB_PATH":
                for folder in parse_paths(text):
                    self._contexts.add_path(folder)
            elif variable == "GITHUB_STEP_SUMMARY":
                end.summary = self._summary(text, record)
            elif variable == "GITHUB_ENV":
                for name, value in parse_assignments(text):
                    if name.upper() in REFUSED_VARIABLES:
                        raise CommandFileInvalid(
                            f"Can't store {name} output parameter using '$GITHUB_ENV' command."
                        )
                    self._contexts.set_env(name, value)
            else:
                into = record.outputs if variable == "GITHUB_OUTPUT" else record.state
                into.update(parse_assignments(text))
        except CommandFileInvalid as error:
            record.fail(f"Unable to process file command '{FILES[variable]}' successfully. {error}")

    def _summary(self, text: str, record: StepRecord) -> str:
        masked = self._masks.hide(text)
        size = len(masked.encode("utf-8", "replace"))
        if size > SUMMARY_LIMIT_BYTES:
            record.annotate(
                "error",
                f"$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of "
                f"{SUMMARY_LIMIT_BYTES >> 10}k, got {size >> 10}k.",
            )
            return ""
        return masked


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _end_of(exit: Exit) -> StepEnd:
    if exit.code == 0:
        return StepEnd(SUCCESS, 0)
    message = _OUT_OF_MEMORY if exit.out_of_memory else ""
    if exit.code is None:
        message = message or f"ended by {_signal_name(exit.signal or 0)}"
    return StepEnd(FAILURE, exit_code(exit), message)


def _signal_name(number: int) -> str:
    import signal

    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _timed_out(evaluated: Evaluated) -> str:
    minutes = (evaluated.timeout_s or 0.0) / 60
    return f"The action '{evaluated.name}' has timed out after {minutes:g} minutes."


def _no_shell(shells: tuple[Shell, ...]) -> str:
    names = " and ".join(f"'{shell.argv[0]}'" for shell in shells)
    return f"the shell {names} was not found on this machine. Install it, or choose another with `shell:`"
