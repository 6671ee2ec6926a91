"""Policies of operators: what they decide, and what happens when they fail."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from tests.unit.scheduler.test_policies import ONE, World, agent, cpus

from relevo.assembly.scheduling import policy_of
from relevo.domain.errors import UserError
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.custom import CustomPolicy, Guard
from relevo.scheduler.demand import Demand
from relevo.scheduler.policy import Policy, Share, Weights

DOCS = Path(__file__).parents[3] / "docs" / "scheduling.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", DOCS.read_text(), re.DOTALL)


def started(policy: CustomPolicy, *agents: AgentCapacity) -> tuple[World, list[str]]:
    told: list[str] = []
    return World(Policy(custom=Guard(policy, told.append)), *agents), told


def test_the_example_of_the_documentation_decides(tmp_path):
    (tmp_path / "mine.py").write_text(blocks("python")[0])
    (tmp_path / "scheduling.toml").write_text('policy = "mine.py:Mine"\n')
    policy = policy_of(str(tmp_path))
    assert policy is not None
    few, many = agent(9, name="few", extras={"gpu": 1}), agent(5, name="many", extras={"gpu": 4})
    world = World(policy, few, many)
    large, small = world.submit("a", cpus(2)), world.submit("a", cpus(1))
    with_gpu = world.submit("a", Demand(frozenset(), None, None, (("gpu", 1.0),)))
    world.look()
    assert [placement.waiting for placement in world.placed] == [with_gpu, small, large]
    assert [placement.agent for placement in world.placed] == ["many", "few", "few"]


def test_the_file_of_the_documentation_is_read(tmp_path):
    (tmp_path / "scheduling.toml").write_text(blocks("toml")[0])
    assert policy_of(str(tmp_path)) == Policy(
        order="turns",
        fair=True,
        ageing_s=600.0,
        reserve_after_s=300.0,
        preempt_grace_s=30.0,
        shares={"acme/web": Share(2.0, {"jobs": 4.0, "memory": 8 << 30}, {"cpu": 2.0})},
        placement=Weights(spread=1, load=2, near=4, prefers=8),
        impossible="fail",
    )
    assert policy_of(str(tmp_path / "nowhere")) is None


def test_nobody_is_ended_for_others_unless_the_file_says_so(tmp_path):
    for text, grace_s in (
        ("fair = true", None),
        ('preempt = false\npreempt-grace = "5s"', None),
        ("preempt = true", 30.0),
        ('preempt = true\npreempt-grace = "5s"', 5.0),
    ):
        (tmp_path / "scheduling.toml").write_text(text)
        policy = policy_of(str(tmp_path))
        assert policy is not None
        assert policy.preempt_grace_s == grace_s


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("[placement]", Weights(near=1, prefers=2)),
        ("[placement]\npack = 3\nlocality = 0", Weights(pack=3, near=0, prefers=4)),
        ("[placement]\npack = 1\nspread = 1\nprefers = 0", Weights(pack=1, spread=1, near=3, prefers=0)),
        ("", None),
    ],
)
def test_what_jobs_say_comes_before_what_is_weighed_unless_that_is_weighed(tmp_path, text, weights):
    (tmp_path / "scheduling.toml").write_text(text)
    policy = policy_of(str(tmp_path))
    assert policy is not None
    assert policy.placement == weights


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("order =", "scheduling.toml"),
        ('order = "random"', "order is one of turns, arrival, deadline"),
        ("preempt = 1", "preempt is true or false"),
        ('preempt = true\npreempt-grace = "soon"', "no time"),
        ('preempt = true\npreempt-grace = "2h"', "preempt-grace is a time of up to 1h"),
        ('preempt = true\npreempt-grace = "0s"', "preempt-grace is a time of up to 1h"),
        ("fair = 1", "fair is true or false"),
        ('ageing = "soon"', "no time"),
        ("colour = 1", "colour is not known"),
        ('impossible = "maybe"', "impossible is one of fail, wait"),
        ("placement = 1", "placement is a table"),
        ("[placement]\nfill = 1", "placement.fill is not known"),
        ("[placement]\npack = -1", "placement.pack is a whole number from 0 to 1,000"),
        ("[placement]\nspread = 0.5", "placement.spread is a whole number"),
        ("[placement]\nprefers = true", "placement.prefers is a whole number"),
        ("[tenants]\na = 1", "tenants.a is a table"),
        ("[tenants.a]\nweight = 0", "weight is a number above 0"),
        ("[tenants.a]\nquota = {memory = 'lots'}", "no amount of memory"),
        ("[tenants.a]\nquota = {jobs = -1}", "no amount"),
        ('policy = "mine.py"', "write file.py:Class"),
        ('policy = "mine.py:Mine"', "cannot be made"),
        ('policy = "other.py:Other"', "does not derive"),
    ],
)
def test_what_cannot_be_read_is_told_before_anything_starts(tmp_path, text, says):
    (tmp_path / "other.py").write_text("class Other: ...\n")
    (tmp_path / "scheduling.toml").write_text(text)
    with pytest.raises(UserError, match=says):
        policy_of(str(tmp_path))


class Raises(CustomPolicy):
    def score(self, job, node):
        raise KeyError(job.run)


class Hangs(CustomPolicy):
    def score(self, job, node):
        while True:
            try:
                time.sleep(0.001)
            except Exception:  # as stubborn as it can be
                pass


class Slow(CustomPolicy):
    def score(self, job, node):
        time.sleep(0.03)
        return 1.0


class NoNumber(CustomPolicy):
    def score(self, job, node):
        return float("nan")


class Text(CustomPolicy):
    def score(self, job, node):
        return "7"


class BadOrder(CustomPolicy):
    def order(self, job):
        return None


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (Raises(), "score raised KeyError"),
        (Hangs(), "score did not return"),
        (Slow(), "took more than"),
        (NoNumber(), "answered nan"),
        (Text(), "answered '7'"),
        (BadOrder(), "order raised TypeError"),
    ],
)
def test_one_that_fails_is_set_aside_and_the_usual_one_decides(policy, says):
    world, told = started(policy, agent(20, name="x"), agent(30, name="y"))
    for number in range(20):
        world.submit("a", run=f"r{number}")
    world.look()
    assert len(world.placed) == 20
    assert world.placed[0].agent == "y"  # where most places are free
    assert len(told) == 1
    assert says in told[0]
    world.submit("a", run="later")
    world.look()
    assert len(world.placed) == 21
    assert len(told) == 1


def test_time_in_which_the_process_stood_still_is_not_the_policys(monkeypatch):
    now_s = 0.0

    class Stopped(CustomPolicy):
        def score(self, job, node):
            nonlocal now_s
            now_s += 10.0  # all at once: no timer looked
            return 1.0

    monkeypatch.setattr("relevo.scheduler.custom.perf_counter", lambda: now_s)
    world, told = started(Stopped(), agent(3, name="x"))
    world.submit("a")
    world.look()
    assert len(world.placed) == 1
    assert not told


def test_what_it_says_never_puts_a_job_where_it_does_not_fit():
    class Wrong(CustomPolicy):
        def score(self, job, node):
            return 1e300 if node.id == "full" else 0.0

    world, told = started(Wrong(), agent(1, name="full"), agent(5, name="y"))
    for _ in range(4):
        world.submit("a", ONE)
    world.look()
    assert [placement.agent for placement in world.placed] == ["full", "y", "y", "y"]
    assert not told
