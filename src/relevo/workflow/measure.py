"""How much memory a workflow may take once it is read, by the measure that GitHub uses for its own limit.

Source: actions/runner, src/Sdk/WorkflowParser/ObjectTemplating/TemplateMemory.cs (MIT).
"""

from __future__ import annotations

from typing import Final

from relevo.workflow.nodes import Mapping, Node, Scalar, Sequence

_VALUE: Final = 24
_TEXT: Final = 26
_CHARACTER: Final = 2
#: What a job or a step without one of its own is given.
_CONDITION: Final = _VALUE + _TEXT + _CHARACTER * len("success()")
_STEP_ID: Final = _VALUE + _TEXT + _CHARACTER * len("__run")


def size_bytes(root: Node) -> int:
    """The size of a tree, aliases written out, with the ids and conditions that reading adds. O(nodes)."""
    size = 0
    waiting: list[Node] = [root]
    while waiting:
        node = waiting.pop()
        size += _VALUE
        if isinstance(node, Mapping):
            for key, value in node.entries:
                size += _VALUE + _TEXT + _CHARACTER * len(key.text)
                waiting.append(value)
        elif isinstance(node, Sequence):
            waiting.extend(node.items)
        elif isinstance(node, Scalar) and isinstance(node.value, str):
            size += _TEXT + _CHARACTER * len(node.text)
    return size + _added(root)


def _added(root: Node) -> int:
    size = 0
    jobs = root.get("jobs") if isinstance(root, Mapping) else None
    for _, job in jobs.entries if isinstance(jobs, Mapping) else ():
        if not isinstance(job, Mapping):
            continue
        size += 0 if job.key("if") else _CONDITION
        steps = job.get("steps")
        for step in steps.items if isinstance(steps, Sequence) else ():
            if isinstance(step, Mapping):
                size += (0 if step.key("if") else _CONDITION) + (0 if step.key("id") else _STEP_ID)
    return size
