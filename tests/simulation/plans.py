"""What one seed holds: workflows, what users do about them, and what befalls."""

from __future__ import annotations

from random import Random
from typing import Final

from msgspec import Struct

from relevo.scheduler.policy import Policy
from relevo.workflow.model import JobNode, JobSpec, Position, RetrySpec, StepSpec, Workflow
from tests.simulation.calls import calling
from tests.simulation.groups import grouped
from tests.simulation.preempting import policy_of, ranked

RUNS: Final = 3
JOBS: Final = 20  #: of all runs together
FAULTS: Final = 2
#: A step of a job, as the provider finds it again in the script it gets: `# step <index>`, with `once` when it must not be
#: run again silently.
MARK: Final = "# step"

_HERE: Final = Position(1, 1)


class RunPlan(Struct):
    """A run that a user submits, and what the user does about it then."""

    at_s: float
    workflow: Workflow
    secrets: bool = False
    cancel_after_s: float | None = None  #: after its acceptance
    force_after_s: float | None = None  #: after that
    held: str = "retry"  #: what is done about a held job: retry, fail, leave
    delivered_twice: bool = False
    cancelled_late: bool = False  #: once more when it has ended


class FaultPlan(Struct):
    """A fault. At a moment, or at the nth commit."""

    kind: str
    at_s: float
    agent: int
    for_s: float
    nth: int  #: commit, write, or frame, whatever the kind counts


class Plan(Struct):
    """A schedule."""

    seed: int
    agents: int
    slots: list[int]
    window: int
    small_segments: bool
    runs: list[RunPlan]
    faults: list[FaultPlan]
    policy: Policy | None = None  #: of all its engines


def plan_of(seed: int, kinds: tuple[str, ...]) -> Plan:
    """The schedule of a seed. `kinds`: of faults, of which it takes at least two."""
    random = Random(f"plan {seed}")
    agents = 2 if random.random() < 0.35 else 1
    left = JOBS
    runs = []
    for index in range(RUNS):
        jobs = left if index == RUNS - 1 else left // (RUNS - index) + random.randrange(-1, 2)
        left -= jobs
        calls = Random(
            f"calls {seed} {index}"
        )  # of their own, so that schedules without calls stay what they are
        runs.append(_run(random, calls, index, jobs))
    groups = Random(f"groups {seed}")  # of their own, likewise
    if groups.random() < 0.4:
        for run in runs:
            run.workflow = grouped(groups, run.workflow)
            if run.held == "leave":
                run.held = "fail"  # else others would wait for it for ever, and rightly
    preempting = Random(f"preempt {seed}")  # of their own, likewise
    policy = policy_of(preempting)
    if policy is not None:
        for run in runs:
            run.workflow = ranked(preempting, run.workflow)
    faults = [_fault(random, kinds, agents) for _ in range(FAULTS + (random.random() < 0.25))]
    return Plan(
        seed,
        agents,
        [random.randrange(1, 5) for _ in range(agents)],
        random.choice((0, 0, 2)),
        random.random() < 0.3,
        runs,
        faults,
        policy,
    )


def _fault(random: Random, kinds: tuple[str, ...], agents: int) -> FaultPlan:
    return FaultPlan(
        random.choice(kinds),
        0.05 + 6.0 * random.random() ** 1.5,
        random.randrange(agents),
        random.choice((0.2, 1.0, 3.0, 12.0)) * (0.5 + random.random()),
        1 + int(40 * random.random() ** 2),
    )


def _run(random: Random, calls: Random, index: int, jobs: int) -> RunPlan:
    cancelled = random.random() < 0.3
    return RunPlan(
        random.random() * 1.5,
        calling(calls, _workflow(random, index, jobs)),
        random.random() < 0.1,
        3.0 * random.random() ** 2 if cancelled else None,
        3.0 * random.random() if cancelled and random.random() < 0.3 else None,
        random.choice(("retry", "retry", "fail", "leave")),
        random.random() < 0.2,
        random.random() < 0.2,
    )


def _workflow(random: Random, index: int, jobs: int) -> Workflow:
    nodes: dict[str, JobNode] = {}
    while jobs > 0:
        legs = min(jobs, random.choice((1, 1, 2, 3, 4)))
        id = f"j{len(nodes)}"
        nodes[id] = _node(random, id, legs, list(nodes.values()))
        jobs -= legs
    return Workflow(f"sim{index}.yml", None, None, {"push": None}, {}, None, nodes)


