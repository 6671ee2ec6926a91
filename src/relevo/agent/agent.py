"""The agent: takes assignments, keeps its slots filled, and runs one attempt in each.

An assignment that is known already is not taken twice. More may wait here than there are slots (`window`), so that a
slot that comes free is filled without asking the engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec import Struct

from relevo.agent.blobs import AgentBlobs
from relevo.agent.reporter import BlobUnavailable
from relevo.agent.reports import AttemptReporter
from relevo.agent.room import somebody_waits
from relevo.agent.session import Dial, Session
from relevo.agent.spool import Spool
from relevo.domain.errors import InfrastructureError, RelevoError
from relevo.domain.ids import AttemptKey
from relevo.protocol import messages as m
from relevo.runtime.failpoints import reach
from relevo.runtime.load import Load
from relevo.workflow.contexts import JobContexts, strategy_context
from relevo.workflow.model import JobSpec

if TYPE_CHECKING:
    from relevo.providers.contract import WorkerProvider
    from relevo.runtime.clock import Clock
from relevo.runtime.disk import Disk

#: An agent that runs nothing ends itself when no engine was there for this long: it would be in the way of nobody, but
#: a machine on which nothing runs is to be empty. What it has not handed in stays in its spool.
LONELY_S: Final = 5.0
#: The agent ends a fenced attempt this much before the engine may think it gone.
FENCE_MARGIN_S: Final = 30.0

#: How often an agent that leaves tries to end its workers, each try taking as long as the provider's patience.
CLOSE_TRIES: Final = 3

#: What waits and what was sent last keeps its specs and contexts. The engine remembers fewer (`workers.link`), and sends
#: again what is older.
NAMED_LIMIT: Final = 2 * m.NAMED_LIMIT

_spec_decoder = msgspec.msgpack.Decoder(JobSpec)


class Shared(Struct, frozen=True):
    """The part of a run's contexts that is the same for all its jobs, as the engine sends it."""

    github: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    vars: dict[str, Any] = {}
    env: dict[str, str] = {}


_shared_decoder = msgspec.msgpack.Decoder(Shared)


class AgentConfig(Struct, frozen=True):
    """What an agent says of itself."""

    id: str
    pid: int
    start_ticks: int
    boot_id: str
    labels: tuple[str, ...]
    slots: int
    cpus: float
    memory_bytes: int
    window: int = 0
    folder: str = ""  #: holds spool and workspaces
    lonely_s: float = LONELY_S
    resources: dict[str, float] = {}  #: what there is beside cpus and memory
    taints: tuple[str, ...] = ()  #: only jobs that tolerate all of them run here
    pool: str = ""
    zone: str = ""


class Attempt(Protocol):
    """What runs one attempt."""

    async def run(self) -> None:
        """Run it to its end; reports `finished` exactly once, whatever happens."""

    def cancel(self, reason: str, force: bool, grace_s: float = m.GRACE_S) -> None:
        """End it: cancelled, timed-out, fenced, unwanted or, within `grace_s`, preempted. Without effect after its end."""


#: Makes what runs one attempt: (assignment, spec, contexts, reporter, secrets).
MakeAttempt = Callable[[m.Assignment, JobSpec, JobContexts, AttemptReporter, dict[str, str]], Attempt]


