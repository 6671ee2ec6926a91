"""The typed model of a workflow, after reading and checking.

Values that may hold expressions keep them as text (`${{ }}` inside strings); the orchestrator evaluates those of jobs,
the agent those of steps. `JobSpec` and what it holds travel to agents as msgpack: fields are only appended.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from relevo.workflow.diagnostics import Diagnostic

#: A YAML value after resolution: None, bool, int, float, str, list, dict. Strings may hold `${{ }}`.
Value = Any


class Position(Struct, frozen=True, array_like=True, gc=False):
    """Where something stands in the file, 1-based."""

    line: int
    column: int


class RetrySpec(Struct, frozen=True):
    """`relevo: retry:` of a job."""

    max: int = 0
    on: tuple[str | int, ...] = ("infra",)  #: "infra", or exit codes
    backoff_s: float = 0.0
    lost: int | None = (
        None  #: how often an attempt that was lost is made again; None: that is left to the engine
    )


class PlaceRules(Struct, frozen=True):
    """What `relevo:` of a job says of where it may run, beyond labels and amounts."""

    where: str = ""  #: an expression over labels that must hold of the agent
    prefers: str = ""  #: better where this one holds
    tolerates: tuple[str, ...] = ()  #: taints that do not keep it away
    near: str = ""  #: better where a job of the same key ran lately
    apart: str = ""  #: never where a job of the same key runs
    apart_over: str = "node"  #: or in the same pool or zone


class StepSpec(Struct, frozen=True):
    """A step, as written."""

    position: Position
    id: str = ""  #: "" when none was given
    name: str = ""  #: "" when none was given
    if_: str | None = None  #: the condition's source, without `${{ }}`; None: success()
    run: str | None = None
    uses: str | None = None
    with_: dict[str, Value] = {}
    env: dict[str, Value] | str = {}
    shell: str | None = None
    working_directory: str | None = None
    continue_on_error: Value = False
    timeout_minutes: Value = None
    idempotent: bool = True  #: `relevo: idempotent: false`
    background: bool = False
    wait: tuple[str, ...] = ()  #: the ids of steps in the background that this one waits for
    wait_all: bool = False
    cancel: str | None = None  #: the id of the step in the background that this one ends
    parallel: tuple[StepSpec, ...] = ()


class JobSpec(Struct, frozen=True):
    """A job, as written, without what only the orchestrator needs. The same for all legs of its matrix."""

    id: str  #: its key under `jobs`
    position: Position
    steps: tuple[StepSpec, ...]
    env: dict[str, Value] | str = {}
    workflow_env: dict[str, Value] | str = {}
    defaults_shell: str | None = None
    defaults_working_directory: str | None = None
    outputs: dict[str, Value] = {}
    #: whether a step uses actions/checkout, so that the run needs a snapshot of the working tree
    checks_out: bool = False
    file: str = ""  #: the workflow file that it stands in


class JobNode(Struct, frozen=True):
    """A job as the orchestrator sees it: how it hangs together with others, and what is evaluated before its steps."""

    id: str
    position: Position
    spec: JobSpec
    needs: tuple[str, ...] = ()
    name: Value = None
    if_: str | None = None  #: the condition's source, without `${{ }}`; None: success()
    runs_on: Value = None
    matrix: Value = None  #: None: no matrix
    fail_fast: Value = True
    max_parallel: Value = None
    timeout_minutes: Value = 360
    continue_on_error: Value = False
    concurrency: Value = None
    cpus: float | None = None  #: `relevo: resources:`
    memory_bytes: int | None = None
    priority: int = 0
    retry: RetrySpec = RetrySpec()
    uses: str | None = None  #: a reusable workflow; then there are no steps
    with_: dict[str, Value] = {}  #: inputs of the reusable workflow
    secrets: Value = None  #: of the reusable workflow: "inherit" or a mapping
    container: Value = None
    services: Value = None
    environment: Value = None
    permissions: Value = None
    snapshot: Value = None
    #: the whole strategy as one expression; matrix, fail-fast and max-parallel are then in its value
    strategy: str | None = None
    called: Workflow | None = None  #: the file that `uses` names, where it was read
    cancel_timeout_minutes: Value = None
    resources: dict[str, float] = {}  #: of `relevo: resources:` what is neither cpu nor memory; disk in bytes
    place: PlaceRules | None = None  #: None: it says nothing of it
    preemptible: bool = (
        False  #: it may be ended for others, and run again; `may_be_preempted` has the last word
    )
    deadline_s: float | None = None  #: it should have ended so long after its run was accepted

    @property
    def may_be_preempted(self) -> bool:
        """Whether it says so, and has no step that must not be repeated."""
        return self.preemptible and all(step.idempotent for step in self.spec.steps)


class Workflow(Struct, frozen=True):
    """A workflow that was read and checked."""

    path: str  #: as the user named it
    name: str | None
    run_name: Value
    on: dict[str, Value]  #: event name → its configuration or None
    env: dict[str, Value] | str
    concurrency: Value
    jobs: dict[str, JobNode]  #: in order of the file
    permissions: Value = None
    #: where keys of jobs and steps stand: "jobs.build.container"; of `uses` the value: "jobs.build.steps.0.uses";
    #: of calling jobs also the values handed over: "jobs.deploy.with.name", "jobs.deploy.secrets.token"
    marks: dict[str, Position] = {}
    marked_lines: dict[int, str] = {}  #: the text of lines that marks point at, for excerpts
    warnings: tuple[Diagnostic, ...] = ()
    size_bytes: int = 0  #: of the file alone, see measure.py
    description: str | None = None
    defaults: Value = None  #: as written; the spec of each job has them, too


class ActionInput(Struct, frozen=True):
    """An input that an action takes."""

    name: str  #: as the action spells it; case makes no difference
    default: Value = None  #: may hold an expression
    required: bool = False
    deprecation: str = ""  #: what to tell whoever gives it


class Action(Struct, frozen=True):
    """An `action.yml` that was read and checked."""

    path: str  #: of the file, relative to the working tree
    using: str  #: `runs.using` in lower case: composite, node20, docker …
    inputs: tuple[ActionInput, ...] = ()
    outputs: dict[str, Value] = {}  #: name → its value, of composite actions
    steps: tuple[StepSpec, ...] = ()
    marks: dict[str, Position] = {}  #: "runs.using", and of `uses` the value: "steps.0.uses"
    marked_lines: dict[int, str] = {}  #: the text of lines that marks point at, for excerpts
    warnings: tuple[Diagnostic, ...] = ()


class Concurrency(Struct, frozen=True):
    """A concurrency group, and how it is asked for."""

    group: str
    cancel: bool = False  #: what has it is cancelled
    queues: bool = False  #: it waits in order, instead of taking the place of who waits


class Leg(Struct, frozen=True):
    """One job to run: a leg of a matrix, or the only one."""

    name: str  #: stable and unique in its run: `test (3.11, linux)`; also its id in --json
    matrix: dict[str, Value]
    index: int  #: strategy.job-index
    total: int  #: strategy.job-total
    labels: tuple[str, ...]  #: runs-on
    timeout_s: float
    continue_on_error: bool
    max_parallel: int | None
    fail_fast: bool
    inputs: dict[str, Value] = {}  #: what the called workflow sees as `inputs`
    error: str | None = None  #: they cannot be handed over: the leg fails with this message
    groups: tuple[Concurrency, ...] = ()  #: that it asks for, one after the other, before it begins


class Verdict(Struct, frozen=True):
    """What the expressions of a job came to, once its needs had ended."""

    run: bool  #: False: it is skipped
    legs: tuple[Leg, ...] = ()
    error: str | None = (
        None  #: an expression failed, the matrix is no mapping …: the job fails with this message
    )
    warnings: tuple[str, ...] = ()
