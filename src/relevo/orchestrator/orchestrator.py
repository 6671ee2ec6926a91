"""The orchestrator: has an actor for each live run, and connects runs, scheduler and agents.

Longer than most modules: it is the one place where what was stored takes effect. What it only reads is in `stored_runs`, the
groups are in `groups`, the life of a run is in `run_actor`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from relevo.actors import ActorRef, ActorSystem, Terminated
from relevo.bus.contract import Bus
from relevo.core.measured import ATTEMPTS_ENDED, RUNS_ACCEPTED, RUNS_ENDED, RUNS_RELOADED
from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.errors import InfrastructureError, RelevoError, UserError
from relevo.domain.ids import AttemptKey
from relevo.domain.machine import handle
from relevo.domain.run import Job, Run
from relevo.domain.states import JobStatus, RunStatus
from relevo.domain.stored import Stored
from relevo.orchestrator.artifacts import artifacts_of, stored_carried
from relevo.orchestrator.assignments import assignment_of
from relevo.orchestrator.calling import secrets_seen
from relevo.orchestrator.drains import Drains
from relevo.orchestrator.groups import Groups
from relevo.orchestrator.plans import UNREAD, Carried, Plan, RunContexts
from relevo.orchestrator.preempting import Preempting
from relevo.orchestrator.run_actor import Envelope, RunActor, run_row
from relevo.orchestrator.shares import SharesKept
from relevo.orchestrator.sparing import spared
from relevo.orchestrator.stored_runs import UNREADABLE, StoredRuns
from relevo.protocol import messages as m
from relevo.runtime.clock import Clock
from relevo.runtime.loop import collector_aside
from relevo.runtime.notices import NOTICES
from relevo.scheduler.actor import Scheduler
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.match import Placement, Policy
from relevo.scheduler.reach import Reach
from relevo.store.contract import Append, EventStore, Fact, Fenced
from relevo.workers.link import Batch
from relevo.workers.manager import AgentState, WorkerManager
from relevo.workflow.labels import OWN_PREFIXES, canonical

if TYPE_CHECKING:
    from relevo.blobs.contract import BlobStore

#: How long a run whose append was refused rests before it is read again.
RELOAD_S: Final = 0.5
#: What may wait at one run: more than its agents may send before they are held (see workers/link.py).
RUN_MAILBOX: Final = 500_000
#: Asks nothing of a run: answered once all that was asked before it is.
NOTHING: Final = c.QueueJob(-1)

_log = logging.getLogger(__name__)
_encoder = msgspec.msgpack.Encoder()
_stream = attrgetter("stream")


class NoSuchRun(UserError):
    """There is no live run of that id."""


def _passed_over(commands: list[c.Command], poison: list[c.Command]) -> list[c.Command]:
    """Commands without those that their run failed at. Were an end merely left out, its job would run for ever: somebody is
    asked what is to become of it."""
    left: list[c.Command] = []
    for command in commands:
        if command not in poison:
            left.append(command)
        elif isinstance(command, c.EndAttempt):
            reason = "a defect of relevo: its end could not be taken in"
            asks = c.LoseAttempt(command.job, command.number, reason, command.at_ms, held=True)
            left += [asks] if asks not in poison else []
    return left


class Orchestrator:
    """See the package. `manager` is set by whoever wires the engine, before `load`."""

    manager: WorkerManager

    def __init__(
        self,
        system: ActorSystem,
        store: EventStore,
        bus: Bus,
        blobs: BlobStore,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        fenced: Callable[[Fenced], None],
        open_secrets: Callable[[str, bytes], bytes] = lambda run, sealed: sealed,
        reach: Reach | None = None,
        policy: Policy | None = None,
    ) -> None:
        """`reach`: what agents could ever take, where that is known; jobs beyond it fail instead of waiting for ever."""
        self.reach = reach
        self.system = system
        self.store = store
        self.clock = clock
        self.fenced = fenced
        self.bus = bus
        self._blobs = blobs
        self._loop = loop
        self._open_secrets = open_secrets
        self._refs: dict[str, ActorRef[Envelope]] = {}  # of those that were told anything
        self._actors: dict[str, RunActor] = {}
        self._reloading: dict[str, list[Envelope]] = {}
        self._reloads: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._behind: list[Placement] = []  # of runs whose contexts are being read, and all after them
        self._due: dict[
            tuple[str, int], float
        ] = {}  # when jobs are queued again after a back-off, of the loop's time
        self.stored = StoredRuns(store)
        self._group = system.spawn_group("orchestrator", ended=self._actor_ended)
        self.groups = Groups(self, system, store, loop, clock)
        self.drains = Drains(store, clock, lambda *said: self.scheduler.drain(*said))
        self.preempting = Preempting(self)
        self.scheduler = Scheduler(self._assign, loop.time, policy, self.preempting, loop.call_soon)
        self.scheduler.ref = system.spawn(self.scheduler, "scheduler")
        self.shares = SharesKept(store, self.scheduler)
        self.ended: Callable[[str, int], None] | None = (
            None  #: gets each run whose end is stored, and its sequence
        )
        self._tells = _log.isEnabledFor(logging.INFO)  # that does not change while an engine lives
        self.poison: dict[str, list[c.Command]] = {}  #: by run: what agents told, and it failed at
        self.refusing = False  #: the store refused the last append of a run
        self.idle = asyncio.Event()  #: set while no run is live
        self.idle.set()

    # --- runs -----------------------------------------------------------------------------------------------------

    @property
    def live(self) -> dict[str, RunActor]:
        """The live runs by id."""
        return self._actors

    async def actor(self, run: str) -> RunActor | None:
        """The actor of a live run, None when it has ended. One that is just being read (again) is waited for."""
        while run in self._reloading or self._is_unread(run):
            try:
                await self.ask(run, NOTHING)
            except NoSuchRun:
                break
        return self._actors.get(run)

    def _is_unread(self, run: str) -> bool:
        actor = self._actors.get(run)
        return actor is not None and actor.contexts is UNREAD

    async def load(self) -> None:
        """Take up all live runs of the store. Nothing is scheduled before agents have said what they run.

        A run that cannot be taken up is told of and left out: the others are not to suffer for it.
        """
        await self.drains.load()
        await self.shares.load()
        with collector_aside():
            async for batch in self.store.scan_live():
                runs: list[Run] = []
                for name, history in groupby(batch, _stream):
                    runs += await self._replayed(name, list(history))
                await self._take_up_all(runs)
        self.preempting.carry_over()
        self.scheduler.carried_over()
        await self.groups.open()

    async def _replayed(self, name: str, history: list[Stored]) -> Sequence[Run]:
        """The run of a history; none when it cannot be read."""
        try:
            return (await self.stored.replay(history),)
        except InfrastructureError:
            raise
        except UNREADABLE as error:
            self._unreadable(name, error)
            return ()

    async def _take_up_all(self, runs: list[Run]) -> None:
        waits = [self._only_waits(run) for run in runs]
        held = await self.stored.contexts_ahead(
            [run for run, only in zip(runs, waits, strict=True) if not only]
        )
        for run, only in zip(runs, waits, strict=True):
            try:
                if only and run.accepted is not None:
                    self._resume(run, await self.stored.plan(run.accepted.spec), UNREAD, {})
                else:
                    await self._take_up(run)
            except InfrastructureError:
                raise
            except UNREADABLE as error:
                self._unreadable(run.id, error)
        del held  # from here on their runs hold them

    def _unreadable(self, name: str, error: Exception) -> None:
        self._loop.call_exception_handler({"message": f"run {name} cannot be read", "exception": error})

    async def _take_up(self, run: Run) -> None:
        accepted = run.accepted
        if accepted is None or run.ended:
            return
        plan = await self.stored.plan(accepted.spec)
        shared = await self.stored.contexts(accepted)
        carried = await stored_carried(self.store, run.id) if accepted.retried_from else {}
        self._resume(run, plan, shared, carried)
        for envelope in self._reloading.pop(run.id, []):
            self._tell(run.id, envelope)
        if run.ready or run.returning:
            # An engine died between an end and the verdict that it asks for.
            self._tell(run.id, Envelope((NOTHING,)))

    def _resume(self, run: Run, plan: Plan, shared: RunContexts, carried: dict[str, Carried]) -> None:
        actor = self._actors[run.id] = RunActor(self, run.id, run, plan, shared, carried)
        self.idle.clear()
        if run.status is not RunStatus.PENDING:  # else nobody ever had anything of it
            self.manager.keep(run.id, actor.placed())
        actor.resume_effects()

    def _only_waits(self, run: Run) -> bool:
        """Whether it is known without its contexts what a run asks for: its jobs wait for places, and none ever had one."""
        accepted = run.accepted
        return (
            run.status is RunStatus.PENDING
            and accepted is not None
            and accepted.retried_from is None  # that is asked in any case
            and accepted.group is None  # who has that may have to be ended, by what its contexts say
            and not (run.ready or run.returning or self.scheduler.counts_tenants)
        )

    def _tell(self, run: str, envelope: Envelope) -> bool:
        """Hand it to the actor of a run that is live; False when it is not."""
        ref = self._refs.get(run)
        if ref is None:
            actor = self._actors.get(run)
            if actor is None:
                return False
            ref = self._refs[run] = self._group.spawn(actor, run, mailbox=RUN_MAILBOX)
            if actor.contexts is UNREAD:
                actor.read_contexts()
        ref.tell(envelope)
        return True

    def submit(
        self,
        submit: c.Submit,
        plan: Plan,
        shared_blob: bytes,
        facts: tuple[Fact, ...] = (),
        carried: dict[str, Carried] | None = None,
    ) -> asyncio.Future[bool]:
        """Accept a run; the future is done when it is durable, with StoreUnavailable or FactExists when it was not."""
        shared = self.stored.hold_contexts(submit, shared_blob)
        further = self.stored.facts_to_store(submit.spec, submit.contexts, plan, shared_blob)
        reply: asyncio.Future[bool] = self._loop.create_future()
        RUNS_ACCEPTED.value += 1
        if self._tells:
            _log.info("a run is asked for", extra={"run": submit.run})
        self._actors[submit.run] = RunActor(self, submit.run, None, plan, shared, carried or {})
        self.idle.clear()
        if further:
            reply.add_done_callback(lambda done: self.stored.facts_stored(done, further))
        self._tell(submit.run, Envelope((submit,), None, reply, (*further, *facts)))
        return reply

    def naming(self) -> AbstractContextManager[Callable[[set[str]], list[str]]]:
        """Look on what runs name, those now live and those to come; see `retention.Unnamed`."""
        return self.stored.naming((actor.plan, actor.run) for actor in self._actors.values())

    async def ask(self, run: str, command: c.Command) -> bool:
        """Hand a command to a live run; True when it changed something, once that is stored. Raises NoSuchRun."""
        reply: asyncio.Future[bool] = self._loop.create_future()
        envelope = Envelope((command,), None, reply)
        if run in self._reloading:
            self._reloading[run].append(envelope)
        elif not self._tell(run, envelope):
            raise NoSuchRun(f"run {run} is not live")
        return await reply

    def command(self, run: str, command: c.Command) -> None:
        """Hand a command to a run. One that is not live has ended: it needs to know nothing more."""
        envelope = Envelope((command,))
        if not self._tell(run, envelope) and run in self._reloading:
            self._reloading[run].append(envelope)  # nobody says it again

    def told(self, run: str, commands: list[c.Command], batch: Batch) -> None:
        """From the worker manager: what an agent told of a run, in order."""
        if self.poison and run in self.poison:
            commands = _passed_over(commands, self.poison[run])
        if self._tell(run, Envelope(commands, batch)):
            return
        if run in self._reloading:
            batch.fail()
        else:
            batch.settle()

    def run_ended(self, actor: RunActor) -> None:
        """Its end is stored and told: it needs no memory any more."""
        status = str(actor.likeness()[0].status)
        RUNS_ENDED.of[status].value += 1
        if self._tells:
            _log.info("a run ended: %s", status, extra={"run": actor.id})
        self._remove(actor.id)
        self.poison.pop(actor.id, None)
        if not self._actors and not self._reloading:
            self.idle.set()

    def _remove(self, run: str) -> None:
        ref = self._refs.pop(run, None)
        actor = self._actors.pop(run, None)
        if actor is not None and ref is not None:
            actor.leave()

    def _actor_ended(self, name: str, signal: Terminated) -> None:
        """A run's actor is gone. When it failed, what it held is void, and it is read again."""
        actor = self._actors.get(name)
        if actor is not None and signal.error is not None:
            self._loop.call_exception_handler({"message": f"run {name} failed", "exception": signal.error})
            self.discard(actor)

    def again(self, run: str, envelope: Envelope) -> None:
        """Keep what nobody says again for the run as it will be read."""
        if run in self._reloading:
            self._reloading[run].append(envelope)

    def refused(self, error: RelevoError) -> None:
        """An append was: say why nothing goes on, once while it lasts."""
        if not self.refusing:
            self.refusing = True
            NOTICES.warning("nothing is stored just now, and runs wait: %s", error)

    def discard(self, actor: RunActor) -> None:
        """Its append was refused: what it holds is void. It is read again in a while."""
        name = next((name for name, known in self._actors.items() if known is actor), None)
        if name is None:
            return
        self._remove(name)
        RUNS_RELOADED.inc()
        self._reloading[name] = []
        self.scheduler.forget(name)
        self._reload_later(name)

    def _reload_later(self, name: str) -> None:
        def begin() -> None:
            task = self._loop.create_task(self._reload(name))
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

        self.call_later(RELOAD_S, begin)

    async def _reload(self, name: str) -> None:
        try:
            run = await self.stored.read(name)
            if run.accepted is not None and not run.ended:
                await self._take_up(run)
                return
        except InfrastructureError:
            # It is there, and cannot be read now. Were it given up, what agents say of it would be taken and lost.
            self._reload_later(name)
            return
        except UNREADABLE as error:
            self._unreadable(name, error)
        self.manager.keep(name, set())
        self.groups.forget(name)
        self.poison.pop(name, None)
        for envelope in self._reloading.pop(name, []):
            if envelope.reply is not None and not envelope.reply.done():
                envelope.reply.set_exception(NoSuchRun(f"run {name} is not live"))
        if not self._actors and not self._reloading:
            self.idle.set()

    async def note_delivered(self, run: str) -> None:
        """Somebody received the summary of an ended run."""
        if run in self._actors:
            return
        ended = await self.stored.read(run)
        events = handle(ended, c.DeliverSummary()) if ended.accepted is not None else []
        if not events:
            return
        done: asyncio.Future[None] = self._loop.create_future()
        row = run_row(ended)
        append = Append(run, ended.version, e.encode(events), len(events), self.clock.wall_ms(), row)

        def stored_or_not(outcome: Stored | RelevoError) -> None:
            # What was not stored is told once more by `resume`: no harm.
            if isinstance(outcome, Fenced):
                self.fenced(outcome)
            if not done.done():
                done.set_result(None)

        self.store.append(append, stored_or_not)
        await done

    # --- concurrency groups ---------------------------------------------------------------------------------------

    def runs(self) -> Iterator[Run]:
        """The live runs."""
        return (actor.run for actor in self._actors.values())

    def run(self, run: str) -> Run | None:
        """A live run."""
        actor = self._actors.get(run)
        return None if actor is None else actor.run

    def lives(self, run: str) -> bool:
        """Whether a run is live, or is just being read again."""
        return run in self._actors or run in self._reloading

    def ask_again(self, stream: str) -> None:
        """Have all live runs ask for what they have of a concurrency group or wait for."""
        for actor in list(self._actors.values()):
            actor.ask_again(stream)

    def oust(self, run: str, job: int, reason: str) -> None:
        """A concurrency group cancels what has it. A run that is just being read again asks the group itself."""
        actor = self._actors.get(run)
        if actor is None:
            return
        at_ms = self.clock.wall_ms()
        if job >= 0:
            self.command(run, c.CancelJob(job, reason, at_ms))
        else:
            self.command(run, c.CancelRun(reason, spared=spared(actor), at_ms=at_ms))

    # --- effects of runs --------------------------------------------------------------------------------------------

    def retry_later(self, delay_s: float, run: str, job: int) -> None:
        """Queue a job again after the delay before a retry."""

        def queue() -> None:
            self._due.pop((run, job), None)
            self.command(run, c.QueueJob(job))

        self._due[run, job] = self._loop.time() + delay_s
        self.call_later(delay_s, queue)

    def retry_in_s(self, run: str, job: int) -> float | None:
        """How long it is until a job is queued again; None when none such is waited for."""
        due = self._due.get((run, job))
        return None if due is None else max(0.0, due - self._loop.time())

    def call_later(self, delay_s: float, call: Callable[[], Any]) -> None:
        """Call after a while, unless this is closed by then."""

        def fire() -> None:
            self._timers.discard(timer)
            call()

        timer = self._loop.call_later(delay_s, fire)
        self._timers.add(timer)

    def demand(self, actor: RunActor, job: Job) -> Demand:
        return actor.plan.demand(job.node.template, job.decl.labels)

    def enqueue(self, actor: RunActor, index: int) -> None:
        run = actor.run
        job = run.jobs[index]
        priority = self.priority(actor, job)
        deadline_s = self._loop.time() + self.deadline_in_s(run.id, index)
        self.scheduler.enqueue(
            run.id, index, priority, self.demand(actor, job), self.tenant(actor), deadline_s
        )

    def priority(self, actor: RunActor, job: Job) -> int:
        """That of its run, its own, and those of the jobs that call the file it stands in."""
        accepted = actor.run.accepted
        assert accepted is not None
        priority = accepted.priority
        at: Job | None = job
        while at is not None:
            priority += actor.plan.of(at.node).node.priority
            at = at.node.call
        return priority

    def deadline_in_s(self, run: str, job: int) -> float:
        """How long it is until a job should have ended; less than 0 when it is late, infinite where nothing is said or the
        policy does not ask.

        That of the jobs that call the file it stands in counts, too.
        """
        actor = self._actors.get(run)
        if actor is None or self.scheduler.policy.order != "deadline":
            return inf
        accepted = actor.run.accepted
        assert accepted is not None
        earliest_s = inf
        at: Job | None = actor.run.jobs[job]
        while at is not None:
            asked = actor.plan.of(at.node).node.deadline_s
            if asked is not None:
                earliest_s = min(earliest_s, asked)
            at = at.node.call
        return earliest_s - (self.clock.wall_ms() - accepted.at_ms) / 1_000

    def tenant(self, actor: RunActor) -> str:
        """Whose run it is: the repository. "" where the policy does not ask."""
        if not self.scheduler.counts_tenants:
            return ""
        return str(actor.contexts.decoded.github.get("repository", ""))

    def place_at_once(self, actor: RunActor, index: int) -> str | None:
        """The agent that a job which is being queued can have now, reserved; None when it must wait its turn."""
        run = actor.run
        return self.scheduler.reserve_at_once(
            run.id, index, self.demand(actor, run.jobs[index]), self.tenant(actor)
        )

    def attempt_ended(
        self, key: AttemptKey, agent: str, end: e.AttemptEnded | c.EndAttempt, *, over: bool
    ) -> None:
        """It is stored that an attempt ended; `over`: and its job with it."""
        log = bool(end.log_size) and end.result != "lost"
        self.manager.ended(key, agent, log=log, at_ms=end.at_ms)
        ATTEMPTS_ENDED.of[end.result].value += 1
        if not over:  # the end of a job frees its place by itself
            self.scheduler.withdraw(key.run, key.job)

    def adopt(self, key: AttemptKey, job: Job) -> None:
        """A stored attempt is somewhere: expect it at its agent, and count its place."""
        actor = self._actors[key.run]
        started = job.attempt is not None and job.attempt.value != "assigned"
        self.manager.place(key, job.agent, job.decl.timeout_s, started=started)
        if job.status.value == "cancelling":
            self.manager.cancel(key, job.agent, "cancelled", job.forced)
        elif job.status is JobStatus.PREEMPTING:
            self.preempting.tell(key, job)
        self.scheduler.reserve(key.run, key.job, job.agent, self.demand(actor, job), self.tenant(actor))

    # --- scheduler and agents -----------------------------------------------------------------------------------------

    def _assign(self, placements: list[Placement]) -> None:
        """Tell runs of their places, in the order in which they got them: where the contexts of one are to be read first, all
        that come after it wait for that."""
        if self._behind:
            self._behind += placements
        elif any(self._is_unread(placement.waiting.run) for placement in placements):
            self._behind += placements
            self._reloads.add(task := self._loop.create_task(self._assign_behind()))
            task.add_done_callback(self._reloads.discard)
        else:
            self._tell_places(placements)

    async def _assign_behind(self) -> None:
        while self._behind:
            placements = list(self._behind)
            actors = [self._actors[one.waiting.run] for one in placements if self._is_unread(one.waiting.run)]
            try:
                held = await self.stored.contexts_ahead([actor.run for actor in actors])
            except InfrastructureError:
                held = []  # each reads its own when it is told, and says so
            for actor in actors:
                accepted = actor.run.accepted
                if accepted is not None:
                    actor.contexts = self.stored.held_contexts(accepted) or actor.contexts
            del held  # from here on their runs hold them
            del self._behind[: len(placements)]
            self._tell_places(placements)

    def _tell_places(self, placements: list[Placement]) -> None:
        at_ms = self.clock.wall_ms()
        for placement in placements:
            run, job = placement.waiting
            if not self._tell(run, Envelope((c.AssignJob(job, placement.agent, at_ms),))):
                self.scheduler.withdraw(run, job)

    def assignment(self, key: AttemptKey) -> tuple[m.Assignment, dict[str, bytes]] | None:
        """An attempt as its agent gets it, and the blobs that it names."""
        actor = self._actors.get(key.run)
        return None if actor is None else assignment_of(actor, key)

    def agent_ready(self, agent: AgentState) -> None:
        hello = agent.hello
        assert hello is not None
        capacity = AgentCapacity(
            agent.id,
            frozenset(label for label in map(canonical, hello.labels) if not label.startswith(OWN_PREFIXES)),
            hello.slots,
            hello.cpus,
            hello.memory_bytes,
            hello.window,
            extras=hello.resources,
            taints=frozenset(map(str.lower, hello.taints)),
            pool=hello.pool,
            zone=hello.zone,
        )
        drain = self.drains.agents.get(agent.id)
        if drain is not None:
            capacity.drain(True, drain.reason)
        if self.reach is not None:
            self.reach.met(capacity)
        self.scheduler.agent_up(capacity)

    def agent_load(self, agent: AgentState) -> None:
        self.scheduler.report(agent.id, agent.load)

    def agent_away(self, agent: AgentState) -> None:
        self.scheduler.agent_down(agent.id)

    async def resolve(self, what: str) -> str | bytes:
        """What an agent asks for by GetBlob. Raises KeyError."""
        kind, _, rest = what.partition(":")
        if kind == "secrets":
            run, job, *_ = rest.split("/")
            return await self._secrets(run, int(job))
        if kind == "artifacts":
            return msgspec.json.encode(list((await artifacts_of(self.store, rest)).values()))
        if kind == "artifact":
            run, _, name = rest.partition("/")
            return (await artifacts_of(self.store, run))[name].digest
        raise KeyError(what)

    async def _secrets(self, run: str, job: int) -> bytes:
        """The secrets that a job sees, packed. Raises KeyError; UserError when one cannot be passed on to it."""
        sealed = await self.store.fact(f"secrets/{run}")
        if sealed is None:
            raise KeyError(run)
        packed = self._open_secrets(run, sealed)
        actor = await self.actor(run)
        if actor is None:
            raise KeyError(run)
        node = actor.run.jobs[job].node
        if node.call is None:
            return packed
        secrets = msgspec.msgpack.decode(packed, type=dict[str, str])
        return _encoder.encode(secrets_seen(actor.run, actor.plan, actor.contexts.decoded, node, secrets))

    async def close(self) -> None:
        """Let go of all runs; what is stored stays. Idempotent."""
        self.groups.close()
        for task in list(self._reloads):
            task.cancel()
        await asyncio.gather(*self._reloads, return_exceptions=True)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._refs.clear()
        self._actors.clear()