def _node(random: Random, id: str, legs: int, earlier: list[JobNode]) -> JobNode:
    needed = [node for node in earlier if random.random() < 0.35][:2]
    steps, outputs = _steps(random, needed)
    retries = random.random() < 0.25
    return JobNode(
        id,
        _HERE,
        JobSpec(id, _HERE, tuple(steps), outputs=outputs),
        tuple(node.id for node in needed),
        if_="always()" if needed and random.random() < 0.25 else None,
        runs_on="linux",
        matrix={"leg": list(range(legs))} if legs > 1 else None,
        fail_fast=random.random() < 0.6,
        max_parallel=random.choice((None, None, 1, 2)),
        timeout_minutes=random.choice((0.1, 0.3)),
        continue_on_error=random.random() < 0.1,
        retry=_retry(random.choice((0.0, 0.5))) if retries else RetrySpec(),
    )


def _retry(backoff_s: float) -> RetrySpec:
    return RetrySpec(2, (3, "infra"), backoff_s, 3) if backoff_s else RetrySpec(2, (3,))


def _steps(random: Random, needed: list[JobNode]) -> tuple[list[StepSpec], dict[str, str]]:
    count = random.choice((1, 1, 2, 3))
    steps = [_step(random, index) for index in range(count)]
    outputs = {}
    given = [node.id for node in needed if node.spec.outputs]
    if given:
        steps.append(_spec(len(steps), [f"needs {given[0]} ${{{{ needs.{given[0]}.outputs.word }}}}"]))
    if random.random() < 0.3:
        word = random.randrange(1_000)
        steps.append(_spec(len(steps), [f"print ::set-output name=word::{word}"], id="told"))
        outputs["word"] = "${{ steps.told.outputs.word }}"
    if random.random() < 0.3:
        steps.append(_spec(len(steps), ["print @@ at last", "sleep 0.05"], if_="always()"))
    return steps, outputs


def _step(random: Random, index: int) -> StepSpec:
    kind = random.choices(
        ("plain", "talk", "bulk", "fail", "fail-first", "lose", "create", "hang", "stubborn", "missing"),
        (30, 10, 3, 5, 5, 6, 3, 3, 1, 1),
    )[0]
    once = random.random() < 0.15
    wait = f"sleep {round(1.5 * random.random() ** 3 + 0.01, 3)}"
    body = ["print @@ begins", wait, "print @@ ends"]
    if kind == "talk":
        body = [line for n in range(6) for line in (f"print @@ {n}", "sleep 0.02")]
    elif kind == "bulk":
        body = ["print @@ much", f"print-bytes {random.randrange(1, 200_000)}", wait]
    elif kind == "fail":
        body = ["print @@ fails", wait, f"exit {random.choice((1, 3))}"]
    elif kind == "fail-first":
        body = ["print @@ may fail", wait, f"fail-first {random.choice((1, 2))} 3"]
    elif kind == "lose":
        body = ["print @@ may go", wait, f"lose-worker {random.choice((1, 1, 2, 9))}"]
    elif kind == "create":
        body = [f"fail-create {random.choice((1, 2, 9))}", "print @@ is there"]
    elif kind == "hang":
        body = ["print @@ hangs", "hang"]
    elif kind == "stubborn":
        body = ["print @@ hangs on", "ignore-term", "hang"]
    elif kind == "missing":
        body = ["not-found"]
    return _spec(index, body, once=once, continues=kind.startswith("fail") and random.random() < 0.2)


def _spec(
    index: int,
    body: list[str],
    *,
    id: str = "",
    if_: str | None = None,
    once: bool = False,
    continues: bool = False,
) -> StepSpec:
    mark = f"{MARK} {index} once" if once else f"{MARK} {index}"
    # what may keep a script from starting must be its first line
    lines = (
        [*body[:1], mark, *body[1:]] if body[0].startswith(("fail-create", "not-found")) else [mark, *body]
    )
    return StepSpec(
        _HERE,
        id,
        f"step {index}",
        if_,
        "\n".join(lines),
        continue_on_error=continues,
        idempotent=not once,
    )
