"""The world of one schedule: an engine, its agents and their machines, a network, users, and the life of all processes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from random import Random
from typing import Any, Final

from relevo.actors import ActorSystem
from relevo.agent.agent import Agent, AgentConfig
from relevo.agent.attempt import AttemptRun
from relevo.agent.workspace import Places
from relevo.assembly.engine import Engine, Parts
from relevo.bus.inprocess import InProcessBus
from relevo.domain.errors import RelevoError
from relevo.domain.ids import AttemptKey
from relevo.domain.run import Node
from relevo.domain.stored import Stored
from relevo.logs.claim import Claim
from relevo.logs.store import FileLogStore
from relevo.protocol import messages as m
from relevo.runtime.entropy import SeededEntropy
from relevo.store.contract import Append
from relevo.store.memory import MemoryDisk, MemoryStore
from relevo.testing.sim_disk import Killed, SimDisk
from relevo.testing.sim_host import SimHost
from relevo.testing.sim_network import SimNetwork
from relevo.testing.virtual_loop import VirtualClock, VirtualLoop
from relevo.workflow.model import JobNode
from tests.simulation.checker import Checker, Violation
from tests.simulation.client import Client
from tests.simulation.faults import KINDS, Fault
from tests.simulation.plans import Plan, plan_of
from tests.simulation.sometimes import probing
from tests.simulation.truth import Machine, SimProvider, Truth

ENGINE: Final = "engine"
LOGS: Final = "/home/logs"
#: So long after the last disturbance everything must be over.
FINISHES_S: Final = 240.0
#: What agents may take to hand in their last words, and the engine to let go of their slots.
SETTLES_S: Final = 60.0
#: What an engine may take to read all that lives.
STARTS_S: Final = 0.01

_records = m.decoder(m.Records)


class WorldDisk(SimDisk):
    """A disk whose process dies in the write that tears."""

    def __init__(self, torn: Callable[[], None]) -> None:
        super().__init__()
        self._torn = torn

    def written(self, path: str, file: Any, data: bytes) -> None:
        try:
            super().written(path, file, data)
        except Killed:
            self._torn()
            raise

    def replace(self, path: str, data: bytes) -> None:
        super().replace(path, data)
        self.syncs += 1  # another way to become durable


class WorldStore(MemoryStore):
    """The store of one engine, watched."""

    def __init__(self, world: World, process: EngineProcess, latency: Callable[[], float]) -> None:
        super().__init__(world.store_disk, process.host, process.epoch, latency)
        self._world = world
        self._process = process

    def _make_durable(self, half: float) -> None:
        fate = self._world.fate_of_commit()
        if fate == "before":
            self._world.saw("engine dies before a commit")
            self._world.crash_engine(self._process)
            return
        super()._make_durable(half)
        if fate == "after":
            self._world.saw("engine dies after a commit")
            self._world.crash_engine(self._process)

    async def scan_live(self, *, limit: int = 1_000) -> AsyncGenerator[Sequence[Stored], None]:
        # reading takes its time, and a process may die in it
        async for batch in super().scan_live(limit=min(limit, 4)):
            await self._process.blocking.run(lambda: None)
            yield batch

    async def delete_run(self, run: str, *, facts: Sequence[str] = ()) -> None:
        await super().delete_run(run, facts=facts)
        self._world.checker.groups.deleted(run)

    def _stored(self, append: Append) -> Stored | RelevoError:
        outcome = super()._stored(append)
        if isinstance(outcome, Stored):
            self._world.committed(outcome, self._process)
        else:
            self._world.saw(f"store: {type(outcome).__name__}")
        return outcome


class Blocking:
    """What may block, done in virtual time: a moment later, unless its process is dead by then."""

    def __init__(self, host: SimHost, random: Random) -> None:
        self._host = host
        self._random = random

    def __call__(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        def do() -> None:
            try:
                result = work()
            except Exception as error:
                self._host.call_soon(done, None, error)
            else:
                self._host.call_soon(done, result, None)

        draw = self._random.random()
        self._host.call_later(0.0002 + 0.003 * draw * draw + (0.2 if draw > 0.99 else 0.0), do)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a blocking call."""
        future = self._host.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self(lambda: function(*arguments), done)
        return await future


