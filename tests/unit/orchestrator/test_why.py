"""Why a job waits: one labelled state for each reason, and what must be said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain import groups as g
from relevo.domain.machine import handle
from relevo.domain.run import Run
from relevo.orchestrator.api import WAITS
from relevo.orchestrator.why import AgentSeen, Room, Scene, places_of, waiting, why_named, why_queued, why_run
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Rules
from relevo.scheduler.queue import Demand, Queue, Waiting
from relevo.workflow.label_expressions import parse

LINUX = frozenset({"linux"})
PLAIN = Demand(LINUX, None, None)
GIB = 1 << 30


def run(*nodes: e.NodeDecl, name: str = "r1", group: e.GroupAsk | None = None) -> Run:
    made = Run()
    handle(made, c.Submit(name, "w", "t", "push", "s", "x", list(nodes), group=group))
    return made


def expand(state: Run, node: int, *names: str, **options: Any) -> None:
    groups = options.pop("groups", [])
    handle(state, c.ExpandNode(node, [e.JobDecl(name, groups=groups) for name in names], **options))


def one(**options: Any) -> Run:
    state = run(e.NodeDecl("a", []))
    expand(state, 0, "a", **options)
    return state


def at(state: Run, step: str, job: int = 0) -> Run:
    """Bring a job on to where it is assigned, starting, running, …"""
    handle(state, c.AssignJob(job, "local"))
    if step == "assigned":
        return state
    if step == "starting":
        handle(state, c.StartingAttempt(job, 1))
        return state
    handle(state, c.StartAttempt(job, 1))
    if step == "cancelling":
        handle(state, c.CancelRun())
    elif step == "forced":
        handle(state, c.CancelRun("", True))
    elif step == "preempting":
        handle(state, c.PreemptJob(job, 1, "r9", "deploy"))
    elif step == "preempted":
        handle(state, c.PreemptJob(job, 1, "r9", "deploy"))
        handle(state, c.EndAttempt(job, 1, "preempted"))
    elif step == "held":
        handle(state, c.LoseAttempt(job, 1, "its machine went away", held=True))
    return state


def agent(id: str = "local", **facts: Any) -> AgentSeen:
    return AgentSeen(id, **{"labels": LINUX, "slots": 2, "cpus": 8.0, "memory_bytes": 16 * GIB, **facts})


def scene(
    *agents: AgentSeen,
    taken: dict[str, int] | None = None,
    used: dict[str, tuple[float, int]] | None = None,
    queue: Queue | None = None,
    place: dict[str, dict[str, Any]] | None = None,
    drained: dict[str, str] | None = None,
    apart: dict[str, str] | None = None,
    left: dict[str, dict[str, float]] | None = None,
    **more: Any,
) -> Scene:
    """`taken`: slots at agents, none is free without; `used`: cpus and memory at them; `place`: taints, pool and zone of
    agents; `drained`: those that are, and why; `apart`: keys of jobs that they have; `left`: what is
    free of what else they have."""
    capacity = {}
    for one_ in agents:
        if not one_.ready or not one_.connected:
            continue
        where = (place or {}).get(one_.id, {})
        room = AgentCapacity(one_.id, one_.labels, one_.slots, one_.cpus, one_.memory_bytes, **where)
        if one_.id in (drained or {}):
            room.drain(True, (drained or {})[one_.id])
        room.extras_free.update((left or {}).get(one_.id, {}))
        if one_.id in (apart or {}):
            room.apart[(apart or {})[one_.id]] = 1
        for _ in range((taken or {}).get(one_.id, one_.slots)):
            room.take(PLAIN)
        cpus, memory = (used or {}).get(one_.id, (0.0, 0))
        room.cpus_free -= cpus
        room.memory_free -= memory
        capacity[one_.id] = room
    places = places_of(queue, capacity) if queue is not None else {}
    return Scene(agents={one_.id: one_ for one_ in agents}, capacity=capacity, places=places, **more)


def queued(
    *jobs: tuple[str, int], before: tuple[tuple[str, int, Demand], ...] = (), demand: Demand = PLAIN
) -> Queue:
    queue = Queue()
    for number, (other, priority, wanted) in enumerate(before):
        queue.add(Waiting(other, number), priority, wanted)
    for name, job in jobs or (("r1", 0),):
        queue.add(Waiting(name, job), 0, demand)
    return queue


def group(*members: str, leaving: bool = False, queues: bool = True) -> Callable[[str], g.Group | None]:
    """The first one has it, the others wait; a member is `run` or `run/job`."""
    made = g.Group()
    for member in members:
        name, _, job = member.partition("/")
        asked = e.GroupAsk("s", "deploy", queues=queues)
        who = f"job '{job}' of run {name}" if job else f"run {name}"
        g.handle(made, g.Ask(name, int(job or -1), asked, who))
    if leaving:
        g.evolve(made, g.Ousted(*made.holder.key, "a newer one"))
    return lambda stream: made


ASK = e.GroupAsk("s", "deploy")


def in_call() -> Run:
    state = run(e.NodeDecl("call", []))
    inner = [e.NodeDecl("x", []), e.NodeDecl("y", [0])]
    handle(state, c.ExpandNode(0, [e.JobDecl("call", calls="c.yml")], nodes=inner))
    expand(state, 1, "call / x")
    return state


def held_run(name: str) -> Run:
    state = run(e.NodeDecl("a", []), name=name)
    expand(state, 0, "a")
    return at(state, "held")


def retrying(backoff_s: float = 30.0) -> Run:
    state = run(e.NodeDecl("a", [], 2, [7], backoff_s))
    expand(state, 0, "a")
    at(state, "running")
    handle(state, c.EndAttempt(0, 1, "failed", exit_code=7))
    return state


def two_groups() -> Run:
    state = run(e.NodeDecl("a", []))
    asks = [e.GroupAsk("own", "own"), ASK]
    handle(state, c.ExpandNode(0, [e.JobDecl("a", calls="c.yml", groups=asks)], nodes=[e.NodeDecl("x", [])]))
    handle(state, c.GrantGroup(0, "own"))
    return state


def legs_of_calls() -> Run:
    state = run(e.NodeDecl("a", []))
    jobs = [e.JobDecl(f"a ({leg})", calls="c.yml") for leg in range(3)]
    handle(state, c.ExpandNode(0, jobs, max_parallel=2, nodes=[e.NodeDecl("x", [])]))
    return state


def needing(*needs: str) -> Run:
    nodes = [e.NodeDecl(need, []) for need in needs]
    return run(*nodes, e.NodeDecl("last", list(range(len(needs)))))


def rules(where: str = "", *tolerates: str, **more: Any) -> Demand:
    found = Rules(parse(where) if where else None, frozenset(tolerates), **more)
    return Demand(LINUX, None, None, rules=found)


LAB = {"taints": frozenset({"lab"})}
HAVING = {"jobs_of_key": lambda key: ["job 'db' of run r7"]}
GPU = frozenset({"linux", "gpu"})
BOTH = Demand(LINUX, 6.0, 12 * GIB)
OFF = Scene(engine=False)
FREE = {"local": 0}
OTHER = one()

#: label → (run, scene, the job told of, kind, what the sentence says)
STATES: dict[str, tuple[Run, Scene, str, str, str]] = {
    "one need": (needing("build"), Scene(), "last", "needs", "waits until 'build' has ended"),
    "two needs": (needing("a", "b"), Scene(), "last", "needs", "waits until 'a' and 'b' have ended"),
    "many needs": (needing(*"abcdefgh"), Scene(), "last", "needs", "'a', 'b', 'c', 'd' and 4 more have ended"),
    "a need within a call": (in_call(), scene(agent()), "call / y", "needs", "waits until 'call / x' has ended"),
    "a whole call is needed": (
        run(e.NodeDecl("call", []), e.NodeDecl("last", [0])), Scene(), "last", "needs", "until 'call' has ended",
    ),
    "ready and not begun": (run(e.NodeDecl("a", [])), Scene(), "a", "needs", "begins in a moment"),
    "a run behind a run": (
        run(e.NodeDecl("a", []), group=ASK), Scene(group=group("r0", "r1")), "", "group",
        "waits for concurrency group 'deploy', which run r0 has",
    ),
    "a run behind a job": (
        run(e.NodeDecl("a", []), group=ASK), Scene(group=group("r0/3", "r1")), "", "group", "which job '3' of run r0 has",
    ),
    "a job behind a run": (
        one(groups=[ASK]), Scene(group=group("r0", "r1/0")), "a", "group",
        "waits for concurrency group 'deploy', which run r0 has",
    ),
    "third in a group": (
        one(groups=[ASK]), Scene(group=group("r0", "r8", "r9", "r1/0")), "a", "group", "has; 2 others are before it",
    ),
    "a group that is left": (
        one(groups=[ASK]), Scene(group=group("r0", "r1/0", leaving=True)), "a", "group", "has and is told to end",
    ),
    "a group behind a held run": (
        one(groups=[ASK]), Scene(group=group("r0", "r1/0"), run=lambda name: held_run(name)), "a", "group",
        "and that is held: relevo show r0 says what to decide",
    ),
    "a group that has yet to answer": (one(groups=[ASK]), Scene(), "a", "group", "has it in a moment"),
    "a grant on its way": (one(groups=[ASK]), Scene(group=group("r1/0")), "a", "group", "has it in a moment"),
    "the second group of a call": (
        two_groups(), Scene(group=group("r0", "r1/0")), "a", "group", "concurrency group 'deploy', which run r0 has",
    ),
    "a leg beyond max-parallel": (
        one(max_parallel=1), scene(agent()), "", "", "",
    ),
    "a call beyond max-parallel": (
        legs_of_calls(), Scene(), "a (2)", "max-parallel", "max-parallel lets 2 of 'a' at a time begin",
    ),
    "a back-off with its time": (
        retrying(), Scene(retry_in_s=lambda run, job: 12.0), "a", "retry", "is tried again in 12 s; once it failed or was lost",
    ),
    "a long back-off": (
        retrying(7_200.0), Scene(retry_in_s=lambda run, job: 7_200.0), "a", "retry", "is tried again in 2 h",
    ),
    "a back-off of unknown length": (retrying(), Scene(), "a", "retry", "when its back-off is over"),
    "the only slot": (
        one(), scene(agent(slots=1), queue=queued()), "a", "slot", "waits for a free slot: the only slot at local is taken",
    ),
    "all slots": (one(), scene(agent(slots=4), queue=queued()), "a", "slot", "all 4 slots at local are taken"),
    "all slots of two agents": (
        one(), scene(agent("x"), agent("y", slots=3), queue=queued()), "a", "slot", "all 5 slots at x and y are taken",
    ),
    "one is ahead": (
        one(), scene(agent(), queue=queued(before=(("r0", 0, PLAIN),))), "a", "slot", "are taken; 1 job is before it",
    ),
    "higher priority is ahead": (
        one(), scene(agent(), queue=queued(before=(("x", 0, PLAIN), ("y", 5, PLAIN), ("z", 9, PLAIN)))), "a", "slot",
        "; 3 jobs are before it",
    ),
    "lower priority is not": (
        one(), scene(agent(), queue=queued(before=(("x", -1, PLAIN), ("y", 5, PLAIN)))), "a", "slot", "; 1 job is before it",
    ),
    "who wants other agents is not ahead": (
        one(), scene(agent(), agent("big", labels=frozenset({"gpu"})), queue=queued(before=(("x", 5, Demand(frozenset({"gpu"}), None, None)),))),
        "a", "slot", "at local are taken",
    ),
    "a slot is free": (one(), scene(agent(), taken=FREE, queue=queued()), "a", "slot", "is placed in a moment"),
    "between queue and agent": (one(), scene(agent()), "a", "slot", "is placed in a moment"),
    "next at its agent": (
        at(one(), "assigned"), scene(agent(slots=1)), "a", "slot", "is next at agent 'local', which begins it when its slot is free",
    ),
    "next at an agent of many slots": (
        at(one(), "assigned"), scene(agent(slots=8)), "a", "slot", "when one of its 8 slots is free",
    ),
    "a label that nobody has": (
        one(), scene(agent(), queue=queued(demand=Demand(GPU, None, None))), "a", "labels",
        "waits for an agent that answers to gpu: those here answer to linux",
    ),
    "labels that nobody has together": (
        one(), scene(agent(), agent("g", labels=frozenset({"gpu"})), queue=queued(demand=Demand(GPU, None, None))),
        "a", "labels", "answers to all of gpu and linux: none does",
    ),
    "whoever has the label is not connected": (
        one(), scene(agent(), agent("g", labels=GPU, connected=False, ready=False), queue=queued(demand=Demand(GPU, None, None))),
        "a", "agent", "waits for agent 'g', which is not connected",
    ),
    "whoever has the label takes none yet": (
        one(), scene(agent(), agent("g", labels=GPU, ready=False), queue=queued(demand=Demand(GPU, None, None))),
        "a", "agent", "waits for agent 'g', which takes no jobs yet",
    ),
    "too few cpus free": (
        one(), scene(agent(), taken=FREE, used={"local": (6.0, 0)}, queue=queued(demand=Demand(LINUX, 6.0, None))),
        "a", "resources", "asks for 6 cpus, and 2 of 8 are free at local: it begins when jobs there have ended",
    ),
    "too little of something else free": (
        one(),
        scene(
            agent(), taken=FREE, place={"local": {"extras": {"board": 1.0}}}, left={"local": {"board": 0.0}},
            queue=queued(demand=Demand(LINUX, None, None, (("board", 1.0),))),
        ),
        "a", "resources", "asks for 1 of board, and 0 of 1 are free at local: it begins when jobs there have ended",
    ),
    "more of something than there is": (
        one(), scene(agent(), taken=FREE, queue=queued(demand=Demand(LINUX, None, None, (("board", 1.0),)))),
        "a", "resources", "asks for 1 of board, and no agent here has any; RELEVO_RESOURCES=board=N says what there is; it waits for one that could",
    ),
    "more cpus than anybody has": (
        one(), scene(agent("x"), agent("y"), queue=queued(demand=Demand(LINUX, 64.0, None))),
        "a", "resources", "asks for 64 cpus, and no agent here has more than 8; it waits for one that could",
    ),
    "as much as two have, and nobody both": (
        one(),
        scene(agent("x", cpus=64.0), agent("y", memory_bytes=64 * GIB), queue=queued(demand=Demand(LINUX, 32.0, 32 * GIB))),
        "a", "resources", "no agent here could ever run it: of 2 agents, 1 has too little memory in all and 1 has too little cpu in all; it waits",
    ),
    "too little memory free": (
        one(), scene(agent(), taken=FREE, used={"local": (0, 15 * GIB)}, queue=queued(demand=Demand(LINUX, None, 2 * GIB))),
        "a", "resources", "asks for 2.0 GiB of memory, and 1.0 GiB of 16.0 GiB are free at local",
    ),
    "cpus and memory free, but not together": (
        one(),
        scene(agent("x"), agent("y"), taken={"x": 0, "y": 0}, used={"x": (6.0, 0), "y": (0, 8 * GIB)}, queue=queued(demand=BOTH)),
        "a", "resources", "asks for 6 cpus and 12.0 GiB of memory, which no agent has free together",
    ),
    "too few cpus where a slot is free, and others ahead": (
        one(),
        scene(agent(), taken=FREE, used={"local": (7.5, 0)}, queue=queued(demand=Demand(LINUX, 1.5, None), before=(("x", 0, Demand(LINUX, 1.5, None)),))),
        "a", "resources", "asks for 1.5 cpus, and 0.5 of 8 are free at local: it begins when jobs there have ended; 1 job is",
    ),
    "enough of all": (one(), scene(agent(), taken=FREE, queue=queued(demand=BOTH)), "a", "slot", "is placed in a moment"),
    "no agent ever": (one(), scene(queue=queued()), "a", "agent", "none has connected yet"),
    "the agent is away": (
        one(), scene(agent(connected=False, ready=False), queue=queued()), "a", "agent", "'local' is not connected",
    ),
    "the agent is not ready": (
        one(), scene(agent(ready=False), queue=queued()), "a", "agent", "has yet to hand in what it did before",
    ),
    "at work on an agent that is away": (
        at(one(), "running"), scene(agent(connected=False, gone_s=12.0)), "a", "agent",
        "is with agent 'local', which is not connected since 12 s: it is heard of when that is back",
    ),
    "at work on an agent that is away, with a fence": (
        at(one(), "running"), scene(agent(connected=False, gone_s=60.0, lost_in_s=870.0)), "a", "agent",
        "and counts as lost in 14 min",
    ),
    "given to an agent that is away": (
        at(one(), "assigned"), scene(agent(connected=False)), "a", "agent", "is with agent 'local', which is not connected",
    ),
    "with an agent that this engine does not know yet": (
        at(one(), "running"), scene(), "a", "agent", "which has not connected yet",
    ),
    "at work on a full disk": (
        at(one(), "running"), scene(agent(held=True)), "a", "disk",
        "its steps are held back until the disk of agent 'local' has room again",
    ),
    "given to an agent with a full disk": (at(one(), "assigned"), scene(agent(held=True)), "a", "disk", "has room again"),
    "being cancelled": (
        at(one(), "cancelling"), scene(agent()), "a", "cancelling", "relevo cancel r1 --force does not wait for always()",
    ),
    "being cancelled by force": (
        at(one(), "forced"), scene(agent()), "a", "cancelling", "is being cancelled: it ends when its step has",
    ),
    "being cancelled where nobody is reached": (
        at(one(), "cancelling"), scene(agent(connected=False, gone_s=30, lost_in_s=900)), "a", "cancelling",
        "is being cancelled at agent 'local', which is not connected since 30 s",
    ),
    "room is being made for it": (
        one(),
        scene(agent(), queue=queued(), run={"r9": OTHER}.get, rooms={Waiting("r1", 0): Room((Waiting("r9", 0),), 25.0)}),
        "a", "preempting", "waits for job 'a' of run r9, which makes room for it within 25 s",
    ),
    "several make room for it": (
        one(),
        scene(
            agent(), queue=queued(),
            rooms={Waiting("r1", 0): Room((Waiting("r9", 0), Waiting("r9", 1)), 25.0)},
        ),
        "a", "preempting", "waits for job '0' of run r9 and job '1' of run r9, which make room for it within 25 s",
    ),
    "it makes room for another": (
        at(one(), "preempting"), scene(agent()), "a", "preempting",
        "is preempted for job 'deploy' of run r9: its step is being ended, and then it waits again",
    ),
    "it makes room where nobody is reached": (
        at(one(), "preempting"), scene(agent(connected=False, gone_s=12.0)), "a", "agent", "which is not connected since 12 s",
    ),
    "it made room and waits again": (
        at(one(), "preempted"), scene(agent(), queue=queued()), "a", "slot",
        "was preempted for job 'deploy' of run r9, and waits for a free slot: all 2 slots at local are taken",
    ),
    "a deadline that comes": (
        one(), scene(agent(), queue=queued(), deadline_in_s=lambda run, job: 240.0), "a", "slot", "are taken; its deadline is in 4 min",
    ),
    "a deadline that has passed": (
        one(), scene(agent(), queue=queued(), deadline_in_s=lambda run, job: -30.0), "a", "slot", "are taken; it is late by 30 s",
    ),
    "held": (
        at(one(), "held"), scene(agent()), "a", "held",
        "relevo retry r1 --job 'a' runs it again, relevo fail r1 --job 'a' gives it up",
    ),
    "needing what is held": (
        (lambda state: (expand(state, 0, "a"), at(state, "held"))[1])(needing("a")), scene(agent()), "last", "needs",
        "waits until 'a' (which is held) has ended",
    ),
    "a worker that is being made": (
        at(one(), "starting"), scene(agent()), "a", "starting", "its worker is being made at agent 'local'",
    ),
    "the only agent is drained": (
        one(), scene(agent(), taken=FREE, drained={"local": ""}, queue=queued()), "a", "drained",
        "waits for an agent that takes it: agent 'local' is drained: it takes nothing new; relevo undrain local lets it take jobs again",
    ),
    "the only agent is drained for a reason": (
        one(), scene(agent(), taken=FREE, drained={"local": "new kernel"}, queue=queued(before=(("r0", 0, PLAIN),))), "a", "drained",
        "agent 'local' is drained (new kernel): it takes nothing new; relevo undrain local lets it take jobs again; 1 job is before it",
    ),
    "all agents are drained": (
        one(), scene(agent("x"), agent("y"), drained={"x": "", "y": ""}, queue=queued()), "a", "drained",
        "all 2 agents are drained; relevo undrain AGENT lets it take jobs again",
    ),
    "some are drained and some full": (
        one(), scene(agent("x"), agent("y"), agent("z"), drained={"x": ""}, queue=queued()), "a", "drained",
        "of 3 agents, 2 have all places taken and 1 is drained; relevo undrain x lets it take jobs again",
    ),
    "a taint that is not tolerated": (
        one(), scene(agent(), taken=FREE, place={"local": LAB}, queue=queued()), "a", "taints",
        "no agent here could ever run it: agent 'local' is kept for jobs that tolerate lab",
    ),
    "a taint on some, others full": (
        one(), scene(agent("x"), agent("y"), taken={"x": 0}, place={"x": LAB}, queue=queued(demand=rules("", "other"))), "a", "slot",
        "of 2 agents, 1 is kept for jobs that tolerate lab and 1 has all places taken; it begins when jobs there have ended",
    ),
    "an expression of which a part does not hold": (
        one(), scene(agent(), taken=FREE, place={"local": {"zone": "a"}}, queue=queued(demand=rules("linux && zone:b && !gpu"))),
        "a", "where", "no agent here could ever run it: agent 'local' is not zone:b",
    ),
    "an expression that holds of none": (
        one(), scene(agent("x"), agent("y"), queue=queued(demand=rules("gpu || zone:b"))),
        "a", "where", "no agent here could ever run it: none of the 2 agents is gpu || zone:b",
    ),
    "an expression that holds where nobody is now": (
        one(), scene(agent("x"), agent("y", connected=False, ready=False), queue=queued(demand=rules("gpu"))),
        "a", "where", "no agent here could ever run it: agent 'x' is not gpu; it waits for one that could, and 'y' is not there",
    ),
    "labels, expressions and taints on several": (
        one(),
        scene(
            agent("w", labels=frozenset({"arm"})), agent("x"), agent("y"), agent("z"), taken={"x": 0, "y": 0, "z": 0},
            place={"x": {"zone": "b"}, "y": LAB, "z": {"zone": "b", **LAB}}, queue=queued(demand=rules("!zone:b")),
        ),
        "a", "where",
        "no agent here could ever run it: of 4 agents, 2 are not !zone:b, 1 does not answer to linux and 1 is kept for jobs that "
        "tolerate lab",
    ),
    "apart from a job on the same agent": (
        one(), scene(agent(), taken=FREE, apart={"local": "db"}, queue=queued(demand=rules(apart="db")), **HAVING), "a", "apart",
        "agent 'local' has a job of 'db', from which it is kept apart; it begins when job 'db' of run r7 has ended",
    ),
    "apart from a job in the same zone": (
        one(),
        scene(
            agent("x"), agent("y"), taken={"x": 0, "y": 0}, apart={"x": "db"}, place={"x": {"zone": "a"}, "y": {"zone": "a"}},
            queue=queued(demand=rules(apart="db", apart_over="zone")), **HAVING,
        ),
        "a", "apart", "all 2 agents have a job of 'db' in the same zone; it begins when job 'db' of run r7 has ended",
    ),
    "apart from many jobs": (
        one(),
        scene(
            agent("x"), agent("y"), taken={"x": 0}, apart={"x": "db"}, queue=queued(demand=rules(apart="db")),
            jobs_of_key=lambda key: ["one", "two", "three", "four"],
        ),
        "a", "apart", "it begins when one, two and 2 more have ended",
    ),
    "rules are kept and amounts are taken": (
        one(),
        scene(agent(), taken=FREE, used={"local": (6.0, 0)}, queue=queued(demand=rules("linux")._replace(cpus=4.0))),
        "a", "resources", "asks for 4 cpus, and 2 of 8 are free at local: it begins when jobs there have ended",
    ),
    "rules are kept and slots are taken": (
        one(), scene(agent(), queue=queued(demand=rules("linux"))), "a", "slot", "all 2 slots at local are taken",
    ),
    "too little there, and kept apart elsewhere": (
        one(),
        scene(
            agent("x"), agent("y"), taken={"x": 0, "y": 0}, used={"y": (8.0, 0)}, place={"x": LAB},
            queue=queued(demand=rules("linux")._replace(cpus=4.0)),
        ),
        "a", "resources", "of 2 agents, 1 is kept for jobs that tolerate lab and 1 has too little cpu free; it begins when",
    ),
    "queued without an engine": (one(), OFF, "a", "engine", "no engine runs: relevo resume goes on with it"),
    "at work without an engine": (at(one(), "running"), OFF, "a", "engine", "relevo resume hears what became of it"),
    "a group without an engine": (one(groups=[ASK]), OFF, "a", "group", "no engine runs: relevo resume"),
    "needs without an engine": (needing("build"), OFF, "last", "needs", "waits until 'build' has ended"),
}  # fmt: skip


@pytest.mark.parametrize("label", STATES)
def test_the_reason_is_right(label):
    state, seen, job, kind, said = STATES[label]
    if label == "a leg beyond max-parallel":
        state = run(e.NodeDecl("a", []))
        expand(state, 0, "a (1)", "a (2)", max_parallel=1)
        job, kind, said = (
            "a (2)",
            "max-parallel",
            "waits until another leg has ended: max-parallel lets 1 of 'a' at a time begin",
        )
    [found] = [wait for wait in why_run(seen, state) if wait.job == job]
    assert (found.kind, found.run) == (kind, "r1")
    assert said in found.reason
    assert not found.reason.endswith(".")


def test_every_kind_has_its_state():
    assert {kind for _, _, _, kind, _ in STATES.values() if kind} | {"max-parallel"} == set(WAITS)
    assert len(STATES) >= 80


@pytest.mark.parametrize("step", ["running"])
def test_what_does_not_wait_is_not_told_of(step):
    assert why_run(scene(agent()), at(one(), step)) == []
    ended = at(one(), "running")
    handle(ended, c.EndAttempt(0, 1, "succeeded"))
    assert why_run(scene(agent()), ended) == []
    assert [wait.job for wait in why_run(scene(agent(), queue=queued(("r1", 1))), in_call())] == [
        "call / x",
        "call / y",
    ]


def test_of_a_run_that_waits_only_that_is_told():
    state = run(e.NodeDecl("a", []), e.NodeDecl("b", [0]), group=ASK)
    assert [wait.job for wait in why_run(Scene(group=group("r0", "r1")), state)] == [""]


def test_a_job_that_does_not_wait_is_told_of_when_it_is_asked_for():
    state = at(one(), "running")
    asked = why_named(scene(agent()), state, "a")
    assert asked is not None
    assert (asked.kind, asked.reason) == ("", "does not wait: it is at work at agent 'local'")
    handle(state, c.EndAttempt(0, 1, "failed", message="exit code 1"))
    asked = why_named(scene(agent()), state, "a")
    assert asked is not None
    assert asked.reason == "has ended: failed (exit code 1)"
    asked = why_named(scene(agent()), in_call(), "call")
    assert asked is not None
    assert asked.reason == "does not wait: the jobs of c.yml are on their way"
    assert why_named(scene(agent()), state, "other") is None


def test_the_whole_queue_in_order():
    queue = queued(("low", 0), ("low", 1))
    queue.add(Waiting("high", 0), 9, PLAIN, 5.0)
    seen = scene(agent(), queue=queue)
    found = list(waiting(seen, 2))
    assert [(one_.run, one_.job, place.position, place.ahead, place.priority) for one_, place, _ in found] == [
        ("high", 0, 0, 0, 9), ("low", 0, 1, 1, 0),
    ]  # fmt: skip
    assert found[1][2].endswith("; 1 job is before it")
    assert len(list(waiting(seen, 100))) == 3


def test_who_has_its_quota_is_told_so():
    queue = Queue()
    queue.add(Waiting("r", 0), 0, PLAIN, 0.0, "acme/web")
    queue.add(Waiting("r", 1), 0, PLAIN, 0.0, "acme/api")
    places = places_of(queue, {}, over_quota=lambda tenant, demand: tenant == "acme/web")
    assert [places[Waiting("r", job)].quota for job in (0, 1)] == ["acme/web", ""]
    told = why_queued(scene(agent(), taken=FREE), places[Waiting("r", 0)])
    assert told == ("resources", "waits for jobs of acme/web to end, which has its quota")
    told = why_queued(
        scene(agent(), taken=FREE, quota=lambda tenant, demand: "4 of 4 jobs"), places[Waiting("r", 0)]
    )
    assert told == ("resources", "waits for jobs of acme/web to end, which has its quota: 4 of 4 jobs")
