"""What the expressions of a job's steps see, and the environment that its processes get, as both grow from step to step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Final, Protocol

from relevo.agent.environment import github_variables, kept, put_in_front, runner_context, runner_variables
from relevo.agent.prepared import PreparedJob, PreparedStep, first_line, name_of
from relevo.agent.workspace import Folders, Places
from relevo.domain.ids import AttemptKey
from relevo.telemetry import ids
from relevo.workflow.contexts import JobContexts
from relevo.workflow.expressions import ExactDict, ExpressionError, Scope, Value, to_text
from relevo.workflow.model import StepSpec
from relevo.workflow.templates import evaluate, evaluate_text

SUCCESS: Final = "success"
FAILURE: Final = "failure"
CANCELLED: Final = "cancelled"
SKIPPED: Final = "skipped"


class Contexts(Protocol):
    """What a step sees and changes: those of the job, or of the composite action that the step is part of."""

    status: str  #: so far, of the job or of the composite action: success, failure, cancelled
    steps: dict[str, Value]
    folders: Folders
    depth: int  #: composite actions around

    @property
    def job_status(self) -> str:
        """Of the job so far."""

    def scope(self, step_env: Mapping[str, str], *, status: str | None = None, files: bool = True) -> Scope:
        """What an expression sees now, with a step's own environment laid over what is there.

        `status`: as if that were the one so far. `files`: hashFiles is available.
        """

    def github(self) -> dict[str, Value]:
        """The `github` context as steps see it."""

    def environment(self, step_env: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of a process of the step that was begun."""

    def set_env(self, name: str, value: str) -> None:
        """A variable for the steps that follow, in the whole job."""

    def add_path(self, folder: str) -> None:
        """A folder in front of PATH for the steps that follow, in the whole job."""

    def finish_step(self, step_id: str, outputs: dict[str, str], outcome: str, conclusion: str) -> None:
        """A step with an id has ended: `steps.<id>` is there for those that follow."""


