"""From a checked tree of nodes to the typed model."""

from __future__ import annotations

from typing import Any, Final

from relevo.workflow import quantities, templates
from relevo.workflow.diagnostics import Diagnostic
from relevo.workflow.expressions import to_text
from relevo.workflow.measure import size_bytes
from relevo.workflow.model import (
    Action,
    ActionInput,
    JobNode,
    JobSpec,
    PlaceRules,
    Position,
    RetrySpec,
    StepSpec,
    Value,
    Workflow,
)
from relevo.workflow.nodes import Mapping, Node, Scalar, Sequence, plain

#: Minutes that a job may take unless it says otherwise.
DEFAULT_TIMEOUT_MINUTES: Final = 360
CHECKOUT: Final = "actions/checkout"
#: Names of steps that have neither a name nor anything to be named after.
_NAMES: Final = {"wait": "Wait", "wait-all": "Wait for all", "cancel": "Cancel", "parallel": "Parallel"}


def build(root: Mapping, path: str, lines: list[str], warnings: tuple[Diagnostic, ...]) -> Workflow:
    """The model of a file without errors."""
    marks = {key.text: Position(key.line, key.column) for key, _ in root.entries}
    jobs_node = root.get("jobs")
    assert isinstance(jobs_node, Mapping)
    shared = _Shared(root, path)
    ids = {key.text.lower(): key.text for key, _ in jobs_node.entries}
    jobs = {key.text: _job(key, node, shared, ids, marks) for key, node in jobs_node.entries}
    return Workflow(
        path=path,
        name=_text_or_none(root.get("name")),
        run_name=_text_or_none(root.get("run-name")),
        on=_events(root.get("on")),
        env=shared.env,
        concurrency=_value(root, "concurrency"),
        jobs=jobs,
        permissions=_value(root, "permissions"),
        marks=marks,
        marked_lines={position.line: lines[position.line - 1] for position in marks.values()},
        warnings=warnings,
        size_bytes=size_bytes(root),
        description=_text_or_none(root.get("description")),
        defaults=_value(root, "defaults"),
    )


def build_action(root: Mapping, path: str, lines: list[str], warnings: tuple[Diagnostic, ...]) -> Action:
    """The model of an action's file without errors."""
    marks: dict[str, Position] = {}
    runs = root.get("runs")
    assert isinstance(runs, Mapping)
    using = runs.get("using")
    if using is not None:
        marks["runs.using"] = Position(using.line, using.column)
    steps_node = runs.get("steps")
    items = steps_node.items if isinstance(steps_node, Sequence) else []
    return Action(
        path=path,
        using=_text(using).lower(),
        inputs=tuple(_input(key.text, node) for key, node in _entries(root.get("inputs"))),
        outputs={
            key.text: _value(node, "value")
            for key, node in _entries(root.get("outputs"))
            if node.key("value")
        },
        steps=tuple(_step(item, f"steps.{index}", marks) for index, item in enumerate(items)),
        marks=marks,
        marked_lines={position.line: lines[position.line - 1] for position in marks.values()},
        warnings=warnings,
    )


def _entries(node: Node | None) -> list[tuple[Scalar, Mapping]]:
    entries = node.entries if isinstance(node, Mapping) else []
    return [(key, value) for key, value in entries if isinstance(value, Mapping)]


def _input(name: str, node: Mapping) -> ActionInput:
    return ActionInput(
        name,
        default=_value(node, "default"),
        required=_value(node, "required") is True,
        deprecation=_text(node.get("deprecationMessage")),
    )


class _Shared:
    """What all jobs take from the workflow."""

    def __init__(self, root: Mapping, path: str) -> None:
        self.path = path
        self.env = _env(root)
        self.shell, self.working_directory = _defaults(root)
        self.own = _value(root, "relevo") or {}


