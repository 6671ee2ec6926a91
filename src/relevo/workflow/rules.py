"""What must hold between parts of a workflow, once each part by itself has its right shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from relevo.workflow import quantities, templates
from relevo.workflow.diagnostics import did_you_mean
from relevo.workflow.findings import Findings
from relevo.workflow.injection import check_injection
from relevo.workflow.label_rules import PLACE_KEYS, check_labels, check_place
from relevo.workflow.names import COMPOSITE, runs_using
from relevo.workflow.nodes import Mapping, Node, Scalar, Sequence
from relevo.workflow.references import check_references

_FILTER_PAIRS: Final = ("branches", "tags", "paths")


def check_rules(root: Mapping, findings: Findings) -> None:
    """Add what is wrong between the parts. Parts of a wrong kind are passed over: they were reported before."""
    events = root.get("on")
    if isinstance(events, Mapping):
        _check_events(events, findings)
    _check_own(root, findings)
    check_place(root, findings)
    _check_concurrency(root, findings)
    jobs = root.get("jobs")
    if not isinstance(jobs, Mapping):
        return
    for _, job in jobs.entries:
        if isinstance(job, Mapping):
            _check_own(job, findings)
            check_place(job, findings)
            check_labels(job, findings)
            _check_own_of_call(job, findings)
            _check_preemptible(job, findings)
            _check_concurrency(job, findings)
            _check_matrix(job, findings)
            _check_containers(job, findings)
            _check_steps(root, job, findings)
    _check_needs(jobs, findings)
    check_references(root, jobs, findings)


def check_action_rules(root: Mapping, findings: Findings) -> None:
    """Add what is wrong between the parts of an action's file."""
    runs = root.get("runs")
    if not isinstance(runs, Mapping):
        return
    using = runs.get("using")
    if isinstance(using, Scalar) and runs_using(using.text) is None:
        composite = using.text.lower() == COMPOSITE
        if composite and (other := runs.key("main") or runs.key("image")):
            findings.add(other, f"an action with `using: {using.text}` has no `{other.text}`, it has `steps`")
        elif not composite and (steps := runs.key("steps")):
            findings.add(steps, "only an action with `using: composite` has `steps`")
    _check_steps(root, runs, findings, "action")


# --- events ---------------------------------------------------------------------------------------------------


def _check_events(events: Mapping, findings: Findings) -> None:
    for name, event in events.entries:
        if not isinstance(event, Mapping):
            continue
        for kind in _FILTER_PAIRS:
            ignored = event.key(f"{kind}-ignore")
            if ignored is not None and event.key(kind) is not None:
                findings.add(
                    ignored,
                    f"{name.text} has both `{kind}` and `{kind}-ignore`: it never starts by them",
                    f"use `{kind}` alone, with patterns that begin with ! for what to leave out",
                    severity="warning",
                )
            _check_patterns(name.text, kind, event, findings)
        inputs = event.get("inputs")
        if isinstance(inputs, Mapping):
            for key, definition in inputs.entries:
                if isinstance(definition, Mapping):
                    _check_input(key, definition, findings)


def _check_patterns(event: str, kind: str, configuration: Mapping, findings: Findings) -> None:
    patterns = configuration.get(kind)
    items = patterns.items if isinstance(patterns, Sequence) else [patterns]
    texts = [item.text for item in items if isinstance(item, Scalar) and item.text]
    key = configuration.key(kind)
    if texts and key is not None and all(text.startswith("!") for text in texts):
        findings.add(
            key,
            f"all `{kind}` of {event} begin with !: nothing is taken that they could leave out, and it never starts",
            f"use `{kind}-ignore`, without !",
            severity="warning",
        )


