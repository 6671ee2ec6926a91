"""The door over a real socket: callers, agents, and whatever else may knock."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys

import pytest
from tests.unit.orchestrator.kit import until

from relevo.assembly.client import connect
from relevo.assembly.door import Door
from relevo.domain.errors import InfrastructureError, UserError
from relevo.protocol import control
from relevo.protocol import messages as m
from relevo.protocol.framing import FRAME_LIMIT, frame
from relevo.runtime.patience import Patience


class Api:
    """Answers what the tests ask."""

    async def ping(self):
        return {"pid": os.getpid()}

    async def cancel(self, run: str, *, force: bool = False):
        if run == "bug":
            raise InfrastructureError("no room")
        raise UserError(f"there is no run {run}", hint="look")

    async def events(self, run: str, after: int = 0, *, follow: bool = True):
        for number in range(after, 100_000):
            yield {"event": "x", "seq": number}


class Agent(asyncio.Protocol):
    """Stands for the worker manager's end of an agent."""

    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


@pytest.fixture
async def door(tmp_path):
    agents: list[Agent] = []

    def for_agent():
        agents.append(Agent())
        return agents[-1]

    door = Door(str(tmp_path / "s"), asyncio.get_running_loop(), for_agent, Api())
    door.agents = agents
    await door.open()
    yield door
    await door.close()
    assert not os.path.exists(door._path)


async def test_an_engine_that_works_may_answer_late(door, monkeypatch):
    asked = looks = 0
    looked_at_often = asyncio.Event()
    look = Patience.over

    def over(self, who, now_s):
        nonlocal looks
        looks += 1
        if looks == 5:
            looked_at_often.set()
        return look(self, who, now_s)

    async def ping():
        nonlocal asked
        asked += 1
        await looked_at_often.wait()
        return {}

    monkeypatch.setattr(Patience, "over", over)
    monkeypatch.setattr(Api, "ping", staticmethod(ping))
    client = await connect(door._path, asyncio.get_running_loop(), quiet_s=0.0)
    assert client is not None
    assert asked == 1
    client.close()


@pytest.fixture
def silent(tmp_path):
    """An address where a process listens and never answers."""
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True); input()"
    path = str(tmp_path / "silent")
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=-1, stdout=-1) as process:
        process.stdout.readline()
        yield path
        process.kill()


async def test_an_engine_that_shows_no_sign_of_life_is_given_up(silent):
    assert await connect(silent, asyncio.get_running_loop(), quiet_s=0.0) is None


async def test_a_caller_gets_answers_errors_and_streams(door):
    client = await connect(door._path, asyncio.get_running_loop())
    assert (await client.ping())["pid"] == os.getpid()
    with pytest.raises(UserError, match="no run x") as error:
        await client.cancel("x")
    assert error.value.hint == "look"
    with pytest.raises(InfrastructureError, match="no room"):
        await client.cancel("bug")
    seen = []
    async for event in client.events("r", 7):
        seen.append(event["seq"])
        if len(seen) == 3:
            break
    assert seen == [7, 8, 9]
    with pytest.raises(UserError, match="cannot be asked so"):
        await client._call("cancel", nonsense=1)
    client.close()


async def test_an_agent_is_handed_over_with_all_that_it_said(door):
    hello = m.Hello(m.VERSION, "a", 1, 1, "b", [], 1, 1.0, 1, "dummy", 1, 1, [], 0)
    data = frame(m.encode(hello))
    _, writer = await asyncio.open_unix_connection(door._path)
    for byte in data:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    await until(lambda: door.agents and door.agents[0].data == data)
    writer.close()
    await writer.wait_closed()


async def test_garbage_is_cut_off_and_nobody_else_notices(door):
    chance = random.Random(7)
    client = await connect(door._path, asyncio.get_running_loop())
    call = frame(m.encode(control.Call(1, "ping", {})))
    for garbage in (
        (FRAME_LIMIT + 1).to_bytes(4, "big") + b"x" * 20,
        frame(b"\xc1" * 30),
        frame(m.encode(control.Done(1))) + b"\x00" * 20,
        call[:4] + call[4:].replace(b"Call", b"Cull") + bytes(20),
        *(frame(chance.randbytes(40)) for _ in range(50)),
    ):
        reader, writer = await asyncio.open_unix_connection(door._path)
        writer.write(garbage)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert (await client.ping())["pid"] == os.getpid()
    client.close()


async def test_connections_that_are_over_are_forgotten(door):
    for _ in range(20):
        client = await connect(door._path, asyncio.get_running_loop())
        client.close()
    client = await connect(door._path, asyncio.get_running_loop())
    await until(lambda: len(door.open_connections) == 1)
    client.close()