def _events(node: Node | None) -> dict[str, Value]:
    if isinstance(node, Mapping):
        return {key.text: plain(value) for key, value in node.entries}
    if isinstance(node, Sequence):
        return {item.text: None for item in node.items if isinstance(item, Scalar)}
    assert isinstance(node, Scalar)
    return {node.text: None}


def _job(
    key: Scalar, node: Node, shared: _Shared, ids: dict[str, str], marks: dict[str, Position]
) -> JobNode:
    assert isinstance(node, Mapping)
    where = f"jobs.{key.text}"
    position = Position(key.line, key.column)
    marks[where] = position
    _mark(node, where, marks)
    for handed_over in ("with", "secrets"):
        values = node.get(handed_over)
        for name, value in values.entries if isinstance(values, Mapping) else ():
            marks[f"{where}.{handed_over}.{name.text}"] = Position(value.line, value.column)
    strategy = node.get("strategy")
    strategy_value: dict[str, Value] = plain(strategy) if isinstance(strategy, Mapping) else {}
    own = {**shared.own, **(_value(node, "relevo") or {})}
    resources = {name.lower(): value for name, value in (own.get("resources") or {}).items()}
    cpu, memory = resources.get("cpu"), resources.get("memory")
    return JobNode(
        id=key.text,
        position=position,
        spec=_spec(key, node, shared, position, where, marks),
        needs=tuple(ids[name.lower()] for name in dict.fromkeys(_texts(node.get("needs")))),
        name=_text_or_none(node.get("name")),
        if_=_condition(node.get("if")),
        runs_on=_value(node, "runs-on"),
        matrix=strategy_value.get("matrix"),
        fail_fast=strategy_value.get("fail-fast", True),
        max_parallel=strategy_value.get("max-parallel"),
        timeout_minutes=_value(node, "timeout-minutes", DEFAULT_TIMEOUT_MINUTES),
        continue_on_error=_value(node, "continue-on-error", False),
        concurrency=_value(node, "concurrency"),
        cpus=None if cpu is None else quantities.cpus(to_text(cpu)),
        memory_bytes=None if memory is None else quantities.memory_bytes(to_text(memory)),
        priority=own.get("priority", 0),
        retry=_retry(own.get("retry")),
        uses=_text_or_none(node.get("uses")),
        with_=_value(node, "with") or {},
        secrets=_value(node, "secrets"),
        container=_value(node, "container"),
        services=_value(node, "services"),
        environment=_value(node, "environment"),
        permissions=_value(node, "permissions"),
        snapshot=_value(node, "snapshot"),
        resources={
            name: quantities.amount(name, to_text(value))
            for name, value in resources.items()
            if name not in ("cpu", "memory")
        },
        place=_place(own),
        cancel_timeout_minutes=_value(node, "cancel-timeout-minutes"),
        strategy=strategy.text if isinstance(strategy, Scalar) else None,
        preemptible=own.get("preemptible", False),
        deadline_s=None if own.get("deadline") is None else quantities.seconds(to_text(own["deadline"])),
    )


def _spec(
    key: Scalar, node: Mapping, shared: _Shared, position: Position, where: str, marks: dict[str, Position]
) -> JobSpec:
    shell, working_directory = _defaults(node)
    steps_node = node.get("steps")
    items = steps_node.items if isinstance(steps_node, Sequence) else []
    steps = tuple(_step(item, f"{where}.steps.{index}", marks) for index, item in enumerate(items))
    return JobSpec(
        id=key.text,
        position=position,
        steps=steps,
        env=_env(node),
        workflow_env=shared.env,
        defaults_shell=shell or shared.shell,
        defaults_working_directory=working_directory or shared.working_directory,
        outputs=_value(node, "outputs") or {},
        checks_out=any(action_name(step.uses) == CHECKOUT for step in steps),
        file=shared.path,
    )


def action_name(uses: str | None) -> str:
    """`uses:` of a step without its version, in lower case: `actions/checkout`. '' for None."""
    return uses.partition("@")[0].lower() if uses else ""