def _check_input(key: Scalar, definition: Mapping, findings: Findings) -> None:
    kind = definition.get("type")
    default = definition.get("default")
    options = definition.get("options")
    wanted = kind.text if isinstance(kind, Scalar) else ""
    if wanted == "choice" and not (isinstance(options, Sequence) and options.items):
        findings.add(definition, f"the input '{key.text}' is a choice and needs `options`")
    if not isinstance(default, Scalar) or default.value is None or templates.OPEN in default.text:
        return
    value = default.value
    if wanted == "boolean" and not isinstance(value, bool):
        findings.add(default, "the default of a boolean input must be true or false, without quotes")
    elif wanted == "number" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        findings.add(default, "the default of a number input must be a number, without quotes")
    elif wanted in ("string", "choice", "environment") and not isinstance(value, str):
        findings.add(default, f"the default of a {wanted} input must be a text", "put it in quotes")
    elif wanted == "choice" and isinstance(options, Sequence):
        offered = [item.text for item in options.items if isinstance(item, Scalar)]
        if offered and default.text not in offered:
            findings.add(
                default,
                f"the default '{default.text}' is none of the options",
                partial(did_you_mean, default.text, offered),
            )


# --- relevo's own keys ----------------------------------------------------------------------------------------


def _check_own(holder: Mapping, findings: Findings) -> None:
    own = holder.get("relevo")
    if not isinstance(own, Mapping):
        return
    resources = own.get("resources")
    if isinstance(resources, Mapping):
        for key, value in resources.entries:
            name = key.text.lower()
            known = {"cpu": quantities.cpus, "memory": quantities.memory_bytes}
            _check_quantity(value, known.get(name, partial(quantities.amount, name)), findings)
    _check_quantity(own.get("deadline"), quantities.seconds, findings)
    retry = own.get("retry")
    if not isinstance(retry, Mapping):
        return
    _check_quantity(retry.get("backoff"), quantities.seconds, findings)
    reasons = retry.get("on")
    for reason in reasons.items if isinstance(reasons, Sequence) else [reasons]:
        if not isinstance(reason, Scalar) or reason.text == "infra":
            continue
        if not (type(reason.value) is int and 0 < reason.value < 256):
            findings.add(
                reason, f"'{reason.text}' is no reason to retry: write infra or an exit code, 1 to 255"
            )


def _check_own_of_call(job: Mapping, findings: Findings) -> None:
    own = job.get("relevo")
    if job.key("uses") is None or not isinstance(own, Mapping):
        return
    for name in ("resources", "retry", "preemptible", *PLACE_KEYS):
        key = own.key(name)
        if key is not None:
            findings.add(
                key,
                f"`{name}` of a job that calls a workflow does nothing: it runs no steps itself",
                "say it of the jobs in the called file",
                severity="warning",
            )


def _check_preemptible(job: Mapping, findings: Findings) -> None:
    own = job.get("relevo")
    key = own.key("preemptible") if isinstance(own, Mapping) else None
    steps = job.get("steps")
    if key is None or not isinstance(steps, Sequence):
        return
    for step in steps.items:
        marks = step.get("relevo") if isinstance(step, Mapping) else None
        idempotent = marks.get("idempotent") if isinstance(marks, Mapping) else None
        if isinstance(idempotent, Scalar) and idempotent.value is False:
            findings.add(
                key,
                "`preemptible` does nothing here: a step is marked `idempotent: false`, and is never repeated for somebody else",
                severity="warning",
            )


def _check_quantity(node: Node | None, parse: Callable[[str], Any], findings: Findings) -> None:
    if isinstance(node, Scalar):
        try:
            parse(node.text)
        except ValueError as error:
            findings.add(node, str(error))


def _check_concurrency(holder: Mapping, findings: Findings) -> None:
    concurrency = holder.get("concurrency")
    if not isinstance(concurrency, Mapping):
        return
    queue, cancel = concurrency.get("queue"), concurrency.get("cancel-in-progress")
    if (
        isinstance(queue, Scalar)
        and queue.text == "max"
        and isinstance(cancel, Scalar)
        and cancel.value is True
    ):
        findings.add(
            queue,
            "`queue: max` and `cancel-in-progress: true` exclude each other: nobody would ever wait",
            "leave one of them out",
        )


# --- jobs -----------------------------------------------------------------------------------------------------


