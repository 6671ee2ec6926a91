"""Some workflows of a schedule call others: the later jobs of one are put into a file that it calls."""

from __future__ import annotations

import re
from random import Random
from typing import Any, Final

from msgspec.structs import replace

from relevo.workflow.model import JobNode, JobSpec, Position, StepSpec, Workflow

CALL: Final = "call"
_HERE: Final = Position(1, 1)
_INPUT: Final = re.compile(r"\$\{\{ inputs\.(\w+) \}\}")


def calling(random: Random, workflow: Workflow, depth: int = 1) -> Workflow:
    """The workflow as it is, or with some of its jobs in one that it calls, which may do so itself.

    What those jobs see of others that stay outside is handed over as inputs; what one of them gives back, a last job sees.
    """
    nodes = list(workflow.jobs.values())
    if random.random() > 0.35 or len(nodes) < 2:
        return workflow
    first = random.randrange(len(nodes) - 1)
    outer, inner = nodes[:first], nodes[first:]
    outside = {node.id for node in outer}
    called, with_, giving = _called(inner, outside)
    if depth < 3:
        called = calling(random, called, depth + 1)
    id = f"{CALL}{depth}"
    call = JobNode(
        id,
        _HERE,
        JobSpec(id, _HERE, ()),
        tuple(sorted({need for node in inner for need in node.needs if need in outside})),
        if_="always()" if random.random() < 0.3 else None,
        matrix={"call": [1, 2]} if random.random() < 0.3 else None,
        fail_fast=random.random() < 0.7,
        max_parallel=random.choice((None, None, 1)),
        uses=f"./{called.path}",
        with_=with_,
        called=called,
    )
    jobs = [*outer, call]
    if giving:
        script = f"# step 0\nneeds {id} ${{{{ needs.{id}.outputs.word }}}}"
        steps = (StepSpec(_HERE, name="step 0", run=script),)
        jobs.append(JobNode("last", _HERE, JobSpec("last", _HERE, steps), (id,), runs_on="linux"))
    return replace(workflow, jobs={node.id: node for node in jobs})


def _called(inner: list[JobNode], outside: set[str]) -> tuple[Workflow, dict[str, Any], str]:
    """The file, what is handed over to it, and the job in it whose output it gives back ("": none)."""
    with_: dict[str, Any] = {}
    jobs = {}
    for node in inner:
        seen = [need for need in node.needs if need in outside]
        steps = list(node.spec.steps)
        for number, step in enumerate(steps):
            script = step.run or ""
            with_ |= {name: f"${{{{ inputs.{name} }}}}" for name in _INPUT.findall(script)}
            for need in seen:
                word = f"needs.{need}.outputs.word"
                if word in script:
                    with_[need] = f"${{{{ {word} }}}}"
                    script = script.replace(word, f"inputs.{need}")
            steps[number] = replace(step, run=script)
        jobs[node.id] = replace(
            node,
            spec=replace(node.spec, steps=tuple(steps)),
            needs=tuple(need for need in node.needs if need not in outside),
        )
    giving = next((node.id for node in inner if node.spec.outputs), "")
    takes: dict[str, Any] = {"inputs": {name: {"type": "string"} for name in with_}}
    if giving:
        takes["outputs"] = {"word": {"value": f"${{{{ jobs.{giving}.outputs.word }}}}"}}
    path = f"called-{'-'.join(jobs)}.yml"
    return Workflow(path, None, None, {"workflow_call": takes}, {}, None, jobs), with_, giving
