"""The local actions (`uses: ./path`) of a workflow, looked at before it starts, as far as they are in the working tree.

    Workflow ─ each step with `uses: ./…` ─find─► action.yml ─read─► Action ─ its steps with `uses: ./…` …

What is not there is no mistake yet: a step may make it, or another checkout bring it. Then the step tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from msgspec import Struct

from relevo.workflow.action_reader import ActionFile, find, read_action, refusal
from relevo.workflow.calls import with_called
from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid
from relevo.workflow.model import Action, StepSpec, Workflow
from relevo.workflow.names import is_local
from relevo.workflow.support import refused_action

#: Different files that are looked at.
_MOST: Final = 200
#: What a step uses, the file that the step is in, and the mark of its `uses` there.
_Use = tuple[str, "Workflow | Action", str]
#: The file that `uses: ./path` means, None when it is not there (yet). Raises OSError.
Find = Callable[[str], ActionFile | None]


class LocalActions(Struct):
    """What was found; remarks have their place in the action's own file."""

    wrong: list[Diagnostic] = []  #: no action at all
    refused: list[Diagnostic] = []  #: GitHub would run it
    warnings: list[Diagnostic] = []
    steps: list[StepSpec] = []  #: of all of them


def in_tree(directory: str) -> Find:
    """Finds actions in a working tree. Blocking."""
    return partial(find, directory)


def check_local_actions(workflow: Workflow, find: Find) -> LocalActions:
    """Look at the local actions that the steps of a workflow use, and of those it calls, and at those that these use. Never raises
    for what it finds there."""
    found = LocalActions()
    seen: set[str] = set()
    waiting = [*_of_workflow(workflow)]
    for uses, user, mark in waiting:
        try:
            file = find(uses)
            if file is None or file.path in seen or len(seen) >= _MOST:
                continue
            seen.add(file.path)
            action = read_action(file)
        except OSError as error:
            found.wrong.append(_at(user, mark, f"{uses} cannot be read: {error.strerror or error}"))
        except WorkflowInvalid as error:
            found.wrong.extend(error.diagnostics)
        else:
            found.warnings.extend(action.warnings)
            found.steps.extend(action.steps)
            found.refused.extend(_refused(action, uses))
            waiting.extend(_of_action(action))
    return found


def _of_workflow(workflow: Workflow) -> Iterator[_Use]:
    for file, _ in with_called(workflow):
        for job in file.jobs.values():
            for index, step in enumerate(job.spec.steps):
                if step.uses and is_local(step.uses):
                    yield step.uses, file, f"jobs.{job.id}.steps.{index}.uses"


def _of_action(action: Action) -> Iterator[_Use]:
    for index, step in enumerate(action.steps):
        if step.uses and is_local(step.uses):
            yield step.uses, action, f"steps.{index}.uses"


def _refused(action: Action, uses: str) -> Iterator[Diagnostic]:
    wrong = refusal(action, uses)
    if wrong is not None:
        yield wrong
    for index, step in enumerate(action.steps):
        refused = refused_action(step.uses) if step.uses else None
        if refused is not None:
            yield _at(action, f"steps.{index}.uses", *refused)


def _at(user: Workflow | Action, mark: str, message: str, hint: str | None = None) -> Diagnostic:
    position = user.marks[mark]
    excerpt = user.marked_lines.get(position.line, "")
    return Diagnostic(user.path, position.line, position.column, message, hint, excerpt=excerpt)