def _mark(node: Mapping, where: str, marks: dict[str, Position]) -> None:
    for field, value in node.entries:
        place: Node = value if field.text == "uses" else field
        marks[f"{where}.{field.text}"] = Position(place.line, place.column)


def _step(node: Node, where: str, marks: dict[str, Position]) -> StepSpec:
    assert isinstance(node, Mapping)
    _mark(node, where, marks)
    parallel = node.get("parallel")
    inner = parallel.items if isinstance(parallel, Sequence) else []
    waits_for_all = node.get("wait-all")
    own = _value(node, "relevo") or {}
    return StepSpec(
        position=Position(node.line, node.column),
        id=_text(node.get("id")),
        name=_text(node.get("name")) or next((name for key, name in _NAMES.items() if node.key(key)), ""),
        if_=_condition(node.get("if")),
        run=_text_or_none(node.get("run"), blank=""),
        uses=_text_or_none(node.get("uses")),
        with_=_value(node, "with") or {},
        env=_env(node),
        shell=_text_or_none(node.get("shell")),
        working_directory=_text_or_none(node.get("working-directory")),
        continue_on_error=_value(node, "continue-on-error", False),
        timeout_minutes=_value(node, "timeout-minutes"),
        idempotent=own.get("idempotent", True),
        background=_value(node, "background", False),
        wait=tuple(_texts(node.get("wait"))),
        wait_all=isinstance(waits_for_all, Scalar) and waits_for_all.value is not False,
        cancel=_text_or_none(node.get("cancel")),
        parallel=tuple(_step(item, f"{where}.parallel.{index}", marks) for index, item in enumerate(inner)),
    )


def _retry(value: Any) -> RetrySpec:
    if not value:
        return RetrySpec()
    reasons = value.get("on", "infra")
    on = tuple(reasons) if isinstance(reasons, list) else (reasons,)
    most = value.get("max", 1)
    return RetrySpec(
        max=most,
        on=on,
        backoff_s=quantities.seconds(to_text(value.get("backoff", 0))),
        lost=most if "infra" in on else None,
    )


def _place(own: dict[str, Any]) -> PlaceRules | None:
    apart = own.get("apart", "")
    over = "node"
    if isinstance(apart, dict):
        apart, over = apart["key"], apart.get("over", over)
    tolerates = own.get("tolerates", ())
    found = PlaceRules(
        to_text(own.get("where", "")),
        to_text(own.get("prefers", "")),
        tuple(map(to_text, tolerates if isinstance(tolerates, list | tuple) else [tolerates])),
        to_text(own.get("near", "")),
        to_text(apart),
        over,
    )
    return None if found == PlaceRules() else found


def _condition(node: Node | None) -> str | None:
    if not isinstance(node, Scalar) or node.value is None or not node.text.strip():
        return None
    return templates.condition(node.text).source


def _defaults(node: Mapping) -> tuple[str | None, str | None]:
    defaults = node.get("defaults")
    run = defaults.get("run") if isinstance(defaults, Mapping) else None
    if not isinstance(run, Mapping):
        return None, None
    return _text_or_none(run.get("shell")), _text_or_none(run.get("working-directory"))


def _env(node: Mapping) -> dict[str, Value] | str:
    return _value(node, "env") or {}


def _value(node: Mapping, name: str, default: Value = None) -> Value:
    found = node.get(name)
    return default if found is None else plain(found)


def _text(node: Node | None) -> str:
    return to_text(node.value) if isinstance(node, Scalar) else ""


def _text_or_none(node: Node | None, *, blank: str | None = None) -> str | None:
    if node is None:
        return None
    return _text(node) or blank


def _texts(node: Node | None) -> list[str]:
    items = node.items if isinstance(node, Sequence) else [node]
    return [item.text for item in items if isinstance(item, Scalar) and item.text]
