"""Bytes of a real home go bad: the damage is named by run and file, it is never green, and other runs do not notice."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from relevo.logs import framing
from relevo.logs.scan import Frame, scan
from relevo.runtime.disk import OsDisk
from tests.faults.witness import Job, Step, judge, log_of, workflow
from tests.faults.world import World, until

JOB: Final = Job("noisy", (), 1, (Step(1, 2_000, 0.0), Step(5, 3_000, 0.0)))
SLOW: Final = Job("slow", (), 1, (Step(1, 3_000, 0.0), Step(1, 3_000, 0.0, gated=True)))


def ended_run(world: World, name: str) -> str:
    """A run that succeeded."""
    command = world.start("run", world.workflow(workflow([JOB], world), f"{name}.yml"), "--json")
    assert command.end() == 0, command.text
    assert command.result is not None
    return str(command.result["run"])


def segments(world: World, run: str) -> list[Path]:
    """The files of a run's logs, in order."""
    return sorted(path for path in (world.home / "logs" / run).iterdir() if path.is_file())


def frames(world: World, run: str, kind: int) -> list[tuple[Path, Frame]]:
    """Where the frames of a kind stand."""
    found = []
    for path in segments(world, run):
        salt = framing.salt(run, int(path.name.partition(".")[0]))
        items = scan(OsDisk(), str(path), path.stat().st_size, salt)
        found += [(path, item) for item in items if isinstance(item, Frame) and item.head.kind == kind]
    assert found
    return found


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def flip_an_event(world: World, run: str) -> Path:
    """One bit of what is stored of a run."""
    database = world.home / "relevo.db"
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT events FROM appends WHERE stream = ? ORDER BY sequence", (run,))
        blobs = [bytes(row[0]) for row in rows]
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    content = database.read_bytes()
    blob = next(blob for blob in blobs if content.count(blob) == 1)
    flip(database, content.index(blob) + len(blob) // 2)
    return database


def flip_a_log_byte(world: World, run: str) -> Path:
    path, frame = frames(world, run, framing.DATA)[1]
    flip(path, frame.position + framing.HEAD_SIZE + len(frame.payload) // 2)
    return path


def flip_a_head(world: World, run: str) -> Path:
    path, frame = frames(world, run, framing.DATA)[1]
    flip(path, frame.position + 9)
    return path


def cut_a_segment(world: World, run: str) -> Path:
    path = segments(world, run)[-1]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    return path


def cut_off_the_end_record(world: World, run: str) -> Path:
    path, frame = frames(world, run, framing.END)[-1]
    with path.open("r+b") as file:
        file.truncate(frame.position)
    return path


def remove_a_segment(world: World, run: str) -> Path:
    path = segments(world, run)[0]
    path.unlink()
    return path


def remove_all_logs(world: World, run: str) -> Path:
    path = world.home / "logs" / run
    shutil.rmtree(path)
    return path


LOG_DAMAGE: Final = [
    flip_a_log_byte,
    flip_a_head,
    cut_a_segment,
    cut_off_the_end_record,
    remove_a_segment,
    remove_all_logs,
]


@pytest.mark.parametrize("damage", [*LOG_DAMAGE, flip_an_event])
def test_damage_is_named_and_costs_no_other_run_anything(
    damage: Callable[[World, str], Path], world: World
) -> None:
    bystander = ended_run(world, "bystander")
    victim = ended_run(world, "victim")
    sound = world.call("show", bystander, "--json")
    path = damage(world, victim)
    where = "relevo.db" if path.suffix == ".db" else f"logs/{victim}"

    told = world.call("db", "check", exits=1).decode().splitlines()
    problems = [line for line in told if str(world.home) in line]
    assert any(victim in line and where in line for line in problems), told
    assert not any(bystander in line for line in told), told

    logs = world.start("logs", victim, "noisy", "--raw")
    code = logs.end()
    whole = (logs.text + "\n").encode() == log_of(JOB, f"{victim}/0/1")
    assert whole or (code != 0 and where in logs.text and victim in logs.text), logs.text[-1000:]
    assert whole == (damage is cut_off_the_end_record)
    shown = world.start("show", victim)
    if damage is flip_an_event:
        assert shown.end() != 0
        assert "damaged" in shown.text
        assert victim in shown.text
    else:
        assert shown.end() == 0, shown.text

    assert world.call("show", bystander, "--json") == sound
    assert world.log(bystander, "noisy") == log_of(JOB, f"{bystander}/0/1")
    again = ended_run(world, "again")
    assert world.log(again, "noisy") == log_of(JOB, f"{again}/0/1")
    assert not any(again in line for line in world.call("db", "check", exits=1).decode().splitlines())


@pytest.mark.parametrize("damage", [flip_a_log_byte, cut_a_segment, remove_all_logs])
def test_what_is_damaged_while_it_runs_is_never_green(
    damage: Callable[[World, str], Path], world: World, count_kills: Callable[[int], None]
) -> None:
    """Bytes that were acknowledged are gone when the next engine comes: that attempt is lost, and the next one is whole."""
    command = world.start("run", world.workflow(workflow([SLOW], world)), "--json")
    run = str(command.until(lambda line: line.get("event") == "step.started" and line["step"] == 1)["run"])
    until(lambda: world.log(run, "slow").endswith(b"\n3000\n"), "its log is there")
    command.kill()
    count_kills(1)
    damage(world, run)
    resumed = world.start("resume", "--json")
    world.open_gate()
    assert resumed.end() == 0, resumed.text
    result = resumed.result
    assert result is not None
    assert result["jobs"]["slow"] == {"status": "succeeded", "attempts": 2}
    verdict = judge(world, [SLOW], result, resumed.told())
    verdict.log.clear()
    assert verdict.fine, f"{verdict}\n{world.report()}"
    assert world.log(run, "slow") == log_of(SLOW, f"{run}/0/2")


CLOCK: Final = """
import time
real, real_ns = time.time, time.time_ns
def offset():
    try:
        with open({path!r}) as file:
            return int(file.read() or 0)
    except FileNotFoundError:
        return 0
time.time = lambda: real() + offset()
time.time_ns = lambda: real_ns() + offset() * 1_000_000_000
"""


def test_the_clock_goes_back_a_day(world: World, count_kills: Callable[[int], None]) -> None:
    """Engine and agent see it while they run, and so does the next engine: nothing is decided by it."""
    offset = world.folder / "offset"
    modules = world.folder / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(CLOCK.format(path=str(offset)))
    world.env["PYTHONPATH"] = f"{modules}:{world.env['PYTHONPATH']}"
    before = ended_run(world, "before")
    command = world.start("run", world.workflow(workflow([SLOW], world)), "--json")
    run = str(command.until(lambda line: line.get("event") == "step.started" and line["step"] == 1)["run"])
    offset.write_text("-86400")
    command.kill()
    count_kills(1)
    resumed = world.start("resume", "--json")
    resumed.until(lambda line: line.get("event") == "run.accepted")
    world.open_gate()
    assert resumed.end() == 0, resumed.text
    result = resumed.result
    assert result is not None
    assert result["jobs"]["slow"]["attempts"] == 1
    assert judge(world, [SLOW], result, resumed.told()).fine
    after = ended_run(world, "after")
    listed = world.call("runs").decode()
    places = [listed.index(name) for name in (after, run, before)]
    assert places == sorted(places), listed  # newest first, whatever the clock says
    assert after in world.call("show").decode()