class EngineProcess:
    """An engine."""

    def __init__(self, world: World, epoch: int) -> None:
        self.epoch = epoch
        self.host = SimHost(world.loop, f"engine-{epoch}")
        self.host.set_exception_handler(world.host_error)
        random = Random(f"engine {world.plan.seed} {epoch}")
        self.store = WorldStore(world, self, lambda: 0.0003 + 0.004 * random.random() ** 3)
        self.blocking = Blocking(self.host, random)
        claim = Claim(world.log_disk, LOGS, epoch)
        self.logs = FileLogStore(world.log_disk, LOGS, self.host, self.blocking, claim)
        self.opened = False
        self.fenced = False
        system = ActorSystem(self.host, order=random.randrange)
        parts = Parts(
            self.store,
            self.logs,
            None,  # type: ignore[arg-type]  # nothing here makes artifacts
            InProcessBus(),
            world.clocks[0],
            SeededEntropy(world.plan.seed),
        )
        self.engine = Engine(
            parts,
            self.host,
            fenced=lambda epoch: world.was_fenced(self),
            policy=world.plan.policy,
            system=system,
        )


class AgentProcess:
    """An agent on its machine: as many incarnations as it takes."""

    def __init__(self, world: World, index: int) -> None:
        self.id = f"agent-{index}"
        self.index = index
        self.machine = Machine(SimHost(world.loop, f"machine-{index}"))
        self.machine.host.set_exception_handler(world.host_error)
        self.disk = WorldDisk(lambda: world.crash_agent(self))
        self.disk.make("/agent")
        self.disk.sync_folder("/")
        self.incarnation = 0
        self.up = False
        self.host: SimHost
        self.agent: Agent
        self.provider: SimProvider

    @property
    def name(self) -> str:
        """Of the incarnation that lives."""
        return f"{self.id} {self.incarnation}"


