"""The address of an engine, as its agent sees it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from relevo.assembly.agent import Address


def engine_at(path: str) -> socket.socket:
    """One that listens; connections wait in its backlog."""
    engine = socket.socket(socket.AF_UNIX)
    engine.bind(path)
    engine.listen()
    return engine


class Agent(asyncio.Protocol):
    """Waits for nothing but its own end."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)


async def dial(address: Address) -> None:
    agent = Agent()
    transport, _ = await address.dial(lambda: agent)
    transport.close()
    await agent.lost


async def test_an_engine_that_comes_after_its_agent_has_not_moved(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    address = Address(asyncio.get_running_loop(), path)
    with pytest.raises(FileNotFoundError):
        await dial(address)
    with engine_at(path):
        await dial(address)
        assert not address.moved()


async def test_one_that_takes_the_place_of_another_has(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    address = Address(asyncio.get_running_loop(), path)
    with engine_at(path), engine_at(f"{path}.new"):
        await dial(address)
        Path(f"{path}.new").rename(path)
        assert address.moved()
        await dial(address)
        assert not address.moved()
        Path(path).unlink()
        assert not address.moved()  # nobody is there: nobody to dial instead
