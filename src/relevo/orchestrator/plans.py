"""Workflows as the orchestrator uses them: decoded once for each spec, shared by all runs that have it.

Here expressions of jobs are evaluated; the command that results carries the verdict, and events record it.

Longer than most modules: the first half says what a plan is, the second what becomes of one of its nodes, and each is read with the
other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakValueDictionary

import msgspec
from blake3 import blake3
from msgspec import Struct

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.errors import UserError
from relevo.domain.run import Node, Run, leg_of
from relevo.domain.states import JobStatus
from relevo.scheduler.demand import Demand, Rules
from relevo.scheduler.reach import Reach
from relevo.workflow.calls import called_by, place_of
from relevo.workflow.concurrency import ConcurrencyWrong
from relevo.workflow.concurrency import evaluate as evaluate_concurrency
from relevo.workflow.evaluate import Names, evaluate_job, known_verdict
from relevo.workflow.expressions import ExpressionError, Scope
from relevo.workflow.labels import canonical
from relevo.workflow.model import Concurrency, JobNode, Leg, PlaceRules, Verdict, Workflow

if TYPE_CHECKING:
    from relevo.orchestrator.shapes import Start
    from relevo.scheduler.demand import Domain

#: What the streams of concurrency groups begin with.
GROUP_STREAM: Final = "group-"
#: Jobs of one run at most, all matrices together.
JOB_LIMIT: Final = 10_000

_workflow_encoder = msgspec.msgpack.Encoder()
_encode = _workflow_encoder.encode
_workflow_decoder = msgspec.msgpack.Decoder(Workflow)
#: Results of what a node needs: of none, and where all of it ended well.
NO_RESULTS: Final[frozenset[str]] = frozenset()
ALL_WELL: Final = frozenset({"success"})
#: Contexts that are kept decoded, of runs that were in hand last.
DECODED_CONTEXTS: Final = 64
#: What legs of a plan ask for, as far as it is kept: labels may be others in each run.
DEMANDS_KEPT: Final = 1_024
#: Rules of jobs that are kept parsed.
RULES_KEPT: Final = 1_024


def stream_of(repository: str, group: str) -> str:
    """The stream of a concurrency group: one for each repository, whatever the case of its name."""
    return GROUP_STREAM + digest_of(f"{repository}\0{group.casefold()}".encode())[:32]


def digest_of(blob: bytes) -> str:
    """What specs and contexts are named by."""
    return blake3(blob).hexdigest()


class SharedContexts(Struct, frozen=True):
    """The contexts that are the same for all jobs of a run."""

    github: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    vars: dict[str, Any] = {}
    env: dict[str, str] = {}  #: given on the command line
    directory: str = ""  #: where it was submitted from
    skip_unmatched: bool = False
    keep: bool = False
    only: list[str] = []  #: jobs asked for; []: all
    job_limit: int = JOB_LIMIT


_shared_decoder = msgspec.msgpack.Decoder(SharedContexts)


class _Keep(Struct):
    """As much of them as each run that is taken up is asked for."""

    keep: bool = False


_keep_decoder = msgspec.msgpack.Decoder(_Keep)


class HeldContexts(Struct, frozen=True, weakref=True):
    """Shared contexts of live runs, as the bytes that are stored: decoded they take three times the room.

    Runs of one text in one tree have the same, for their numbers lie apart (`RunContexts`).
    """

    digest: str
    blob: bytes
    keep: bool  #: what every assignment says

    @classmethod
    def of(cls, digest: str, blob: bytes) -> HeldContexts:
        """Raises msgspec.DecodeError."""
        return cls(digest, blob, _keep_decoder.decode(blob).keep)


class RunContexts:
    """The shared contexts of one run: what it has alike with others, and its own numbers."""

    __slots__ = ("_travelling", "held", "run_id", "run_number")

    def __init__(self, held: HeldContexts, run_id: str, run_number: str) -> None:
        """`run_id`: "" where the held ones have both numbers, as those of an earlier version do."""
        self.held = held
        self.run_id = run_id
        self.run_number = run_number
        self._travelling: tuple[str, bytes] | None = None

    @property
    def keep(self) -> bool:
        """Whether its workspaces stay."""
        return self.held.keep

    @property
    def decoded(self) -> SharedContexts:
        """Them. Some microseconds when others were used meanwhile."""
        return _decoded(self.held.blob, self.run_id, self.run_number)

    @property
    def travelling(self) -> tuple[str, bytes]:
        """Digest and bytes, as agents get them: with the numbers in their places."""
        if self._travelling is None:
            if self.run_id:
                blob = _encode(self.decoded)
                self._travelling = digest_of(blob), blob
            else:
                self._travelling = self.held.digest, self.held.blob
        return self._travelling


#: Stands for the contexts of a run that was taken up and has had nothing to do since: they are read when it has.
UNREAD: Final = RunContexts(HeldContexts("", b"", False), "", "")


@lru_cache(maxsize=DECODED_CONTEXTS)
def _decoded(blob: bytes, run_id: str, run_number: str) -> SharedContexts:
    shared = _stored(blob)
    if not run_id:
        return shared
    return msgspec.structs.replace(
        shared, github=shared.github | {"run_id": run_id, "run_number": run_number}
    )


@lru_cache(maxsize=DECODED_CONTEXTS)
def _stored(blob: bytes) -> SharedContexts:
    return _shared_decoder.decode(blob)


def without_numbers(shared: SharedContexts) -> SharedContexts:
    """As they are stored: the numbers keep their places, where `RunContexts` fills them in."""
    return msgspec.structs.replace(shared, github=shared.github | {"run_id": "", "run_number": ""})


class Carried(Struct, frozen=True):
    """What a retry takes over: the legs of a node that succeeded, and the node's outputs."""

    legs: dict[str, int]  #: `leg_of` it → attempts it had
    outputs: dict[str, str]


