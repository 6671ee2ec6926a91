"""What a workflow asks for that the engine cannot do yet: found before anything starts, never silently left out."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from relevo.workflow.build import action_name
from relevo.workflow.calls import LOCAL, called_by, with_called
from relevo.workflow.concurrency import deadlocks
from relevo.workflow.diagnostics import Diagnostic, Severity
from relevo.workflow.instead import instead_of
from relevo.workflow.model import JobNode, StepSpec, Workflow
from relevo.workflow.names import is_local

#: Actions that are built in, at any version.
NATIVE_ACTIONS: Final = frozenset(
    {
        "actions/cache",
        "actions/cache/restore",
        "actions/cache/save",
        "actions/checkout",
        "actions/download-artifact",
        "actions/setup-go",
        "actions/setup-java",
        "actions/setup-node",
        "actions/setup-python",
        "actions/upload-artifact",
    }
)

_JOB_KEYS: Final[dict[str, tuple[str, str]]] = {
    "container": ("a job cannot run in a container yet", "install what it needs in a `run:` step"),
    "services": ("service containers are not supported yet", "start the service in a `run:` step"),
    "snapshot": ("image snapshots are not supported", "leave `snapshot` out"),
}
_STEP_KEYS: Final[dict[str, tuple[str, str]]] = {
    "background": ("steps cannot run in the background yet", "put `&` behind a command of the script"),
    "wait": ("steps cannot run in the background yet", "leave the step out"),
    "wait-all": ("steps cannot run in the background yet", "leave the step out"),
    "cancel": ("steps cannot run in the background yet", "leave the step out"),
    "parallel": ("steps cannot run in parallel yet", "make them steps one after another, or jobs"),
}
_ENVIRONMENT: Final = (
    "environments are not known here: nobody is asked for approval, and it brings no secrets of its own",
    "guard the job by its `if:`, and give secrets with --secret",
)
_CACHE_MODE: Final = (
    "`cache-mode` is not enforced: the caches of one machine are open to all its jobs",
    "leave the cache steps out where a job must not restore or save",
)


def unsupported(workflow: Workflow) -> tuple[Diagnostic, ...]:
    """All that cannot be done, with what to put instead; with an "error" among them the workflow must not start.

    A "warning" tells what is done differently. Each file in its order; called files after those that call them.
    """
    found: list[Diagnostic] = []
    for file, places in with_called(workflow):
        remarks = _in_file(file)
        if places:
            remarks = [replace(one, message=one.message + called_by(places)) for one in remarks]
        found += remarks
    return (*found, *deadlocks(workflow))


def _in_file(workflow: Workflow) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    if "cache-mode" in workflow.marks:
        _add(found, workflow, "cache-mode", *_CACHE_MODE, severity="warning")
    for job in workflow.jobs.values():
        _check_job(job, workflow, found)
    return sorted(found, key=lambda one: (one.line, one.column))


def _add(
    found: list[Diagnostic],
    workflow: Workflow,
    mark: str,
    message: str,
    hint: str,
    severity: Severity = "error",
) -> None:
    position = workflow.marks.get(mark)
    line, column = (position.line, position.column) if position else (1, 1)
    excerpt = workflow.marked_lines.get(line, "")
    found.append(Diagnostic(workflow.path, line, column, message, hint, severity, excerpt))


def _check_job(job: JobNode, workflow: Workflow, found: list[Diagnostic]) -> None:
    where = f"jobs.{job.id}"
    for key, (message, hint) in _JOB_KEYS.items():
        mark = f"{where}.{key}"
        asked = mark in workflow.marks
        if key == "container" and job.container in (None, ""):
            asked = False
        if key == "services" and not job.services:
            asked = False
        if asked:
            _add(found, workflow, mark, message, hint)
    if job.uses is not None and job.called is None:
        _add(found, workflow, f"{where}.uses", *_uncalled(job.uses))
    if f"{where}.cache-mode" in workflow.marks:
        _add(found, workflow, f"{where}.cache-mode", *_CACHE_MODE, severity="warning")
    if job.environment is not None:
        _add(found, workflow, f"{where}.environment", *_ENVIRONMENT, severity="warning")
    for index, step in enumerate(job.spec.steps):
        _check_step(step, f"{where}.steps.{index}", workflow, found)


def _uncalled(uses: str) -> tuple[str, str]:
    if uses.startswith(LOCAL):
        return f"the called workflow {uses} is not at hand", "run it from the working tree that has the file"
    file = uses.partition("@")[0].rpartition("/")[2]
    return (
        f"workflows of other repositories cannot be called: {uses}",
        f"copy the file into this repository and call it as ./.github/workflows/{file}",
    )


def _check_step(step: StepSpec, where: str, workflow: Workflow, found: list[Diagnostic]) -> None:
    for key, (message, hint) in _STEP_KEYS.items():
        if f"{where}.{key}" in workflow.marks:
            _add(found, workflow, f"{where}.{key}", message, hint)
    refused = refused_action(step.uses) if step.uses is not None else None
    if refused is not None:
        _add(found, workflow, f"{where}.uses", *refused)


def refused_action(uses: str) -> tuple[str, str] | None:
    """Why an action cannot run here, and what to do instead; None for those that can, and for local ones: their file tells."""
    name = action_name(uses)
    if name in NATIVE_ACTIONS or is_local(uses):
        return None
    if name.startswith("docker://"):
        return f"container actions are not supported yet: {uses}", "call `docker run` in a `run:` step"
    message = f"the action {uses} is not built in"
    if hint := instead_of(name):
        return message, hint
    built_in = ", ".join(sorted(NATIVE_ACTIONS))
    return message, f"write what it does as a `run:` step (built in: {built_in})"
