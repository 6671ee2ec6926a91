"""A whole engine in virtual time, over a store in memory, and an agent of which only the connection is real."""

from __future__ import annotations

import asyncio
from typing import Any

from blake3 import blake3
from msgspec.msgpack import encode

from relevo.assembly.engine import Engine, Parts
from relevo.blobs.memory import MemoryBlobs
from relevo.bus.inprocess import InProcessBus
from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.logs.store import FileLogStore
from relevo.orchestrator.plans import SharedContexts, digest_of, group_of_run
from relevo.protocol import messages as m
from relevo.protocol.framing import FrameReader, frame
from relevo.runtime.entropy import SeededEntropy
from relevo.store.memory import MemoryDisk, MemoryStore
from relevo.testing.faulty_store import FaultyStore
from relevo.testing.in_loop import InLoop
from relevo.testing.sim_disk import SimDisk
from relevo.testing.virtual_loop import VirtualClock
from relevo.workflow.reader import read

LABELS = ["ubuntu-*", "linux"]
_from_engine = m.decoder(m.ToAgent)


class Transport:
    """The engine's end of a connection that is no socket."""

    def __init__(self, agent: FakeAgent) -> None:
        self.agent = agent
        self.closed = False
        self.paused = False

    def write(self, data: bytes) -> None:
        for payload in self.agent.reader.feed(data):
            self.agent.got.append(_from_engine.decode(payload))

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.agent.link.connection_lost, None)


class FakeAgent:
    """Says what the test has it say."""

    def __init__(self, engine: Engine, id: str = "local", *, slots: int = 4, **place: Any) -> None:
        """`place`: labels beside the usual ones, taints, pool, zone."""
        self.engine = engine
        self.id = id
        self.slots = slots
        self.place = place
        self.got: list[Any] = []
        self.first = 1
        self.next = 1
        self.dial()

    def dial(self) -> None:
        self.reader = FrameReader()
        self.link = self.engine.manager.accept()
        self.transport = Transport(self)
        self.link.connection_made(self.transport)

    def say(self, message: Any) -> None:
        self.link.data_received(frame(m.encode(message)))

    def hello(self, *live: m.Live, epoch: int = 0, next: int | None = None) -> None:
        self.say(
            m.Hello(
                m.VERSION, self.id, 1, 1, "boot", [*LABELS, *self.place.get("labels", [])], self.slots, 8.0, 1 << 34,
                "dummy", self.first, next or self.next, list(live), epoch, taints=self.place.get("taints", []),
                pool=self.place.get("pool", ""), zone=self.place.get("zone", ""),
            )
        )  # fmt: skip
        self.say(m.Beat(frames=1))  # only who answers a Welcome is taken

    def records(self, *records: m.AnyRecord) -> None:
        first, self.next = self.next, self.next + len(records)
        self.say(m.Records(first, list(records)))

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.got if type(message) is kind]

    def assigned(self) -> list[m.Assignment]:
        return [one for message in self.of(m.Assign) for one in message.assignments]

    def finish(self, one: m.Assignment, result: str = "succeeded", *, log: bytes = b"", **more: Any) -> None:
        """All records of an attempt."""
        key = (one.run, one.job, one.number)
        said: list[m.AnyRecord] = [m.AttemptStarted(*key)]
        if log:
            said.append(m.LogBytes(*key, 0, 0, 1, log))
        digest = blake3(log).digest() if log else b""
        said.append(m.AttemptFinished(*key, result, log_size=len(log), log_digest=digest, **more))
        self.records(*said)


class World:
    """What outlives an engine, and the engine that is there now."""

    def __init__(self, **options: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.disk = MemoryDisk(0, 0, {}, {}, {}, {}, set())
        self.files = SimDisk()
        self.files.make("/home")
        self.blobs = MemoryBlobs()
        self.clock = VirtualClock(self.loop)
        self.fenced: list[int] = []
        self.runs = 0
        self.options = options

    async def engine(self, epoch: int = 1) -> Engine:
        self.store = FaultyStore(MemoryStore(self.disk, self.loop, epoch, lambda: 0.002), self.loop)
        logs = FileLogStore(self.files, "/home/logs", self.loop, InLoop(self.loop))
        parts = Parts(self.store, logs, self.blobs, InProcessBus(), self.clock, SeededEntropy(1))
        self.now = Engine(parts, self.loop, fenced=self.fenced.append, **self.options)
        await self.now.open()
        return self.now

    def submission(
        self, text: str, called: dict[str, str] | None = None, **shared: Any
    ) -> tuple[c.Submit, Any, bytes]:
        """`called`: what the files hold that it calls."""
        files = {f"./{name}": file.encode() for name, file in (called or {}).items()}
        plan = self.now.orchestrator.stored.plans.of(read(text.encode(), "w.yml", files.get))
        contexts = SharedContexts(github={"event_name": "push", "n": self.runs}, **shared)
        blob = encode(contexts)
        self.runs += 1
        submit = c.Submit(
            f"r{self.runs}", "w", "t", "push", plan.digest, digest_of(blob), plan.declarations(),
            at_ms=self.clock.wall_ms(),
            group=group_of_run(plan, contexts),
        )  # fmt: skip
        return submit, plan, blob

    async def submit(self, text: str, called: dict[str, str] | None = None, **shared: Any) -> str:
        submit, plan, blob = self.submission(text, called, **shared)
        await self.now.orchestrator.submit(submit, plan, blob)
        return submit.run

    def events(self, run: str) -> list[e.Event]:
        return [event for stored in self.disk.streams.get(run, []) for event in e.decode(stored.events)]

    def names(self, run: str) -> list[str]:
        return [type(event).__name__ for event in self.events(run)]

    def status(self, run: str) -> str:
        return self.disk.rows[run].status


async def until(condition: Any, limit_s: float = 60.0) -> None:
    """Let virtual time pass until it is so."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while not condition():
        assert loop.time() < end, "it never came to be"
        await asyncio.sleep(0.001)


ONE = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: x\n"
TWO = ONE + "  b:\n    needs: a\n    runs-on: ubuntu-latest\n    steps:\n      - run: y\n"