def spec_fact(digest: str) -> str:
    """Key of the fact that holds a workflow; runs of the same text share it."""
    return f"spec/{digest}"


def context_fact(digest: str) -> str:
    """Key of the fact that holds a run's shared contexts; its retries share it."""
    return f"context/{digest}"


class Template(Struct, frozen=True):
    """A job of a file, as often as that file is called."""

    node: JobNode
    workflow: Workflow  #: the file that it stands in
    spec: tuple[str, bytes]  #: as agents get it: digest, bytes
    places: tuple[str, ...]  #: of the calls that lead to the file, the outermost first
    inner: range  #: indexes of the templates of the file that it calls


class Plan:
    """A workflow, with what it calls, and everything that is derived from it once."""

    __slots__ = (
        "__weakref__",
        "_alike",
        "_declared",
        "_demands",
        "blob",
        "digest",
        "start",
        "templates",
        "workflow",
    )

    def __init__(self, digest: str, blob: bytes) -> None:
        self.digest = digest
        self.blob = blob
        self.workflow = _workflow_decoder.decode(blob)
        #: those of the first file first, in its order: there a node of a run has the index of its template
        self.templates: list[Template] = _laid_out(self.workflow)
        self._alike: dict[int, tuple[Verdict, list[e.JobDecl]]] = {}  # by template: legs that runs share
        self._demands: dict[tuple[object, ...], Demand] = {}  # by template and labels
        self._declared: list[e.NodeDecl] = []  # of the first file
        self.start: Start | None = None  #: where its runs begin that go the same way; kept by `shapes`

    @classmethod
    def made_of(cls, workflow: Workflow) -> Plan:
        """The plan of a workflow that was just read."""
        blob = _workflow_encoder.encode(workflow)
        return cls(digest_of(blob), blob)

    def of(self, node: Node) -> Template:
        """What a node of a run was made from."""
        return self.templates[node.template]

    def declarations(self, of: range | None = None) -> list[e.NodeDecl]:
        """The nodes of a file as events name them; None: of the first one, each time the same list."""
        if of is not None:
            return self._declarations(of)
        if not self._declared:
            self._declared = self._declarations(range(len(self.workflow.jobs)))
        return self._declared

    def _declarations(self, of: range) -> list[e.NodeDecl]:
        nodes = [self.templates[index].node for index in of]
        position = {node.id: index for index, node in enumerate(nodes)}
        return [
            e.NodeDecl(
                node.id,
                [position[need] for need in node.needs],
                node.retry.max,
                [code for code in node.retry.on if isinstance(code, int)],
                node.retry.backoff_s,
                template if of.start else -1,
                -1 if node.retry.lost is None else node.retry.lost,
            )
            for template, node in zip(of, nodes, strict=True)
        ]

    def legs(self, template: int, verdict: Verdict, shared: SharedContexts) -> list[e.JobDecl]:
        """The legs of a verdict, as events name them. Runs of a job without expressions share them."""
        known = self._alike.get(template)
        if known is not None and known[0] is verdict:
            return known[1]
        # Thousands of legs share what is the same for them: a list each would be a fifth of what a queued job weighs.
        labels: dict[tuple[str, ...], list[str]] = {}
        inputs: dict[str, Any] = {}
        none: list[e.GroupAsk] = []
        legs = [
            e.JobDecl(
                leg.name,
                labels.setdefault(leg.labels, list(leg.labels)),
                leg.matrix,
                leg.index,
                leg.total,
                leg.timeout_s,
                leg.continue_on_error,
                inputs=inputs,
                groups=_groups(leg, shared) if leg.groups else none,
            )
            for leg in verdict.legs
        ]
        if len(legs) == 1 and not legs[0].groups:  # groups are those of the run's repository
            self._alike[template] = (verdict, legs)
        return legs

    def demand(self, template: int, labels: list[str]) -> Demand:
        """What a leg asks of its place."""
        key = (template, *labels)
        found = self._demands.get(key)
        if found is None:
            if len(self._demands) >= DEMANDS_KEPT:
                self._demands.clear()
            found = self._demands[key] = demand_of(labels, self.templates[template].node)
        return found

    def least_jobs(self, template: int) -> int:
        """How many jobs a leg of this job comes to at least."""
        inner = self.templates[template].inner
        return sum(map(self.least_jobs, inner)) if inner else 1


