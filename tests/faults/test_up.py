"""`relevo up` as a process: started, told to leave, killed, taken over; jobs, runs and keys outlive it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.serving import WORKFLOW, Server
from tests.faults.world import World, stop, until


@pytest.fixture
def world() -> Any:
    with World() as world:
        yield world


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_leave_it_leaves_and_the_next_one_has_the_job_to_its_end(world: World, number: int) -> None:
    server = Server(world)
    _, run = server.submit()
    server.begun()
    server.command.signal(number)
    assert server.command.end() == 0
    assert "leaving" in server.command.text
    assert "Traceback" not in server.command.text
    world.open_gate()
    until(lambda: world.witness.read_text().endswith("done\n"), "the job goes on without an engine")
    following = Server(world)
    shown = following.ended(run)
    assert (shown["status"], shown["jobs"][0]["attempt"]) == ("succeeded", 1)
    assert following("GET", f"/api/v1/runs/{run}/jobs/0/log")[1] == b"begun\ndone\n"
    assert world.witness.read_text() == "begun\ndone\n"


def test_killed_it_loses_nothing_that_it_accepted(world: World) -> None:
    server = Server(world)
    status, run = server.submit("key-1")
    assert status == 201
    server.begun()
    waiting = [
        server.submit(f"more-{n}", WORKFLOW.format(witness="/dev/null", gate=world.gate))[1] for n in range(6)
    ]
    server.command.kill()
    following = Server(world)
    assert following.submit("key-1") == (200, run)
    listed = following("GET", "/api/v1/runs")[1]["items"]
    assert {row["run"] for row in listed} == {run, *waiting}
    world.open_gate()
    for one in (run, *waiting):
        assert following.ended(one)["status"] == "succeeded"
    assert world.witness.read_text() == "begun\ndone\n"
    assert following("GET", f"/api/v1/runs/{run}/jobs/0/log")[1] == b"begun\ndone\n"


def test_a_second_engine_is_told_who_the_first_is(world: World) -> None:
    server = Server(world)
    second = world.start("up", "--port", "0")
    assert second.end() == 2
    assert f"process {server.command.pid}" in second.text
    assert f"kill {server.command.pid}" in second.text


def test_other_commands_work_through_it(world: World) -> None:
    server = Server(world)
    _, run = server.submit()
    server.begun()
    cancelled = world.start("cancel", run)
    assert cancelled.end() == 0
    assert server.ended(run)["status"] == "cancelled"
    (world.tree / "w.yml").write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hi\n"
    )
    done = world.start("run", "w.yml", "--json")
    assert done.end() == 0
    assert server("GET", "/api/v1/runs?limit=1")[1]["items"][0]["status"] == "succeeded"


def test_taken_over_it_serves_through_the_other_and_is_the_engine_again_after_it(world: World) -> None:
    server = Server(world)
    (world.tree / "w.yml").write_text(WORKFLOW.format(witness=world.witness, gate=world.gate))
    stop(world, server.command)
    other = world.start("run", "w.yml", "--json")
    run = other.until(lambda line: line.get("event") == "run.accepted")["run"]
    server.begun()
    server.command.signal(signal.SIGCONT)

    def served_by(pid: int) -> bool:
        status, told = server("GET", "/api/v1/server")
        return status == 200 and told["pid"] == pid

    until(lambda: served_by(other.pid), "it serves through the other engine")
    assert server("GET", f"/api/v1/runs/{run}")[1]["status"] == "running"
    world.open_gate()
    assert other.end() == 0
    until(lambda: served_by(server.command.pid), "it is the engine again")
    assert server.ended(server.submit()[1])["status"] == "succeeded"


def test_what_others_can_reach_needs_a_word(world: World) -> None:
    refused = world.start("up", "--host", "0.0.0.0", "--port", "0")
    assert refused.end() == 2
    assert "nothing is encrypted" in refused.text
    assert not os.path.exists(world.home)


def test_a_second_server_of_a_home_tells_where_it_is_served(world: World) -> None:
    server = Server(world)
    second = world.start("up", "--port", "0")
    assert second.end() == 2
    assert f"is served already, at {server.url}" in second.text
    assert str(server.command.pid) in second.text
    server.command.signal(signal.SIGTERM)
    assert server.command.end() == 0
    assert not os.path.exists(f"{world.home}/served")


def test_a_port_that_is_taken_is_told_of_before_anything_starts(world: World) -> None:
    server = Server(world)
    port = server.url.rpartition(":")[2]
    env = dict(world.env)
    world.env["RELEVO_HOME"] = str(Path(env["RELEVO_HOME"]) / "other")
    second = world.start("up", "--port", port)
    assert second.end() == 2
    assert f"127.0.0.1:{port} cannot be listened on" in second.text
    assert not os.path.exists(world.env["RELEVO_HOME"])
    world.env = env
