"""Writes docs/reference.md: what of GitHub's workflow language works as there, what differs, what is refused.

Keys, contexts, functions and events come from the description that the checker uses; why something is refused is asked of the
program itself, by a small file that asks for it. Only what cannot be found out so, the differences, stands here in words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from relevo.agent.environment import github_variables, runner_context, runner_variables
from relevo.workflow.contexts import strategy_context
from relevo.workflow.diagnostics import Diagnostic
from relevo.workflow.expressions import CONTEXTS
from relevo.workflow.expressions.functions import ARITY, STATUS
from relevo.workflow.grammar import Condition, Fields, Items, OneOf, Shape, Text
from relevo.workflow.instead import INSTEAD
from relevo.workflow.language import WORKFLOW
from relevo.workflow.language_action import ACTION
from relevo.workflow.language_events import EVENTS
from relevo.workflow.reader import read
from relevo.workflow.references import FIELDS
from relevo.workflow.support import NATIVE_ACTIONS, unsupported

ROOT: Final = Path(__file__).parents[1]
JOB: Final = "jobs.<id>"
STEP: Final = "jobs.<id>.steps[]"

#: A value of each key that may be refused, for a job and for a step.
_JOB_SAMPLES: Final[dict[str, Any]] = {
    "container": "node:22",
    "services": {"db": {"image": "postgres"}},
    "environment": "production",
    "snapshot": "image",
}
_STEP_SAMPLES: Final[dict[str, list[dict[str, Any]]]] = {
    "background": [{"id": "s", "run": "x", "background": True}],
    "wait": [{"id": "s", "run": "x", "background": True}, {"wait": "s"}],
    "wait-all": [{"wait-all": None}],
    "cancel": [{"id": "s", "run": "x", "background": True}, {"cancel": "s"}],
    "parallel": [{"parallel": [{"run": "x"}]}],
}
#: What is meant otherwise than on GitHub, by key. It holds for all keys below, too.
_DIFFERENT: Final = {
    "description": "shown by `relevo plan --json` only",
    "permissions": "checked, also against called workflows; there is no GitHub token that it could limit",
    f"{JOB}.permissions": "checked, also against called workflows; there is no GitHub token that it could limit",
    "cache-mode": "checked, not enforced: the caches of one machine are open to all its jobs",
    f"{JOB}.cache-mode": "checked, not enforced: the caches of one machine are open to all its jobs",
    f"{JOB}.cancel-timeout-minutes": "read, not used",
    f"{JOB}.uses": "workflows of the same repository (`./…`); those of other repositories are refused",
    f"{JOB}.runs-on": "`ubuntu-*`, `linux`, `self-hosted` and the architecture mean this machine; others are refused",
    f"{STEP}.uses": "built-in actions and local composite ones only, see below",
}
_ACTION_DIFFERENT: Final = {
    "inputs.<name>.required": "an input that is not given is warned of; as on GitHub it is empty then",
    "runs.using": "`composite`; other kinds are refused by name",
    "runs.steps[].uses": "built-in actions and local composite ones only",
    "runs.steps[].if": "when the job is cancelled, inner steps that ask for it (`always()`, `cancelled()`) run before the step ends",
}
#: Keys of action.yml that only actions of other kinds have.
_OF_OTHER_KINDS: Final = tuple(
    f"runs.{name}" for name in ("main", "pre", "post", "image", "entrypoint", "args", "env")
)
_OWN: Final = "relevo's own"
_CONTEXT_DIFFERENCES: Final = {
    "github": "from git and the machine; `github.token` is empty, and `github.event` holds what git knows",
    "secrets": "those given by `relevo run --secret`; no `GITHUB_TOKEN`",
    "vars": "empty",
    "runner": "`runner.environment` is `self-hosted`",
}
_MEMBER_DIFFERENCES: Final = {
    "github.action_path": "within composite actions only, as on GitHub",
    "github.actor": "`user.name` of git, or the user of this machine",
    "github.event": "what git knows of it",
    "github.ref_protected": "always false",
    "github.retention_days": "0: artifacts stay as long as their run",
    "github.run_id": "a number made from relevo's id of the run",
    "github.secret_source": "`None`",
    "github.token": "empty",
    "runner.debug": "empty",
    "runner.environment": "`self-hosted`",
}
_STARTED: Final = "started by `relevo run --event {}` only; nothing listens for it"
_EVENT_DIFFERENCES: Final = {
    "push": "`relevo run --event push`; filters are decided from git, without GitHub's limit of 300 files",
    "pull_request": "`relevo run --event pull_request[:TYPE]`; filters are decided from git, without GitHub's limit of 300 files",
    "workflow_dispatch": "`relevo run --event workflow_dispatch --input NAME=VALUE`",
}
_SPELLING: Final = {
    name.lower(): name for name in ("startsWith", "endsWith", "toJSON", "fromJSON", "hashFiles")
}
#: Source: GitHub, Variables reference, "Default environment variables", and the files for workflow commands.
_VARIABLE_NAMES: Final = """
    CI GITHUB_ACTION GITHUB_ACTION_PATH GITHUB_ACTION_REPOSITORY GITHUB_ACTIONS GITHUB_ACTOR GITHUB_ACTOR_ID
    GITHUB_API_URL GITHUB_BASE_REF GITHUB_ENV GITHUB_EVENT_NAME GITHUB_EVENT_PATH GITHUB_GRAPHQL_URL GITHUB_HEAD_REF GITHUB_JOB
    GITHUB_OUTPUT GITHUB_PATH GITHUB_REF GITHUB_REF_NAME GITHUB_REF_PROTECTED GITHUB_REF_TYPE GITHUB_REPOSITORY
    GITHUB_REPOSITORY_ID GITHUB_REPOSITORY_OWNER GITHUB_REPOSITORY_OWNER_ID GITHUB_RETENTION_DAYS GITHUB_RUN_ATTEMPT
    GITHUB_RUN_ID GITHUB_RUN_NUMBER GITHUB_SERVER_URL GITHUB_SHA GITHUB_STATE GITHUB_STEP_SUMMARY GITHUB_TOKEN
    GITHUB_TRIGGERING_ACTOR GITHUB_WORKFLOW GITHUB_WORKFLOW_REF GITHUB_WORKFLOW_SHA GITHUB_WORKSPACE RUNNER_ARCH RUNNER_DEBUG
    RUNNER_ENVIRONMENT RUNNER_NAME RUNNER_OS RUNNER_TEMP RUNNER_TOOL_CACHE
