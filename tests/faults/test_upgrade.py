"""A newer relevo takes over a home whose agent is of an older one and has work: nothing is lost, and the agent is replaced."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.witness import Job, Step, judge, workflow
from tests.faults.world import World, until

JOBS = [
    Job("slow", (), 1, (Step(1, 50, 0.0), Step(1, 3_000, 0.0, gated=True))),
    Job("after", ("slow",), 2, (Step(1, 900, 0.0),)),
]
NEWER = """
import relevo.protocol.messages as messages
messages.VERSION = 2
messages.OLDEST = {oldest}
"""


def upgrade(world: World, *, oldest: int) -> None:
    """From here on commands speak protocol 2, and understand those from `oldest` on."""
    modules = world.folder / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(NEWER.format(oldest=oldest))
    world.env["PYTHONPATH"] = f"{modules}:{world.env['PYTHONPATH']}"


@pytest.mark.parametrize("oldest", [1, 2])
def test_an_agent_of_before_an_upgrade_finishes_its_work(
    oldest: int, world: World, count_kills: Callable[[int], None]
) -> None:
    """Whether it is understood (it hands in itself) or not (its successor does)."""
    command = world.start("run", world.workflow(workflow(JOBS, world)), "--json")
    command.until(lambda line: line.get("event") == "step.started" and line["step"] == 1)
    (old,) = world.agents()
    command.kill()
    count_kills(1)
    upgrade(world, oldest=oldest)
    resumed = world.start("resume", "--json")
    if oldest > 1:
        until(lambda: "speaks protocol 1, this engine 2" in resumed.text, "it is told")
    else:
        resumed.until(lambda line: line.get("event") == "run.accepted")
    assert world.agents() == [old]
    world.open_gate()
    assert resumed.end() == 0, resumed.text
    result = resumed.result
    assert result is not None
    assert {told["attempts"] for told in result["jobs"].values()} == {1}
    verdict = judge(world, JOBS, result, resumed.told())
    assert verdict.fine, f"{verdict}\n{world.report()}"


def test_an_agent_that_is_not_understood_is_ended_when_its_work_is_cancelled(
    world: World, count_kills: Callable[[int], None]
) -> None:
    """Nobody can tell it that, and it may run for long: it is replaced, and its successor clears away."""
    command = world.start("run", world.workflow(workflow(JOBS, world)), "--json")
    run = str(command.until(lambda line: line.get("event") == "step.started" and line["step"] == 1)["run"])
    command.kill()
    count_kills(1)
    upgrade(world, oldest=2)
    resumed = world.start("resume", "--json")
    until(lambda: "speaks protocol 1, this engine 2" in resumed.text, "it is told")
    world.call("cancel", run)
    assert resumed.end() == 130, resumed.text
