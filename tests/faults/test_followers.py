"""Who follows the log of an attempt that is lost under him: he is told its end, or goes over to the next attempt."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.witness import Job, Step, judge, log_of, workflow
from tests.faults.world import World, kill, until

SLOW = Job("slow", (), 1, (Step(1, 50, 0.0), Step(51, 3_000, 0.0, gated=True)))


@pytest.fixture
def silent(world: World) -> str:
    """A workflow whose job prints nothing."""
    steps = [f"      - run: while [ ! -e {world.gate} ]; do sleep 0.02; done"]
    return world.workflow(
        "\n".join(["on: push", "jobs:", "  mute:", "    runs-on: linux", "    steps:", *steps])
    )


def test_followers_of_a_lost_attempt(world: World, count_kills: Callable[[int], None]) -> None:
    command = world.start("run", world.workflow(workflow([SLOW], world)), "--json")
    run = str(command.until(lambda line: line.get("event") == "step.started" and line["step"] == 1)["run"])
    text = world.start("logs", run, "slow", "-f")
    raw = world.start("logs", run, "slow", "-f", "--raw")
    for follower in (text, raw):
        until(lambda who=follower: "3000" in who.lines, "it follows")
    for agent in world.agents():
        kill(agent)
    count_kills(1)
    assert raw.end() == 0, raw.text
    assert raw.lines[-1] == "3000"
    assert text.running
    world.open_gate()
    assert command.end() == 0, command.text
    assert text.end() == 0, text.text
    _, found, second = text.text.partition("attempt 2 of slow:\n")
    assert found, text.text
    wrote = log_of(SLOW, f"{run}/0/2").decode().splitlines()
    assert [line for line in second.splitlines() if line in wrote] == wrote
    result = command.result
    assert result is not None
    assert judge(world, [SLOW], result, command.told()).fine


def test_a_follower_of_a_job_that_prints_nothing(silent: str, world: World) -> None:
    command = world.start("run", silent, "--json")
    run = str(command.until(lambda line: line.get("event") == "step.started")["run"])
    followers = [world.start("logs", run, "mute", "-f", *more) for more in ((), ("--raw",))]
    world.open_gate()
    assert command.end() == 0, command.text
    assert [follower.end() for follower in followers] == [0, 0]