"""
_VARIABLES: Final = tuple(_VARIABLE_NAMES.split())

_CONCURRENCY: Final = """\
## Concurrency groups

Of the runs and jobs of a repository (`github.repository`, in one `RELEVO_HOME`) that name the same group, whatever its case, one is
at work and one waits; a newer one takes the place of who waits, which is cancelled and says who took it. `cancel-in-progress`, also
as an expression, cancels the one at work, too; the newer one begins when that has ended, its `always()` steps and jobs included. With
`queue: max` up to 100 wait, in the order in which they asked; more are cancelled. A job that calls a workflow has its own group and
that of the called file, from before the first job in it until all have ended. `relevo why RUN` says who is ahead.

What GitHub leaves open, or does otherwise:

- A run or a job that waits for a group asks for it once its `needs` have ended, and counts for `max-parallel` from then on.
- Who asks for a group that can only be free when he himself has ended is cancelled and told so, also when several runs wait for each
  other in a circle. `relevo check` finds it where the text shows it: a job with the group of its workflow, a called file with that of
  its caller (`github.workflow` is the caller's name there, as on GitHub).
- A job that is tried again by `relevo: retry:`, or because what it ran on was lost, keeps its group meanwhile. A job that is `held`
  lets go of it and asks again when it is retried; a held run keeps the group of its workflow until somebody decides.
- A job that is being cancelled on an agent that nobody reaches keeps its group until it is known to have ended.
- A run that is cancelled while it waits for its group ends without anything of it, `always()` or not.
"""

_OWN_KEYS: Final = """\
## `relevo:` of jobs and steps

```yaml
relevo:                    # of a job; of the whole file: for each job that does not say it itself
  resources: {cpu: 1.5, memory: 2Gi}
  priority: 10
  retry: {max: 3, on: [infra, 75], backoff: 10s}
  preemptible: true
  deadline: 10m
```

- `resources`: what the job asks of its place. Both amounts are reserved at the agent while the job has its place there, so that jobs which
  ask for more than is left wait (`relevo why` says how much is free); jobs that ask for nothing count for none. The processes of the job are
  limited to them by control groups; a job beyond its memory ends with *out of memory*. Where the machine has no control groups for it
  (`relevo doctor`), nothing is limited, and a warning at the job says so. What no agent could ever give is an error before anything starts.
- `priority`: a whole number, 0 without. Of all jobs that wait for a place, of whatever run, those with a higher one go first; of equal
  ones the runs take turns. Nothing that has begun is stopped for it, but what is `preemptible`. That of a calling job is added to those of the jobs it calls.
- `retry`: `on` says after what the job is tried again, in a fresh worker: exit codes of the step that failed it, and `infra` (also when `on` is
  left out): what it ran on was lost. `max` says how often (1 when it is left out): for exit codes in all, for losses in a row. `backoff` is the rest
  before the first one, doubled each time, up to an hour. Without `infra`, a lost job is tried again twice, at once. Time-outs and
  cancellations are never retried. `resources`, `retry` and `preemptible` of a calling job do nothing: say them in the called file.
- `preemptible: true`: where the operator lets jobs be ended for others ([who runs next](scheduling.md#ending-jobs-for-others)), this one may be, and
  begins anew later. A job with a step marked `idempotent: false` never is.
- `deadline`: so long after the run was accepted, the job should have ended. Where the operator lets the earliest deadline go first (`order = "deadline"`),
  jobs of one priority are ordered by it. What is late is not failed. That of a calling job holds for the jobs that it calls, too.
- `idempotent: false` of a step: it may have begun when what it ran on was lost, so the job is `held` and asks instead of running again.
"""


def reference() -> str:
    """The page."""
    refusals = _refusals()
    return "\n".join(
        [
            "# The workflow language\n",
            "Written by `make docs` from the description that `relevo check` uses. **As GitHub** means just that; **different** says how; "
            "**not** gives the error, with file, line and column, before anything starts. The same description as a JSON Schema, "
            "for editors: `relevo schema`. How much of public test data passes: [conformance](conformance.md).\n",
            "## Keys\n",
            _table(("key", "relevo", "expressions in it may use"), _key_rows(refusals)),
            _CONCURRENCY,
            _OWN_KEYS,
            "## Contexts\n",
            _table(
                ("context", "relevo"),
                ((f"`{name}`", _different(_CONTEXT_DIFFERENCES.get(name))) for name in sorted(CONTEXTS)),
            ),
            "Members that GitHub documents, and what they are here:\n",
            _table(("member", "relevo"), _member_rows()),
            "## Functions\n",
            _table(("function", "relevo"), _function_rows()),
            "## Events\n",
            _table(("event", "activity types", "filters and settings", "relevo"), _event_rows()),
            "## Actions\n",
            "Inputs and outputs of the built-in ones: [actions](actions.md).\n",
            _table(("action", "relevo"), _action_rows()),
            "## Keys of action.yml\n",
            "The file of a local action is read when the step that uses it starts, so it may be made by an earlier step. Checks "
            "look at it as it is in the working tree, if it is there.\n",
            _table(("key", "relevo", "expressions in it may use"), _action_key_rows()),
            "## Environment variables of steps\n",
            _table(("variable", "relevo"), _variable_rows()),
        ]
    )


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return (
        "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        + "\n"
    )


def _different(how: str | None) -> str:
    return f"different: {how}" if how else "as GitHub"


# --- keys -----------------------------------------------------------------------------------------------------


def _refusals() -> dict[str, str]:
    found = {}
    for key, value in _JOB_SAMPLES.items():
        job = {"runs-on": "linux", key: value}
        _ask(found, f"{JOB}.{key}", {"on": "push", "jobs": {"a": job}})
    for key, steps in _STEP_SAMPLES.items():
        _ask(found, f"{STEP}.{key}", _with_steps(steps))
    return found


def _with_steps(steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"on": "push", "jobs": {"a": {"runs-on": "linux", "steps": steps}}}


def _ask(found: dict[str, str], key: str, file: dict[str, Any]) -> None:
    for said in unsupported(read(json.dumps(file).encode(), "w.yml")):
        found[key] = _refusal(said)


def _refusal(said: Diagnostic) -> str:
    hint = f"; {said.hint}" if said.hint else ""
    return f"{'not' if said.severity == 'error' else 'different'}: {said.message}{hint}"


def _key_rows(refusals: dict[str, str]) -> Iterator[tuple[str, ...]]:
    rows: dict[str, set[str]] = {}
    for path, names in _keys(WORKFLOW, "", ()):
        rows.setdefault(path, set()).update(names)
    for path, allowed in rows.items():
        status = _status(path, refusals)
        names = ", ".join(_SPELLING.get(name, name) for name in sorted(allowed))
        yield f"`{path}`", status, names


def _action_key_rows() -> Iterator[tuple[str, ...]]:
    rows: dict[str, set[str]] = {}
    for path, names in _keys(ACTION, "", ()):
        passed_over = path.startswith(_OF_OTHER_KINDS) or path in (".<name>", "inputs.<name>.<name>")
        if not passed_over:
            rows.setdefault(path, set()).update(names)
    for path, allowed in rows.items():
        told = _OWN if ".relevo" in path else _different(_ACTION_DIFFERENT.get(path))
        yield f"`{path}`", told, ", ".join(_SPELLING.get(name, name) for name in sorted(allowed))


def _status(path: str, refusals: dict[str, str]) -> str:
    parts = re.split(r"(?<=.)(?=\.)", path)
    if ".relevo" in parts or path.startswith("relevo"):
        return _OWN
    for end in range(len(parts), 0, -1):
        ancestor = "".join(parts[:end])
        if ancestor in refusals:
            return refusals[ancestor] if ancestor == path else f"see `{ancestor}`"
        if ancestor in _DIFFERENT:
            return _different(_DIFFERENT[ancestor]) if ancestor == path else f"see `{ancestor}`"
    return "as GitHub"


def _keys(shape: Shape, path: str, names: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    # every key below a shape, with the contexts and special functions that may stand there
    names = (*names, *getattr(shape, "names", ()))
    if isinstance(shape, OneOf):
        for option in shape.options:
            yield from _keys(option, path, names)
    elif isinstance(shape, Items):
        if not isinstance(shape.item, (Text, Condition)):
            yield from _keys(shape.item, f"{path}[]", names)
    elif isinstance(shape, Fields):
        for key, inner in shape.known.items():
            below = f"{path}.{key}" if path else key
            yield below, (*names, *_everywhere(inner))
            if below != "on" and not below.endswith("parallel"):
                yield from _keys(inner, below, names)
        if shape.others is not None:
            below = f"{path}.<id>" if path == "jobs" else f"{path}.<name>"
            if path != "jobs":
                yield below, (*names, *_everywhere(shape.others))
            yield from _keys(shape.others, below, names)


def _everywhere(shape: Shape) -> tuple[str, ...]:
    return getattr(shape, "names", ())


# --- the rest -------------------------------------------------------------------------------------------------


def _member_rows() -> Iterator[tuple[str, ...]]:
    made = "\n".join(
        (ROOT / f"src/relevo/{file}.py").read_text()
        for file in ("assembly/github_context", "agent/step_contexts", "agent/composite_contexts")
    )
    there = {
        "github": {one or other for one, other in re.findall(r'"(\w+)": |\["(\w+)"\] = ', made)},
        "runner": {*runner_context(name="", temp="", tool_cache=""), "workspace"},
        "strategy": set(strategy_context(True, 0, 1, None)),
        "job": {"status"},
    }
    for context, members in FIELDS.items():
        for member in members.values():
            told = _MEMBER_DIFFERENCES.get(f"{context}.{member}")
            yield f"`{context}.{member}`", _different(told) if member in there[context] else "not: it is null"


def _function_rows() -> Iterator[tuple[str, ...]]:
    for name, (least, most) in ARITY.items():
        count = str(least) if least == most else f"{least} or more" if most > 2 else f"{least} to {most}"
        told = "as GitHub" + ("; in `if:` only" if name in STATUS else "")
        yield f"`{_SPELLING.get(name, name)}`", f"{told}; arguments: {count}"


def _event_rows() -> Iterator[tuple[str, ...]]:
    for name, shape in sorted(EVENTS.items()):
        keys = dict(_event_keys(shape))
        types = keys.pop("types", None)
        activities = (
            ", ".join(types.item.choices) if isinstance(types, Items) and isinstance(types.item, Text) else ""
        )
        settings = ", ".join(f"`{key}`" for key in keys)
        how = _EVENT_DIFFERENCES.get(name, _STARTED.format(name))
        yield f"`{name}`", activities, settings, _different(how)


def _event_keys(shape: Shape) -> Iterator[tuple[str, Shape]]:
    if isinstance(shape, OneOf):
        for option in shape.options:
            yield from _event_keys(option)
    elif isinstance(shape, Items):
        yield from _event_keys(shape.item)
    elif isinstance(shape, Fields):
        yield from shape.known.items()


def _action_rows() -> Iterator[tuple[str, ...]]:
    for name in sorted(NATIVE_ACTIONS):
        yield f"`{name}`", "built in, at any version"
    for name in (*sorted(INSTEAD), "./path", "docker://image", "any/other"):
        if name not in NATIVE_ACTIONS:
            uses = name if name.startswith(("./", "docker:")) else f"{name}@v1"
            said = unsupported(read(json.dumps(_with_steps([{"uses": uses}])).encode(), "w.yml"))
            yield (
                f"`{name}`",
                _refusal(said[0]) if said else "as GitHub, where its `runs.using` is `composite`",
            )


def _variable_rows() -> Iterator[tuple[str, ...]]:
    agent = "\n".join(file.read_text() for file in sorted((ROOT / "src/relevo/agent").rglob("*.py")))
    every = dict.fromkeys((name.removeprefix("GITHUB_").lower() for name in _VARIABLES), "x")
    there = {
        *github_variables(every),
        *runner_variables(name="", temp="", tool_cache="", workspace=""),
        *re.findall(r'"((?:CI|GITHUB_\w+|RUNNER_\w+))": ', agent),
        *re.findall(r'\["((?:CI|GITHUB_\w+|RUNNER_\w+))"\] = ', agent),
        *re.findall(r'^\s+"(GITHUB_(?:ENV|OUTPUT|PATH|STATE|STEP_SUMMARY))",?$', agent, re.MULTILINE),
    }
    for name in _VARIABLES:
        yield f"`{name}`", "as GitHub" if name in there else "not: it is not set"
    yield "`RELEVO_ATTEMPT`", f"{_OWN}: run, job and attempt"
    yield "`TRACEPARENT`, `TRACESTATE`", f"{_OWN}: the step's span, for [spans of your own](telemetry.md)"