class Agent:
    """One agent. `done` is set when it may exit."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        disk: Disk,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        provider: WorkerProvider,
        make_attempt: MakeAttempt,
        dial: Dial,
        blocking: Callable[[Callable[[], None]], Awaitable[None]],
        moved: Callable[[], bool] = lambda: False,
        load: Callable[[], Load] = Load,
    ) -> None:
        self._load = load
        self._config = config
        self._loop = loop
        self._clock = clock
        self._provider = provider
        self._make_attempt = make_attempt
        self.spool = Spool(disk, f"{config.folder}/spool", loop, blocking)
        self.spool.written = self._written
        self.session = Session(
            self.spool, loop, dial, self._hello, self._handle, moved=moved, beat=self._beat
        )
        self.blobs = AgentBlobs(disk, f"{config.folder}/blobs", loop, blocking, self.session.send)
        self.session.blobs = self.blobs
        self._named: dict[str, bytes] = {}  # by digest, as the engine sent them
        self._specs: dict[str, JobSpec] = {}
        self._shared: dict[str, Shared] = {}
        self._waiting: deque[m.Assignment] = deque()
        self._live: dict[AttemptKey, Attempt | None] = {}  # running: the attempt; waiting: None
        self._tasks: dict[AttemptKey, asyncio.Task[None]] = {}
        self._cancelled: dict[AttemptKey, m.Cancel] = {}  # cancelled before they began
        self._reporters: dict[AttemptKey, AttemptReporter] = {}
        self._ending: list[AttemptKey] = []  # their end records are taken, and perhaps not written yet
        self._fences: dict[AttemptKey, float] = {}  # seconds without an engine after which it must end
        self._free = config.slots
        self._stopping = False
        self._closing = False
        self._filling = False
        self._timer: asyncio.TimerHandle | None = None
        self._alone_since: float | None = loop.time()
        self.damage: list[str] = []
        self.done = asyncio.Event()

    async def start(self) -> None:
        """Clear what an earlier incarnation left, report what it lost, then dial."""
        found = self.spool.open()
        self.blobs.open()
        self.damage = found.damage
        for damage in found.damage:
            logging.getLogger(__name__).warning("what was spooled is lost in part: %s", damage)
        gone = set(await self._provider.recover()) | found.started | found.intended
        if gone:
            reach("agent.before-losses")
        for key in sorted(gone - found.ended):
            self.spool.add(
                m.AttemptFinished(
                    *key,
                    "lost",
                    at_ms=self._clock.wall_ms(),
                    message="the agent that ran it died",
                    held=key in found.intended,
                ),
            )
        self._ending += sorted(gone)
        self.spool.flush()
        self.session.open()
        self._timer = self._loop.call_later(1.0, self._tick)

    async def close(self) -> None:
        """End everything that runs, without reporting it, and leave. Idempotent."""
        self._stopping = self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.session.close()  # first: an engine that leaves too need not wait for the rest
        self.spool.flush()  # what the provider forgets is to be known here
        try:
            await self._close_provider()
        finally:
            self.spool.close()
            self.done.set()

    async def _close_provider(self) -> None:
        for left in reversed(range(CLOSE_TRIES)):
            try:
                await self._provider.close()
                return
            except (InfrastructureError, OSError):
                if not left:
                    raise  # it stays registered, and the next agent goes on with it

    def under_way(self) -> int:
        """How many attempts it runs."""
        return len(self._tasks)

    # --- what it says -------------------------------------------------------------------------------------------------

    def _hello(self, epoch: int) -> m.Hello:
        config = self._config
        self.spool.flush()
        live = [m.Live(*key, started=attempt is not None) for key, attempt in self._live.items()]
        # An end that the disk does not take yet is not handed in: until then the attempt is here, not gone.
        live += [m.Live(*key, started=True) for key in self.spool.unwritten_ends()]
        return m.Hello(
            m.VERSION,
            config.id,
            config.pid,
            config.start_ticks,
            config.boot_id,
            list(config.labels),
            config.slots,
            config.cpus,
            config.memory_bytes,
            self._provider.name,
            self.spool.first,
            self.spool.next,
            live,
            epoch,
            config.window,
            config.resources,
            list(config.taints),
            config.pool,
            config.zone,
        )

    def _beat(self) -> m.Beat:
        average, pressure, memory_free_bytes = self._load()
        paused = self.spool.full or somebody_waits()
        return m.Beat(
            average, self.spool.size_bytes, paused, pressure=pressure, memory_free_bytes=memory_free_bytes
        )

    # --- what it is told ----------------------------------------------------------------------------------------------

    def _handle(self, message: Any) -> None:
        kind = type(message)
        if kind is m.Assign:
            self._named.update(message.blobs)
            for assignment in message.assignments:
                if assignment.spec not in self._named or assignment.contexts not in self._named:
                    raise RelevoError(f"an assignment of run {assignment.run} names what was never sent")
                key = AttemptKey(assignment.run, assignment.job, assignment.number)
                if key not in self._live:
                    self._live[key] = None
                    self._waiting.append(assignment)
            self._forget_unused(message.blobs)
            self._fill()
        elif kind is m.Cancel:
            self._cancel(message)
        elif kind is m.Welcome:
            for unwanted in message.unknown:
                self._forget(AttemptKey(unwanted.run, unwanted.job, unwanted.number))
        elif kind is m.Drain:
            self._stopping = message.stop
            self._maybe_done()
        elif kind is m.Ack:
            self._maybe_done()

    def _forget_unused(self, latest: dict[str, bytes]) -> None:
        named = self._named
        for digest in latest:
            named[digest] = named.pop(digest)  # the last sent are the last to go
        if len(named) <= NAMED_LIMIT:
            return
        needed = {digest for waiting in self._waiting for digest in (waiting.spec, waiting.contexts)}
        for digest in [digest for digest in list(named)[:-NAMED_LIMIT] if digest not in needed]:
            del named[digest]
            self._specs.pop(digest, None)
            self._shared.pop(digest, None)

    def _cancel(self, message: m.Cancel) -> None:
        key = AttemptKey(message.run, message.job, message.number)
        if key not in self._live:
            return
        attempt = self._live[key]
        if attempt is not None:
            attempt.cancel(message.reason, message.force, message.grace_s)
        else:
            self._cancelled[key] = message

    def _forget(self, key: AttemptKey) -> None:
        """The engine does not want it: end it; what it still says finds no taker there."""
        attempt = self._live.get(key)
        if attempt is not None:
            attempt.cancel("unwanted", True)
        elif key in self._tasks:
            self._cancelled[key] = m.Cancel(*key, "unwanted", True)  # it waits for its secrets
        elif key in self._live:
            self._cancelled.pop(key, None)
            self._waiting = deque(a for a in self._waiting if AttemptKey(a.run, a.job, a.number) != key)
            del self._live[key]

    # --- slots --------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        if self._filling:
            return  # one that ends before it began comes back here: the loop below goes on with its slot
        self._filling = True
        try:
            while self._free and self._waiting and not self._closing:
                assignment = self._waiting.popleft()
                self._free -= 1
                self._begin(assignment)
        finally:
            self._filling = False

    def _begin(self, assignment: m.Assignment) -> None:
        key = AttemptKey(assignment.run, assignment.job, assignment.number)
        reporter = AttemptReporter(key, self.spool, self.blobs, self._clock, self._reported)
        self._reporters[key] = reporter
        if assignment.fence_after_s is not None:
            self._fences[key] = assignment.fence_after_s
        if key in self._cancelled:
            result = "preempted" if self._cancelled.pop(key).reason == "preempted" else "cancelled"
            reporter.finished(result, message=f"{result} before it began")
            self._ended(key)
            return
        try:
            spec, shared = self._named_by(assignment)
            if assignment.secrets:
                work = self._run_with_secrets(key, assignment, spec, shared, reporter)
                self._tasks[key] = self._loop.create_task(work)
                return
            attempt = self._make(assignment, spec, shared, reporter, {})
        except Exception as error:
            self._defect(key, reporter, error)
            self._ended(key)
            return
        self._run(key, attempt, reporter)

    def _defect(self, key: AttemptKey, reporter: AttemptReporter, error: Exception) -> None:
        """What should not happen: without an end record the engine would wait for ever."""
        self._loop.call_exception_handler({"message": f"attempt {key} failed", "exception": error})
        if key in self._live:
            reporter.finished("lost", message=f"a defect of relevo: {error!r}")

    def _named_by(self, assignment: m.Assignment) -> tuple[JobSpec, Shared]:
        spec = self._specs.get(assignment.spec)
        if spec is None:
            spec = self._specs[assignment.spec] = _spec_decoder.decode(self._named[assignment.spec])
        shared = self._shared.get(assignment.contexts)
        if shared is None:
            shared = _shared_decoder.decode(self._named[assignment.contexts])
            self._shared[assignment.contexts] = shared
        return spec, shared

    def _make(
        self,
        assignment: m.Assignment,
        spec: JobSpec,
        shared: Shared,
        reporter: AttemptReporter,
        secrets: dict[str, str],
    ) -> Attempt:
        return self._make_attempt(assignment, spec, contexts_of(assignment, shared), reporter, secrets)

    def _run(self, key: AttemptKey, attempt: Attempt, reporter: AttemptReporter) -> None:
        self._live[key] = attempt
        self._tasks[key] = self._loop.create_task(self._attend(key, attempt, reporter))

    async def _attend(self, key: AttemptKey, attempt: Attempt, reporter: AttemptReporter) -> None:
        try:
            await attempt.run()
        except Exception as error:
            self._defect(key, reporter, error)
        finally:
            self._ended(key)

    async def _run_with_secrets(
        self,
        key: AttemptKey,
        assignment: m.Assignment,
        spec: JobSpec,
        shared: Shared,
        reporter: AttemptReporter,
    ) -> None:
        try:
            try:
                packed = b"".join([piece async for piece in self.blobs.get(f"secrets:{key}")])
                secrets = msgspec.msgpack.decode(packed, type=dict[str, str])
            except (BlobUnavailable, msgspec.DecodeError) as error:
                reporter.finished("failed", message=f"its secrets could not be had: {error}")
                return
            attempt = self._make(assignment, spec, shared, reporter, secrets)
            self._live[key] = attempt
            cancelled = self._cancelled.pop(key, None)
            if cancelled is not None:
                attempt.cancel(cancelled.reason, cancelled.force, cancelled.grace_s)
            await attempt.run()
        except Exception as error:
            self._defect(key, reporter, error)
        finally:
            self._ended(key)

    def _reported(self, key: AttemptKey) -> None:
        """Its end record is spooled: from here on the spool answers for it."""
        self._live.pop(key, None)
        self._ending.append(key)

    def _written(self) -> None:
        """All that was reported is in the spool, where the next incarnation finds it."""
        ending, self._ending = self._ending, []
        for key in ending:
            self._provider.forget(key)

    def _ended(self, key: AttemptKey) -> None:
        self._tasks.pop(key, None)
        self._live.pop(key, None)
        self._fences.pop(key, None)
        self._reporters.pop(key, None)
        self._cancelled.pop(key, None)
        self._free += 1
        self._fill()
        self._maybe_done()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = self._loop.call_later(1.0, self._tick)
        silent_s = self._loop.time() - self.session.last_contact
        for reporter in list(self._reporters.values()):
            reporter.starting()
        for key, fence_s in list(self._fences.items()):
            attempt = self._live.get(key)
            if attempt is not None and silent_s >= fence_s - FENCE_MARGIN_S:
                attempt.cancel("fenced", True)
        if self._tasks or self._waiting or self.session.connected:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = self._loop.time()
        elif self._loop.time() - self._alone_since >= self._config.lonely_s:
            self.done.set()

    def _maybe_done(self) -> None:
        if self._stopping and not self._live and not self._tasks and self.spool.empty:
            self.done.set()


def contexts_of(assignment: m.Assignment, shared: Shared) -> JobContexts:
    """The contexts of one attempt: what all jobs of the run share, and its own."""
    own = assignment.own
    github = shared.github
    if assignment.run_attempt != 1:
        github = {**github, "run_attempt": str(assignment.run_attempt)}
    return JobContexts(
        github=github,
        vars=shared.vars,
        inputs=shared.inputs if own.inputs is None else own.inputs,
        needs=own.needs,
        strategy=strategy_context(own.fail_fast, own.leg, own.legs, own.max_parallel),
        matrix=own.matrix or None,
        job_name=own.name,
        env=shared.env,
    )
