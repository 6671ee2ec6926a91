"""relevo where it can make no control groups: they are hidden from it by a mount of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from relevo.providers.process.slot import read_record
from relevo.runtime import processes
from relevo.testing.small_disk import needs_root
from tests.faults.trial import Trial
from tests.faults.witness import Job, Step, judge, workflow
from tests.faults.world import World, kill, until

pytestmark = needs_root

HIDDEN: Final = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "sh"]
#: As for a user who is not root: no PID namespace without a user namespace.
REFUSED: Final = """
from relevo.providers.process import trees
why = trees.why_unusable
trees.why_unusable = lambda name, layout: "not for this user" if name == "pid-namespace" else why(name, layout)
"""

JOBS: Final = [
    Job("build", (), 2, (Step(1, 2_000, 0.02, runaway=True), Step(5, 30, 0.3))),
    Job("test", ("build",), 1, (Step(1, 900, 0.05, runaway=True),)),
]
#: A step whose child leaves its session, clears its environment, and stays.
GRIM: Final = [Job("grim", (), 1, (Step(1, 9, 0.0, runaway=True), Step(1, 9, 0.0, gated=True)))]


@pytest.fixture(params=["pid-namespace", "subreaper"])
def mechanism(request: pytest.FixtureRequest, world: World) -> str:
    """A world whose commands see no control groups, and hold the trees of steps by this mechanism."""
    name: str = request.param
    tried = subprocess.run([*HIDDEN, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"mounting is not allowed here: {tried.stderr.strip()}")
    world.before = HIDDEN
    if name == "subreaper":
        modules = world.folder / "modules"
        modules.mkdir()
        (modules / "sitecustomize.py").write_text(REFUSED)
        world.env["PYTHONPATH"] = f"{modules}:{world.env['PYTHONPATH']}"
    return name


def launchers(world: World) -> list[processes.ProcessIdentity]:
    """All selves of the launchers of a world's agents, guards among them."""
    own = {who.pid for who in world.agents()}
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes()
            who, parent = processes.identity(int(name)), processes.stat(int(name)).parent
        except (OSError, ProcessLookupError):
            continue
        if b"launcher" in line and (parent in own or any(parent == other.pid for other in found)):
            own.add(who.pid)
            found.append(who)
    return found


def held_by(world: World) -> set[str]:
    """The mechanisms of the slots that there are."""
    slots = world.agent_folder / "workers" / "slots"
    records = [read_record(str(path)) for path in slots.iterdir()]
    return {record.mechanism for record in records if record is not None}


def test_kills_leave_nothing(mechanism: str, world: World, count_kills: Callable[[int], None]) -> None:
    ticket = world.folder / "ticket"
    ticket.touch()
    trial = Trial(0, world, jobs=JOBS, failpoints=f"spool.after-write=kill:9@{ticket}")
    outcome = trial.run()
    assert outcome.fine, f"{outcome.verdict}\n{outcome.report}"
    assert not ticket.exists()
    count_kills(1)


def test_agent_and_launchers_are_killed_together(
    mechanism: str, world: World, count_kills: Callable[[int], None]
) -> None:
    """Nobody is left who knew of the child that hid, and it still ends."""
    command = world.start("run", world.workflow(workflow(GRIM, world)), "--json")
    command.until(lambda line: line.get("event") == "step.started" and line["step"] == 1)
    (agent,) = world.agents()
    outer = [who for who in launchers(world) if processes.stat(who.pid).parent == agent.pid]
    assert outer
    assert held_by(world) == {mechanism}
    processes.kill(agent, signal.SIGSTOP)  # it is to notice nothing before it is killed too
    for who in (*outer, agent):
        kill(who)
    count_kills(1 + len(outer))
    world.open_gate()
    assert command.end() == 0, command.text
    result = command.result
    assert result is not None
    verdict = judge(world, GRIM, result, command.told())
    assert verdict.fine, f"{verdict}\n{world.report()}"
    until(lambda: not world.processes(), f"all ended\n{world.report()}")
