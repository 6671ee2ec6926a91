"""Which contexts and special functions are available where. Source of the table: GitHub, Contexts reference, "Context availability"."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relevo.workflow.diagnostics import WorkflowInvalid
from relevo.workflow.expressions import CONTEXTS
from relevo.workflow.reader import read

LEG = "github needs strategy matrix vars inputs"
STEP = f"{LEG} job runner env secrets steps hashFiles"
STATUS = "always cancelled success failure"
CALLS = {name: f"{name}()" for name in STATUS.split()} | {"hashFiles": "hashFiles('x')"}

#: Key → what may stand there.
TABLE = {
    "run-name": "github inputs vars",
    "concurrency": "github inputs vars",
    "env.A": "github secrets inputs vars",
    "jobs.a.concurrency": LEG,
    "jobs.a.container": LEG,
    "jobs.a.container.image": LEG,
    "jobs.a.container.credentials.username": f"{LEG} env secrets",
    "jobs.a.continue-on-error": LEG,
    "jobs.a.defaults.run.shell": f"{LEG} env",
    "jobs.a.env.A": f"{LEG} secrets",
    "jobs.a.environment": LEG,
    "jobs.a.environment.name": LEG,
    "jobs.a.environment.url": f"{LEG} job runner env steps",
    "jobs.a.if": f"github needs vars inputs {STATUS}",
    "jobs.a.name": LEG,
    "jobs.a.outputs.o": f"{LEG} job runner env secrets steps",
    "jobs.a.runs-on": LEG,
    "jobs.a.services.s.image": LEG,
    "jobs.a.services.s.credentials.username": f"{LEG} env secrets",
    "jobs.a.strategy.matrix.v": "github needs vars inputs",
    "jobs.a.timeout-minutes": LEG,
    "jobs.b.secrets.s": f"{LEG} secrets",
    "jobs.b.with.w": LEG,
    "jobs.a.steps.0.continue-on-error": STEP,
    "jobs.a.steps.0.env.A": STEP,
    "jobs.a.steps.0.if": f"{LEG} job runner env steps {STATUS} hashFiles",
    "jobs.a.steps.0.name": STEP,
    "jobs.a.steps.0.run": STEP,
    "jobs.a.steps.0.timeout-minutes": STEP,
    "jobs.a.steps.0.working-directory": STEP,
    "jobs.a.steps.1.with.w": STEP,
    "on.workflow_call.inputs.i.default": "github inputs vars",
    "on.workflow_call.outputs.o.value": "github jobs vars inputs",
    # and where none is
    "name": "",
    "jobs.a.needs": "",
    "jobs.a.steps.0.id": "",
    "jobs.a.steps.0.shell": "",
    "jobs.a.steps.1.uses": "",
}


def file_with(key: str, expression: str) -> bytes:
    file: dict[str, Any] = {
        "on": {
            "push": None,
            "workflow_call": {"inputs": {"i": {"type": "string"}}, "outputs": {"o": {"value": "x"}}},
        },
        "jobs": {
            "a": {"runs-on": "x", "steps": [{"run": "x"}, {"uses": "a/b@v1"}]},
            "b": {"uses": "./.github/workflows/c.yml"},
        },
    }
    at: Any = file
    *above, last = key.split(".")
    for name in above:
        at = at[int(name)] if isinstance(at, list) else at.setdefault(name, {})
    if key.endswith(("credentials.username",)):
        at["password"] = "x"
    if "services" in above or "container" in above:
        holder = file["jobs"]["a"]
        holder = holder["services"]["s"] if "services" in above else holder["container"]
        holder.setdefault("image", "x")
    if key == "jobs.a.environment.url":
        at["name"] = "x"
    at[last] = f"${{{{ {expression} }}}}"
    return json.dumps(file).encode()


@pytest.mark.parametrize("key", TABLE)
def test_what_is_available(key: str) -> None:
    allowed = set(TABLE[key].split())
    for name in (*sorted(CONTEXTS), *CALLS):
        try:
            read(file_with(key, CALLS.get(name, f"{name}.x")), "w.yml")
        except WorkflowInvalid as error:
            refused = [one for one in error.diagnostics if one.severity == "error"]
            assert name not in allowed, refused
            assert all(one.line for one in refused)
        else:
            assert name in allowed, name