def _laid_out(workflow: Workflow) -> list[Template]:
    templates: list[Template] = []
    files: list[tuple[Workflow, tuple[str, ...]]] = [(workflow, ())]
    end = len(workflow.jobs)  # of the templates of all files that wait here
    for file, places in files:
        for node in file.jobs.values():
            inner = range(0)
            if node.called is not None:
                inner = range(end, end + len(node.called.jobs))
                end = inner.stop
                files.append((node.called, (*places, place_of(node, file))))
            spec = _workflow_encoder.encode(node.spec)
            templates.append(Template(node, file, (digest_of(spec), spec), places, inner))
    return templates


class PlanCache:
    """Plans by digest, held as long as a run holds them."""

    def __init__(self) -> None:
        self._plans: WeakValueDictionary[str, Plan] = WeakValueDictionary()

    def of(self, workflow: Workflow) -> Plan:
        """The plan of a workflow that was just read."""
        return self.shared(Plan.made_of(workflow))

    def shared(self, plan: Plan) -> Plan:
        """The one that is held already, if it is, instead of another that is the same."""
        return self._plans.setdefault(plan.digest, plan)

    def get(self, digest: str) -> Plan | None:
        return self._plans.get(digest)

    def decode(self, digest: str, blob: bytes) -> Plan:
        """The plan of an encoded workflow."""
        plan = self._plans.get(digest)
        if plan is None:
            plan = self._plans[digest] = Plan(digest, blob)
        return plan


def demand_of(labels: list[str], node: JobNode) -> Demand:
    """What a leg asks of its place."""
    extras = tuple(sorted(node.resources.items())) if node.resources else ()
    rules = None if node.place is None else _rules(node.place)
    return Demand(frozenset(map(canonical, labels)), node.cpus, node.memory_bytes, extras, rules)


@lru_cache(maxsize=RULES_KEPT)
def _rules(place: PlaceRules) -> Rules:
    from relevo.workflow import label_expressions  # few jobs have any, and it takes a millisecond or two

    return Rules(
        label_expressions.parse(place.where) if place.where else None,
        frozenset(map(str.lower, place.tolerates)),
        label_expressions.parse(place.prefers) if place.prefers else None,
        place.near,
        place.apart,
        cast("Domain", place.apart_over),
    )


