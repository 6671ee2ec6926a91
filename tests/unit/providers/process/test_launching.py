"""What launcher and agent say to each other, each end alone."""

from __future__ import annotations

import asyncio
import marshal
import os
import socket
import sys
from collections.abc import Iterator

import pytest

from relevo.providers.process import launching
from relevo.providers.process.launcher import LARGEST
from relevo.providers.process.launching import Launcher

from .conftest import PATH


class Told:
    """A Listener."""

    def __init__(self) -> None:
        self.statuses: list[int] = []

    def step_ended(self, status: int) -> None:
        self.statuses.append(status)

    def launcher_gone(self) -> None:
        raise AssertionError("it is there")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The agent's and the launcher's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def pipe() -> Iterator[int]:
    """Where a step would write."""
    reading, writing = os.pipe()
    yield writing
    os.close(reading)
    os.close(writing)


async def test_a_step_that_has_ended_had_started(
    ends: tuple[socket.socket, socket.socket], pipe: int
) -> None:
    ours, theirs = ends
    launcher = Launcher(os.getpid(), ours, asyncio.get_running_loop())
    launcher.listener = told = Told()
    starting = asyncio.ensure_future(launcher.start(["true"], {}, "/", pipe))
    await asyncio.sleep(0)
    theirs.send(b"E256")
    await starting
    assert told.statuses == [256]
    launcher.close()


async def test_a_launcher_lives_as_long_as_its_end_of_the_socket(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    launcher = Launcher(os.getpid(), ours, asyncio.get_running_loop())
    assert launcher.lives()
    theirs.send(b"S")
    assert launcher.lives()
    assert ours.recv(LARGEST) == b"S"  # nothing was taken
    theirs.close()
    assert not launcher.lives()
    launcher.close()
    assert not launcher.lives()


def test_the_start_of_a_step_that_goes_on_is_told_while_it_does(pipe: int) -> None:
    pid, sock = launching.spawn()
    with sock:
        sock.settimeout(60)
        assert sock.recv(LARGEST) == b"R"
        request = marshal.dumps((("sleep", "1000"), {"PATH": PATH}, "/"))
        rights = pipe.to_bytes(4, sys.byteorder)
        sock.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        assert sock.recv(LARGEST) == b"S"
    os.waitpid(pid, 0)
