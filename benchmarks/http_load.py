"""Clients for bench_http.py, in a process of their own: `python -m benchmarks.http_load KIND …` prints one JSON object.

requests PORT TOKEN RATE SECONDS CONNECTIONS    POST /api/v1/runs; RATE 0: as fast as they are answered
followers PORT PATH COUNT STALLED SECONDS       streams of events; STALLED of them never read
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
import sys
import time
from collections import deque
from typing import Any

from relevo.runtime.loop import run

WORKFLOW = (
    "on: push\njobs:\n  a:\n    if: ${{ false }}\n    runs-on: ubuntu-latest\n    steps:\n      - run: ':'\n"
)
_STAMP = re.compile(rb'"text":"(\d+) ')


def request(token: str) -> bytes:
    body = json.dumps({"workflow": {"path": "w.yml", "text": WORKFLOW}}).encode()
    head = (
        "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Asking(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.due = 0.0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, due: float) -> None:
        self.due = due
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        # Head and body may come apart.
        if data.startswith(b"HTTP/1.1") and not data.startswith(b"HTTP/1.1 201"):
            raise SystemExit(f"refused: {data[:300]!r}")
        if b'{"run":' in data:
            self.load.answered(self)


class Load:
    """Open loop: who is due waits for a free connection, and its time counts from when it was due."""

    def __init__(self, token: str) -> None:
        self.request = request(token)
        self.took: list[float] = []
        self.free: deque[Asking] = deque()
        self.due: deque[float] = deque()
        self.closed = False
        self.until = 0.0
        self.last = 0  #: how many there are to be
        self.all = asyncio.Event()

    def answered(self, asking: Asking) -> None:
        now = time.perf_counter()
        self.took.append(now - asking.due)
        if len(self.took) == self.last:
            self.all.set()
        if self.closed:
            if now < self.until:
                asking.ask(now)
        elif self.due:
            asking.ask(self.due.popleft())
        else:
            self.free.append(asking)

    async def open_loop(self, rate: float, seconds: float) -> None:
        count = self.last = int(rate * seconds)
        begun = time.perf_counter() + 0.05
        sent = 0
        while sent < count:
            now = time.perf_counter()
            while sent < count and begun + sent / rate <= now:
                due = begun + sent / rate
                sent += 1
                if self.free:
                    self.free.popleft().ask(due)
                else:
                    self.due.append(due)
            await asyncio.sleep(max(0.0, begun + sent / rate - time.perf_counter()))
        await self.all.wait()


async def requests(port: int, token: str, rate: float, seconds: float, connections: int) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    load = Load(token)
    for _ in range(connections):
        _, asking = await loop.create_connection(lambda: Asking(load), "127.0.0.1", port)
        load.free.append(asking)
    cpu = _cpu()
    begun = time.perf_counter()
    if rate:
        await load.open_loop(rate, seconds)
    else:
        load.closed = True
        load.until = begun + seconds
        for asking in load.free:
            asking.ask(time.perf_counter())
        await asyncio.sleep(seconds)
    wall = time.perf_counter() - begun
    took = sorted(load.took)
    return {
        "rate": len(took) / wall,
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[int(len(took) * 0.99)] * 1e3,
        "cpu": (_cpu() - cpu) / wall,
    }


class Following(asyncio.Protocol):
    """A stream that is counted, not read in full. Some are looked at for how late they are."""

    def __init__(self, path: str, sampled: list[float] | None) -> None:
        self.path = path
        self.lines = 0
        self.sampled = sampled

    def connection_made(self, transport: Any) -> None:
        transport.write(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self.lines += data.count(b'"text":')
        if self.sampled is not None and (found := _STAMP.search(data)):
            self.sampled.append((time.monotonic_ns() - int(found[1])) / 1e6)


async def followers(port: int, path: str, count: int, stalled: int, seconds: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    deaf = []
    late: list[float] = []
    following: list[Following] = []
    for number in range(count):
        if number < stalled:
            found = socket.create_connection(("127.0.0.1", port))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            found.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            deaf.append(found)
            continue
        made = Following(path, late if number % 50 == 0 else None)
        await loop.create_connection(lambda made=made: made, "127.0.0.1", port)  # type: ignore[misc]
        following.append(made)
    for _ in range(100):  # a server that cannot keep up is measured as it is
        if all(one.lines for one in following):
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    late.clear()
    cpu, begun = _cpu(), time.perf_counter()
    before = [one.lines for one in following]
    await asyncio.sleep(seconds)
    wall = time.perf_counter() - begun
    got = [one.lines - start for one, start in zip(following, before, strict=True)]
    late.sort()
    print("ready", flush=True)
    sys.stdin.readline()
    return {
        "rate": sum(got) / wall,
        "least": min(got) / wall,
        "p50_ms": late[len(late) // 2] if late else None,
        "p99_ms": late[int(len(late) * 0.99)] if late else None,
        "cpu": (_cpu() - cpu) / wall,
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    kind, port, *rest = sys.argv[1:]
    if kind == "requests":
        asked = requests(int(port), rest[0], float(rest[1]), float(rest[2]), int(rest[3]))
    else:
        asked = followers(int(port), rest[0], int(rest[1]), int(rest[2]), float(rest[3]))
    print(json.dumps(run(asked)))