def needs_of(run: Run, node: Node) -> dict[str, dict[str, Any]]:
    """The `needs` context of a node: result and outputs of each job that it needs directly."""
    return {
        run.nodes[index].decl.id: {"result": run.nodes[index].result, "outputs": run.nodes[index].outputs}
        for index in node.needs
    }


def evaluate_node(
    run: Run,
    plan: Plan,
    shared: SharedContexts,
    index: int,
    *,
    cancelled: bool | None = None,
) -> Verdict:
    """What the expressions of a node come to. `cancelled`: None for what the run, and the calls around it, are."""
    node = run.nodes[index]
    template = plan.of(node)
    if cancelled is None and not node.needs and node.call is None and not run.cancelling:
        known = known_verdict(template.node, run.job_names)
        if known is not None:
            return known
    results = {ancestor.result for ancestor in run.ancestors(node)} if node.needs else NO_RESULTS
    verdict = evaluate_job(
        template.node,
        workflow=template.workflow,
        github=shared.github,
        inputs=inputs_seen(node, shared),
        vars=shared.vars,
        needs=needs_of(run, node) if node.needs else {},
        ancestors_ok=results <= ALL_WELL,
        ancestors_failed="failure" in results,
        run_cancelled=_is_cancelled(run, node) if cancelled is None else cancelled,
        taken=run.job_names if cancelled is None else (),
        max_legs=_room(run, node, shared),
        prefix=prefix_of(node),
    )
    if verdict.error is None or not template.places:
        return verdict
    return msgspec.structs.replace(verdict, error=verdict.error + called_by(template.places))


def inputs_seen(node: Node, shared: SharedContexts) -> dict[str, Any]:
    """The `inputs` context of a node: those of the call that it is part of, else those of the run."""
    return shared.inputs if node.call is None else node.call.decl.inputs


def prefix_of(node: Node) -> str:
    """What stands before the names of a node's jobs: those of the calls that lead to it."""
    return "" if node.call is None else f"{node.call.decl.name} / "


def _room(run: Run, node: Node, shared: SharedContexts) -> int:
    """How many jobs a node may come to. What calls will come to is taken, else a few levels of them have no bound."""
    own = node.call is not None  # then it is among those that are due
    return shared.job_limit - run.job_count - run.due + own


def _is_cancelled(run: Run, node: Node) -> bool:
    return run.cancelling or node.cancelled


def expand(
    run: Run,
    plan: Plan,
    shared: SharedContexts,
    index: int,
    carried: dict[str, Carried],
    at_ms: int,
    reach: Reach | None = None,
) -> c.ExpandNode:
    """Evaluate a ready node; the command holds what came of it. A leg that is beyond `reach` fails at once."""
    try:
        verdict = Verdict(False) if run.forced else evaluate_node(run, plan, shared, index)
    except Exception as error:
        # Were it raised, the run would be read again and come to the same: nothing of it would ever end.
        tell_defect(run.id)
        verdict = Verdict(False, error=f"a defect of relevo: {error!r}")
    node = run.nodes[index]
    template = plan.of(node)
    if verdict.error is not None:
        return _unrun(run, node, JobStatus.FAILED, verdict.error, at_ms)
    if not verdict.run:
        status = JobStatus.CANCELLED if _is_cancelled(run, node) else JobStatus.SKIPPED
        return _unrun(run, node, status, "", at_ms, verdict.warnings)
    if template.inner:
        least = len(verdict.legs) * plan.least_jobs(node.template)
        if least > _room(run, node, shared):
            return _unrun(run, node, JobStatus.FAILED, _too_many(template, least, shared), at_ms)
        return _calls(index, plan, template, verdict, shared, at_ms)
    take_over = carried.get(node.path) if carried else None
    return _command(index, plan, node.template, verdict, shared, take_over, at_ms, reach)


def _too_many(template: Template, least: int, shared: SharedContexts) -> str:
    place = place_of(template.node, template.workflow)
    return (
        f"{place}: it calls {least} jobs, and the run may have {shared.job_limit} in all; RELEVO_JOB_LIMIT raises the "
        f"limit{called_by(template.places)}"
    )