class StepContexts:
    """Those of the job. One for each attempt."""

    __slots__ = (
        "_action_id",
        "_attempt",
        "_contexts",
        "_fixed",
        "_github",
        "_given",
        "_index",
        "_job",
        "_paths",
        "_places",
        "_secrets",
        "_standing",
        "_tracestate",
        "_variables",
        "depth",
        "env",
        "folders",
        "status",
        "steps",
    )

    def __init__(
        self,
        attempt: AttemptKey,
        job: PreparedJob,
        contexts: JobContexts,
        secrets: Mapping[str, str],
        places: Places,
        folders: Folders,
        *,
        traceparent: str = "",
        tracestate: str = "",
    ) -> None:
        """`traceparent`, `tracestate`: those that the run was submitted with."""
        self.status = SUCCESS  #: of the job so far: success, failure, cancelled
        self.env: dict[str, str] = {}  #: of workflow, job, run and GITHUB_ENV
        self.steps: dict[str, Value] = {}
        self.folders = folders
        self.depth = 0
        self._attempt = attempt
        self._job = job
        self._contexts = contexts
        self._secrets = secrets
        self._places = places
        self._paths: list[str] = []  # put in front of PATH, the last one first
        self._fixed: dict[str, Value] | None = None  # contexts that stay the same
        self._github: dict[str, Value] = {}
        self._variables: dict[str, str] | None = None  # that no step can change
        self._standing: dict[str, str] | None = None  # the rest of the environment, without a step's own
        self._action_id = ""
        self._index = 0
        self._given = traceparent
        self._tracestate = tracestate

    def begin(self) -> None:
        """Evaluate the environment of workflow and job. Raises ExpressionError."""
        job = self._job
        if job.env is not None:
            self.env = {**job.env, **self._contexts.env}
            return
        for layer in (job.spec.workflow_env, job.spec.env):
            self.env.update(evaluated_env(layer, self.scope({})))
        self.env.update(self._contexts.env)

    def begin_step(self, step: PreparedStep, index: int) -> None:
        """`github.action` is this step's from here on, and TRACEPARENT that of the step with this index."""
        self._action_id = step.action_id
        self._index = index

    @property
    def job_status(self) -> str:
        return self.status

    def scope(self, step_env: Mapping[str, str], *, status: str | None = None, files: bool = True) -> Scope:
        if self._fixed is None:
            self._fixed = self._fixed_contexts()
        status = self.status if status is None else status
        contexts = {**self._fixed, "steps": self.steps}
        contexts["job"] = {**self._fixed["job"], "status": status}
        contexts["github"] = {**self._github, "action": self._action_id, "action_status": status}
        contexts["env"] = ExactDict({**self.env, **step_env})
        return Scope(
            contexts,
            success=status == SUCCESS,
            failure=status == FAILURE,
            cancelled=status == CANCELLED,
            hash_files=partial(_hash_files, self.folders.workspace) if files else None,
        )

    def github(self) -> dict[str, Value]:
        if self._fixed is None:
            self._fixed = self._fixed_contexts()
        return self._github

    def environment(self, step_env: Mapping[str, str]) -> dict[str, str]:
        if self._variables is None:
            self._variables = self._fixed_variables()
        if self._standing is None:
            self._standing = {**_own(), "CI": "true", "GITHUB_ACTIONS": "true", **self.env}
        environment = {**self._standing, **step_env, **self._variables}
        environment["GITHUB_ACTION"] = self._action_id
        if "TRACEPARENT" not in environment:
            environment["TRACEPARENT"] = self._traceparent()
            if self._tracestate:
                environment["TRACESTATE"] = self._tracestate
        if self._paths:
            environment["PATH"] = put_in_front(environment["PATH"], self._paths)
        return environment

    def _traceparent(self) -> str:
        """What a process of the step that was begun hangs its own spans on. The step's span has this id once it is derived."""
        run, job, number = self._attempt
        return ids.step_parent(run, self._given, job, number, self._index)

    def set_env(self, name: str, value: str) -> None:
        self.env[name] = value
        self._standing = None

    def add_path(self, folder: str) -> None:
        if folder in self._paths:
            self._paths.remove(folder)
        self._paths.append(folder)

    def finish_step(self, step_id: str, outputs: dict[str, str], outcome: str, conclusion: str) -> None:
        self.steps[step_id] = {"outputs": outputs, "outcome": outcome, "conclusion": conclusion}

    def _fixed_contexts(self) -> dict[str, Value]:
        contexts, folders, files = self._contexts, self.folders, self.folders.command_files
        self._github = {
            **contexts.github,
            "workspace": folders.workspace,
            "job": self._job.spec.id,
            "event_path": folders.event_path,
            "env": files.get("GITHUB_ENV", ""),
            "output": files.get("GITHUB_OUTPUT", ""),
            "path": files.get("GITHUB_PATH", ""),
            "state": files.get("GITHUB_STATE", ""),
            "step_summary": files.get("GITHUB_STEP_SUMMARY", ""),
        }
        return {
            "vars": contexts.vars,
            "inputs": contexts.inputs,
            "needs": contexts.needs,
            "strategy": contexts.strategy,
            "matrix": contexts.matrix,
            "job": self._file(),
            "secrets": self._secrets,
            "runner": {
                **runner_context(
                    name=self._places.runner_name, temp=folders.temp, tool_cache=self._places.tool_cache
                ),
                "workspace": folders.of_run,
            },
        }

    def _file(self) -> dict[str, Value]:
        """What `job` tells of the file that the job stands in; `github` tells of the one that calls it."""
        github, file = self._contexts.github, self._job.spec.file
        repository = github.get("repository", "")
        return {
            "workflow_ref": f"{repository}/{file}@{github.get('ref', '')}",
            "workflow_sha": github.get("workflow_sha", ""),
            "workflow_repository": repository,
            "workflow_file_path": file,
        }

    def _fixed_variables(self) -> dict[str, str]:
        folders = self.folders
        return {
            **github_variables(self._contexts.github),
            **runner_variables(
                name=self._places.runner_name,
                temp=folders.temp,
                tool_cache=self._places.tool_cache,
                workspace=folders.of_run,
            ),
            "GITHUB_WORKSPACE": folders.workspace,
            "GITHUB_JOB": self._job.spec.id,
            "GITHUB_EVENT_PATH": folders.event_path,
            "RELEVO_ATTEMPT": str(self._attempt),
            **folders.command_files,
        }


def _hash_files(workspace: str, patterns: Sequence[str]) -> str:
    from relevo.agent.hash_files import hash_files

    return hash_files(workspace, patterns)


def evaluated_env(layer: dict[str, Value] | str, scope: Scope) -> dict[str, str]:
    """An `env:` of workflow, job or step as text. Raises ExpressionError."""
    value = evaluate(layer, scope)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise ExpressionError("env: the value is no mapping", stage="evaluation")
    return {name: to_text(item) for name, item in value.items()}


def evaluated_name(step: StepSpec, scope: Scope) -> str:
    """A step's name; as it is written when its expressions fail."""
    try:
        if step.name:
            return evaluate_text(step.name, scope)
        if step.run is not None and "${{" in step.run:
            return "Run " + evaluate_text(first_line(step.run), scope)
    except ExpressionError:
        pass  # the name is for people; what is wrong is told where it matters
    return name_of(step)


@lru_cache(maxsize=1)
def _own() -> dict[str, str]:
    return kept(os.environ)
