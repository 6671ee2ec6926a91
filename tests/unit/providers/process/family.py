"""Families of processes that try to get away, and how to count who is left of one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Iterator
from typing import NamedTuple

from relevo.providers.contract import Command
from relevo.runtime import processes


class Member(NamedTuple):
    """One process: what it does to hide, and its children."""

    own_session: bool = False
    double_fork: bool = False
    clear_environment: bool = False
    ignore_signals: bool = False
    stopped: bool = False
    children: tuple[Member, ...] = ()


#: Forks the family; each member ends as a `sleep` whose argv[0] is the token, its environment cleared or not.
_CODE = """
import json, os, signal, sys
token = sys.argv[2]
def become(member):
    own_session, double_fork, clear, ignore, stopped, children = member
    if own_session:
        os.setsid()
    if double_fork and os.fork():
        os._exit(0)
    if ignore:
        for number in set(range(1, 32)) - {9, 17, 19}:
            signal.signal(number, signal.SIG_IGN)
    for child in children:
        if not os.fork():
            become(child)
    null = os.open('/dev/null', os.O_RDWR)
    for fd in (1, 2):
        os.dup2(null, fd)
    if stopped:
        os.kill(os.getpid(), signal.SIGSTOP)
    os.execve('/bin/sleep', [token, '1000'], {} if clear else dict(os.environ))
for one in json.loads(sys.argv[1]):
    if not os.fork():
        become(one)
"""


def new_token() -> str:
    return f"relevo-test-{uuid.uuid4().hex}"


def family_command(members: list[Member], token: str, *, wait: bool = False) -> Command:
    """A step that leaves this family behind (`wait`: and stays as its head, a `sleep` too)."""
    code = _CODE + ("\nbecome([False, False, False, False, False, []])" if wait else "")
    argv = [sys.executable, "-I", "-S", "-c", code, json.dumps(members), token]
    return Command(argv, {"PATH": "/usr/bin:/bin"}, "/")


def size(members: tuple[Member, ...] | list[Member]) -> int:
    return sum(1 + size(one.children) for one in members)


def living(token: str) -> list[int]:
    """Pids of all whose command line holds the token, those too that have not become `sleep` yet."""
    return [pid for pid, line in command_lines() if token.encode() in line]


def settled(token: str) -> int:
    """How many of a family have done what they had to: they sleep, or are stopped."""
    count = 0
    for pid, line in command_lines():
        if token.encode() in line:
            try:
                count += line.startswith(token.encode()) or processes.stat(pid).state == "T"
            except ProcessLookupError:
                continue
    return count


def command_lines() -> Iterator[tuple[int, bytes]]:
    """Of all processes but this one."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    yield int(name), file.read()
            except OSError:
                continue  # it ended


async def until_living(token: str, count: int) -> None:
    """Returns once this many are settled, and nobody else carries the token."""
    async with asyncio.timeout(60):
        while not len(living(token)) == settled(token) == count:
            await asyncio.sleep(0.005)
