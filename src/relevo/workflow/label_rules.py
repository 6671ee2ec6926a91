"""What `runs-on` and `relevo:` of a job say of where it may run, held against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relevo.workflow import templates
from relevo.workflow.findings import Findings
from relevo.workflow.labels import EXCLUSIVE, GROUP, canonical
from relevo.workflow.nodes import Mapping, Node, Scalar, Sequence

if TYPE_CHECKING:
    from relevo.workflow.label_expressions import Expression

#: The keys of `relevo:` that are about it.
PLACE_KEYS: Final = ("where", "prefers", "tolerates", "near", "apart")


def check_place(holder: Mapping, findings: Findings) -> None:
    """The rules of a job, or those of a whole file."""
    own = holder.get("relevo")
    if not isinstance(own, Mapping):
        return
    if own.key("where") is not None or own.key("prefers") is not None:
        _check_expressions(holder, own, findings)
    _check_pull(own, findings)


def _check_expressions(holder: Mapping, own: Mapping, findings: Findings) -> None:
    # few files have any, and it takes a millisecond or two
    from relevo.workflow.label_expressions import never_holds

    labels = _labels(holder.get("runs-on"))
    where, prefers = (_expression(own.get(key), findings) for key in ("where", "prefers"))
    node = own.get("where")
    if where is not None and node is not None and never_holds(where):
        findings.add(node, "`where` contradicts itself: no agent is like that", "ask for less")
        return
    if where is not None and node is not None and labels and never_holds(where, labels):
        asked = ", ".join(sorted(labels))
        findings.add(node, f"`where` contradicts `runs-on`: no agent that answers to {asked} is like that")
        return
    node = own.get("prefers")
    if prefers is not None and node is not None:
        both: Expression = prefers if where is None else ("all", where, prefers)
        if never_holds(both, labels):
            findings.add(
                node,
                "`prefers` does nothing: no agent that the job may run on is like that",
                severity="warning",
            )


def _check_pull(own: Mapping, findings: Findings) -> None:
    near, apart = own.get("near"), own.get("apart")
    key = apart.get("key") if isinstance(apart, Mapping) else apart
    if isinstance(near, Scalar) and isinstance(key, Scalar) and near.text == key.text:
        findings.add(
            key,
            f"`near` and `apart` both say '{key.text}': the job is drawn to where such jobs ran and kept from where they "
            "run, so that it goes there only after them",
            "use two keys, unless that is meant",
            severity="warning",
        )


def _expression(node: Node | None, findings: Findings) -> Expression | None:
    if not isinstance(node, Scalar) or not node.text.strip() or templates.OPEN in node.text:
        return None
    from relevo.workflow.label_expressions import parse

    try:
        return parse(node.text)
    except ValueError as error:
        findings.add(node, str(error), "write names of labels, &&, ||, ! and parentheses, in quotes")
        return None


def check_labels(job: Mapping, findings: Findings) -> None:
    """Labels that no machine has together."""
    node = job.get("runs-on")
    labels = _labels(node)
    for group in EXCLUSIVE:
        both = sorted(labels & group)
        if node is not None and len(both) > 1:
            findings.add(
                node,
                f"`runs-on` asks for {' and '.join(both)} together: no machine is both",
                "every label of the list must hold of one agent",
                severity="warning",
            )


def _labels(node: Node | None) -> frozenset[str]:
    """Those that are known without evaluating anything."""
    group = None
    if isinstance(node, Mapping):
        group, node = node.get("group"), node.get("labels")
    texts = [
        item.text
        for item in (node.items if isinstance(node, Sequence) else [node])
        if isinstance(item, Scalar)
    ]
    if isinstance(group, Scalar):
        texts.append(GROUP + group.text)
    return frozenset(canonical(text) for text in texts if text.strip() and templates.OPEN not in text)