def _check_matrix(job: Mapping, findings: Findings) -> None:
    strategy = job.get("strategy")
    matrix = strategy.get("matrix") if isinstance(strategy, Mapping) else None
    if not isinstance(matrix, Mapping):
        return
    dynamic = any(templates.OPEN in key.text for key, _ in matrix.entries)
    names = {key.text.lower() for key, _ in matrix.entries} - {"include", "exclude"}
    for key, values in matrix.entries:
        if isinstance(values, Sequence) and not values.items and key.text not in ("include", "exclude"):
            findings.add(values, f"the matrix key '{key.text}' has no values")
    exclude = matrix.get("exclude")
    for combination in exclude.items if isinstance(exclude, Sequence) and not dynamic else []:
        for key, _ in combination.entries if isinstance(combination, Mapping) else []:
            if key.text.lower() not in names and templates.OPEN not in key.text:
                findings.add(
                    key,
                    f"`exclude` names '{key.text}', which is no key of this matrix",
                    partial(did_you_mean, key.text, names),
                )


def _check_containers(job: Mapping, findings: Findings) -> None:
    services = job.get("services")
    containers = [job.get("container")]
    if isinstance(services, Mapping):
        containers += [service for _, service in services.entries]
    for container in containers:
        image = container.get("image") if isinstance(container, Mapping) else None
        if isinstance(image, Scalar) and not image.text:
            findings.add(image, "a container needs an image")


def _check_steps(root: Mapping, holder: Mapping, findings: Findings, what: str = "job") -> None:
    seen: dict[str, Scalar] = {}
    background: set[str] = set()
    for step in _steps(holder.get("steps")):
        check_injection(root, holder, step, findings)
        _check_targets(step, background, findings)
        node = step.get("id")
        if not isinstance(node, Scalar) or not node.text:
            continue
        if step.key("background"):
            background.add(node.text)
        first = seen.setdefault(node.text.lower(), node)
        if first is not node:
            findings.add(
                node,
                f"the step id '{node.text}' is used twice in this {what}",
                f"the first one is in line {first.line}",
            )


def _steps(node: Node | None) -> Iterator[Mapping]:
    # those of a parallel group after the group
    for step in node.items if isinstance(node, Sequence) else ():
        if isinstance(step, Mapping):
            yield step
            yield from _steps(step.get("parallel"))


def _check_targets(step: Mapping, background: set[str], findings: Findings) -> None:
    # a step can only wait for, or end, one that was started before it
    known = {name.lower() for name in background}
    for key in ("wait", "cancel"):
        node = step.get(key)
        for target in node.items if isinstance(node, Sequence) else [node]:
            if isinstance(target, Scalar) and target.text and target.text.lower() not in known:
                findings.add(
                    target,
                    f"no step '{target.text}' runs in the background before this one",
                    partial(did_you_mean, target.text, background),
                )


def _check_needs(jobs: Mapping, findings: Findings) -> None:
    names = {key.text.lower(): key.text for key, _ in jobs.entries}
    needed: dict[str, list[Scalar]] = {}
    for key, job in jobs.entries:
        node = job.get("needs") if isinstance(job, Mapping) else None
        items = node.items if isinstance(node, Sequence) else [node]
        needed[key.text] = []
        for item in items:
            if not isinstance(item, Scalar) or not item.text:
                continue
            if item.text.lower() not in names:
                findings.add(
                    item,
                    f"job '{key.text}' needs '{item.text}', which does not exist",
                    partial(did_you_mean, item.text, names),
                )
            else:
                needed[key.text].append(item)
    _check_circles(
        {name: [(names[item.text.lower()], item) for item in items] for name, items in needed.items()},
        findings,
    )


def _check_circles(edges: dict[str, list[tuple[str, Scalar]]], findings: Findings) -> None:
    # depth first without recursion; an edge to a job on the current path closes a circle
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, int]] = [(start, 0)]
        while stack:
            name, position = stack.pop()
            if position == 0:
                if name in done:
                    continue
                path.append(name)
                on_path.add(name)
            if position < len(edges[name]):
                stack.append((name, position + 1))
                needed, node = edges[name][position]
                if needed in on_path:
                    circle = [*path[path.index(needed) :], needed]
                    findings.add(node, f"jobs need each other in a circle: {' → '.join(circle)}")
                elif needed not in done:
                    stack.append((needed, 0))
            else:
                path.pop()
                on_path.remove(name)
                done.add(name)
