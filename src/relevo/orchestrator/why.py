"""Why a job waits, in one sentence that names what would let it go on.

A pure function over what an engine holds: runs, groups, queue, capacity, agents (`Scene`). Without an engine (`Scene.engine`
False) it tells what the stored run alone says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import Final

from msgspec import Struct

from relevo.domain.groups import RUN, Group, Key
from relevo.domain.run import Job, Node, Run
from relevo.domain.states import JOB_ENDS, JobStatus, MemberStatus
from relevo.orchestrator.api import Wait
from relevo.orchestrator.unfit import unfit
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.queue import Demand, Queue, Waiting

#: Names that a sentence lists at most.
NAMES: Final = 5
_GIB: Final = 1 << 30
_MIB: Final = 1 << 20


class AgentSeen(Struct, frozen=True):
    """An agent, as far as waiting depends on it."""

    id: str
    connected: bool = True
    ready: bool = True  #: it takes jobs
    held: bool = False  #: it holds its steps back: no room on its disk
    labels: frozenset[str] = frozenset()
    slots: int = 1
    cpus: float = 0.0
    memory_bytes: int = 0
    gone_s: float = 0.0  #: for how long it is not connected
    lost_in_s: float | None = (
        None  #: when what it has counts as lost, if it stays away; None: that is not known
    )


class Place(Struct, frozen=True):
    """Where a job stands in the queue."""

    position: int  #: from 0
    ahead: int  #: how many before it could take a place that it could take, too
    priority: int
    since_s: float  #: of the scheduler's clock
    demand: Demand
    quota: str = ""  #: whose quota is full; "": nobody's


class Room(Struct, frozen=True):
    """Room that is being made for a job."""

    victims: tuple[Waiting, ...]  #: who has still to go
    within_s: float  #: the time that is left to them


class Scene(Struct, frozen=True):
    """What is looked at."""

    engine: bool = True
    run: Callable[[str], Run | None] = lambda run: None
    group: Callable[[str], Group | None] = lambda stream: None
    agents: Mapping[str, AgentSeen] = {}
    capacity: Mapping[str, AgentCapacity] = {}  #: of those that are ready
    places: Mapping[Waiting, Place] = {}
    rooms: Mapping[Waiting, Room] = {}
    retry_in_s: Callable[[str, int], float | None] = lambda run, job: None
    #: until a job should have ended; infinite when nothing is said, or nobody looks at it
    deadline_in_s: Callable[[str, int], float] = lambda run, job: inf
    #: what a tenant has of its quota where that keeps a job back, for people; "": not known
    quota: Callable[[str, Demand], str] = lambda tenant, demand: ""
    #: the jobs, as people know them, that run with a key of `apart`
    jobs_of_key: Callable[[str], Sequence[str]] = lambda key: ()
    #: what was found of classes of jobs so far, see `unfit.unfit`
    unfit: dict[Demand, tuple[str, str] | None] = {}


def places_of(
    queue: Queue,
    capacity: Mapping[str, AgentCapacity],
    most: int | None = None,
    over_quota: Callable[[str, Demand], bool] = lambda tenant, demand: False,
) -> dict[Waiting, Place]:
    """Where the first jobs of a queue stand, in order. O(most), times how many different sets of agents labels allow.

    `over_quota`: whether a tenant may not have one more of a class now.
    """
    over: dict[tuple[str, Demand], bool] = {}
    found: dict[Waiting, Place] = {}
    fitting: dict[frozenset[str], frozenset[str]] = {}
    counts: dict[frozenset[str], int] = {}
    for waiting, priority, demand, since_s in queue.waiting(len(queue) if most is None else most):
        agents = fitting.get(demand.labels)
        if agents is None:
            agents = fitting[demand.labels] = frozenset(
                id for id, agent in capacity.items() if demand.labels <= agent.labels
            )
        ahead = sum(count for others, count in counts.items() if others & agents)
        tenant = queue.tenant(waiting)
        if (tenant, demand) not in over:
            over[tenant, demand] = over_quota(tenant, demand)
        quota = tenant if over[tenant, demand] else ""
        found[waiting] = Place(len(found), ahead, priority, since_s, demand, quota)
        counts[agents] = counts.get(agents, 0) + 1
    return found


def why_run(scene: Scene, run: Run) -> list[Wait]:
    """All that waits in a run. When the run itself does, that alone: nothing of it can begin before."""
    if run.ended:
        return []
    accepted = run.accepted
    if run.waiting and accepted is not None and accepted.group is not None:
        reason = _group(scene, accepted.group.stream, accepted.group.name, Key(run.id, RUN))
        return [Wait(run.id, "", -1, "waiting", "group", reason)]
    found: list[Wait] = []
    for node in run.nodes:
        if not node.expanded:
            found.append(_unexpanded(run, node))
        for job in node.jobs:
            wait = why_job(scene, run, job)
            if wait is not None:
                found.append(wait)
    return found


def why_job(scene: Scene, run: Run, job: Job) -> Wait | None:
    """Why a job waits; None when it does not: it is at work, or over, or others stand for it."""
    explained = _EXPLAIN.get(job.status)
    told = explained(scene, run, job) if explained is not None else None
    if told is None:
        return None
    return Wait(run.id, job.decl.name, job.index, str(job.status), *told)


def why_named(scene: Scene, run: Run, name: str) -> Wait | None:
    """Why one job waits, or that it does not: then `kind` is "". None when the run has no such job, nor will have."""
    waits = why_run(scene, run)
    for wait in waits:
        if wait.job in (name, ""):
            return wait
    job = next((job for job in run.jobs if job.decl.name == name), None)
    if job is None:
        return None
    return Wait(run.id, name, job.index, str(job.status), "", _goes_on(job))


def _goes_on(job: Job) -> str:
    if job.status in JOB_ENDS:
        return f"has ended: {job.status}" + (f" ({job.message})" if job.message else "")
    if job.status is JobStatus.CALLING:
        return f"does not wait: the jobs of {job.decl.calls} are on their way"
    return f"does not wait: it is at work at agent '{job.agent}'"


# --- before the queue -------------------------------------------------------------------------------------------------


def _unexpanded(run: Run, node: Node) -> Wait:
    left = [run.nodes[index] for index in node.needs if not run.nodes[index].ended]
    if left:
        reason = f"waits until {_listed([_state_of(need) for need in left])} {_have(left)} ended"
    else:
        reason = "begins in a moment: what it needs has ended"
    return Wait(run.id, node.path, -1, "pending", "needs", reason)


def _state_of(need: Node) -> str:
    held = [job.decl.name for job in need.jobs if job.status is JobStatus.HELD]
    return f"'{need.path}' (which is held)" if held else f"'{need.path}'"


def _have(several: list[Node]) -> str:
    return "has" if len(several) == 1 else "have"


def _pending(scene: Scene, run: Run, job: Job) -> tuple[str, str] | None:
    if job.delayed:
        rest_s = scene.retry_in_s(run.id, job.index)
        when = "when its back-off is over" if rest_s is None else f"in {_time(rest_s)}"
        return "retry", f"is tried again {when}; {_times(job.retries + job.lost)} it failed or was lost"
    node = job.node
    if node.max_parallel is not None and node.active >= node.max_parallel:
        at_a_time = f"{node.max_parallel} of '{node.path}' at a time"
        return "max-parallel", f"waits until another leg has ended: max-parallel lets {at_a_time} begin"
    return "needs", "begins in a moment"


def _waiting(scene: Scene, run: Run, job: Job) -> tuple[str, str] | None:
    ask = job.asks
    if ask is None:
        return None
    return "group", _group(scene, ask.stream, ask.name, Key(run.id, job.index))


def _group(scene: Scene, stream: str, name: str, key: Key) -> str:
    said = f"waits for concurrency group '{name}'"
    if not scene.engine:
        return f"{said}, and no engine runs: relevo resume goes on with it"
    group = scene.group(stream)
    holder = None if group is None else group.holder
    if group is None or holder is None or holder.key == key:
        return f"asks for concurrency group '{name}', and has it in a moment"
    said += f", which {holder.who} has"
    if holder.status is MemberStatus.LEAVING:
        said += " and is told to end"
    elif _is_held(scene, holder.key):
        said += f", and that is held: relevo show {holder.key.run} says what to decide"
    before = 0
    for member in group.waiting:
        if member.key == key:
            break
        before += 1
    return f"{said}; {_counted(before, 'other')} {_be(before)} before it" if before else said


def _is_held(scene: Scene, key: Key) -> bool:
    run = scene.run(key.run)
    return run is not None and run.held > 0 and run.busy == 0


# --- in the queue, and at an agent ------------------------------------------------------------------------------------


def _queued(scene: Scene, run: Run, job: Job) -> tuple[str, str] | None:
    if not scene.engine:
        return "engine", "waits for a slot, and no engine runs: relevo resume goes on with it"
    one = Waiting(run.id, job.index)
    place = scene.places.get(one)
    kind, reason = ("slot", "is placed in a moment") if place is None else _why_placed(scene, one, place)
    return kind, f"was {job.message}, and {reason}" if job.preempted and job.message else reason


def _why_placed(scene: Scene, one: Waiting, place: Place) -> tuple[str, str]:
    room = scene.rooms.get(one)
    if room is not None:
        names = _listed([_name(scene, victim) for victim in sorted(room.victims)])
        verb = "makes" if len(room.victims) == 1 else "make"
        kind, reason = (
            "preempting",
            f"waits for {names}, which {verb} room for it within {_time(room.within_s)}",
        )
    else:
        kind, reason = why_queued(scene, place)
    return kind, reason + _due(scene.deadline_in_s(*one))


def _name(scene: Scene, job: Waiting) -> str:
    run = scene.run(job.run)
    name = run.jobs[job.job].decl.name if run is not None else job.job
    return f"job '{name}' of run {job.run}"


def _due(left_s: float) -> str:
    if left_s == inf:
        return ""
    return f"; its deadline is in {_time(left_s)}" if left_s >= 0 else f"; it is late by {_time(-left_s)}"


def why_queued(scene: Scene, place: Place) -> tuple[str, str]:
    """Why a job that is in the queue has no place yet: kind and sentence."""
    demand = place.demand
    if not scene.capacity:
        return _nobody_ready(scene)
    if place.quota:
        quota = scene.quota(place.quota, demand)
        told = f": {quota}" if quota else ""
        return (
            "resources",
            f"waits for jobs of {place.quota} to end, which has its quota{told}{_ahead(place)}",
        )
    if demand not in scene.unfit:
        away = [id for id in sorted(scene.agents) if id not in scene.capacity]
        scene.unfit[demand] = unfit(demand, scene.capacity, away, scene.jobs_of_key)
    kept = scene.unfit[demand]
    if kept is not None:
        return kept[0], kept[1] + _ahead(place)
    able = [agent for _, agent in sorted(scene.capacity.items()) if demand.labels <= agent.labels]
    if not able:
        return _no_label(scene, demand)
    with_place = [agent for agent in able if agent.free > 0]
    if not with_place:
        slots = sum(agent.slots for agent in able)
        taken = "the only slot" if slots == 1 else f"all {slots} slots"
        ids = _listed([agent.id for agent in able])
        return "slot", f"waits for a free slot: {taken} at {ids} {_be(slots)} taken{_ahead(place)}"
    if demand.cpus and all(agent.cpus_free < demand.cpus for agent in with_place):
        best = max(with_place, key=lambda agent: agent.cpus_free)
        whole = scene.agents[best.id].cpus if best.id in scene.agents else 0.0
        room = f"{max(0.0, best.cpus_free):g} of {whole:g} are free at {best.id}"
        return (
            "resources",
            f"asks for {demand.cpus:g} cpus, and {room}: it begins when jobs there have ended{_ahead(place)}",
        )
    if demand.memory_bytes and all(agent.memory_free < demand.memory_bytes for agent in with_place):
        best = max(with_place, key=lambda agent: agent.memory_free)
        total = scene.agents[best.id].memory_bytes if best.id in scene.agents else 0
        room = f"{_size(max(0, best.memory_free))} of {_size(total)} are free at {best.id}"
        return (
            "resources",
            f"asks for {_size(demand.memory_bytes)} of memory, and {room}: it begins when jobs there have ended"
            f"{_ahead(place)}",
        )
    for name, amount in demand.extras:
        if amount and all(agent.extras_free.get(name, 0) < amount for agent in with_place):
            best = max(with_place, key=lambda agent: agent.extras_free.get(name, 0))
            free, most = max(0, best.extras_free.get(name, 0)), best.extras.get(name, 0)
            size = name == "disk"
            asked, room = (
                (_size(int(amount)), f"{_size(int(free))} of {_size(int(most))}")
                if size
                else (f"{amount:g}", f"{free:g} of {most:g}")
            )
            return (
                "resources",
                f"asks for {asked} of {name}, and {room} are free at {best.id}: it begins when jobs there have ended"
                f"{_ahead(place)}",
            )
    if demand.cpus and demand.memory_bytes and not _roomy(demand, with_place):
        both = f"{demand.cpus:g} cpus and {_size(demand.memory_bytes)} of memory"
        return "resources", f"asks for {both}, which no agent has free together{_ahead(place)}"
    return "slot", f"is placed in a moment{_ahead(place)}"


def _roomy(demand: Demand, agents: list[AgentCapacity]) -> bool:
    return any(
        (demand.cpus or 0) <= agent.cpus_free and (demand.memory_bytes or 0) <= agent.memory_free
        for agent in agents
    )


def _ahead(place: Place) -> str:
    return f"; {_counted(place.ahead, 'job')} {_be(place.ahead)} before it" if place.ahead else ""


def _nobody_ready(scene: Scene) -> tuple[str, str]:
    away = [agent for agent in scene.agents.values() if not agent.connected]
    if away:
        names = _listed([f"'{agent.id}'" for agent in away])
        return "agent", f"waits for an agent: {names} {_be(len(away))} not connected"
    if scene.agents:
        return "agent", "waits for an agent: it is connected, and has yet to hand in what it did before"
    return "agent", "waits for an agent: none has connected yet"


def _no_label(scene: Scene, demand: Demand) -> tuple[str, str]:
    for agent in scene.agents.values():
        if not agent.ready and demand.labels <= agent.labels:
            state = "takes no jobs yet" if agent.connected else "is not connected"
            return "agent", f"waits for agent '{agent.id}', which {state}"
    known = frozenset[str]().union(*(agent.labels for agent in scene.capacity.values()))
    missing = sorted(demand.labels - known)
    if not missing:
        return (
            "labels",
            f"waits for an agent that answers to all of {_listed(sorted(demand.labels))}: none does",
        )
    return (
        "labels",
        f"waits for an agent that answers to {_listed(missing)}: those here answer to {_listed(sorted(known))}",
    )


def _assigned(scene: Scene, run: Run, job: Job) -> tuple[str, str] | None:
    agent = scene.agents.get(job.agent)
    if not scene.engine or agent is None or not agent.connected:
        return _at_agent(scene, run, job)
    if agent.held:
        return _no_room(agent)
    slots = "its slot is free" if agent.slots == 1 else f"one of its {agent.slots} slots is free"
    return "slot", f"is next at agent '{job.agent}', which begins it when {slots}"


def _starting(scene: Scene, run: Run, job: Job) -> tuple[str, str] | None:
    return _at_agent(scene, run, job) or ("starting", f"its worker is being made at agent '{job.agent}'")


def _at_agent(scene: Scene, run: Run, job: Job) -> tuple[str, str] | None:
    """What holds up a job that an agent has; None when nothing does."""
    if not scene.engine:
        return "engine", "is with an agent, and no engine runs: relevo resume hears what became of it"
    agent = scene.agents.get(job.agent)
    if agent is None:
        return "agent", f"is with agent '{job.agent}', which has not connected yet"
    if not agent.connected:
        return "agent", f"is with agent '{job.agent}', {_gone(agent)}"
    return _no_room(agent) if agent.held else None


def _gone(agent: AgentSeen) -> str:
    lost = "" if agent.lost_in_s is None else f", and counts as lost in {_time(max(0.0, agent.lost_in_s))}"
    return f"which is not connected since {_time(agent.gone_s)}: it is heard of when that is back{lost}"


def _no_room(agent: AgentSeen) -> tuple[str, str]:
    return "disk", f"its steps are held back until the disk of agent '{agent.id}' has room again"


def _cancelling(scene: Scene, run: Run, job: Job) -> tuple[str, str] | None:
    if scene.engine:
        agent = scene.agents.get(job.agent)
        if agent is None or not agent.connected:
            gone = "which has not connected yet" if agent is None else _gone(agent)
            return "cancelling", f"is being cancelled at agent '{job.agent}', {gone}"
    forced = "" if job.forced else f"; relevo cancel {run.id} --force does not wait for always()"
    return "cancelling", f"is being cancelled: it ends when its step has, and those with always(){forced}"


def _preempting(scene: Scene, run: Run, job: Job) -> tuple[str, str] | None:
    told = _at_agent(scene, run, job)
    if told is not None:
        return told
    return "preempting", f"is {job.message}: its step is being ended, and then it waits again"


def _held(scene: Scene, run: Run, job: Job) -> tuple[str, str] | None:
    name = job.decl.name
    why = f" ({job.message})" if job.message else ""
    return (
        "held",
        f"asks what to do{why}: relevo retry {run.id} --job '{name}' runs it again, relevo fail {run.id} --job '{name}' "
        "gives it up",
    )


_EXPLAIN: Final[dict[JobStatus, Callable[[Scene, Run, Job], tuple[str, str] | None]]] = {
    JobStatus.PENDING: _pending,
    JobStatus.WAITING: _waiting,
    JobStatus.QUEUED: _queued,
    JobStatus.ASSIGNED: _assigned,
    JobStatus.STARTING: _starting,
    JobStatus.RUNNING: _at_agent,
    JobStatus.PREEMPTING: _preempting,
    JobStatus.CANCELLING: _cancelling,
    JobStatus.HELD: _held,
}


def waiting(scene: Scene, limit: int) -> Iterator[tuple[Waiting, Place, str]]:
    """The first jobs of the queue, each with its place and why it waits. O(limit)."""
    for number, (one, place) in enumerate(scene.places.items()):
        if number >= limit:
            return
        yield one, place, _why_placed(scene, one, place)[1]


# --- words ------------------------------------------------------------------------------------------------------------


def _listed(names: list[str]) -> str:
    if len(names) > NAMES:
        names = [*names[: NAMES - 1], f"{len(names) - NAMES + 1} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.0f} h"


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"
