"""The agent's process: `python -m relevo.assembly.agent OPTIONS`. Started by an engine (head_start.py), outlives it.

It imports neither store, scheduler nor orchestrator.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from relevo.agent.agent import LONELY_S, Agent, AgentConfig
from relevo.domain.errors import InfrastructureError, UserError
from relevo.runtime.clock import SystemClock
from relevo.runtime.disk import OsDisk
from relevo.runtime.failpoints import reach
from relevo.runtime.load import read_load
from relevo.runtime.loop import Sweeper
from relevo.runtime.loop import run as run_loop
from relevo.runtime.processes import RECORD, ProcessIdentity, identity
from relevo.telemetry.diary import Keeping, Wish, wish

if TYPE_CHECKING:
    from relevo.agent.reporter import Reporter
    from relevo.agent.workspace import Places
    from relevo.protocol.messages import Assignment
    from relevo.providers.contract import WorkerProvider
    from relevo.runtime.pools import Pool
    from relevo.workflow.contexts import JobContexts
    from relevo.workflow.model import JobSpec

#: Exit code of an agent that found another one at work in its folder.
OCCUPIED: Final = 3


class Options(Struct, frozen=True):
    """What the engine tells the agent that it starts, as JSON in RELEVO_AGENT."""

    folder: str
    socket: str
    labels: tuple[str, ...]
    slots: int
    window: int = 0
    provider: str = "process"
    lonely_s: float = LONELY_S
    resources: dict[str, float] = {}
    taints: tuple[str, ...] = ()
    pool: str = ""
    zone: str = ""


async def run(options: Options) -> int:
    """Run until there is nothing to do any more; returns the exit code."""
    from relevo.agent.workspace import Places
    from relevo.runtime.pools import Pool

    loop = asyncio.get_running_loop()
    lock = _lock(options.folder)
    if lock is None:
        return OCCUPIED
    reach("agent.after-lock")
    diary = Keeping(f"{options.folder}/agent.log", _wish(), terminal=False)
    who = identity(os.getpid())
    address = Address(loop, options.socket)
    _tell_owner(options.folder, who)
    pool = Pool("agent", threads=4)
    provider = _provider(options, loop)
    places = Places(f"{options.folder}/work", f"{options.folder}/temp", f"{options.folder}/tools")
    places.set_aside()
    who = identity(os.getpid())
    address = Address(loop, options.socket)
    config = AgentConfig(
        "local",
        who.pid,
        who.start_ticks,
        who.boot_id,
        options.labels,
        options.slots,
        float(os.cpu_count() or 1),
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        options.window,
        options.folder,
        options.lonely_s,
        options.resources,
        options.taints,
        options.pool,
        options.zone,
    )
    agent = Agent(
        config,
        disk=OsDisk(),
        loop=loop,
        clock=SystemClock(),
        provider=provider,
        make_attempt=_attempts(places, provider, loop, pool),
        dial=address.dial,
        blocking=pool.run,
        moved=address.moved,
        load=read_load,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.done.set)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # see workers.spawn
    sweeper = Sweeper(loop, agent.under_way)
    try:
        await agent.start()
        sweeper.start()
        await _tidy(pool, places.remove_set_aside)
        await agent.done.wait()
    finally:
        sweeper.stop()
        await agent.close()
        await _tidy(pool, places.clear)
        await pool.close()
        diary.close()
        _forget_owner(options.folder)
        os.close(lock)
    return 0


def _wish() -> Wish:
    try:
        return wish(os.environ)
    except UserError:
        return Wish()  # the engine tells of it


async def _tidy(pool: Pool, remove: Callable[[], None]) -> None:
    try:
        await pool.run(remove)
    except (OSError, InfrastructureError) as error:
        import logging

        # the next agent tries again
        logging.getLogger(__name__).warning("folders of earlier attempts were not removed: %s", error)


def _lock(folder: str) -> int | None:
    """Own the folder for as long as this process lives; None when another agent has it."""
    import fcntl

    os.makedirs(folder, mode=0o700, exist_ok=True)
    fd = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _tell_owner(folder: str, who: ProcessIdentity) -> None:
    """Write down whose the folder is: the next engine finds this process by it."""
    import msgspec

    path = f"{folder}/{RECORD}"
    try:
        with open(f"{path}.new", "wb") as file:
            file.write(msgspec.json.encode(who))
        os.replace(f"{path}.new", path)
    except OSError as error:
        # A full disk: this agent can be dialled by, not found by, the next engine; better than none.
        sys.stderr.write(f"{path} cannot be written: {error}\n")


def _forget_owner(folder: str) -> None:
    """The last thing: whoever finds the owner written down and dead knows that there is something to clear away."""
    with contextlib.suppress(OSError):
        os.unlink(f"{folder}/{RECORD}")


class Address:
    """The engine's socket, which each engine makes anew."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str) -> None:
        self._loop = loop
        self._path = path
        self._dialled: int | None = None  # what the path led to then

    async def dial(
        self, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect. Raises OSError."""
        # Read before: whoever takes the place meanwhile is another one than was dialled.
        self._dialled = _inode(self._path)
        return await self._loop.create_unix_connection(factory, self._path)

    def moved(self) -> bool:
        """Whether the path leads to another engine than was dialled."""
        now = _inode(self._path)
        return now is not None and now != self._dialled


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


def _provider(options: Options, loop: asyncio.AbstractEventLoop) -> WorkerProvider:
    if options.provider == "dummy":
        from relevo.providers.dummy import DummyProvider

        return DummyProvider(loop, remember=False)
    from relevo.providers.process.provider import ProcessProvider

    return ProcessProvider(f"{options.folder}/workers")


def _attempts(places: Places, provider: WorkerProvider, loop: asyncio.AbstractEventLoop, pool: Any) -> Any:
    from relevo.agent.attempt import AttemptRun

    clock = SystemClock()

    def make(
        assignment: Assignment,
        spec: JobSpec,
        contexts: JobContexts,
        reporter: Reporter,
        secrets: dict[str, str],
    ) -> AttemptRun:
        return AttemptRun(
            assignment,
            spec,
            contexts,
            provider=provider,
            reporter=reporter,
            places=places,
            clock=clock,
            loop=loop,
            blocking=pool.run,
            secrets=secrets,
        )

    return make


def main() -> None:
    """Entry point."""
    import msgspec

    options = msgspec.json.decode(sys.argv[1], type=Options)
    code = run_loop(run(options))
    os._exit(code)  # nothing is open any more: taking the modules down again would only cost time


if __name__ == "__main__":
    main()
