"""The agents that a load is to run on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from relevo.domain.errors import UserError
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.reach import Reach
from relevo.scheduler.simulation.workload import Workload
from relevo.workflow import label_expressions, quantities
from relevo.workflow.labels import canonical, local_labels

_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,62}\Z")
#: What agents answer to, beside what else they are given.
USUAL: Final = local_labels("x86_64")
#: What an agent has that says nothing of it: more than jobs ask for.
ENOUGH_CPUS: Final = 1e6
ENOUGH_BYTES: Final = 1 << 50
#: Agents that one simulation may have.
AGENT_LIMIT: Final = 100_000
#: Jobs that are named when they fit nowhere.
NAMED: Final = 5


class Shape(NamedTuple):
    """An agent as it reports itself."""

    slots: int
    labels: frozenset[str] = USUAL
    cpus: float = ENOUGH_CPUS
    memory_bytes: int = ENOUGH_BYTES
    #: jobs that it takes beyond its slots; None: as many as it has slots, as agents do
    window: int | None = None
    extras: tuple[tuple[str, float], ...] = ()  #: what else it has, by name in order: gpu, disk in bytes, …
    taints: frozenset[str] = frozenset()
    pool: str = ""
    zone: str = ""
    load: float = 0.0  #: what others keep busy of it, as it reports; 0 to 1

    @property
    def ahead(self) -> int:
        """Jobs that it takes beyond its slots at least."""
        return self.slots if self.window is None else self.window

    def refusal(self, demand: Demand) -> str:
        """Why it can never take a job; "" when it can."""
        return Reach([self.agent(self.told())]).refusal(demand)

    def agent(self, id: str, *, ahead: bool = True) -> AgentCapacity:
        """As the scheduler is told of it, empty. `ahead`: it takes jobs beyond its slots, if it does."""
        return AgentCapacity(
            id,
            self.labels,
            self.slots,
            self.cpus,
            self.memory_bytes,
            self.ahead if ahead else 0,
            extras=dict(self.extras),
            taints=self.taints,
            pool=self.pool,
            zone=self.zone,
        )

    def told(self) -> str:
        """As it is written in `--agents`."""
        parts = [f"slots={self.slots}"]
        if self.cpus != ENOUGH_CPUS:
            parts.append(f"cpus={self.cpus:g}")
        if self.memory_bytes != ENOUGH_BYTES:
            parts.append(f"memory={self.memory_bytes / (1 << 30):g}Gi")
        parts += [
            f"{name}={amount / (1 << 30):g}Gi" if name == "disk" else f"{name}={amount:g}"
            for name, amount in self.extras
        ]
        if self.labels - USUAL:
            parts.append(f"labels={'+'.join(sorted(self.labels - USUAL))}")
        if self.taints:
            parts.append(f"taints={'+'.join(sorted(self.taints))}")
        parts += [f"{name}={value}" for name, value in (("pool", self.pool), ("zone", self.zone)) if value]
        if self.load:
            parts.append(f"load={self.load:g}")
        if self.window is not None:
            parts.append(f"window={self.window}")
        return ",".join(parts)


class Machines(NamedTuple):
    """All agents, and what can be said of all of them."""

    shapes: tuple[Shape, ...]  #: one for each agent
    startup_s: float = 0.0  #: what making a worker takes, for each attempt
    fails_after_s: float | None = None  #: mean time until an agent is lost with all that it has; None: never
    repair_s: float = 600.0  #: until it is back

    @property
    def slots(self) -> int:
        """Jobs that run at a time at most."""
        return sum(shape.slots for shape in self.shapes)

    @property
    def cpus(self) -> float:
        return sum(shape.cpus for shape in self.shapes)

    @property
    def memory_bytes(self) -> int:
        return sum(shape.memory_bytes for shape in self.shapes)

    def extras(self, name: str) -> float:
        """How much there is of what else agents have."""
        return sum(amount for shape in self.shapes for known, amount in shape.extras if known == name)

    def capacity(self, agent: int, *, ahead: bool = True) -> AgentCapacity:
        """What the scheduler is told of an agent, empty. `ahead`: it takes jobs beyond its slots, if it does."""
        return self.shapes[agent].agent(name_of(agent), ahead=ahead)

    def told(self) -> list[str]:
        """Each shape with how many agents have it, as in `--agents`."""
        counts: dict[str, int] = {}
        for shape in self.shapes:
            counts[shape.told()] = counts.get(shape.told(), 0) + 1
        return [f"{count}:{shape}" for shape, count in counts.items()]

    def unfit(self, workload: Workload) -> dict[int, str]:
        """Jobs (by position) that no agent could ever take, and why."""
        kinds = list(dict.fromkeys(self.shapes))
        verdicts: dict[Demand, str] = {}
        found: dict[int, str] = {}
        for position, job in enumerate(workload.jobs):
            verdict = verdicts.get(job.demand)
            if verdict is None:
                refusals = [shape.refusal(job.demand) for shape in kinds]
                if _names_agents(job.demand):
                    refusals = [Reach(map(self.capacity, range(len(self.shapes)))).refusal(job.demand)]
                # The shape that lacks least says most: the labels of the others were never meant.
                verdict = (
                    "" if "" in refusals else min(refusals, key=lambda told: "no agent here does" in told)
                )
                verdicts[job.demand] = verdict
            if verdict:
                found[position] = verdict
        return found


def _names_agents(demand: Demand) -> bool:
    """Whether it matters which agent it is, beside what it is like."""
    rules = demand.rules
    return rules is not None and rules.where is not None and "node:" in label_expressions.text(rules.where)


def name_of(agent: int) -> str:
    """Agents are numbered from 1 where people see them."""
    return f"agent-{agent + 1}"


def require_fit(workload: Workload, machines: Machines) -> None:
    """Raises UserError that names jobs which no agent could ever take."""
    unfit = machines.unfit(workload)
    if unfit:
        told = [
            f"  {workload.jobs[position].run} / {workload.jobs[position].name}: {why}"
            for position, why in list(unfit.items())[:NAMED]
        ]
        if len(unfit) > NAMED:
            told.append(f"  and {len(unfit) - NAMED:,} more")
        jobs = "1 job fits" if len(unfit) == 1 else f"{len(unfit):,} jobs fit"
        raise UserError(
            f"{jobs} no agent, and would wait for ever:\n" + "\n".join(told),
            hint="give agents that take them (--agents), or leave them out (--skip-unmatched)",
        )


def only_fitting(workload: Workload, machines: Machines) -> tuple[Workload, int]:
    """The load without jobs that no agent could ever take, nor those that need them; and how many that were. Raises UserError
    when none is left."""
    out = set(machines.unfit(workload))
    if not out:
        return workload, 0
    jobs = workload.jobs
    pending = True
    while pending:  # needs may be submitted later than who needs them, so one pass may not do
        more = {
            position
            for position, job in enumerate(jobs)
            if position not in out and not out.isdisjoint(job.needs)
        }
        out |= more
        pending = bool(more)
    place = {old: new for new, old in enumerate(old for old in range(len(jobs)) if old not in out)}
    if not place:
        require_fit(workload, machines)
    kept = [jobs[old]._replace(needs=tuple(place[need] for need in jobs[old].needs)) for old in place]
    return Workload(kept), len(out)


def parse_agents(text: str) -> list[Shape]:
    """`8`, `8:slots=4,cpus=8,memory=16Gi,labels=linux+gpu,window=0` as shapes. Raises UserError."""
    count_text, colon, rest = text.partition(":")
    count = _whole(text, "the number of agents", count_text)
    if count > AGENT_LIMIT:
        raise UserError(f"--agents {text!r}: {count:,} agents, and {AGENT_LIMIT:,} is the limit")
    values: dict[str, str] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not _NAME.match(key) or key in values:
            raise UserError(
                f"--agents {text!r}: {part.strip()!r} is not understood",
                hint="write COUNT:slots=N,cpus=N,memory=SIZE,labels=A+B,taints=A+B,pool=P,zone=Z,load=PART,window=N,gpu=N, of "
                "which all but COUNT may be left out",
            )
        values[key] = value
    shape = Shape(_whole(text, "slots", values.pop("slots", "1")))
    if "window" in values:
        shape = shape._replace(window=_whole(text, "window", values.pop("window"), least=0))
    labels = {canonical(label) for label in values.pop("labels", "").split("+") if label.strip()}
    taints = {taint.strip().lower() for taint in values.pop("taints", "").split("+") if taint.strip()}
    pool, zone = (values.pop(name, "").lower() for name in ("pool", "zone"))
    load = _share(text, values.pop("load", "0"))
    try:
        if "cpus" in values:
            shape = shape._replace(cpus=quantities.cpus(values.pop("cpus")))
        if "memory" in values:
            shape = shape._replace(memory_bytes=quantities.memory_bytes(values.pop("memory")))
        extras = tuple(sorted((name, quantities.amount(name, value)) for name, value in values.items()))
    except ValueError as error:
        raise UserError(f"--agents {text!r}: {error}") from error
    shape = shape._replace(
        labels=USUAL | labels, extras=extras, taints=frozenset(taints), pool=pool, zone=zone, load=load
    )
    return [shape] * count


def _share(text: str, value: str) -> float:
    try:
        load = float(value)
    except ValueError:
        load = -1.0
    if not 0 <= load <= 1:
        raise UserError(f"--agents {text!r}: load is a part of the machine, from 0 to 1, not {value!r}")
    return load


def _whole(text: str, what: str, value: str, least: int = 1) -> int:
    if not value.strip().isascii() or not value.strip().isdigit() or not least <= int(value) <= 1_000_000:
        raise UserError(f"--agents {text!r}: {what} must be a whole number from {least} on, not {value!r}")
    return int(value)


def agents(given: Sequence[str]) -> tuple[Shape, ...]:
    """All that was given by `--agents`, in order."""
    shapes = tuple(shape for text in given for shape in parse_agents(text))
    if len(shapes) > AGENT_LIMIT:
        raise UserError(f"{len(shapes):,} agents, and {AGENT_LIMIT:,} is the limit")
    return shapes