class World:
    """Everything of one schedule. `run` it once."""

    def __init__(self, seed: int, *, kinds: tuple[str, ...] = tuple(KINDS)) -> None:
        self.plan: Plan = plan_of(seed, kinds)
        self.loop = VirtualLoop(seed)
        self.trace: list[tuple[Any, ...]] = []
        self.reached: set[str] = set()
        self.violation: Violation | None = None
        self.clocks = [VirtualClock(self.loop) for _ in range(self.plan.agents)]
        self.network = SimNetwork(self.loop, Random(f"network {seed}"))
        self.store_disk = MemoryDisk()
        self.log_disk = WorldDisk(lambda: self.crash_engine(self.engine))
        self.log_disk.make("/home")
        self.log_disk.sync_folder("/")
        self.random = Random(f"world {seed}")
        self.entropy = SeededEntropy(seed)
        self.checker = Checker(self)
        self.truth = Truth(self.violated, self.note)
        self.truth.started = self.checker.process_started
        self.truth.needs = self.checker.needs_seen
        self.client = Client(self)
        self.engine: EngineProcess
        self.agents = [AgentProcess(self, index) for index in range(self.plan.agents)]
        self.commits = 0
        self.engines_to_die_starting = 0
        self._fates: dict[int, str] = {}
        self._troubles = 0
        self._calm_since = 0.0
        self._unfinished_at = 0.0
        self._faults = [Fault(self, plan) for plan in self.plan.faults]
        self._over: asyncio.Future[None] = self.loop.create_future()
        self._durable: dict[str, tuple[int, bytes]] = {}
        self.loop.set_exception_handler(self.host_error)

    # --- the whole --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Live it to its end. Raises Violation."""
        with probing(self):
            try:
                self.loop.run_until_complete(self._main())
            finally:
                self.loop.close()
        if self.violation is not None:
            raise self.violation

    async def _main(self) -> None:
        self.start_engine()
        for agent in self.agents:
            self.start_agent(agent)
        self.client.open()
        for fault in self._faults:
            fault.arm()
        self._watch()
        await self._over
        if self.violation is None:
            self.checker.check_end()
            self.checker.check_logs()

    def _watch(self) -> None:
        """Look every moment whether all is over."""
        self.loop.call_later(0.5, self._watch)
        if self._over.done():
            return
        self.checker.check_losses()
        for agent in self.agents:
            self._keep(agent)
        finished = self.client.finished and all(fault.over for fault in self._faults) and not self._troubles
        if not finished:
            self._unfinished_at = self.now
        since = max(self.calm_since, self._unfinished_at) if finished else self.calm_since
        if finished and self._quiet():
            self._over.set_result(None)
        elif self.now - since > (SETTLES_S if finished else FINISHES_S):
            if finished:
                self.violated("slot freed", f"all runs are over, and something is left: {self._left()}")
            else:
                self.violated("finishes", f"nothing disturbs, and it does not end: {self.client.waiting()}")

    def _quiet(self) -> bool:
        return not self._left()

    def _left(self) -> str:
        engine = self.engine.engine
        for process in self.agents:
            if not process.up:
                return f"{process.id} is away"
            state = engine.manager.agents.get(process.id)
            if state is None or not state.ready or state.placed:
                return (
                    f"the engine thinks that {process.id} has {state and (state.ready, list(state.placed))}"
                )
            spool = process.agent.spool
            if spool.first != spool.next or process.agent._live or process.agent._tasks:
                return f"{process.id} has records {spool.first} to {spool.next}, {list(process.agent._live)}"
        scheduler = engine.orchestrator.scheduler
        if scheduler.reserved:
            return f"the scheduler keeps {scheduler.reserved}"
        return self.checker.preemptions.left() or self.checker.groups.left()

    # --- what is told ------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.loop.now_s

    @property
    def calm_since(self) -> float:
        """Since when nothing disturbs; now, while something does."""
        return self.loop.now_s if self._troubles else self._calm_since

    def trouble(self) -> None:
        """Something begins to disturb."""
        self._troubles += 1

    def calm(self) -> None:
        """It has ended."""
        self._troubles -= 1
        self._calm_since = self.now

    def note(self, *what: Any) -> None:
        """Put something into the trace."""
        self.trace.append((self.loop.now_s, *what))

    def saw(self, what: str) -> None:
        """A path was reached."""
        self.reached.add(what)

    def violated(self, invariant: str, message: str) -> None:
        """An invariant does not hold: the world ends."""
        if self.violation is None:
            self.violation = Violation(invariant, message)
            self.note("VIOLATED", invariant, message)
            if not self._over.done():
                self._over.set_result(None)

    def host_error(self, loop: Any, context: dict[str, Any]) -> None:
        """An exception that nobody caught."""
        error = context.get("exception")
        if isinstance(error, Killed):
            return  # the process died in the middle of this
        import traceback

        told = "".join(traceback.format_exception(error)) if error is not None else ""
        self.violated("defect", f"{context.get('message')}\n{told}")

    def digest(self) -> str:
        """A hash of all that happened."""
        return hashlib.blake2b(repr(self.trace).encode()).hexdigest()

    def spec_of(self, run: str, node: Node) -> JobNode | None:
        """The job of a run as its workflow, or one that it calls, has it."""
        plan = self.client.plans.get(run)
        if plan is None:
            return None
        if node.call is None:
            return plan.workflow.jobs[node.decl.id]
        caller = self.spec_of(run, node.call.node)
        assert caller is not None and caller.called is not None  # noqa: PT018
        return caller.called.jobs[node.decl.id]

    def living_agents(self) -> set[str]:
        """Names of the incarnations that live."""
        return {agent.name for agent in self.agents if agent.up}

    def durable_log(self, run: str) -> bytes:
        """All that would survive the loss of power of a run's segments."""
        syncs, held = self._durable.get(run, (-1, b""))
        if syncs != self.log_disk.syncs:
            folder = f"{LOGS}/{run}/"
            held = b"".join(
                file.durable
                for path, file in self.log_disk._files.items()
                if path.startswith(folder) and file.named
            )
            self._durable[run] = (self.log_disk.syncs, held)
        return held

    # --- the engine --------------------------------------------------------------------------------------------------

    def start_engine(self) -> None:
        """A new engine takes the lease."""
        try:
            process = EngineProcess(self, self.store_disk.epoch + 1)
        except OSError:
            self.saw("an engine cannot start")
            self._engine_again()
            return
        self.engine = process
        self.note("engine starts", process.epoch)
        process.host.create_task(self._open_engine(process))

    async def _open_engine(self, process: EngineProcess) -> None:
        self.trouble()
        if self.engines_to_die_starting:
            self.engines_to_die_starting -= 1
            self.loop.call_later(STARTS_S * self.random.random(), self._crash_starting, process)
        try:
            await process.engine.open()
        finally:
            self.calm()
        self.network.listen(ENGINE, process.host, process.engine.manager.accept)
        process.opened = True
        self.note("engine open", process.epoch)
        if self.checker.runs:
            self.saw("an engine takes up where another stopped")

    def _crash_starting(self, process: EngineProcess) -> None:
        if not process.opened:
            self.crash_engine(process)

    def crash_engine(self, process: EngineProcess) -> None:
        """SIGKILL; another one starts after a while."""
        if process.host.dead:
            return
        self.note("engine dies", process.epoch)
        if not process.opened:
            self.saw("an engine dies while it starts")
            self.calm()  # what _open_engine began
        process.host.crash()
        process.store.crash()
        self.network.died(process.host)
        if process is self.engine:
            self.log_disk.kill()
            self._engine_again()

    def _engine_again(self) -> None:
        self.trouble()

        def start() -> None:
            self.start_engine()
            self.calm()

        self.loop.call_later(0.1 + 4 * self.random.random() ** 2, start)

    def leave_engine(self) -> None:
        """SIGTERM: it goes in order, and another one comes."""
        process = self.engine
        self.note("engine leaves", process.epoch)
        self.trouble()
        process.opened = False
        closing = process.host.create_task(process.engine.close())

        def left(task: Any) -> None:
            if not process.host.dead:
                process.opened = True
                if task.exception() is not None:
                    self.host_error(
                        None, {"message": "the engine's close failed", "exception": task.exception()}
                    )
                self.crash_engine(process)
            self.calm()

        self.loop.call_later(2.0, lambda: None)
        closing.add_done_callback(left)

    def stop_engine(self, process: EngineProcess) -> None:
        """SIGSTOP."""
        self.note("engine stops", process.epoch)
        process.host.stop()

    def resume_engine(self, process: EngineProcess) -> None:
        """SIGCONT."""
        self.note("engine goes on", process.epoch)
        process.host.resume()

    def was_fenced(self, process: EngineProcess) -> None:
        """An engine hears that it was taken over: it leaves."""
        self.note("engine fenced", process.epoch)
        self.saw("fenced")
        if process.epoch == self.store_disk.epoch:
            self.violated("fenced", "the engine of the highest epoch counts itself as taken over")
        process.fenced = True
        process.host.call_later(0.05, self.crash_engine, process)

    def fate_of_commit(self) -> str:
        """What befalls the commit that is about to be made: "", before, after."""
        self.commits += 1
        return self._fates.pop(self.commits, "")

    def doom_commit(self, nth: int, fate: str) -> None:
        """Let the engine die before or after the nth commit from now."""
        self._fates[self.commits + nth] = fate

    def committed(self, stored: Stored, process: EngineProcess) -> None:
        """An append is durable."""
        self.checker.committed(stored, process)

    # --- agents ------------------------------------------------------------------------------------------------------

    def start_agent(self, process: AgentProcess) -> None:
        """Start an incarnation of an agent."""
        process.incarnation += 1
        process.up = True
        host = process.host = SimHost(self.loop, process.id)
        host.set_exception_handler(self.host_error)
        random = Random(f"{process.name} {self.plan.seed}")
        blocking = Blocking(host, random)
        process.provider = SimProvider(
            process.machine, host, process.name, self.truth, lambda: 1 if random.random() < 0.02 else 0
        )
        slots = self.plan.slots[process.index]
        config = AgentConfig(
            process.id,
            process.incarnation,
            0,
            "boot",
            ("linux", "self-hosted", "x64"),
            slots,
            4.0,
            8 << 30,
            self.plan.window,
            "/agent",
        )
        clock = self.clocks[process.index]
        places = Places("/work", "/temp", "/tools")
        seen = [self.network.generation(ENGINE)]

        def moved() -> bool:
            was, seen[0] = seen[0], self.network.generation(ENGINE)
            return was != seen[0]

        def make(
            assignment: m.Assignment, spec: Any, contexts: Any, reporter: Any, secrets: Any
        ) -> AttemptRun:
            return AttemptRun(
                assignment,
                spec,
                contexts,
                provider=process.provider,
                reporter=reporter,
                places=places,
                clock=clock,
                loop=host,
                blocking=blocking.run,
                secrets=secrets,
            )

        def dial(factory: Callable[[], asyncio.Protocol]) -> Awaitable[None]:
            return self.network.connect(ENGINE, process.id, host, factory)

        agent = process.agent = Agent(
            config,
            disk=process.disk,
            loop=host,
            clock=clock,
            provider=process.provider,
            make_attempt=make,  # type: ignore[arg-type]
            dial=dial,
            blocking=blocking.run,
            moved=moved,
        )
        self._watch_spool(process, agent, host)
        self.note("agent starts", process.name)
        host.create_task(self._open_agent(process, agent))

    async def _open_agent(self, process: AgentProcess, agent: Agent) -> None:
        try:
            await agent.start()
        except OSError:
            self.saw("an agent cannot start")
            self.crash_agent(process)  # whoever keeps it starts it again

    def _watch_spool(self, process: AgentProcess, agent: Agent, host: SimHost) -> None:
        spool = agent.spool
        add, acknowledge = spool.add, spool.acknowledge
        name = process.name

        def watched_add(record: Any, size: int = 100) -> None:
            if host.dead:
                raise Killed(name)
            if type(record) is m.AttemptFinished:
                self._reported(record, name)
            add(record, size)

        def watched_acknowledge(next_number: int) -> None:
            for frame in list(spool._frames):
                if frame.first + frame.count > next_number:
                    break
                found = spool.at(frame.first)
                if found is not None:
                    self.checker.acknowledged(_records.decode(found[2]))
            acknowledge(next_number)

        spool.add = watched_add  # type: ignore[method-assign]
        spool.acknowledge = watched_acknowledge  # type: ignore[method-assign]

    def _reported(self, record: m.AttemptFinished, by: str) -> None:
        key = AttemptKey(record.run, record.job, record.number)
        self.note("report", str(key), record.result, record.message)
        if "a defect of relevo" in record.message:
            self.violated("defect", f"{key}: {record.message}")
        if key in self.truth.running:
            self.violated("one live attempt", f"{key} is reported as {record.result} and runs")
        if record.result != "lost":
            reports = self.truth.reported.setdefault(key, {})
            if by in reports:
                self.violated("real end", f"{key} is reported twice")
            reports[by] = record

    def crash_agent(self, process: AgentProcess) -> None:
        """SIGKILL; its processes go on, and another one starts after a while."""
        if not process.up:
            return
        self.note("agent dies", process.name)
        process.up = False
        process.host.crash()
        process.disk.kill()
        self.network.died(process.host)
        self.checker.gone([key for key in self.truth.running if key in process.machine.workers])
        self.trouble()

        def start() -> None:
            self.start_agent(process)
            self.calm()

        self.loop.call_later(0.1 + 3 * self.random.random() ** 2, start)

    def _keep(self, process: AgentProcess) -> None:
        """An agent that left because it was alone too long comes back."""
        if process.up and not process.host.stopped and process.agent.done.is_set():
            self.saw("an agent leaves because no engine is there")
            self.crash_agent(process)


def run_seed(seed: int, **options: Any) -> World:
    """Live a schedule. Raises Violation, with its seed and how to repeat it."""
    world = World(seed, **options)
    try:
        world.run()
    except Violation as error:
        error.add_note(f"seed {seed}; to repeat it: python -m tests.simulation {seed}")
        raise
    return world