def group_of_run(plan: Plan, shared: SharedContexts) -> e.GroupAsk | None:
    """The concurrency group of a run, None when its workflow has none. Raises UserError."""
    workflow = plan.workflow
    if workflow.concurrency is None:
        return None
    scope = Scope({"github": shared.github, "inputs": shared.inputs, "vars": shared.vars})
    try:
        return _group(evaluate_concurrency(workflow.concurrency, scope), shared)
    except (ExpressionError, ConcurrencyWrong) as error:
        position = workflow.marks.get("concurrency")
        where = f":{position.line}:{position.column}" if position else ""
        raise UserError(f"{workflow.path}{where}: concurrency: {error}") from None


def _group(concurrency: Concurrency, shared: SharedContexts) -> e.GroupAsk:
    stream = stream_of(str(shared.github.get("repository", "")), concurrency.group)
    return e.GroupAsk(stream, concurrency.group, concurrency.cancel, concurrency.queues)


def _groups(leg: Leg, shared: SharedContexts) -> list[e.GroupAsk]:
    return [_group(one, shared) for one in leg.groups]


def _calls(
    index: int, plan: Plan, template: Template, verdict: Verdict, shared: SharedContexts, at_ms: int
) -> c.ExpandNode:
    first = verdict.legs[0]
    called = template.node.called
    assert called is not None
    jobs = [
        e.JobDecl(
            leg.name,
            [],
            leg.matrix,
            leg.index,
            leg.total,
            calls=called.path,
            inputs=leg.inputs,
            groups=_groups(leg, shared),
        )
        for leg in verdict.legs
    ]
    ends = {
        position: (JobStatus.FAILED.value, leg.error + called_by(template.places))
        for position, leg in enumerate(verdict.legs)
        if leg.error is not None
    }
    for position, job in enumerate(jobs):
        if len({ask.stream for ask in job.groups}) < len(job.groups):
            why = f"a deadlock: it has concurrency group '{job.groups[0].name}', and so asks {called.path} that it calls"
            ends[position] = (JobStatus.CANCELLED.value, why + called_by(template.places))
    nodes = plan.declarations(template.inner)
    return c.ExpandNode(
        index,
        jobs,
        first.fail_fast,
        first.max_parallel,
        ends,
        warnings=verdict.warnings,
        at_ms=at_ms,
        nodes=nodes,
    )


def _command(
    index: int,
    plan: Plan,
    template: int,
    verdict: Verdict,
    shared: SharedContexts,
    carried: Carried | None,
    at_ms: int,
    reach: Reach | None,
) -> c.ExpandNode:
    first = verdict.legs[0]
    jobs = plan.legs(template, verdict, shared)
    ends: dict[int, tuple[str, str]] = {}
    if carried is not None:
        message = "succeeded in the run that this one retries"
        ends = {
            position: (JobStatus.SUCCEEDED.value, message)
            for position, job in enumerate(jobs)
            if leg_of(job) in carried.legs
        }
    outputs = carried.outputs if carried is not None and ends else {}
    if reach is not None:
        end = (JobStatus.SKIPPED if shared.skip_unmatched else JobStatus.FAILED).value
        for position, job in enumerate(jobs):
            refusal = reach.refusal(plan.demand(template, job.labels))
            if refusal and position not in ends:
                ends[position] = (end, refusal)
    return c.ExpandNode(
        index,
        jobs,
        first.fail_fast,
        first.max_parallel,
        ends,
        outputs,
        verdict.warnings,
        at_ms,
    )


def _unrun(
    run: Run,
    node: Node,
    status: JobStatus,
    message: str,
    at_ms: int,
    warnings: tuple[str, ...] = (),
) -> c.ExpandNode:
    name = Names(run.job_names, prefix_of(node)).unique(node.decl.id)
    ends = {0: (status.value, message)}
    return c.ExpandNode(node.index, [e.JobDecl(name)], ends=ends, warnings=warnings, at_ms=at_ms)


def tell_defect(run: str) -> None:
    """Log the exception at hand as one that nobody expects."""
    import logging

    logging.getLogger(__name__).exception("a defect of relevo in a run", extra={"run": run})
