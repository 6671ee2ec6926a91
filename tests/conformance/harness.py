"""Runs public test data of the workflow syntax and tells what passes.

    python tests/conformance/harness.py DIR

prints `folder: passed/total` a line, then the failures by name; the exit code is 0 only when all passed. A folder that
is not there is skipped, by name.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from relevo.workflow import templates
from relevo.workflow.calls import Limits, Load
from relevo.workflow.expressions import Expression, ExpressionError, Scope, compile, to_text
from relevo.workflow.model import JobNode, StepSpec, Workflow
from relevo.workflow.nodes import Mapping, Node, Scalar, Sequence, compose
from relevo.workflow.reader import WorkflowInvalid, read

DEFAULT_DIRECTORY = "../shared/conformance"


class Outcome(NamedTuple):
    """One case; `problem` is None when it passed."""

    name: str
    problem: str | None


# --- expressions ------------------------------------------------------------------------------------------------


def expressions(directory: str) -> Iterator[Outcome]:
    """Every expression of every group."""
    for file in sorted(os.listdir(directory)):
        with open(os.path.join(directory, file), encoding="utf-8") as source:
            groups = json.load(source)
        for group, cases in groups.items():
            for number, case in enumerate(cases, 1):
                yield Outcome(f"{file}/{group}/{number} {case['expr'][:60]}", _expression(case))


def _expression(case: dict[str, Any]) -> str | None:
    contexts = {name.lower(): value for name, value in case.get("contexts", {}).items()}
    try:
        expression = compile(case["expr"])
        expression.check({*contexts, "hashfiles", "success", "failure", "always", "cancelled"})
        value = expression.evaluate(Scope(contexts))
        found: tuple[str, Any] = (_kind(value), value)
    except ExpressionError as error:
        found = ("error", error.stage)
    wanted = (
        ("error", case["err"]["kind"])
        if "err" in case
        else (case["result"]["kind"], case["result"].get("value"))
    )
    return None if found == wanted else f"expected {wanted}, got {found}"


def _kind(value: Any) -> str:
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, (int, float)):
        return "Number"
    if isinstance(value, str):
        return "String"
    return "Array" if isinstance(value, list) else "Object"


# --- files that are valid or not --------------------------------------------------------------------------------


def accepted(directory: str) -> Iterator[Outcome]:
    """Every file is read."""
    for name, text in _files(directory):
        try:
            read(text, name)
            yield Outcome(name, None)
        except WorkflowInvalid as error:
            yield Outcome(name, str(error))


def refused(directory: str) -> Iterator[Outcome]:
    """Every file is refused, with line and column."""
    for name, text in _files(directory):
        try:
            read(text, name)
            yield Outcome(name, "accepted")
        except WorkflowInvalid as error:
            placed = all(found.line and found.column for found in error.diagnostics)
            yield Outcome(name, None if placed else f"without a place: {error}")


def _files(directory: str) -> Iterator[tuple[str, bytes]]:
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), "rb") as file:
            yield name, file.read()


# --- the reader -------------------------------------------------------------------------------------------------


def reader(directory: str) -> Iterator[Outcome]:
    """Every document: the same errors at the same places, or the same workflow."""
    for name, text in _files(directory):
        try:
            yield Outcome(name, _document(name, text.decode()))
        except Exception as error:
            yield Outcome(name, f"{type(error).__name__}: {error}")


def _document(name: str, text: str) -> str | None:
    settings, workflow, *others, expected_text = re.split(r"(?m)^---[ \t]*\r?\n?", text)
    expected = json.loads(expected_text)
    source = workflow.encode()
    limit = _setting(settings, "max-file-size")
    files = {others[at].strip(): others[at + 1].encode() for at in range(0, len(others) - 1, 2)}
    load = None if "skip-reusable-workflows: true" in settings else _loader(files)
    try:
        root, _ = compose(source, name, max_bytes=int(limit)) if limit else compose(source, name)
        found = read(source, name, load, _limits(settings))
    except WorkflowInvalid as error:
        places = {(one.line, one.column) for one in error.diagnostics if one.severity == "error"}
        if "errors" not in expected:
            return f"refused: {error}"
        wanted = _expected_places(expected)
        # an error of the file as a whole has no place there; here it may have a better one
        return None if wanted == {(0, 0)} else _compare(places, wanted)
    if "errors" in expected:
        return f"accepted, expected {expected['errors']}"
    problem = _compare_workflow(found, expected)
    if problem is None and "include-source: true" in settings:
        trees = {name: root} | {path: compose(text, path)[0] for path, text in files.items()}
        problem = _compare_positions(trees, expected)
    return problem


def _setting(settings: str, name: str) -> str | None:
    match = re.search(rf"^{name}: (\w+)", settings, re.MULTILINE)
    return match[1] if match else None


def _limits(settings: str) -> Limits:
    usual = Limits()
    return Limits(
        size_bytes=int(_setting(settings, "max-result-size") or usual.size_bytes),
        depth=int(_setting(settings, "max-nested-reusable-workflows-depth") or usual.depth),
        permissions={"contents": "read", "packages": "read"}
        if _setting(settings, "permissions-policy") == "LimitedRead"
        else None,
    )


def _loader(files: dict[str, bytes]) -> Load:
    def load(reference: str) -> bytes:
        for name in (reference, reference.removeprefix("./")):
            if name in files:
                return files[name]
        raise FileNotFoundError(f"there is no {reference}")

    return load


def _expected_places(expected: dict[str, Any]) -> set[tuple[int, int]]:
    places = set()
    for error in expected["errors"]:
        message = error["Message"]
        match = re.search(r"\(Line: (\d+), Col: (\d+)\)", message) or re.search(
            r"line (\d+) and column (\d+)", message
        )
        places.add((int(match[1]), int(match[2])) if match else (0, 0))
    return places


def _compare(found: Any, wanted: Any) -> str | None:
    return None if found == wanted else f"expected {wanted!r}, got {found!r}"


class _Expr(NamedTuple):
    source: str


def _token(value: Any) -> Any:
    # a value of the expected JSON: plain, or a token with a type
    if isinstance(value, list):
        return [_token(item) for item in value]
    if not isinstance(value, dict) or "type" not in value:
        return value
    kind = value["type"]
    if kind == 1:
        return [_token(item) for item in value.get("seq", [])]
    if kind == 2:
        return {_key(pair["Key"]): _token(pair["Value"]) for pair in value.get("map", [])}
    if kind == 3:
        return _Expr(value["expr"])
    return {0: value.get("lit"), 5: value.get("bool", False), 6: value.get("num", 0)}.get(kind)


def _key(value: Any) -> Any:
    return "${{ insert }}" if isinstance(value, dict) and value.get("type") == 4 else _token(value)


def _plain(value: Any, *, as_text: bool = False) -> Any:
    # a value of the model in the same form
    if isinstance(value, dict):
        return {key: _plain(item, as_text=as_text) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, as_text=as_text) for item in value]
    if isinstance(value, str) and templates.OPEN in value:
        parts = templates.segments(value)
        if len(parts) == 1 and isinstance(parts[0], Expression):
            return _Expr(parts[0].source)
        return _Expr(templates.condition(value).source)
    if as_text:
        return to_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return to_text(value)  # JSON has no such number
    return value


def _condition(source: str | None) -> _Expr:
    if source is None:
        return _Expr("success()")
    asks = compile(source).asks_status()
    return _Expr(source if asks else f"success() && ({source})")


def _compare_workflow(found: Workflow, expected: dict[str, Any]) -> str | None:
    for key, wanted in expected.items():
        if key == "jobs":
            jobs = list(found.jobs.values())
            if problem := _compare_jobs(jobs, wanted, found.permissions):
                return problem
        elif key == "file-table":
            continue  # which files were loaded, in an order of its own: here each file has its name
        elif problem := _compare(_of_workflow(found, key), _token(wanted)):
            return f"{key}: {problem}"
    return None


def _compare_jobs(jobs: list[JobNode], wanted: list[dict[str, Any]], granted: Any) -> str | None:
    if len(jobs) != len(wanted):
        return f"{len(wanted)} jobs expected, {len(jobs)} found"
    for job, wanted_job in zip(jobs, wanted, strict=True):
        if problem := _compare_job(job, granted, wanted_job):
            return f"job {job.id}: {problem}"
    return None


def _of_workflow(found: Workflow, key: str) -> Any:
    if key == "events":
        return {name: _event(configuration) for name, configuration in found.on.items()}
    if key == "input-types":
        return {
            name: (definition or {}).get("type", "string")
            for name, definition in found.on["workflow_dispatch"]["inputs"].items()
        }
    if key == "permissions":
        return _granted(found.permissions)
    if key == "env":
        return _plain(found.env, as_text=True)
    return _plain(getattr(found, key))


_FILTERS = ("branches", "tags", "paths", "types", "workflows", "names", "versions")


def _event(configuration: Any) -> Any:
    if not isinstance(configuration, dict):
        return {} if configuration is None else configuration
    lists = {name for key in _FILTERS for name in (key, f"{key}-ignore")}
    return {
        name: [value] if name in lists and isinstance(value, str) else value
        for name, value in configuration.items()
    }


def _granted(permissions: Any) -> Any:
    if not isinstance(permissions, dict):
        return permissions
    return {scope: level for scope, level in permissions.items() if level != "none"}


_JOB: dict[str, Callable[[JobNode], Any]] = {
    "type": lambda job: "reusableWorkflowJob" if job.uses else "job",
    "id": lambda job: job.id,
    "name": lambda job: _plain(job.name or job.id),
    "needs": lambda job: list(job.needs),
    "if": lambda job: _condition(job.if_),
    "runs-on": lambda job: _plain(job.runs_on),
    "continue-on-error": lambda job: _plain(job.continue_on_error),
    "timeout-minutes": lambda job: _plain(job.timeout_minutes),
    "cancel-timeout-minutes": lambda job: _plain(job.cancel_timeout_minutes),
    "container": lambda job: _plain(job.container),
    "concurrency": lambda job: _plain(job.concurrency),
    "environment": lambda job: _plain(job.environment),
    "env": lambda job: _plain(job.spec.env, as_text=True),
    "outputs": lambda job: _plain(job.spec.outputs, as_text=True),
    "services": lambda job: _plain(job.services),
    "snapshot": lambda job: _plain(job.snapshot),
    "ref": lambda job: job.uses,
    "input-definitions": lambda job: _plain(_takes(job, "inputs")),
    "input-values": lambda job: {
        name: "" if value is None else _plain(value) for name, value in job.with_.items()
    },
    "secret-definitions": lambda job: _plain(_takes(job, "secrets")),
    "secret-values": lambda job: _plain(job.secrets),
    "inherit-secrets": lambda job: job.secrets == "inherit",
    "defaults": lambda job: _plain(
        {
            "run": {
                "shell": job.spec.defaults_shell,
                "working-directory": job.spec.defaults_working_directory,
            }
        }
    ),
}
_STEP: dict[str, Callable[[StepSpec], Any]] = {
    "name": lambda step: _plain(step.name),
    "if": lambda step: _condition(step.if_),
    "run": lambda step: _plain(step.run),
    "uses": lambda step: step.uses,
    "shell": lambda step: step.shell,
    "working-directory": lambda step: _plain(step.working_directory),
    "with": lambda step: _plain(step.with_, as_text=True),
    "env": lambda step: _plain(step.env, as_text=True),
    "continue-on-error": lambda step: _plain(step.continue_on_error),
    "timeout-minutes": lambda step: _plain(step.timeout_minutes),
    "background": lambda step: step.background,
    "wait": lambda step: list(step.wait),
    "wait-all": lambda step: step.wait_all,
    "cancel": lambda step: step.cancel,
}


def _takes(job: JobNode, kind: str) -> Any:
    assert job.called is not None
    return (job.called.on["workflow_call"] or {}).get(kind)


def _compare_job(job: JobNode, permissions: Any, expected: dict[str, Any]) -> str | None:
    granted = permissions if job.permissions is None else job.permissions
    for key, wanted in expected.items():
        if key == "jobs":
            called = job.called
            inner = [] if called is None else list(called.jobs.values())
            inherited = granted if called is None or called.permissions is None else called.permissions
            if problem := _compare_jobs(inner, wanted, inherited):
                return f"calls {job.uses}: {problem}"
        elif key == "permissions":
            if problem := _compare(_granted(granted), _token(wanted)):
                return f"permissions: {problem}"
        elif key == "steps":
            if len(wanted) != len(job.spec.steps):
                return f"{len(wanted)} steps expected"
            for step, wanted_step in zip(job.spec.steps, wanted, strict=True):
                if problem := _compare_step(step, wanted_step):
                    return f"step {wanted_step['id']}: {problem}"
        elif key == "strategy":
            if problem := _compare(_strategy(job, _token(wanted)), _token(wanted)):
                return f"strategy: {problem}"
        elif key not in _JOB:
            return f"{key} is not kept"
        elif problem := _compare(_JOB[key](job), _token(wanted)):
            return f"{key}: {problem}"
    return None


def _strategy(job: JobNode, wanted: dict[str, Any]) -> dict[str, Any]:
    all_keys = {"fail-fast": job.fail_fast, "max-parallel": job.max_parallel, "matrix": job.matrix}
    return {key: _plain(value) for key, value in all_keys.items() if key in wanted}


def _compare_step(step: StepSpec, expected: dict[str, Any]) -> str | None:
    for key, wanted in expected.items():
        if key == "id":
            # ids that were made up for steps without one have no meaning here
            wanted_id = "" if _token(wanted).startswith("__") else _token(wanted)
            problem = _compare(step.id, wanted_id)
        elif key not in _STEP:
            return f"{key} is not kept"
        else:
            problem = _compare(_STEP[key](step), _token(wanted))
        if problem:
            return f"{key}: {problem}"
    return None


def _compare_positions(trees: dict[str, Node], expected: dict[str, Any]) -> str | None:
    # every token of the expected JSON stands in its file where it is said to be
    first, *called = trees.values()
    places = {(node.line, node.column) for node in _nodes(first)}
    in_called = {(node.line, node.column) for tree in called for node in _nodes(tree)}
    for token in _tokens(expected):
        if (token["line"], token["col"]) not in (places if token["file"] == 1 else in_called):
            return f"nothing stands at {token['line']}:{token['col']}"
    return None


def _tokens(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "line" in value:
            yield value
        for item in value.values():
            yield from _tokens(item)
    elif isinstance(value, list):
        for item in value:
            yield from _tokens(item)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _nodes(item)
    elif isinstance(node, Mapping):
        for key, value in node.entries:
            yield key
            yield from _nodes(value)
    else:
        assert isinstance(node, Scalar)


FOLDERS: dict[str, Callable[[str], Iterator[Outcome]]] = {
    "expressions": expressions,
    "reader": reader,
    "schema-valid": accepted,
    "schema-invalid": refused,
    "lint-ok": accepted,
}


def digest(folder: str) -> str:
    """Tells one edition of a folder's files from another: the start of a SHA-256 over their names and bytes."""
    told = hashlib.sha256()
    for name, text in _files(folder):
        told.update(b"%s %d\n%s" % (name.encode(), len(text), text))
    return told.hexdigest()[:12]


def main(directory: str) -> int:
    """Print the table; 0 when everything passed."""
    failures: list[tuple[str, Outcome]] = []
    for folder, run in FOLDERS.items():
        path = os.path.join(directory, folder)
        if not os.path.isdir(path):
            print(f"{folder}: skipped, there is no {path}")
            continue
        outcomes = list(run(path))
        failed = [outcome for outcome in outcomes if outcome.problem is not None]
        failures += [(folder, outcome) for outcome in failed]
        print(f"{folder}: {len(outcomes) - len(failed)}/{len(outcomes)}")
    for folder, outcome in failures:
        print(f"FAILED {folder}/{outcome.name}: {str(outcome.problem).splitlines()[0][:200]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_DIRECTORY))
