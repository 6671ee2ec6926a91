"""A job makes room for another, and engine or agent die between the order and its end: both run once more, and never together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.world import Command, World, kill, until

LOW = """\
on: workflow_dispatch
jobs:
  low:
    runs-on: ubuntu-latest
    relevo: {{preemptible: true}}
    steps:
      - run: |
          echo "begin low" >> {witness}
          if [ -e {gate} ]; then echo "end low" >> {witness}; exit; fi
          exec 9> {lock}
          flock 9  # as long as a process of it lives
          touch {runs}
          trap 'touch {told}' INT
          trap '' TERM
          until [ -e {gate} ]; do sleep 0.05 || true; done
          kill -KILL $$
"""
HIGH = """\
on: workflow_dispatch
jobs:
  high:
    runs-on: ubuntu-latest
    relevo: {{priority: 5}}
    steps:
      - run: |
          echo "begin high" >> {witness}
          flock -n {lock} true || echo "both at once" >> {witness}
          echo "end high" >> {witness}
"""


def low_and_high(world: World) -> tuple[Command, Command, str]:
    """Two commands: the first one is the engine, and its job was told to make room and is in its grace until the gate opens. With its run."""
    world.home.mkdir(mode=0o700)
    (world.home / "scheduling.toml").write_text('preempt = true\npreempt-grace = "10m"\n')
    names = {name: world.folder / name for name in ("witness", "told", "lock", "runs", "gate")}
    low = world.start("run", world.workflow(LOW.format(**names), "low.yml"), "--json", "--jobs", "1")
    run = str(low.until(lambda line: line.get("event") == "step.started")["run"])
    until((world.folder / "runs").exists, "the step runs")
    high = world.start("run", world.workflow(HIGH.format(**names), "high.yml"), "--json")
    until((world.folder / "told").exists, "the step was told to go")
    assert "high" not in world.witness.read_text(), "it is in its grace"
    return low, high, run


@pytest.mark.parametrize("victims", ["nobody", "engine", "agent", "engine and agent"])
def test_between_the_order_and_the_end(
    victims: str, world: World, count_kills: Callable[[int], None]
) -> None:
    low, high, run = low_and_high(world)
    if "agent" in victims:
        (agent,) = world.agents()
        kill(agent)
    if "engine" in victims:
        low.kill()
    world.open_gate()  # the grace is over
    assert high.end() == 0, world.report()
    last = low
    if "engine" in victims:
        last = world.start("resume", run, "--json")
    assert last.end() == 0, world.report()
    assert last.result is not None
    assert last.result["jobs"] == {"low": {"status": "succeeded", "attempts": 2}}
    told = [line for line in last.told() if line.get("event") == "job.retrying"]
    assert [line["preempted"] for line in told] == [True], told
    assert world.witness.read_text().splitlines() == [
        "begin low",
        "begin high",
        "end high",
        "begin low",
        "end low",
    ]
    assert world.problems() == []
    count_kills(len(victims.split(" and ")) if victims != "nobody" else 0)
