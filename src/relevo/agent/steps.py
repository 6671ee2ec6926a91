"""How one step runs: its script in a shell in the worker, a native action, or a composite one; and what it says, taken in."""

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
from relevo.agent.step_contexts import CANCELLED, FAILURE, SUCCESS, Contexts, StepContexts
from relevo.agent.step_log import StepLog
from relevo.agent.step_record import StepRecord
from relevo.domain.errors import InfrastructureError
from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, Worker, WorkerUnavailable
from relevo.runtime.clock import Clock
from relevo.workflow.names import is_local

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
    contexts: Contexts


class Turn(Struct, frozen=True):
    """A step whose turn it is: what it is, what it sees, and where goes what it says."""

    step: PreparedStep
    evaluated: Evaluated
    contexts: Contexts
    record: StepRecord
    log: StepLog

    def within(self, step: PreparedStep, evaluated: Evaluated, contexts: Contexts) -> Turn:
        """The turn of a step that is part of this one."""
        record = self.record.within()
        return Turn(step, evaluated, contexts, record, self.log.within(record.command))


class StepRunner:
    """Runs the steps of one attempt, one after another."""

    __slots__ = (
        "_attempt",
        "_clock",
        "_contexts",
        "_inline",
        "_intended",
        "_loop",
        "_masks",
        "_reporter",
        "_tool_cache",
        "activity",
        "blocking",
        "irrevocable",
        "posts",
        "timed_out",
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
        self.activity = activity
        self.blocking = blocking
        self.timed_out = False  #: the step's time is over
        self.irrevocable = False  #: a step that must not be repeated may have begun in this attempt
        self._intended = False
        self._attempt = attempt
        self._contexts = contexts
        self._inline = inline
        self._masks = masks
        self._reporter = reporter
        self._clock = clock
        self._loop = loop
        self._tool_cache = tool_cache

    async def run(self, step: PreparedStep, evaluated: Evaluated) -> StepEnd:
        """Run a step to its end. Raises WorkerUnavailable."""
        turn = self._turn(step, evaluated, self._contexts, step.index)
        self.timed_out = self._intended = False
        deadline: Deadline | None = None
        if evaluated.timeout_s is not None:
            deadline = Deadline(self._clock, self._loop, evaluated.timeout_s, self._expired)
        try:
            if not step.spec.idempotent:
                await self.intend(step)
            end = await self._perform(turn)
        except Interrupted:
            end = StepEnd(CANCELLED)
        finally:
            if deadline is not None:
                deadline.cancel()
            turn.log.close()
        await self._take_in(turn, end)
        if self.activity.interrupted:
            end.outcome = CANCELLED
            if self.timed_out:
                end.outcome = FAILURE
                end.message = _timed_out(evaluated)
                turn.record.annotate("error", end.message)
        return end

    async def run_within(self, turn: Turn) -> StepEnd:
        """Run a step of a composite action to its end. Raises WorkerUnavailable."""
        try:
            end = await self._perform(turn)
        except Interrupted:
            end = StepEnd(CANCELLED)
        finally:
            turn.log.close()
        await self._take_in(turn, end)
        if self.activity.interrupted:
            end.outcome = CANCELLED
        return end

    async def run_post(self, post: Post, index: int) -> StepEnd:
        """Run what an action registered for the job's end, as the step with this index."""
        turn = self._turn(post.step, post.evaluated, post.contexts, index)
        try:
            end = await self._act(post.run, self._context(turn, post.state), turn)
        except Interrupted:
            end = StepEnd(CANCELLED)
        finally:
            turn.log.close()
        if self.activity.interrupted:
            end.outcome = CANCELLED
        return end

    async def intend(self, step: PreparedStep) -> None:
        """Have it on disk that a step which must not be repeated may begin now. Once for each step. Raises Interrupted."""
        if not self._intended:
            self._intended = self.irrevocable = True
            await self.activity.awaiting(self._write_intent(step.index))

    def _turn(self, step: PreparedStep, evaluated: Evaluated, contexts: Contexts, index: int) -> Turn:
        record = StepRecord(index, self._reporter, self._masks)
        return Turn(
            step, evaluated, contexts, record, StepLog(index, self._reporter, self._masks, record.command)
        )

    def _expired(self) -> None:
        self.timed_out = not self.activity.interrupted
        self.activity.interrupt()

    async def _write_intent(self, index: int) -> None:
        await self._reporter.intend(index)

    async def _perform(self, turn: Turn) -> StepEnd:
        spec = turn.step.spec
        if spec.run is not None:
            return await self._script(turn)
        if is_local(spec.uses):
            from relevo.agent.composite import run_composite

            return await run_composite(self, turn)
        return await self._action(turn)

    async def _script(self, turn: Turn) -> StepEnd:
        worker, evaluated, log = self.worker, turn.evaluated, turn.log
        assert worker is not None
        cwd = turn.contexts.folders.workspace
        if evaluated.working_directory:
            cwd = os.path.join(cwd, evaluated.working_directory)
        env = turn.contexts.environment(evaluated.env)
        for shell in evaluated.shells:
            if self._inline:
                argv = [*shell.argv[:-1], evaluated.script]
            else:
                argv = shell.command(await self._written(turn, shell))
            try:
                exit = await self.activity.process(worker, Command(argv, env, cwd), log, log.scan)
            except FileNotFoundError:
                if not self._inline and not os.path.isdir(cwd):
                    return StepEnd(FAILURE, message=f"the working directory {cwd} is not there")
                continue
            except (PermissionError, NotADirectoryError, ValueError) as error:
                return StepEnd(FAILURE, message=f"{argv[0]} could not be started in {cwd}: {_why(error)}")
            return _end_of(exit)
        return StepEnd(FAILURE, message=_no_shell(evaluated.shells))

    async def _written(self, turn: Turn, shell: Shell) -> str:
        """The path of a step's script."""
        name, text = f"{turn.step.file}{shell.extension}", shell.script(turn.evaluated.script)

        def write() -> str:
            return turn.contexts.folders.make().write_script(name, text)

        try:
            return write()
        except OSError as error:
            return await self.activity.awaiting(once_there_is_room(self._loop, write, error))

    async def _action(self, turn: Turn) -> StepEnd:
        make = turn.contexts.folders.make
        try:
            make()
        except OSError as error:
            await self.activity.awaiting(once_there_is_room(self._loop, make, error))
        try:
            module = load(turn.step.spec.uses or "")
        except ActionFailed as error:
            turn.log.write(f"Error: {error}\n".encode())
            turn.record.annotate("error", str(error))
            return StepEnd(FAILURE, message=str(error))
        context = self._context(turn, {})
        try:
            return await self._act(module.main, context, turn)
        finally:
            if context.wants_post and hasattr(module, "post"):
                self.posts.append(
                    Post(
                        turn.evaluated.name,
                        module.post,
                        turn.evaluated,
                        turn.record.state,
                        turn.step,
                        turn.contexts,
                    )
                )

    def _context(self, turn: Turn, state: dict[str, str]) -> StepActionContext:
        assert self.worker is not None
        return StepActionContext(
            self._attempt,
            turn.evaluated.inputs,
            turn.contexts.environment(turn.evaluated.env),
            state,
            contexts=turn.contexts,
            tool_cache=self._tool_cache,
            masks=self._masks,
            reporter=self._reporter,
            record=turn.record,
            log=turn.log,
            worker=self.worker,
            blocking=self.blocking,
        )

    async def _act(
        self, run: Callable[[StepActionContext], Any], context: StepActionContext, turn: Turn
    ) -> StepEnd:
        try:
            await self.activity.awaiting(run(context))
        except (Interrupted, WorkerUnavailable):
            raise
        except (ActionFailed, InfrastructureError, OSError) as error:
            message = str(error)
        except Exception as error:
            import traceback

            context.log(traceback.format_exc())
            message = f"a defect in relevo's own {turn.step.spec.uses}: {error!r}"
        else:
            return StepEnd(SUCCESS)
        context.log(f"Error: {message}")
        turn.record.annotate("error", message)
        return StepEnd(FAILURE, message=self._masks.hide(message))

    async def _take_in(self, turn: Turn, end: StepEnd) -> None:
        """Take in what the step said in its command files; one that cannot be read makes it fail."""
        record = turn.record
        if not self._inline:
            try:
                for variable, data in (await self._collected(turn)).items():
                    self._take_in_file(variable, data.decode("utf-8", "replace"), turn, end)
            except CommandFileInvalid as error:
                record.fail(str(error))
            except Interrupted:
                pass  # the job is being ended, and nobody is to wait for a disk that is full
        end.outputs = record.outputs
        if record.problem:
            end.outcome = FAILURE
            end.message = end.message or self._masks.hide(record.problem)

    async def _collected(self, turn: Turn) -> dict[str, bytes]:
        def collect() -> dict[str, bytes]:
            return turn.contexts.folders.make().command_files.collect()

        try:
            return collect()
        except OSError as error:
            room = once_there_is_room(self._loop, collect, error)
            return await self.activity.awaiting(room, even_interrupted=True)

    def _take_in_file(self, variable: str, text: str, turn: Turn, end: StepEnd) -> None:
        record = turn.record
        try:
            if variable == "GITHUB_PATH":
                for folder in parse_paths(text):
                    turn.contexts.add_path(folder)
            elif variable == "GITHUB_STEP_SUMMARY":
                end.summary = self.summary(end.summary + text, record)
            elif variable == "GITHUB_ENV":
                for name, value in parse_assignments(text):
                    if name.upper() in REFUSED_VARIABLES:
                        raise CommandFileInvalid(
                            f"Can't store {name} output parameter using '$GITHUB_ENV' command."
                        )
                    turn.contexts.set_env(name, value)
            else:
                into = record.outputs if variable == "GITHUB_OUTPUT" else record.state
                into.update(parse_assignments(text))
        except CommandFileInvalid as error:
            record.fail(f"Unable to process file command '{FILES[variable]}' successfully. {error}")

    def summary(self, text: str, record: StepRecord) -> str:
        """A step summary as it may be told: masked; "" and an error for one that is too large."""
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
