"""How a plan is shown: as a table, as JSON, as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relevo.workflow.diagnostics import Diagnostic
    from relevo.workflow.model import JobNode, PlaceRules, Workflow


def as_text(workflow: Workflow) -> list[str]:
    """The jobs by stage, each with what it waits for."""
    from relevo.cli.text import counted, one_line, table

    rows = [["stage", "job", "needs", "runs-on", "steps", ""]]
    for stage, name, job in _rows(workflow, "", 1):
        extra = [_matrix_text(job), f"if: {one_line(job.if_)}" if job.if_ is not None else ""]
        if job.place is not None:
            extra.extend(_place_texts(job.place))
        if job.uses is not None:
            extra.insert(0, f"calls {job.uses}")
        steps = "" if job.uses is not None else str(len(job.spec.steps))
        rows.append(
            [str(stage), name, ", ".join(job.needs), _runs_on(job), steps, ", ".join(filter(None, extra))]
        )
    return [
        f"{one_line(workflow.name or workflow.path)}: {counted(len(workflow.jobs), 'job')}",
        *table(rows, right=frozenset({0, 4}), indent="  "),
    ]


def as_json(workflow: Workflow, refused: Iterable[Diagnostic]) -> str:
    """One JSON object. Keys are only added. `matrix`: the combinations of each job, "dynamic" when they are only known later."""
    import json

    from relevo.cli.problems import as_data

    found = {
        "path": workflow.path,
        "name": workflow.name,
        "description": workflow.description,
        "on": list(workflow.on),
        "jobs": _jobs_json(workflow),
        "problems": as_data((*workflow.warnings, *refused)),
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _jobs_json(workflow: Workflow) -> list[dict[str, Any]]:
    from relevo.workflow.plan import stages

    jobs = []
    for id, stage in stages(workflow).items():
        job = workflow.jobs[id]
        combinations = _combinations(job)
        jobs.append(
            {
                "id": id,
                "name": job.name,
                "stage": stage,
                "needs": list(job.needs),
                "runs-on": job.runs_on,
                "if": job.if_,
                "matrix": combinations if combinations is not None else "dynamic",
                "steps": [step.name or step.run or step.uses or "" for step in job.spec.steps],
                "uses": job.uses,
                "preemptible": job.may_be_preempted,
                "deadline_s": job.deadline_s,
                "place": None if job.place is None else _place_json(job.place),
                "jobs": _jobs_json(job.called) if job.called else [],
            }
        )
    return jobs


def as_mermaid(workflow: Workflow) -> Iterator[str]:
    """A flowchart from left to right: an arrow for each need, a box in the box of the job that calls a workflow."""
    yield "flowchart LR"
    yield from _mermaid(workflow, "", "  ")


def _mermaid(workflow: Workflow, prefix: str, indent: str) -> Iterator[str]:
    numbers = {id: f"{prefix}j{number}" for number, id in enumerate(workflow.jobs)}
    for id, job in workflow.jobs.items():
        text = _quoted(" · ".join(filter(None, (job.name or id, _matrix_text(job)))))
        if job.called is None:
            yield f"{indent}{numbers[id]}{text}"
        else:
            yield f"{indent}subgraph {numbers[id]}{text}"
            yield from _mermaid(job.called, f"{numbers[id]}_", f"{indent}  ")
            yield f"{indent}end"
    for id, job in workflow.jobs.items():
        for need in job.needs:
            yield f"{indent}{numbers[need]} --> {numbers[id]}"


def _quoted(text: str) -> str:
    # entities, as Mermaid knows no other way to write these
    safe = " ".join(text.split()).replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;")
    return f'["{safe}"]'


def _rows(workflow: Workflow, prefix: str, stage: int) -> Iterator[tuple[int, str, JobNode]]:
    # a called workflow's jobs come after the job that calls it
    from relevo.workflow.plan import stages

    for id, at in stages(workflow).items():
        job = workflow.jobs[id]
        yield stage + at - 1, prefix + id, job
        if job.called is not None:
            yield from _rows(job.called, f"{prefix}{id} / ", stage + at - 1)


def _runs_on(job: JobNode) -> str:
    if job.uses is not None:
        return ""
    if isinstance(job.runs_on, dict):
        group, labels = job.runs_on.get("group"), job.runs_on.get("labels") or []
        named = [labels] if isinstance(labels, str) else labels
        return ", ".join([*([f"group {group}"] if group else []), *map(str, named)])
    return ", ".join(map(str, job.runs_on)) if isinstance(job.runs_on, list) else str(job.runs_on)


def _place_json(place: PlaceRules) -> dict[str, Any]:
    """What `relevo:` of a job says of where it may run, as it would be written; what it does not say is left out."""
    apart: Any = place.apart
    if place.apart and place.apart_over != "node":
        apart = {"key": place.apart, "over": place.apart_over}
    said = {
        "where": place.where,
        "prefers": place.prefers,
        "tolerates": list(place.tolerates),
        "near": place.near,
        "apart": apart,
    }
    return {key: value for key, value in said.items() if value}


def _place_texts(place: PlaceRules) -> Iterator[str]:
    from relevo.cli.text import one_line

    for key, value in _place_json(place).items():
        if isinstance(value, dict):
            value = f"{value['key']} over {value['over']}"
        yield f"{key}: {one_line(', '.join(value) if isinstance(value, list) else value)}"


def _matrix_text(job: JobNode) -> str:
    combinations = _combinations(job)
    if combinations is None:
        return "matrix made when it runs"
    return f"matrix of {len(combinations):,}" if combinations else ""


def _combinations(job: JobNode) -> list[dict[str, Any]] | None:
    # [] without a matrix, None when its size is only known when the job runs
    from relevo.workflow.matrix import MatrixInvalid, expand
    from relevo.workflow.templates import has_expression

    if job.strategy is not None or has_expression(job.matrix):
        return None
    if job.matrix is None:
        return []
    try:
        return [combination.values for combination in expand(job.matrix)]
    except MatrixInvalid:
        return None
