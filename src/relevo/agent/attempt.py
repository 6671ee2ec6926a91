"""One attempt, from its assignment to its end record, by the agent alone.

    create worker ─► steps, in order, each by its `if` ─► post steps, in reverse ─► outputs ─► destroy worker ─► finished
          ├── cancel, or the job's time-out: the current step is ended, `always()` and `cancelled()` steps still run; after
          │   5 minutes, or with force, everything ends
          └── preempted: the current step is ended within the grace, and nothing else runs: the job comes again

Whatever happens, `reporter.finished` is called exactly once, after the last process is gone. What is no fault of the job (its worker
or a disk went away, a defect of ours) makes the attempt lost, and the engine may try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from relevo.agent.action_context import Blocking
from relevo.agent.activity import Activity, Interrupted
from relevo.agent.deadline import Deadline
from relevo.agent.evaluation import continues_on_error, evaluate_outputs, evaluate_step, still_wanted
from relevo.agent.masks import Masks
from relevo.agent.prepared import Evaluated, PreparedStep, name_of, prepare
from relevo.agent.reporter import Reporter
from relevo.agent.room import once_there_is_room
from relevo.agent.shells import ShellInvalid
from relevo.agent.step_contexts import CANCELLED, FAILURE, SKIPPED, SUCCESS, StepContexts
from relevo.agent.steps import StepEnd, StepRunner
from relevo.agent.workspace import Folders, Places
from relevo.domain.errors import InfrastructureError
from relevo.domain.ids import AttemptKey
from relevo.protocol.messages import GRACE_S, Assignment
from relevo.providers.contract import Worker, WorkerProvider, WorkerSpec, WorkerUnavailable
from relevo.runtime.clock import Clock
from relevo.runtime.failpoints import reach
from relevo.workflow.contexts import JobContexts
from relevo.workflow.expressions import ExpressionError
from relevo.workflow.model import JobSpec

#: So long after a cancel everything ends, whatever steps ask for.
FORCED_AFTER_S: Final = 300.0
#: Waits between tries to destroy a worker. The provider goes on trying after the last.
_DESTROY_AGAIN_S: Final = (0.1, 0.5, 2.0, 5.0, 10.0)

_log = logging.getLogger(__name__)
_RESULT_OF_REASON: Final = {"timed-out": "timed-out", "fenced": "lost", "preempted": "preempted"}


class JobEnd(Struct):
    """What an attempt came to."""

    result: str
    message: str = ""
    exit_code: int | None = None
    outputs: dict[str, str] | None = None


class AttemptRun:
    """One attempt. `run` once, from one task; `cancel` at any time on the same loop."""

    __slots__ = (
        "_activity",
        "_assignment",
        "_blocking",
        "_clock",
        "_contexts",
        "_creating",
        "_current",
        "_deadlines",
        "_event",
        "_exit_code",
        "_folders",
        "_inline",
        "_job",
        "_loop",
        "_masks",
        "_over",
        "_provider",
        "_reason",
        "_reporter",
        "_steps",
        "_steps_ended",
        "_worker",
        "key",
    )

    def __init__(
        self,
        assignment: Assignment,
        spec: JobSpec,
        contexts: JobContexts,
        *,
        provider: WorkerProvider,
        reporter: Reporter,
        places: Places,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        blocking: Blocking,
        secrets: Mapping[str, str],
    ) -> None:
        """`blocking` runs a function in a pool."""
        self.key = AttemptKey(assignment.run, assignment.job, assignment.number)
        self._assignment = assignment
        self._provider = provider
        self._reporter = reporter
        self._clock = clock
        self._loop = loop
        self._blocking = blocking
        self._job = prepare(assignment.spec, spec)
        self._masks = Masks([*secrets.values(), *contexts.masks])
        self._folders = Folders(places, self.key, assignment.keep)
        self._activity = Activity(loop)
        #: scripts go to the provider as text, and no file is touched
        self._inline = bool(getattr(provider, "inline_scripts", False))
        self._contexts = StepContexts(
            self.key,
            self._job,
            contexts,
            secrets,
            places,
            self._folders,
            traceparent=assignment.traceparent,
            tracestate=assignment.tracestate,
        )
        self._event = contexts.github.get("event")
        self._steps = StepRunner(
            self.key,
            contexts=self._contexts,
            inline=self._inline,
            masks=self._masks,
            reporter=reporter,
            activity=self._activity,
            clock=clock,
            loop=loop,
            blocking=blocking,
            tool_cache=places.tool_cache,
        )
        self._worker: Worker | None = None
        self._creating = False
        self._current: tuple[PreparedStep, Evaluated] | None = None  # the step that runs
        self._reason = (
            ""  # why the job is ended before its steps are: cancelled, timed-out, fenced, preempted
        )
        self._steps_ended = False
        self._deadlines: list[Deadline] = []
        self._exit_code: int | None = None  # of the step that made the job fail
        self._over = False

    async def run(self) -> None:
        """Run it to its end record. Raises nothing but the cancellation of its task, after the end record."""
        end = JobEnd("lost", "the agent was shut down")
        told = _log.isEnabledFor(logging.INFO)
        if told:
            _log.info("an attempt begins", extra=_about(self.key))
        try:
            end = await self._run()
        except (InfrastructureError, OSError) as error:
            end = JobEnd("lost", str(error))
        except Exception as error:
            end = JobEnd("lost", f"a defect of relevo: {error!r}")
            _tell_defect(self.key)
        finally:
            self._over = True
            for deadline in self._deadlines:
                deadline.cancel()
            self._deadlines.clear()
            try:
                await self._destroy()
                reach("agent.before-end")
            finally:
                self._finish(end)
            if told:
                _log.info("an attempt ended: %s", end.result, extra=_about(self.key))
        await self._remove_folders()

    def cancel(self, reason: str, force: bool, grace_s: float = GRACE_S) -> None:
        """End it: `cancelled`, `timed-out`, `preempted` within `grace_s`, or `fenced` (at once, as lost). `force`: at once.
        Idempotent; a later reason changes nothing but a force."""
        if self._over:
            return
        if reason == "preempted":
            # What has a result, or must not be repeated, is not given up for somebody else.
            if not (self._reason or self._steps_ended or self._steps.irrevocable):
                self._make_room(grace_s)
        elif not self._reason:
            self._reason = reason
            self._contexts.status = CANCELLED
            self._deadlines.append(Deadline(self._clock, self._loop, FORCED_AFTER_S, self._activity.force))
            if self._creating or (
                self._current is not None and not still_wanted(*self._current, self._contexts)
            ):
                self._activity.interrupt()
        if force or reason == "fenced":
            self._activity.force()

    def _make_room(self, grace_s: float) -> None:
        self._reason = "preempted"
        self._contexts.status = CANCELLED
        self._deadlines.append(Deadline(self._clock, self._loop, grace_s, self._activity.force))
        self._activity.leave(grace_s)

    def _expired(self) -> None:
        self.cancel("timed-out", False)

    async def _run(self) -> JobEnd:
        if not self._reason:
            self._deadlines.append(
                Deadline(self._clock, self._loop, self._assignment.timeout_s, self._expired)
            )
            try:
                await self._create()
                self._reporter.started()
                message = await self._run_steps()
                return self._end(message)
            except Interrupted:
                pass  # before its first step
            except WorkerUnavailable:
                if not self._reason:
                    raise
        return self._end("")

    async def _create(self) -> None:
        self._creating = True
        asked = self._assignment
        spec = WorkerSpec(self.key, self._folders.workspace, asked.cpus, asked.memory_bytes)
        try:
            if not self._inline:
                try:
                    self._make_folders()
                except OSError as error:
                    room = once_there_is_room(self._loop, self._make_folders, error)
                    await self._activity.awaiting(room)
            self._worker = self._steps.worker = await self._activity.awaiting(self._provider.create(spec))
        finally:
            self._creating = False

    def _make_folders(self) -> None:
        self._folders.make().write_event(msgspec.json.encode(self._event or {}))

    async def _run_steps(self) -> str:
        """Run all steps and post steps; returns what is wrong with the job itself, "" if nothing is."""
        try:
            self._contexts.begin()
        except ExpressionError as error:
            self._contexts.status = FAILURE
            message = f"the environment of the job cannot be evaluated: {error}"
            self._reporter.annotation(0, "error", message)
            for step in self._job.steps:
                self._skip(step)
            return message
        for warning in self._worker.warnings if self._worker is not None else ():
            self._reporter.annotation(0, "warning", warning)
        for step in self._job.steps:
            await self._step(step)
        self._steps_ended = not self._reason
        await self._run_posts()
        return ""

    async def _step(self, step: PreparedStep) -> None:
        if self._activity.last:
            self._skip(step)
            return
        contexts = self._contexts
        contexts.begin_step(step, step.index)
        try:
            if step.hashes:
                evaluated = await self._evaluated_in_pool(step)
            else:
                evaluated = evaluate_step(step, contexts)
        except (ExpressionError, ShellInvalid, ValueError, OSError) as error:
            message = self._masks.hide(str(error))
            self._reporter.step_started(step.index, name_of(step.spec))
            self._reporter.annotation(step.index, "error", message)
            self._ended(step, name_of(step.spec), {}, StepEnd(FAILURE, message=message))
            return
        if evaluated is None or self._activity.last:
            self._skip(step)
            return
        name = self._masks.hide(evaluated.name)
        self._reporter.step_started(step.index, name)
        self._activity.begin()
        self._current = (step, evaluated)
        try:
            end = await self._steps.run(step, evaluated)
        finally:
            self._current = None
            self._activity.end()
        self._ended(step, name, evaluated.env, end)

    async def _evaluated_in_pool(self, step: PreparedStep) -> Evaluated | None:
        # hashFiles reads files; a cancel meanwhile changes what the step's condition comes to
        while True:
            status = self._contexts.status
            evaluated = await self._blocking(evaluate_step, step, self._contexts)
            if status == self._contexts.status:
                return evaluated

    def _ended(self, step: PreparedStep, name: str, env: Mapping[str, str], end: StepEnd) -> None:
        conclusion = end.outcome
        if conclusion == FAILURE:
            try:
                if continues_on_error(step, env, self._contexts):
                    conclusion = SUCCESS
            except ExpressionError as error:
                end.message = end.message or self._masks.hide(f"continue-on-error: {error}")
        if conclusion == FAILURE and self._contexts.status == SUCCESS:
            self._contexts.status = FAILURE
            self._exit_code = end.exit_code
        if step.spec.id:
            self._contexts.finish_step(step.spec.id, end.outputs, end.outcome, conclusion)
        self._reporter.step_finished(
            step.index,
            name,
            outcome=end.outcome,
            conclusion=conclusion,
            exit_code=end.exit_code,
            message=self._masks.hide(end.message),
            summary=end.summary,
        )

    def _skip(self, step: PreparedStep) -> None:
        if step.spec.id:
            self._contexts.finish_step(step.spec.id, {}, SKIPPED, SKIPPED)
        self._reporter.step_finished(step.index, name_of(step.spec), outcome=SKIPPED, conclusion=SKIPPED)

    async def _run_posts(self) -> None:
        index = len(self._job.steps)
        for post in reversed(self._steps.posts):
            if self._activity.last:
                return
            name = self._masks.hide(f"Post {post.name}")
            self._reporter.step_started(index, name)
            self._activity.begin()
            self._contexts.begin_step(post.step, index)
            end = await self._steps.run_post(post, index)
            self._activity.end()
            if end.outcome == FAILURE and self._contexts.status == SUCCESS:
                self._contexts.status = FAILURE
            self._reporter.step_finished(
                index,
                name,
                outcome=end.outcome,
                conclusion=end.outcome,
                message=self._masks.hide(end.message),
            )
            index += 1

    def _end(self, message: str) -> JobEnd:
        outputs: dict[str, str] | None = None
        if self._reason == "preempted":
            return JobEnd("preempted", "its place was needed for another job")
        if self._job.spec.outputs and self._worker is not None and not message:
            outputs, warnings, problem = evaluate_outputs(self._job, self._contexts, self._masks)
            last = self._last_step()
            for warning in warnings:
                self._reporter.annotation(last, "warning", warning)
            if problem:
                self._reporter.annotation(last, "error", problem)
                message = problem
                if self._contexts.status == SUCCESS:
                    self._contexts.status = FAILURE
        if self._reason:
            if self._reason == "timed-out":
                message = f"The job has exceeded the maximum execution time of {_duration(self._assignment.timeout_s)}."
            elif self._reason == "fenced":
                message = "the agent had no contact with an engine for too long"
            return JobEnd(_RESULT_OF_REASON.get(self._reason, CANCELLED), message, None, outputs)
        result = "succeeded" if self._contexts.status == SUCCESS else "failed"
        return JobEnd(result, message, self._exit_code, outputs)

    def _last_step(self) -> int:
        return max(len(self._job.steps) - 1, 0)

    async def _destroy(self) -> None:
        if self._worker is None:
            return
        for wait_s in _DESTROY_AGAIN_S:
            try:
                await self._worker.destroy()
                return
            except WorkerUnavailable:
                again = self._loop.create_future()
                self._loop.call_later(wait_s, again.set_result, None)
                await again

    def _finish(self, end: JobEnd) -> None:
        rest = self._masks.flush()
        if rest:
            self._reporter.log(self._last_step(), rest)
        self._reporter.finished(
            end.result, outputs=end.outputs, message=self._masks.hide(end.message), exit_code=end.exit_code
        )

    async def _remove_folders(self) -> None:
        if self._folders.remove_quickly():
            return
        try:
            await self._blocking(self._folders.remove)
        except (OSError, InfrastructureError) as error:
            _log.warning("a workspace was not removed: %s", error, extra=_about(self.key))


def _duration(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}h{minutes}m{whole % 60}s"


def _tell_defect(key: AttemptKey) -> None:
    _log.exception("a defect of relevo in an attempt", extra=_about(key))


def _about(key: AttemptKey) -> dict[str, str | int]:
    return {"run": key.run, "job": key.job, "attempt": key.number}
