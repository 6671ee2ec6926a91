"""Two terminals on one home: one engine at a time, and whoever is left goes on."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from relevo.runtime import processes
from tests.faults.witness import Job, Step, judge, workflow
from tests.faults.world import PATIENCE_S, Command, World, stop, until

SLOW = [Job("slow", (), 1, (Step(1, 50, 0.0), Step(51, 3_000, 0.2, gated=True), Step(1, 9, 0.2)))]
OTHER = [Job("other", (), 1, (Step(1, 700, 0.2, gated=True), Step(1, 70, 0.3)))]


def begun(command: Command, step: int = 0) -> str:
    """Wait until a step of its run runs, which may wait at the gate; returns the run."""
    return str(
        command.until(lambda line: line.get("event") == "step.started" and line["step"] == step)["run"]
    )


def epochs(world: World) -> list[int]:
    """The epoch of each append, in order."""
    with closing(sqlite3.connect(world.home / "relevo.db")) as connection:
        return [row[0] for row in connection.execute("SELECT epoch FROM appends ORDER BY sequence")]


def ended_well(world: World, command: Command, jobs: list[Job]) -> dict[str, Any]:
    """It told a result, exits 0, and the witness agrees."""
    assert command.end() == 0, command.text
    result = command.result
    assert result is not None, command.text
    verdict = judge(world, jobs, result, command.told())
    assert verdict.fine, f"{verdict}\n{world.report()}"
    return result


def engine_of(world: World) -> int:
    """The pid that the lease names."""
    import json

    with closing(sqlite3.connect(world.home / "relevo.db")) as connection:
        holder = connection.execute("SELECT holder FROM leases").fetchone()[0]
    return int(json.loads(holder)["pid"]) if holder else 0


def test_a_second_run_goes_to_the_first_ones_engine(world: World) -> None:
    first = world.start("run", world.workflow(workflow(SLOW, world), "slow.yml"), "--json", "--jobs", "2")
    begun(first)
    second = world.start("run", world.workflow(workflow(OTHER, world), "other.yml"), "--json")
    begun(second)
    assert engine_of(world) == first.pid
    assert len(world.agents()) == 1
    world.open_gate()
    ended_well(world, first, SLOW)
    ended_well(world, second, OTHER)
    assert epochs(world) == sorted(epochs(world))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_second_takes_over_when_the_first_goes(
    how: signal.Signals, world: World, count_kills: Callable[[int], None]
) -> None:
    first = world.start("run", world.workflow(workflow(SLOW, world), "slow.yml"), "--json", "--jobs", "2")
    run = begun(first)
    second = world.start("run", world.workflow(workflow(OTHER, world), "other.yml"), "--json")
    begun(second)
    first.signal(how)
    assert first.end() != 0
    world.open_gate()
    assert first.result is None
    ended_well(world, second, OTHER)
    resumed = world.start("resume", run, "--json")
    assert ended_well(world, resumed, SLOW)["run"] == run
    count_kills(1)


def test_a_stopped_engine_is_taken_over_and_its_terminal_goes_on(
    world: World, count_kills: Callable[[int], None]
) -> None:
    first = world.start("run", world.workflow(workflow(SLOW, world)), "--json")
    run = begun(first, step=1)
    stop(world, first)
    world.open_gate()  # what the agent says from now on waits in the engine's socket: it will try to store it
    second = world.start("resume", "--json")
    until(lambda: engine_of(world) == second.pid, "the second is the engine")
    before = epochs(world)
    first.signal(signal.SIGCONT)
    assert ended_well(world, first, SLOW)["run"] == run
    assert ended_well(world, second, SLOW)["run"] == run
    assert "Traceback" not in first.text + second.text
    after = epochs(world)
    assert after == sorted(after), "a write of the older engine came after one of the newer"
    assert after[-1] > before[-1]
    count_kills(1)


def test_an_engine_that_was_stopped_until_all_was_over_tells_the_result(
    world: World, count_kills: Callable[[int], None]
) -> None:
    first = world.start("run", world.workflow(workflow(SLOW, world)), "--json")
    run = begun(first, step=1)
    stop(world, first)
    world.open_gate()
    second = world.start("resume", "--json")
    assert ended_well(world, second, SLOW)["run"] == run
    first.signal(signal.SIGCONT)
    assert ended_well(world, first, SLOW)["run"] == run
    assert epochs(world) == sorted(epochs(world))
    count_kills(1)


def test_an_engine_stopped_within_a_commit_is_ended_by_whoever_takes_over(
    world: World, count_kills: Callable[[int], None]
) -> None:
    ticket = world.folder / "ticket"
    ticket.touch()
    name = world.workflow(workflow(SLOW, world))
    first = world.start("run", name, "--json", failpoints=f"store.before-commit=stop:2@{ticket}")
    until(lambda: not ticket.exists() and processes.stat(first.pid).state == "T", "the engine is stopped")
    world.open_gate()
    second = world.start("resume", "--json")
    ended_well(world, second, SLOW)
    assert first.end() == -signal.SIGKILL, "it held the lock of the database"
    count_kills(2)


def test_a_stopped_agent_is_replaced(world: World, count_kills: Callable[[int], None]) -> None:
    first = world.start("run", world.workflow(workflow(SLOW, world)), "--json")
    begun(first)
    (agent,) = world.agents()
    processes.kill(agent, signal.SIGSTOP)
    world.open_gate()
    assert ended_well(world, first, SLOW)["jobs"]["slow"]["attempts"] == 2
    assert not processes.alive(agent)
    count_kills(1)


def test_who_follows_a_log_gets_every_byte_once_whichever_engine_lives(
    world: World, count_kills: Callable[[int], None]
) -> None:
    first = world.start("run", world.workflow(workflow(SLOW, world)), "--json")
    run = begun(first)
    follower = world.start("logs", run, "slow", "--raw", "--follow")
    assert follower.until_lines(10, PATIENCE_S)
    first.kill()
    world.open_gate()
    second = world.start("resume", "--json")
    ended_well(world, second, SLOW)
    assert follower.end() == 0
    assert "\n".join(follower.lines) + "\n" == world.log(run, "slow").decode()
    count_kills(1)
