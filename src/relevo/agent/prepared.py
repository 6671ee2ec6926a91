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
    inputs: dict[str, str] = {}  #: names in lower case, values as they were written


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
    file: str  #: what its script's file is called, without an ending


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
    steps = tuple(
        _prepare_step(
            step,
            index,
            action_id,
            f"_{index + 1}",
            step.shell if step.shell is not None else spec.defaults_shell,
            step.working_directory or spec.defaults_working_directory or "",
        )
        for index, (step, action_id) in enumerate(zip(spec.steps, _action_ids(spec.steps), strict=True))
    )
    return PreparedJob(spec, steps, env)


def prepare_inner(steps: tuple[StepSpec, ...], within: PreparedStep) -> tuple[PreparedStep, ...]:
    """The steps of a composite action that a step uses. They are part of that step, and take no defaults of the job."""
    return tuple(
        _prepare_step(
            step,
            within.index,
            within.action_id,
            f"{within.file}_{number}",
            step.shell,
            step.working_directory or "",
        )
        for number, step in enumerate(steps, 1)
    )


def _prepare_step(
    step: StepSpec, index: int, action_id: str, file: str, shell: str | None, working_directory: str
) -> PreparedStep:
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
        file,
    )


def _action_ids(steps: tuple[StepSpec, ...]) -> list[str]:
    # as GitHub names steps without an id: __run, __run_2, __actions_checkout, __self (of a local action)
    counts: dict[str, int] = {}
    found = []
    for step in steps:
        name = step.id
        if not name:
            name = f"__{_origin(step.uses)}"
            counts[name] = count = counts.get(name, 0) + 1
            name = name if count == 1 else f"{name}_{count}"
        found.append(name)
    return found


def _origin(uses: str | None) -> str:
    if not uses:
        return "run"
    if uses.startswith("./"):
        return "self"
    place = uses.partition("@")[0].removeprefix("docker://")
    return "".join(char if char.isalnum() else "_" for char in "_".join(place.split("/")[:2]))


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
        {key.lower(): to_text(value) for key, value in with_.items()},
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
