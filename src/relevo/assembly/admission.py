"""From a submission to what can be accepted: read, check, decide the event, choose the jobs, take the snapshot.

What the tree holds is asked of a Tree (`tree.py`): it lies here, or a client has told of it. Everything that can be wrong is found here, before anything starts, and told in one pass.

Reading takes milliseconds (git, files, a parser), and is done in a thread. A file that uses nothing of its tree means the same
each time that it is submitted: that is remembered. And runs of it without a tree have all alike but their numbers.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from relevo.assembly import snapshot
from relevo.assembly.github_context import build
from relevo.domain.errors import UserError
from relevo.orchestrator.plans import (
    JOB_LIMIT,
    Plan,
    PlanCache,
    SharedContexts,
    digest_of,
    group_of_run,
    without_numbers,
)
from relevo.workflow import templates
from relevo.workflow.calls import called_by, with_called
from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid
from relevo.workflow.events import (
    DISPATCH,
    GitFacts,
    decide_event,
    split_event,
    usual_activity,
    usual_event,
)
from relevo.workflow.labels import GROUP, canonical
from relevo.workflow.local_actions import LocalActions, check_local_actions
from relevo.workflow.model import JobNode, Workflow
from relevo.workflow.names import is_local
from relevo.workflow.plan import select
from relevo.workflow.reader import read
from relevo.workflow.support import unsupported

if TYPE_CHECKING:
    from relevo.assembly.snapshot import Snapshot
    from relevo.assembly.tree import Tree
    from relevo.blobs.contract import BlobStore
    from relevo.domain.events import GroupAsk
    from relevo.orchestrator.api import Submission
    from relevo.scheduler.reach import Reach


#: Texts of workflows whose meaning is remembered, in all: a model takes some ten times their room.
REMEMBERED_BYTES: Final = 256 << 10
#: Forms of one text that are kept: it may be asked for by several events.
FORMS: Final = 8

_encode = msgspec.msgpack.Encoder().encode


class Admitted(Struct, frozen=True):
    """A submission that may be accepted."""

    plan: Plan
    contexts: bytes  #: SharedContexts without the run's numbers, encoded
    digest: str  #: of these
    event: str
    title: str
    group: GroupAsk | None
    warnings: tuple[Diagnostic, ...]

    @property
    def workflow(self) -> Workflow:
        """What will run."""
        return self.plan.workflow


class Meant(Struct, frozen=True):
    """What a submission means, by the files of its tree."""

    workflow: Workflow
    local: LocalActions
    warnings: tuple[Diagnostic, ...]


class Read(Struct, frozen=True):
    """A submission that was read, with what its tree says to it."""

    tree: Tree
    meant: Meant
    plan: Plan
    anywhere: bool  #: it means the same with any other tree
    event: str
    activity: str
    inputs: dict[str, Any]


#: What a meaning depends on when it depends on no tree.
_Text = tuple[bytes, str, tuple[str, ...], bool, frozenset[str]]
#: What runs of a text without a tree depend on beside it: event, workspaces are kept, the empty folder, jobs at most.
_Asked = tuple[str, bool, str, int]


class Known(Struct, frozen=True):
    """What is remembered of a text."""

    meant: Meant
    plan: Plan
    alike: dict[_Asked, Admitted] = {}  #: runs of it without a tree


class Admission:
    """Admits submissions to an engine, and remembers what texts mean that use nothing of their trees."""

    def __init__(self, blobs: BlobStore, plans: PlanCache, reach: Reach | None) -> None:
        """`reach`: jobs that run on nothing that is within it are refused; None: they wait."""
        self._blobs = blobs
        self._plans = plans
        self._reach = reach
        self._known: OrderedDict[_Text, Known] = OrderedDict()
        self._known_bytes = 0

    async def admit(self, submission: Submission, *, run_id: str, run_number: str) -> Admitted:
        """Check a submission. The numbers are those that its expressions see. Raises UserError (WorkflowInvalid with all
        diagnostics)."""
        text = _text_of(submission, self._reach)
        known = None if text is None else self._known.get(text)
        asked = _asked_of_form(submission)
        if text is not None and known is not None and asked is not None and asked in known.alike:
            self._known.move_to_end(text)
            return known.alike[asked]
        if known is not None and (submission.treeless or submission.source is not None):
            found = self._read(submission, known)  # no disk, no parser: not worth a thread
        else:
            found = await asyncio.to_thread(self._read, submission, known)
        meant, plan = found.meant, self._plans.shared(found.plan)
        taken = await snapshot_of(meant, found.tree)
        admitted = _admitted(found, plan, _contexts(found, taken, submission, run_id, run_number))
        if text is not None and found.anywhere:
            known = self._remember(text, meant, plan)
            if (
                known is not None
                and asked is not None
                and len(known.alike) < FORMS
                and not _may_name_it(meant)
            ):
                known.alike[asked] = admitted
        return admitted

    def _read(self, submission: Submission, known: Known | None) -> Read:
        from relevo.assembly.tree import tree_of

        tree = tree_of(submission, self._blobs)
        if known is None:
            meant = read_meant(submission, tree)
            workflow = meant.workflow
            if self._reach is not None and self._reach.refuses:
                workflow = _matched(workflow, self._reach.labels, submission.skip_unmatched)
            plan = Plan.made_of(workflow)
            meant = msgspec.structs.replace(meant, workflow=workflow)
            # of all its jobs, those too that were not asked for: their files are checked with them
            anywhere = not uses_its_tree(read(tree.workflow_text, submission.workflow_path))
        else:
            meant, plan = known.meant, known.plan
            anywhere = True
        return Read(tree, meant, plan, anywhere, *event_of(submission, meant.workflow, tree))

    def _remember(self, text: _Text, meant: Meant, plan: Plan) -> Known | None:
        known = self._known.get(text)
        if known is not None:
            self._known.move_to_end(text)
        elif len(text[0]) <= REMEMBERED_BYTES:
            known = self._known[text] = Known(meant, plan)
            self._known_bytes += len(text[0])
            while self._known_bytes > REMEMBERED_BYTES:
                (gone, *_), _ = self._known.popitem(last=False)
                self._known_bytes -= len(gone)
        return known


def _contexts(
    found: Read, taken: Snapshot | None, submission: Submission, run_id: str, run_number: str
) -> SharedContexts:
    workflow = found.meant.workflow
    github = build(
        msgspec.structs.replace(submission, event=found.event),
        found.tree.facts,
        taken,
        run_id=run_id,
        workflow_name=workflow.name or workflow.path,
        run_number=run_number,
        inputs=found.inputs,
        activity=found.activity,
    )
    return SharedContexts(
        github=github,
        inputs=found.inputs,
        env=submission.env,
        directory=found.tree.directory,
        skip_unmatched=submission.skip_unmatched,
        keep=submission.keep,
        job_limit=job_limit(),
    )


def _admitted(found: Read, plan: Plan, shared: SharedContexts) -> Admitted:
    contexts = _encode(without_numbers(shared))
    return Admitted(
        plan,
        contexts,
        digest_of(contexts),
        str(shared.github["event_name"]),
        _title(found.meant.workflow, shared.github, found.inputs),
        group_of_run(plan, shared),
        found.meant.warnings,
    )


def _asked_of_form(submission: Submission) -> _Asked | None:
    """None: its contexts are its own."""
    if not submission.treeless or submission.inputs or submission.env:
        return None
    return submission.event, submission.keep, submission.directory, job_limit()


def _may_name_it(meant: Meant) -> bool:
    """Whether title and group may have the numbers of the run in them."""
    return bool(meant.workflow.run_name) or meant.workflow.concurrency is not None


def _text_of(submission: Submission, reach: Reach | None) -> _Text | None:
    """None: which text is meant is known only once the tree was read."""
    if submission.committed:
        return None
    labels = frozenset[str]() if reach is None else reach.labels
    return (
        submission.workflow_text,
        submission.workflow_path,
        submission.jobs,
        submission.skip_unmatched,
        labels,
    )


def uses_its_tree(workflow: Workflow) -> bool:
    """Whether a workflow calls files of its tree, or uses local actions that stand there."""
    return any(
        job.uses is not None or any(is_local(step.uses) for step in job.spec.steps)
        for job in workflow.jobs.values()
    )


def read_meant(submission: Submission, tree: Tree) -> Meant:
    """Read the workflow with all that it uses, and choose its jobs. Raises UserError (WorkflowInvalid with all diagnostics)."""
    workflow = select(read(tree.workflow_text, submission.workflow_path, tree.load), submission.jobs)
    # a commit may hold other actions than the working tree: then their steps tell
    local = LocalActions() if submission.committed else check_local_actions(workflow, tree.find_action)
    return Meant(workflow, local, _check(workflow, local))


def event_of(submission: Submission, workflow: Workflow, tree: Tree) -> tuple[str, str, dict[str, Any]]:
    """The event that starts it, its activity type, and the inputs. Raises UserError when that event does not start it."""
    event, activity = split_event(submission.event or usual_event(workflow, submission.inputs))
    activity = activity or usual_activity(workflow, event)
    if not submission.event and event != DISPATCH:
        # Somebody starts it by hand: filters by branch or path say when it starts by itself, and that is not asked.
        return event, activity, {}
    asked = _filter_facts(tree, workflow, event, activity)
    return event, activity, decide_event(workflow, event, submission.inputs, asked)


async def snapshot_of(meant: Meant, tree: Tree) -> Snapshot | None:
    """The snapshot for its checkouts; None when it has none."""
    checkouts = snapshot.checkouts(meant.workflow, meant.local.steps)
    return await tree.snapshot(history=snapshot.wants_history(checkouts)) if checkouts else None


def _filter_facts(tree: Tree, workflow: Workflow, event: str, activity: str) -> GitFacts:
    """What the filters of `on:` look at. Changed paths cost a few git processes: only when a filter asks for them."""
    configuration = workflow.on.get(event)
    asks = isinstance(configuration, dict) and bool({"paths", "paths-ignore"} & set(configuration))
    facts = tree.facts
    ref = facts.ref if facts.ref != "HEAD" else ""
    message = facts.head.message if facts.head is not None else ""
    return GitFacts(ref, facts.default_branch, tree.changed(event) if asks else None, activity, message)


def _check(workflow: Workflow, local: LocalActions) -> tuple[Diagnostic, ...]:
    found = unsupported(workflow)
    wrong = (*(one for one in found if one.severity == "error"), *local.wrong, *local.refused)
    if wrong:
        raise WorkflowInvalid(wrong)
    warnings = [one for file, _ in with_called(workflow) for one in file.warnings]
    return (*warnings, *found, *local.warnings)


def _matched(workflow: Workflow, labels: frozenset[str], skip: bool) -> Workflow:
    """Refuse jobs that no agent here could ever run, or leave them out."""
    unmatched = [
        (node, file, places)
        for file, places in with_called(workflow)
        for node in file.jobs.values()
        if not _may_match(node, labels)
    ]
    if not unmatched:
        return workflow
    if not skip:
        node, file, places = unmatched[0]
        asked = ", ".join(_asked(node))
        others = f" (and {len(unmatched) - 1} more like it)" if len(unmatched) > 1 else ""
        raise UserError(
            f"{file.path}:{node.position.line}:{node.position.column}: job '{node.id}' runs on {asked}, "
            f"and no agent here does{others}{called_by(places)}",
            hint="--skip-unmatched leaves such jobs out; agents here answer to " + ", ".join(sorted(labels)),
        )
    left = _without_unmatched(workflow, labels)
    if left is None:
        raise UserError(f"{workflow.path}: no job is left that could run here")
    return left


def _without_unmatched(workflow: Workflow, labels: frozenset[str]) -> Workflow | None:
    """Without the jobs that no agent could run, and all that need them; None when nothing is left."""
    jobs: dict[str, JobNode] = {}
    for name, node in workflow.jobs.items():
        called = None if node.called is None else _without_unmatched(node.called, labels)
        if _may_match(node, labels) and (node.called is None or called is not None):
            jobs[name] = msgspec.structs.replace(node, called=called)
    left_out = workflow.jobs.keys() - jobs.keys()
    while True:
        more = {name for name, node in jobs.items() if name not in left_out and left_out & set(node.needs)}
        if not more:
            break
        left_out |= more
    jobs = {name: node for name, node in jobs.items() if name not in left_out}
    return msgspec.structs.replace(workflow, jobs=jobs) if jobs else None


def _may_match(node: JobNode, labels: frozenset[str]) -> bool:
    """Whether labels fit as far as they are known now; those with expressions are known when the job is due."""
    return all(templates.OPEN in name or canonical(name) in labels for name in _asked(node))


def _asked(node: JobNode) -> list[str]:
    """The labels and the group of `runs-on`, as written; none of a job that calls a workflow."""
    asked: Any = node.runs_on
    group: list[str] = []
    if isinstance(asked, dict):
        group = [GROUP + str(asked["group"])] if asked.get("group") else []
        asked = asked.get("labels")
    if asked is None:
        return group
    return [*group, *map(str, [asked] if isinstance(asked, str) else asked)]


def _title(workflow: Workflow, github: dict[str, Any], inputs: dict[str, Any]) -> str:
    from relevo.workflow.expressions import ExpressionError, Scope
    from relevo.workflow.templates import evaluate_text

    if workflow.run_name:
        try:
            return evaluate_text(workflow.run_name, Scope({"github": github, "inputs": inputs, "vars": {}}))
        except ExpressionError:
            pass  # a name is no reason to refuse a run
    commit = github["event"].get("head_commit") or {}
    message = str(commit.get("message", "")).partition("\n")[0]
    return message or str(github.get("event_name", ""))


def job_limit() -> int:
    """Jobs of a run at most; RELEVO_JOB_LIMIT raises it."""
    text = os.environ.get("RELEVO_JOB_LIMIT", "")
    if not text:
        return JOB_LIMIT
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"RELEVO_JOB_LIMIT={text} is no number of jobs", hint=f"unset it for {JOB_LIMIT:,}")
    return int(text)
