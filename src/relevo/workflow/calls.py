"""Reusable workflows: the files that jobs call are read, and what is handed over is compared with what they take.

    Workflow ─ each job with `uses:` ─load─► bytes ─read─► the called Workflow ─ its jobs … (at most `depth` deep)

What is wrong with a call stands where the call is: in the calling file. A reference that `load` does not know (another
repository) stays unread and unchecked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from relevo.workflow import templates
from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid, did_you_mean
from relevo.workflow.handover import CALL
from relevo.workflow.model import JobNode, Value, Workflow
from relevo.workflow.nodes import MAX_BYTES

LOCAL: Final = "./"

#: The bytes of the file that `uses:` names, None when it is not to be had here. Raises OSError.
Load = Callable[[str], "bytes | None"]
ReadFile = Callable[[bytes, str], Workflow]


class Limits(Struct, frozen=True):
    """How much calls may amount to. Depth and files are those of github.com (ten levels in all, the first file among
    them; Enterprise Server allows four, and 20 files).

    Source: docs.github.com/en/actions/reference/workflows-and-actions/reusing-workflow-configurations.
    """

    size_bytes: int = 10 << 20  #: of the workflow with everything it calls, each call counted (measure.py)
    depth: int = 9  #: levels of called workflows below the first file
    files: int = 50  #: different called files
    #: what a workflow may do that does not say it, in the form of `permissions:`; None: everything
    permissions: Value = None


def local_files(directory: str) -> Load:
    """Loads `./path` from a working tree, and nothing else. What lies outside of the tree, links followed, is refused."""
    root = os.path.realpath(directory)

    def load(reference: str) -> bytes | None:
        if not reference.startswith(LOCAL):
            return None
        path = os.path.realpath(os.path.join(root, reference))
        if os.path.commonpath((root, path)) != root:
            raise OSError("it lies outside of the working tree")
        if not os.path.isfile(path):
            raise OSError("there is no such file")
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)

    return load


def called_by(places: Sequence[str]) -> str:
    """How a called file is come to, for the end of a message: ` (called by ci.yml:7:11)`; '' for the first file.

    `places`: where the calls stand, the outermost first.
    """
    return f" (called by {', called by '.join(reversed(places))})" if places else ""


def place_of(job: JobNode, caller: Workflow) -> str:
    """Where a call stands: `file:line:column`."""
    position = caller.marks.get(f"jobs.{job.id}.uses") or job.position
    return f"{caller.path}:{position.line}:{position.column}"


def with_called(
    workflow: Workflow, places: tuple[str, ...] = ()
) -> Iterator[tuple[Workflow, tuple[str, ...]]]:
    """The workflow and all that it calls, each call by itself, with the places of the calls that lead there."""
    yield workflow, places
    for job in workflow.jobs.values():
        if job.called is not None:
            yield from with_called(job.called, (*places, place_of(job, workflow)))


def follow(workflow: Workflow, load: Load, read_file: ReadFile, limits: Limits) -> Workflow:
    """The workflow, with `called` in each job whose file was read.

    Raises WorkflowInvalid with everything that is wrong with its calls, at any depth.
    """
    following = _Following(load, read_file, limits)
    following.size = workflow.size_bytes
    followed = following.jobs_of(workflow, "", limits.permissions, ())
    if following.problems:
        raise WorkflowInvalid(following.problems)
    return followed


class _Following:
    def __init__(self, load: Load, read_file: ReadFile, limits: Limits) -> None:
        self._load = load
        self._read_file = read_file
        self._limits = limits
        self._files: dict[str, Workflow | list[str]] = {}
        self._full = False
        self._places: list[str] = []  # of the calls that lead to the file at hand
        self.size = 0
        self.problems: list[Diagnostic] = []

    def jobs_of(self, caller: Workflow, reference: str, granted: Value, chain: tuple[str, ...]) -> Workflow:
        jobs = {}
        for job in caller.jobs.values():
            called = None
            if job.uses is not None and templates.OPEN not in job.uses and not self._full:
                called = self._call(job, caller, reference, _granted(job, caller, granted), chain)
            jobs[job.id] = job if called is None else msgspec.structs.replace(job, called=called)
        return msgspec.structs.replace(caller, jobs=jobs)

    def _call(
        self, job: JobNode, caller: Workflow, reference: str, granted: Value, chain: tuple[str, ...]
    ) -> Workflow | None:
        assert job.uses is not None
        uses = f"jobs.{job.id}.uses"
        target = absolute(job.uses, reference)
        if target in chain:
            circle = " → ".join((*chain[chain.index(target) :], target))
            self._add(caller, uses, f"workflows call each other in a circle: {circle}")
            return None
        if len(chain) >= self._limits.depth:
            self._add(caller, uses, f"called workflows are nested deeper than {self._limits.depth} levels")
            return None
        called = self._file(target)
        if called is None:
            return None
        if isinstance(called, list):
            for problem in called:
                self._add(caller, uses, problem)
            return None
        self.size += called.size_bytes
        if self.size > self._limits.size_bytes:
            self._full = True
            self._add(
                caller,
                uses,
                f"the workflow is larger than {self._limits.size_bytes} bytes with all that it calls",
                "call fewer workflows, or smaller ones",
            )
            return None
        before = len(self.problems)
        self._check_handed_over(job, caller, called)
        self._check_permissions(job, caller, called, granted)
        if len(self.problems) > before:
            return None
        self._places.append(place_of(job, caller))
        followed = self.jobs_of(called, target, granted, (*chain, target))
        self._places.pop()
        return followed

    def _file(self, target: str) -> Workflow | list[str] | None:
        # the workflow, or what is wrong with it; None when it is not to be had
        known = self._files.get(target)
        if known is not None:
            return known
        path = target.removeprefix(LOCAL)
        found: Workflow | list[str]
        try:
            text = self._load(target)
            if text is None:
                return None
            if len(self._files) >= self._limits.files:
                return [f"more than {self._limits.files} different workflows are called"]
            found = self._read_file(text, path)
        except OSError as error:
            found = [f"{target} cannot be read: {error.strerror or error}"]
        except WorkflowInvalid as error:
            found = [
                f"in the called workflow {one.path}:{one.line}:{one.column}: {one.message}"
                for one in error.diagnostics
                if one.severity == "error"
            ]
        if isinstance(found, Workflow) and CALL not in found.on:
            found = [f"{target} cannot be called: its `on:` has no `{CALL}`"]
        self._files[target] = found
        return found

    def _add(self, caller: Workflow, mark: str, message: str, hint: str | None = None) -> None:
        position = caller.marks[mark]
        excerpt = caller.marked_lines.get(position.line, "")
        self.problems.append(
            Diagnostic(
                caller.path,
                position.line,
                position.column,
                message + called_by(self._places),
                hint,
                excerpt=excerpt,
            )
        )

    # --- what is handed over ----------------------------------------------------------------------------------

    def _check_handed_over(self, job: JobNode, caller: Workflow, called: Workflow) -> None:
        takes = called.on[CALL] if isinstance(called.on[CALL], dict) else {}
        inputs = takes.get("inputs") or {}
        self._check_names("input", job, caller, "with", job.with_, inputs)
        declared = {name.lower(): definition for name, definition in inputs.items()}
        for name, value in job.with_.items():
            definition = declared.get(name.lower())
            if definition and (wanted := _mistyped(definition.get("type"), value)):
                said = f"the input '{name}' of {job.uses} must be {wanted}"
                self._add(caller, f"jobs.{job.id}.with.{name}", said)
        if job.secrets != "inherit":
            given = job.secrets if isinstance(job.secrets, dict) else {}
            self._check_names("secret", job, caller, "secrets", given, takes.get("secrets") or {})

    def _check_names(
        self,
        what: str,
        job: JobNode,
        caller: Workflow,
        key: str,
        given: Mapping[str, Value],
        takes: Mapping[str, Any],
    ) -> None:
        known = {name.lower(): name for name in takes}
        for name in given:
            if name.lower() not in known and templates.OPEN not in name:
                hint = did_you_mean(name, takes) if takes else f"it takes no {what}s"
                self._add(caller, f"jobs.{job.id}.{key}.{name}", f"{job.uses} has no {what} '{name}'", hint)
        if any(templates.is_insert(name) for name in given):
            return
        there = {name.lower() for name in given}
        for name, definition in takes.items():
            if (definition or {}).get("required") is True and name.lower() not in there:
                said = f"{job.uses} needs the {what} '{name}'"
                self._add(caller, f"jobs.{job.id}.uses", said, f"give it under `{key}:`")

    def _check_permissions(self, job: JobNode, caller: Workflow, called: Workflow, granted: Value) -> None:
        from relevo.workflow.permissions import excess  # the language is loaded by whoever reads a file

        asking: Iterable[tuple[str, Value]] = (
            ("it", called.permissions),
            *((f"its job '{inner.id}'", inner.permissions) for inner in called.jobs.values()),
        )
        for who, asked in asking:
            if beyond := excess(asked, granted):
                wanted = ", ".join(f"{scope}: {level}" for scope, level, _ in beyond)
                there = ", ".join(f"{scope}: {level}" for scope, _, level in beyond)
                self._add(
                    caller,
                    f"jobs.{job.id}",
                    f"{job.uses} may not do what it asks for: {who} wants {wanted}, granted is {there}",
                    f"grant it by `permissions:` of the job '{job.id}'",
                )


def absolute(uses: str, caller: str) -> str:
    """The file that `uses:` means in a called file: `./` in a file of another repository is that repository's."""
    if not uses.startswith(LOCAL) or "@" not in caller:
        return uses
    place, _, ref = caller.rpartition("@")
    owner, repository, *_ = place.split("/")
    return f"{owner}/{repository}/{uses.removeprefix(LOCAL)}@{ref}"


def _granted(job: JobNode, caller: Workflow, granted: Value) -> Value:
    if job.permissions is not None:
        return job.permissions
    return granted if caller.permissions is None else caller.permissions


def _mistyped(kind: Value, value: Value) -> str | None:
    # what a literal value should have been; texts with expressions are only known later
    if isinstance(value, str) and templates.OPEN in value:
        return None
    if kind == "boolean" and not isinstance(value, bool):
        return "true or false, without quotes"
    if kind == "number" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return "a number, without quotes"
    return None
