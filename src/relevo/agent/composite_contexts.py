"""What the steps of a composite action see: the job's contexts, but for `inputs`, `steps` and status, which are the action's own.

Source: actions/runner, CompositeActionHandler.cs and its ADRs 1144 and 1438.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import structs

from relevo.agent.step_contexts import CANCELLED, FAILURE, SUCCESS, Contexts
from relevo.agent.workspace import Folders
from relevo.workflow.expressions import Scope, Value

#: An action gets what it needs by its inputs.
_HIDDEN: Final = frozenset({"secrets", "needs", "vars"})


class CompositeContexts:
    """Contexts of one use of a composite action, within those of the step that uses it."""

    __slots__ = ("_action_path", "_env", "_inputs", "_outer", "depth", "folders", "status", "steps")

    def __init__(
        self, outer: Contexts, env: Mapping[str, str], inputs: Mapping[str, str], action_path: str
    ) -> None:
        """`env`: that of the step that uses the action; it stands above what inner steps write to GITHUB_ENV."""
        self.status = SUCCESS  #: of the action so far
        self.steps: dict[str, Value] = {}
        self.depth = outer.depth + 1
        self.folders: Folders = outer.folders
        self._outer = outer
        self._env = env
        self._inputs = inputs
        self._action_path = action_path

    @property
    def job_status(self) -> str:
        return self._outer.job_status

    def scope(self, step_env: Mapping[str, str], *, status: str | None = None, files: bool = True) -> Scope:
        status = self.status if status is None else status
        outer = self._outer.scope({**self._env, **step_env}, files=files)
        github = {**outer.contexts["github"], "action_path": self._action_path, "action_status": status}
        contexts = {name: value for name, value in outer.contexts.items() if name not in _HIDDEN}
        contexts.update(inputs=self._inputs, steps=self.steps, github=github)
        return structs.replace(
            outer,
            contexts=contexts,
            success=status == SUCCESS,
            failure=status == FAILURE,
            cancelled=self.job_status == CANCELLED,
        )

    def github(self) -> dict[str, Value]:
        return {**self._outer.github(), "action_path": self._action_path}

    def environment(self, step_env: Mapping[str, str]) -> dict[str, str]:
        environment = self._outer.environment({**self._env, **step_env})
        environment["GITHUB_ACTION_PATH"] = self._action_path
        return environment

    def set_env(self, name: str, value: str) -> None:
        self._outer.set_env(name, value)

    def add_path(self, folder: str) -> None:
        self._outer.add_path(folder)

    def finish_step(self, step_id: str, outputs: dict[str, str], outcome: str, conclusion: str) -> None:
        self.steps[step_id] = {"outputs": outputs, "outcome": outcome, "conclusion": conclusion}
