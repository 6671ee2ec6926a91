"""The disk is full while a run is at work, then there is room again: all goes on by itself, and nothing is missing.

Each step prints more than all pipes and buffers on its way hold, so that whoever has no room for it is met.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from relevo.testing.small_disk import fill, needs_root
from tests.faults.small_home import small_home
from tests.faults.witness import Job, Step, judge, workflow
from tests.faults.world import Command, World, kill, until

pytestmark = needs_root

#: 1.3 MB of log each; a small disk has room for them, once it has room again.
LOUD: Final = Step(1, 200_000, 0.0, gated=True)
JOBS: Final = [
    Job("first", (), 2, (Step(1, 50, 0.0), LOUD, Step(1, 60, 0.0)), artifact=True),
    Job("second", ("first",), 2, (Step(1, 300, 0.0),), takes="first"),
]
OTHER: Final = [Job("other", (), 2, (Step(1, 10, 0.0), Step(1, 900, 0.0)))]
QUIET: Final = [Job("quiet", (), 1, (Step(1, 1, 0.0, gated=True),))]


@pytest.fixture
def world(nothing_left: None) -> Iterator[World]:
    """Its own disks are mounted later, and unmounted before it looks what is left."""
    with World() as made:
        yield made


def metric(world: World, name: str) -> float:
    """A number of the living engine; 0 before it was counted."""
    text = world.call("metrics").decode()
    found = re.search(rf"^{name}(?:_total)?(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def begun(world: World) -> Command:
    """A run whose loud steps, one of each leg, are about to print."""
    command = world.start("run", world.workflow(workflow(JOBS, world)), "--json", "--jobs", "2")
    for leg in JOBS[0].names():

        def loud(line: dict[str, Any], leg: str = leg) -> bool:
            return (line.get("event"), line.get("job"), line.get("step")) == ("step.started", leg, 1)

        command.until(loud)
    return command


def ended_well(
    world: World, command: Command, jobs: list[Job] = JOBS, *, lost: int = 0, clean: bool = True
) -> None:
    """All jobs succeeded, in their first attempt but for those that were `lost`, and witness and logs agree."""
    assert command.end() == 0, command.text
    result = command.result
    assert result is not None, command.text
    verdict = judge(world, jobs, result, command.told())
    assert verdict.fine, f"{verdict}\n{world.report()}"
    attempts = {name: told["attempts"] for name, told in result["jobs"].items()}
    assert sum(attempts.values()) == len(attempts) + lost, attempts
    if clean:
        assert world.until_clean() == [], world.report()


def another(world: World) -> Command | None:
    """Somebody wants another run now: None when that is refused for want of room. It may just fit: then it is accepted.

    The store is not full because agents are, and an engine that opens it makes some room of its own.
    """
    command = world.start("run", world.workflow(workflow(OTHER, world), "other.yml"), "--json")
    accepted = until(
        lambda: (
            [line for line in command.told() if line.get("event") == "run.accepted"] or not command.running
        ),
        "it is accepted or refused",
    )
    if accepted is not True:
        return command
    assert command.end() != 0, command.text
    assert "no room" in command.text
    return None


def until_met(world: World, command: Command, place: str) -> None:
    """Wait until somebody had no room."""
    signs: dict[str, Callable[[], Any]] = {
        "store": lambda: "nothing is stored" in command.text,
        "logs": lambda: "logs wait" in command.text and metric(world, "relevo_agent_rewinds") > 0,
        "spool": lambda: metric(world, "relevo_agent_held") == 1,
        "all": lambda: metric(world, "relevo_agent_held") == 1,
    }
    until(signs[place], f"the full disk is met: {place}\n{command.text}")


@pytest.mark.parametrize("place", ["store", "logs", "spool", "all"])
def test_all_goes_on_when_there_is_room_again(place: str, world: World) -> None:
    with small_home(world, place) as folder:
        command = begun(world)
        filler = fill(folder)
        world.open_gate()
        until_met(world, command, place)
        other = another(world) if place in ("store", "all") else None
        assert place != "store" or other is None
        assert command.running
        filler.unlink()
        if other is not None:
            ended_well(world, other, OTHER, clean=False)
        ended_well(world, command)


def test_an_artifact_waits_for_room(world: World) -> None:
    with small_home(world, "blobs") as folder:
        command = begun(world)
        filler = fill(folder)
        world.open_gate()
        until(lambda: metric(world, "relevo_agent_rewinds") > 0, f"the full disk is met\n{command.text}")
        filler.unlink()
        ended_well(world, command)


@pytest.mark.parametrize("place", ["store", "logs", "spool", "all"])
def test_the_engine_dies_while_the_disk_is_full(
    place: str, world: World, count_kills: Callable[[int], None]
) -> None:
    with small_home(world, place) as folder:
        command = begun(world)
        filler = fill(folder)
        world.open_gate()
        until_met(world, command, place)
        command.kill()
        count_kills(1)
        other = another(world) if place in ("store", "all") else None
        filler.unlink()
        if other is not None:
            ended_well(world, other, OTHER, clean=False)
        ended_well(world, world.start("resume", "--json"))


@pytest.mark.parametrize("place", ["spool", "all"])
def test_the_agent_dies_while_the_disk_is_full(
    place: str, world: World, count_kills: Callable[[int], None]
) -> None:
    """What it ran is lost with it, and is run again; nothing else is."""
    with small_home(world, place) as folder:
        command = begun(world)
        filler = fill(folder)
        world.open_gate()
        until_met(world, command, place)
        for who in world.agents():
            kill(who)
        count_kills(1)
        until(lambda: "the agent cannot be started" in command.text or world.agents(), "it is started again")
        filler.unlink()
        ended_well(world, command, lost=2)


def test_a_job_that_begins_while_the_disk_is_full_waits(world: World) -> None:
    """Its folders, its script and its slot need room, and it is no fault of the job that there is none."""
    with small_home(world, "spool") as folder:
        command = world.start("run", world.workflow(workflow(QUIET, world)), "--json", "--jobs", "4")
        command.until(lambda line: line.get("event") == "step.started")
        filler = fill(folder)
        other = world.start("run", world.workflow(workflow(OTHER, world), "other.yml"), "--json")
        other.until(lambda line: line.get("event") == "job.assigned")
        world.open_gate()
        until(lambda: metric(world, "relevo_agent_held") == 1, f"the full disk is met\n{other.text}")
        filler.unlink()
        ended_well(world, other, OTHER, clean=False)
        ended_well(world, command, QUIET)
