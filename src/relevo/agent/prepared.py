"""A job's spec, looked through once: what needs evaluation for each attempt, and what never does."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from relevo.agent.shells import Shell, ShellInvalid, shells
from relevo.workflow.expressions import Value, to_text
from relevo.workflow.model import JobSpec, StepSpec
from relevo.workflow.templates import has_expression

_CACHED: Final = 1_024


class Evaluated(Struct, frozen=True):
    """A step with all its expressions evaluated."""

    name: str
    env: dict[str, str]
    script: str = ""
    shells: tuple[Shell, ...] = ()
    working_directory: str = ""
    timeout_s: float | None = None
    inputs: dict[str, str] = {}


class PreparedStep(Struct, frozen=True):
    """A step of a prepared job."""

    index: int
    spec: StepSpec
    action_id: str  #: `github.action`
    shell: str | None  #: the step's, or the job's default; may hold an expression
    working_directory: str
    constant: Evaluated | None  #: None: something has to be evaluated, or is wrong and must be told
    env_constant: bool
    hashes: bool  #: calls hashFiles, so that evaluating it reads files


class PreparedJob(Struct, frozen=True):
    """A job of a run, the same for all its attempts and legs."""

    spec: JobSpec
    steps: tuple[PreparedStep, ...]
    env: dict[str, str] | None  #: of workflow and job; None: it has to be evaluated


_prepared: dict[str, PreparedJob] = {}


def prepare(digest: str, spec: JobSpec) -> PreparedJob:
    """The prepared form of the spec with this digest. Cached."""
    found = _prepared.get(digest)
    if found is None:
        if len(_prepared) >= _CACHED:
            del _prepared[next(iter(_prepared))]
        found = _prepared[digest] = _prepare(spec)
    return found


def _prepare(spec: JobSpec) -> PreparedJob:
    env: dict[str, str] | None = {}
    for layer in (spec.workflow_env, spec.env):
        if isinstance(layer, str) or has_expression(layer) or env is None:
            env = None
            break
        env.update({name: to_text(value) for name, value in layer.items()})
    scripts = 0
    steps = []
    for index, step in enumerate(spec.steps):
        action_id = step.id
        if not action_id:
            scripts += 1
            action_id = "__run" if scripts == 1 else f"__run_{scripts}"
        steps.append(_prepare_step(spec, index, step, action_id))
    return PreparedJob(spec, tuple(steps), env)


def _prepare_step(job: JobSpec, index: int, step: StepSpec, action_id: str) -> PreparedStep:
    shell = step.shell if step.shell is not None else job.defaults_shell
    working_directory = step.working_directory
    if working_directory is None:
        working_directory = job.defaults_working_directory or ""
    env_constant = not isinstance(step.env, str) and not has_expression(step.env)
    return PreparedStep(
        index,
        step,
        action_id,
        shell,
        working_directory,
        _constant(step, shell, working_directory) if env_constant else None,
        env_constant,
        any(_mentions(part, "hashfiles") for part in (step.if_, *_evaluated_parts(step))),
    )


def _evaluated_parts(step: StepSpec) -> tuple[Value, ...]:
    return (
        step.name,
        step.run,
        step.with_,
        step.env,
        step.shell,
        step.working_directory,
        step.timeout_minutes,
    )


def _constant(step: StepSpec, shell: str | None, working_directory: str) -> Evaluated | None:
    if any(has_expression(part) for part in (*_evaluated_parts(step), shell, working_directory)):
        return None
    try:
        return evaluated(
            name_of(step),
            {name: to_text(value) for name, value in step.env.items()} if isinstance(step.env, dict) else {},
            step.run,
            shell,
            working_directory,
            step.timeout_minutes,
            step.with_,
        )
    except (ShellInvalid, ValueError):
        return None  # told when the step's turn comes


def evaluated(
    name: str,
    env: dict[str, str],
    run: str | None,
    shell: str | None,
    working_directory: str,
    timeout_minutes: Value,
    with_: dict[str, Value],
) -> Evaluated:
    """Put together what came out of the expressions. Raises ShellInvalid, and ValueError for a time-out that is none."""
    return Evaluated(
        name,
        env,
        run or "",
        shells(shell) if run is not None else (),
        working_directory,
        timeout_of(timeout_minutes),
        {key.lower(): to_text(value).strip() for key, value in with_.items()},
    )


def timeout_of(minutes: Value) -> float | None:
    """`timeout-minutes` in seconds; None: no limit. Raises ValueError."""
    if minutes is None or minutes == "":
        return None
    try:
        seconds = float(minutes) * 60
    except (TypeError, ValueError):
        raise ValueError(f"timeout-minutes is {to_text(minutes)!r}, no number") from None
    return seconds if seconds > 0 else None


def name_of(step: StepSpec) -> str:
    """What a step is called: its name, or `Run` with the first line of its script or its action."""
    if step.name:
        return step.name
    return "Run " + first_line(step.run if step.run is not None else step.uses or "")


def first_line(text: str) -> str:
    """The first line of a text that is not blank."""
    return text.lstrip().partition("\n")[0].rstrip()


def _mentions(value: Value, word: str) -> bool:
    if isinstance(value, str):
        return word in value.lower()
    if isinstance(value, dict):
        return any(word in key.lower() or _mentions(item, word) for key, item in value.items())
    return isinstance(value, list) and any(_mentions(item, word) for item in value)
