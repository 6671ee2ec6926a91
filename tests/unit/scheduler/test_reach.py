"""What no agent could ever take is told, with what is missing on how many of them."""

from __future__ import annotations

import pytest

from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Demand, Rules
from relevo.scheduler.reach import Reach
from relevo.workflow.label_expressions import parse

LINUX = frozenset({"linux"})
ANY = Demand(LINUX, None, None)
REACH = Reach(
    [
        AgentCapacity("a", LINUX | {"gpu"}, 2, 4.0, 8 << 30, extras={"board": 1}, zone="x"),
        AgentCapacity("b", LINUX, 2, 16.0, 64 << 30, pool="big", zone="y"),
        AgentCapacity("c", LINUX | {"fast"}, 2, 16.0, 64 << 30, taints=frozenset({"lab"})),
    ]
)


def where(text: str) -> Demand:
    return Demand(LINUX, None, None, rules=Rules(where=parse(text)))


@pytest.mark.parametrize(
    ("demand", "says"),
    [
        (Demand(LINUX | {"arm64"}, None, None), "it runs on arm64, and no agent here does (they answer to fast, gpu, linux, pool:big)"),
        (Demand(LINUX, 32.0, None), "it asks for 32 cpus, and no agent here has more than 16"),
        (Demand(LINUX, None, 1 << 40), "it asks for 1048576 MiB of memory, and no agent here has more than 65536"),
        (Demand(LINUX, None, None, (("board", 2.0),)), "no agent here has more than 1; RELEVO_RESOURCES=board=N"),
        (
            Demand(LINUX | {"gpu"}, 8.0, None),
            "no agent here could ever run it: of 3 agents, 2 do not answer to gpu and 1 has too little cpu in all",
        ),
        (
            where("zone:z"),
            "no agent here could ever run it: none of the 3 agents is zone:z",
        ),
        (where("zone:x && fast"), "none of the 3 agents is zone:x && fast"),
        (
            Demand(LINUX | {"fast"}, None, None),
            "of 3 agents, 2 do not answer to fast and 1 is kept for jobs that tolerate lab",
        ),
    ],
)  # fmt: skip
def test_why_nobody_could_ever(demand, says):
    assert says in REACH.refusal(demand)


@pytest.mark.parametrize(
    "demand",
    [
        ANY,
        Demand(LINUX, 16.0, 64 << 30),
        Demand(LINUX | {"pool:big"}, None, None),
        Demand(LINUX | {"fast"}, None, None, rules=Rules(tolerates=frozenset({"lab"}))),
        where("gpu && zone:x"),
        where("node:b"),
        Demand(LINUX, None, None, (("board", 1.0),)),
        Demand(LINUX, None, None, rules=Rules(apart="k", near="k", prefers=parse("nowhere"))),
    ],
)
def test_what_somebody_could_take_is_not_refused(demand):
    assert REACH.refusal(demand) == ""


def test_of_one_agent_what_it_lacks():
    alone = Reach([AgentCapacity("local", LINUX, 1, 4.0, 1 << 30, zone="a")])
    assert alone.refusal(where("linux && !zone:a")) == (
        "no agent here could ever run it: agent 'local' is not !zone:a"
    )


def test_what_is_drained_or_full_could_take_it_some_day():
    agent = AgentCapacity("local", LINUX, 1, 4.0, 1 << 30)
    agent.drain()
    agent.take(ANY)
    assert Reach([agent]).refusal(ANY) == ""


def test_an_agent_that_says_what_it_is_counts_as_that():
    reach = Reach([AgentCapacity("local", LINUX, 1, 4.0, 1 << 30)])
    asked = Demand(LINUX | {"gpu"}, None, None)
    assert reach.refusal(asked)
    reach.met(AgentCapacity("local", LINUX | {"gpu"}, 1, 4.0, 1 << 30))
    assert reach.refusal(asked) == ""
    assert reach.labels == LINUX | {"gpu"}


def test_without_agents_everything_is_beyond():
    assert Reach([]).refusal(ANY) == "it runs on linux, and no agent here does (they answer to )"
