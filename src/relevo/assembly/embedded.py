"""The engine of one home, in this process: SQLite, directories, a bus in memory, the agent of this machine.

Exactly one engine lives for each home. Whoever wants one asks the socket first: a living engine is used; a holder of
the lease that does not answer is taken over, under a higher epoch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from relevo.assembly import head_start
from relevo.assembly.client import Client, connect
from relevo.assembly.door import Door
from relevo.assembly.engine import Engine, Parts
from relevo.assembly.home import AGENT, Home
from relevo.assembly.local_api import LocalApi
from relevo.assembly.place import local_place
from relevo.assembly.resources import local_resources
from relevo.assembly.scheduling import policy_of
from relevo.assembly.secrets import Vault
from relevo.assembly.tenure import Tenure
from relevo.domain.errors import InfrastructureError, RelevoError, UserError
from relevo.domain.ids import LEASE
from relevo.leases.contract import Holder, Lease, LeaseHeld
from relevo.runtime.clock import SystemClock
from relevo.runtime.entropy import SystemEntropy
from relevo.runtime.failpoints import reach
from relevo.runtime.notices import NOTICES
from relevo.runtime.patience import answered
from relevo.runtime.processes import ProcessIdentity, identity
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.reach import Reach
from relevo.telemetry import settings
from relevo.telemetry.diary import Keeping, wish
from relevo.telemetry.vitals import GcWatch
from relevo.workers.local import LocalAgent, LocalAgentKeeper

if TYPE_CHECKING:
    from relevo.leases.local import LocalLeases
    from relevo.orchestrator.api import EngineApi
    from relevo.telemetry.export import Exporter, Sender

#: How long a holder of the lease may neither answer nor show a sign of life before it is taken over.
ANSWER_S: Final = 3.0
#: How long the agent may take to leave when there is nothing more for it to do.
LEAVE_S: Final = 2.0
PRUNE_EVERY_S: Final = 86_400.0
#: How often an engine looks whether it is time.
LOOK_EVERY_S: Final = 3_600.0
ATTACH_TRIES: Final = 50
ATTACH_WAIT_S: Final = 0.1

_log = logging.getLogger(__name__)


class Embedded:
    """An engine with its door and its agent. `taken_over` is set when somebody else became the engine of this home."""

    def __init__(
        self,
        home: Home,
        engine: Engine,
        api: LocalApi,
        door: Door,
        keeper: LocalAgentKeeper,
        leave: Callable[[], None],
        exporter: Exporter | None = None,
    ) -> None:
        self.home = home
        self.engine = engine
        self.api = api
        self._door = door
        self._keeper = keeper
        self._leave = leave
        self._exporter = exporter
        self._closing: asyncio.Task[None] | None = None
        self.tenure: Tenure | None = None
        self.taken_over = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Nothing is live, here or at the agent."""
        agent = self.engine.manager.agents.get(AGENT)
        return not self.engine.orchestrator.live and (agent is None or not agent.placed)

    @property
    def agent_pid(self) -> int | None:
        """Of the agent's process; None while there is none."""
        who = self._keeper.who
        return None if who is None else who.pid

    async def ready(self) -> None:
        """Returns when the agent takes jobs."""
        await self.engine.manager.some_agent_ready.wait()

    async def close(self) -> None:
        """Leave. The agent stays for whoever comes next while anything runs, else it leaves too. Idempotent."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self.tenure is not None:
            self.tenure.close()
        gone: asyncio.Future[Any] | None = None
        if self.idle and not self.taken_over.is_set():
            hung_up = self.engine.manager.stop_agents()
            gone = asyncio.ensure_future(self._keeper.gone(LEAVE_S))
            # Who has hung up needs no engine: it clears its things away while this process does.
            await asyncio.wait((hung_up, gone), return_when=asyncio.FIRST_COMPLETED)
        await self._door.close()
        if self._exporter is not None:
            await self._exporter.close(flush=not self.taken_over.is_set())
        await self.engine.close()
        if gone is not None:
            await gone
        self._keeper.close()
        _log.info("an engine is closed")
        self._leave()


async def open_engine(
    home: Home,
    *,
    slots: int | None = None,
    provider: str = "process",
    window: int | None = None,
) -> Embedded:
    """Become the engine of a home. Raises LeaseHeld when somebody alive is, UserError when the home cannot be used."""
    from relevo.blobs.directory import DirectoryBlobs
    from relevo.bus.inprocess import InProcessBus
    from relevo.leases.local import LocalLeases
    from relevo.logs.blocking import Threads
    from relevo.logs.claim import Claim
    from relevo.logs.store import FileLogStore
    from relevo.runtime.disk import OsDisk
    from relevo.store.sqlite import SqliteStore, open_database

    loop = asyncio.get_running_loop()
    wanted = wish(os.environ)
    home.make()
    home.make_socket_folder()
    policy = policy_of(home.path)
    who = identity(os.getpid())
    clock = SystemClock()
    holder = Holder(who.pid, who.start_ticks, who.boot_id, os.uname().nodename, clock.wall_ms(), home.socket)
    leases = LocalLeases(lambda: open_database(home.database))
    lease = await _acquire(leases, holder, home, loop)
    reach("engine.after-lease")
    diary = Keeping(home.engine_log, wanted)
    store = await SqliteStore.open(home.database, lease.epoch, loop)
    threads = Threads(loop)
    collections = GcWatch()
    disk = OsDisk()
    logs = FileLogStore(disk, home.logs, loop, threads, Claim(disk, home.logs, lease.epoch))
    blobs = DirectoryBlobs(home.blobs)
    parts = Parts(store, logs, blobs, InProcessBus(), clock, SystemEntropy())
    vault = Vault(home.key)
    place = local_place()
    made: list[Embedded] = []

    def fenced(epoch: int) -> None:
        if made:
            made[0].taken_over.set()

    async def release() -> None:
        try:
            await leases.release(lease)
        except InfrastructureError:
            pass  # no room for it: the next engine sees that its holder is dead

    def leave() -> None:
        collections.close()
        diary.close()
        threads.close()
        blobs.close()

    own = AgentCapacity(
        AGENT,
        place.labels,
        slots or os.cpu_count() or 1,
        float(os.cpu_count() or 1),
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        extras=local_resources(home.path),
        taints=place.taints,
        pool=place.pool,
        zone=place.zone,
    )
    within = Reach([own], refuses=policy is None or policy.impossible == "fail")
    engine = Engine(
        parts,
        loop,
        fenced=fenced,
        release=release,
        open_secrets=vault.open,
        reach=within,
        policy=policy,
    )
    api = LocalApi(engine, vault, within, f"{home.agent}/kept", home.caches, home.path)
    door = Door(home.socket, loop, engine.manager.accept, api)
    keeper = LocalAgentKeeper(_agent(home, slots, provider, window), loop, lambda: _connected(engine))
    exporter = _exporter(home, engine)
    embedded = Embedded(home, engine, api, door, keeper, leave, exporter)
    made.append(embedded)
    embedded.tenure = Tenure(
        loop, lambda: leases.valid(lease), embedded.taken_over.set, suspect=lambda: door.displaced
    )
    if exporter is not None:
        exporter.open()
    await engine.open()
    await door.open()
    keeper.open(head_start.taken(home))
    embedded.tenure.open()
    _log.info("an engine is open, its epoch is %d", lease.epoch)
    engine.spawn(_prune_daily(embedded))
    return embedded


def _exporter(home: Home, engine: Engine) -> Exporter | None:
    """What sends traces, where the variables of OpenTelemetry ask for it."""
    where = settings.endpoint(os.environ)
    wrong = settings.refusal(os.environ)
    if not where or wrong:
        settings.forget(home.traced)
        if where:
            NOTICES.warning("traces are not sent: %s", wrong)
        return None
    from relevo.orchestrator.public import ends_run, published
    from relevo.telemetry.export import Exporter
    from relevo.telemetry.spans import derive

    def connect() -> Sender:
        from relevo.telemetry.otlp import OtlpSender

        return OtlpSender(where, os.environ)

    store = engine.parts.store
    exporter = Exporter(
        asyncio.get_running_loop(),
        read=store.read,
        scan=store.scan,
        ends=ends_run,
        derive=lambda run, history: derive(run, published(history), 0),
        connect=connect,
        where=where,
        cursor=home.traced,
        last=store.sequence,
    )
    engine.orchestrator.ended = exporter.ended
    return exporter


def _prune_is_due(home: Home) -> bool:
    try:
        age_s = time.time() - os.stat(home.pruned).st_mtime
    except FileNotFoundError:
        return os.path.isdir(home.logs)  # a new home has nothing old
    return not 0 <= age_s < PRUNE_EVERY_S


def _note_pruned(home: Home) -> None:
    with open(home.pruned, "wb"):
        os.utime(home.pruned)


async def _prune_daily(embedded: Embedded) -> None:
    """As long as the engine lives: a server does for months."""
    while True:
        if _prune_is_due(embedded.home):
            await _prune(embedded)
        await asyncio.sleep(LOOK_EVERY_S)


async def _prune(embedded: Embedded) -> None:
    """Remove what is beyond the home's limits, once the agent is at work."""
    await embedded.ready()
    try:
        await embedded.api.prune()
        _note_pruned(embedded.home)
    except (RelevoError, OSError) as error:
        context = {"message": "what is old could not be removed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def _connected(engine: Engine) -> bool:
    agent = engine.manager.agents.get(AGENT)
    return (agent is not None and agent.link is not None) or engine.manager.left_to_finish(AGENT)


def _agent(home: Home, slots: int | None, provider: str, window: int | None) -> LocalAgent:
    argv = head_start.arguments(home, slots=slots, window=window, provider=provider)
    return LocalAgent(argv, home.agent, dict(os.environ))


async def _acquire(leases: LocalLeases, holder: Holder, home: Home, loop: asyncio.AbstractEventLoop) -> Lease:
    try:
        return await leases.acquire(LEASE, holder)
    except LeaseHeld as held:
        if await _answers(home, held.holder, loop):
            raise
        return await leases.acquire(LEASE, holder, take_over=held.holder)


async def _answers(home: Home, holder: Holder, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the holder of the lease answers. One that has just got it has no socket yet; with 100,000 runs, not for seconds."""
    here = holder.host == os.uname().nodename
    who = ProcessIdentity(holder.pid, holder.start_ticks, holder.boot_id) if here else None
    try:
        client = await answered(_reached(home, loop), lambda: who, ANSWER_S)
    except TimeoutError:
        return False
    client.close()
    return True


async def _reached(home: Home, loop: asyncio.AbstractEventLoop) -> Client:
    while True:
        client = await connect(home.socket, loop, quiet_s=ANSWER_S)
        if client is not None:
            return client
        await asyncio.sleep(ATTACH_WAIT_S)


async def attach(
    home: Home,
    *,
    slots: int | None = None,
    provider: str = "process",
) -> tuple[EngineApi, Embedded | None, Client | None]:
    """The engine of a home: the living one, else this process becomes it."""
    loop = asyncio.get_running_loop()
    for _ in range(ATTACH_TRIES):
        if os.path.exists(home.socket):
            client = await connect(home.socket, loop, quiet_s=ANSWER_S)
            if client is not None:
                return client, None, client
        try:
            embedded = await open_engine(home, slots=slots, provider=provider)
        except LeaseHeld:
            # Somebody has just become the engine, and will answer in a moment.
            await asyncio.sleep(ATTACH_WAIT_S)
            continue
        return embedded.api, embedded, None
    raise UserError(
        f"another process holds {home.path} and does not let anybody in", hint="relevo doctor tells more"
    )
