"""Names in expressions that nothing in the file gives a value: `steps.biuld`, `needs.x`, `matrix.pyton`, `inputs.lvel`.

GitHub takes them as null, and so does relevo: they are warned of, not refused. Where a name may come from elsewhere (a matrix or
outputs made by expressions) nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

from msgspec import Struct

from relevo.workflow import templates
from relevo.workflow.diagnostics import did_you_mean
from relevo.workflow.expressions import Expression, ExpressionError, compile
from relevo.workflow.expressions.paths import ANY, path_of, root_column
from relevo.workflow.findings import Findings, Hint
from relevo.workflow.nodes import Mapping, Node, Scalar, Sequence

_GITHUB: Final = """
    action action_path action_ref action_repository action_status actor actor_id api_url artifact_cache_size_limit base_ref env
    event event_name event_path graphql_url head_ref job job_workflow_sha output path ref ref_name ref_protected ref_type
    repository repositoryUrl repository_id repository_owner repository_owner_id repository_visibility retention_days
    run_attempt run_id run_number secret_source server_url sha state step_summary token triggering_actor workflow workflow_ref
    workflow_sha workspace
"""
#: Names in lower case, each with how it is written.
Names = dict[str, str]


def _names(texts: Iterable[str]) -> Names:
    return {text.lower(): text for text in texts}


#: Fields of contexts that have fixed ones. Source: GitHub, Contexts reference.
FIELDS: Final = {
    context: _names(fields.split())
    for context, fields in {
        "github": _GITHUB,
        "runner": "name os arch temp tool_cache debug environment workspace",
        "strategy": "fail-fast job-index job-total max-parallel",
        "job": """status container services check_run_id
            workflow_ref workflow_sha workflow_repository workflow_file_path""",
    }.items()
}
_STEP_FIELDS: Final = _names(("outputs", "outcome", "conclusion"))
_NEED_FIELDS: Final = _names(("outputs", "result"))


class Known(Struct, frozen=True):
    """What gives values at one place of the file; None: it cannot be told."""

    inputs: Names
    jobs: dict[str, Names | None]  #: by id in lower case: the names of its outputs
    needs: Names = {}  #: ids
    matrix: Names | None = None
    steps: Names = {}  #: ids


def check_references(root: Mapping, jobs: Mapping, findings: Findings) -> None:
    """Warn of names that nothing gives a value."""
    known = Known(_inputs(root.get("on")), {key.text.lower(): _outputs(job) for key, job in jobs.entries})
    for key, value in root.entries:
        if key.text != "jobs":
            _check_below(value, known, findings, frozenset({"needs", "matrix", "steps"}))
    for _, job in jobs.entries:
        if isinstance(job, Mapping):
            _check_job(job, known, findings)


def _check_job(job: Mapping, known: Known, findings: Findings) -> None:
    needs = job.get("needs")
    items = needs.items if isinstance(needs, Sequence) else [needs]
    known = Known(
        known.inputs,
        known.jobs,
        _names(item.text for item in items if isinstance(item, Scalar)),
        _matrix(job.get("strategy")),
        _names(_step_ids(job.get("steps"))),
    )
    for key, value in job.entries:
        _check_below(value, known, findings, frozenset({"jobs"}), is_condition=key.text == "if")


def _check_below(
    node: Node, known: Known, findings: Findings, passed_over: frozenset[str], *, is_condition: bool = False
) -> None:
    if isinstance(node, Mapping):
        for key, value in node.entries:
            _check_below(value, known, findings, passed_over, is_condition=key.text == "if")
    elif isinstance(node, Sequence):
        for item in node.items:
            _check_below(item, known, findings, passed_over)
    elif (
        isinstance(node, Scalar)
        and isinstance(node.value, str)
        and (is_condition or templates.OPEN in node.text)
    ):
        for expression, number in _expressions(node):
            _check_expression(node, expression, number, known, findings, passed_over)


def _expressions(node: Scalar) -> Iterator[tuple[Expression, int]]:
    try:
        if templates.OPEN not in node.text:
            yield compile(node.text.strip()), 0
            return
        for part in templates.pieces(node.text):
            if not isinstance(part, str):
                yield compile(part.source), part.number
    except ExpressionError:
        return  # reported before


def _check_expression(
    node: Scalar,
    expression: Expression,
    number: int,
    known: Known,
    findings: Findings,
    passed_over: frozenset[str],
) -> None:
    told: set[tuple[str, ...]] = set()
    for inner in expression.nodes():
        path = path_of(inner)
        if path is None or path in told or len(path) < 2 or path[0] in passed_over or path[-1] == ANY:
            continue
        told.add(path)
        problem = _problem(path, known)
        if problem is not None:
            if findings.is_wrong(node):
                return  # whoever mends that may change this
            findings.add(
                node,
                problem[0],
                problem[1],
                severity="warning",
                source=expression.source,
                column=root_column(inner),
                number=number,
            )


def _problem(path: tuple[str, ...], known: Known) -> tuple[str, Hint] | None:
    # what is wrong with the last name of a path; the names before it are looked at by themselves
    context, *before, name = path
    if not before:
        return _problem_of_first(context, name, known)
    if context == "steps" and len(before) == 1:
        return _unless(name, _STEP_FIELDS, f"a step has no '{name}'")
    if context in ("needs", "jobs") and len(before) == 1:
        return _unless(name, _NEED_FIELDS, f"a job has no '{name}'")
    if context in ("needs", "jobs") and len(before) == 2 and before[1] == "outputs":
        if context == "needs" and before[0] not in known.needs:
            return None  # told before
        outputs = known.jobs.get(before[0])
        return (
            None
            if outputs is None
            else _unless(name, outputs, f"the job '{before[0]}' has no output '{name}'")
        )
    return None


def _problem_of_first(context: str, name: str, known: Known) -> tuple[str, Hint] | None:
    if context in FIELDS:
        return _unless(name, FIELDS[context], f"there is no {context}.{name}")
    if context == "inputs":
        return _unless(name, known.inputs, f"no event of this workflow has an input '{name}'")
    if context == "matrix" and known.matrix is not None:
        if not known.matrix:
            return "this job has no matrix: it is always empty", None
        return _unless(name, known.matrix, f"the matrix has no key '{name}'")
    if context == "steps":
        return _unless(name, known.steps, f"no step of this job has the id '{name}'")
    if context == "jobs":
        return (
            _unless(name, _names(known.jobs), f"there is no job '{name}'") if name not in known.jobs else None
        )
    if context == "needs" and name not in known.needs:
        said = f"the job '{name}' is not among the `needs` of this one"
        if name in known.jobs:
            return f"{said}: needs.{name} is always empty", f"add {name} to `needs:`"
        return _unless(name, known.needs, said)
    return None


def _unless(name: str, known: Names, said: str) -> tuple[str, Hint] | None:
    if name in known:
        return None
    return f"{said}: it is always empty", partial(did_you_mean, name, known.values())


# --- what the file gives --------------------------------------------------------------------------------------


def _inputs(events: Node | None) -> Names:
    found: set[str] = set()
    for name, event in events.entries if isinstance(events, Mapping) else ():
        inputs = event.get("inputs") if isinstance(event, Mapping) else None
        if name.text in ("workflow_dispatch", "workflow_call") and isinstance(inputs, Mapping):
            found.update(key.text for key, _ in inputs.entries)
    return _names(found)


def _outputs(job: Node) -> Names | None:
    if not isinstance(job, Mapping) or job.key("uses") is not None:
        return None  # those of the workflow that it calls
    outputs = job.get("outputs")
    if outputs is None:
        return {}
    if not isinstance(outputs, Mapping) or any(templates.OPEN in key.text for key, _ in outputs.entries):
        return None
    return _names(key.text for key, _ in outputs.entries)


def _matrix(strategy: Node | None) -> Names | None:
    if strategy is None:
        return {}
    matrix = strategy.get("matrix") if isinstance(strategy, Mapping) else None
    if matrix is None and isinstance(strategy, Mapping):
        return {}
    if not isinstance(matrix, Mapping) or any(templates.OPEN in key.text for key, _ in matrix.entries):
        return None
    found = {key.text for key, _ in matrix.entries} - {"include", "exclude"}
    include = matrix.get("include")
    if include is not None and not isinstance(include, Sequence):
        return None
    for item in include.items if include is not None else ():
        if not isinstance(item, Mapping) or any(templates.OPEN in key.text for key, _ in item.entries):
            return None
        found.update(key.text for key, _ in item.entries)
    return _names(found)


def _step_ids(steps: Node | None) -> Iterator[str]:
    for step in steps.items if isinstance(steps, Sequence) else ():
        if isinstance(step, Mapping):
            id = step.get("id")
            if isinstance(id, Scalar) and id.text:
                yield id.text
            yield from _step_ids(step.get("parallel"))
