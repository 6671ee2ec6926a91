"""Bugs put in on purpose, as somebody could make them: each takes one promise away, and must be found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec import Struct
from msgspec.structs import replace

from relevo.agent.activity import Activity
from relevo.agent.agent import Agent
from relevo.agent.reports import AttemptReporter
from relevo.agent.spool import Spool
from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain import groups, machine, tables
from relevo.domain.ids import AttemptKey
from relevo.domain.run import ACTIVE
from relevo.domain.states import JOB_ENDS, JobStatus
from relevo.logs.contract import LogMismatch, LogUnavailable
from relevo.logs.segments import RunLog
from relevo.logs.store import FileLogStore
from relevo.orchestrator import assignments, plans, run_actor
from relevo.orchestrator.groups import GroupActor
from relevo.orchestrator.orchestrator import Orchestrator
from relevo.orchestrator.run_actor import _EFFECTS, RunActor
from relevo.orchestrator.stored_runs import StoredRuns
from relevo.providers.contract import Exit
from relevo.scheduler.actor import Scheduler
from relevo.scheduler.evictions import Evictions
from relevo.store.memory import MemoryStore
from relevo.workers.link import Link
from relevo.workers.manager import Placed, WorkerManager
from relevo.workflow.model import JobNode
from tests.simulation.truth import SimProvider

Plant = Callable[[pytest.MonkeyPatch], None]


class Bug(Struct, frozen=True):
    """A planted bug, and the invariants of which one must tell of it."""

    name: str
    plant: Plant
    found_by: tuple[str, ...]


def _agent_forgets_to_report(patch: pytest.MonkeyPatch) -> None:
    finished = AttemptReporter.finished

    def forgetful(self: AttemptReporter, result: str, **more: Any) -> None:
        if self._key.job == 2 and result == "succeeded":
            self._done(self._key)
        else:
            finished(self, result, **more)

    patch.setattr(AttemptReporter, "finished", forgetful)


def _stale_result_counts(patch: pytest.MonkeyPatch) -> None:
    end = machine._end

    def lenient(run: Any, command: c.EndAttempt) -> list[e.Event]:
        job = run.jobs[command.job]
        return end(run, replace(command, number=job.number) if job.status in ACTIVE else command)

    patch.setitem(machine._DECIDE, c.EndAttempt, lenient)


def _acknowledged_before_durable(patch: pytest.MonkeyPatch) -> None:
    def hasty(self: FileLogStore, done: Callable[[None], None]) -> None:
        self._syncer.request(lambda error: None)
        self._loop.call_soon(done, None)

    patch.setattr(FileLogStore, "sync", hasty)


def _end_accepted_without_bytes(patch: pytest.MonkeyPatch) -> None:
    write, end = FileLogStore.write, FileLogStore.end

    def careless_write(self: FileLogStore, attempt: AttemptKey, frame: Any) -> int:
        try:
            return write(self, attempt, frame)
        except LogUnavailable:
            return self.size(attempt)

    def careless_end(self: FileLogStore, attempt: AttemptKey, record: Any) -> None:
        try:
            end(self, attempt, record)
        except LogMismatch:
            pass

    patch.setattr(FileLogStore, "write", careless_write)
    patch.setattr(FileLogStore, "end", careless_end)


def _slot_not_freed(patch: pytest.MonkeyPatch) -> None:
    free = Scheduler._free

    def stingy(self: Scheduler, waiting: Any) -> bool:
        place = self.reserved.get(waiting)
        freed = free(self, waiting)
        if place is not None and waiting.job == 3:
            self.capacity.agents[place[0]].take(place[1])
        return freed

    patch.setattr(Scheduler, "_free", stingy)


def _held_keeps_its_slot(patch: pytest.MonkeyPatch) -> None:
    ended = Orchestrator.attempt_ended

    def keeps(self: Orchestrator, key: AttemptKey, agent: str, end: Any, *, over: bool) -> None:
        if self.live[key.run].run.jobs[key.job].status is JobStatus.HELD:
            self.manager.ended(key, agent, log=False)
        else:
            ended(self, key, agent, end, over=over)

    patch.setattr(Orchestrator, "attempt_ended", keeps)


def _cancelled_revives(patch: pytest.MonkeyPatch) -> None:
    def after_loss(run: Any, job: Any, reason: str, held: bool, at_ms: int) -> e.Event:
        return e.JobRetrying(job.index, reason, lost=True)

    patch.setattr(machine, "_after_loss", after_loss)
    patch.setitem(tables.JOB, JobStatus.CANCELLING, tables.JOB[JobStatus.CANCELLING] | {JobStatus.QUEUED})


def _no_intent(patch: pytest.MonkeyPatch) -> None:
    async def intend(self: Spool, intent: Any) -> None:
        """Forget it."""

    patch.setattr(Spool, "intend", intend)


def _intent_not_synced(patch: pytest.MonkeyPatch) -> None:
    async def sync(self: Spool) -> None:
        """It will be there anyhow."""

    patch.setattr(Spool, "sync", sync)


def _lower_epoch_writes(patch: pytest.MonkeyPatch) -> None:
    stored = MemoryStore._stored

    def unfenced(self: MemoryStore, append: Any) -> Any:
        current, self.disk.epoch = self.disk.epoch, self._epoch
        try:
            return stored(self, append)
        finally:
            self.disk.epoch = current

    patch.setattr(MemoryStore, "_stored", unfenced)


def _terminal_changes(patch: pytest.MonkeyPatch) -> None:
    def current(run: Any, job: int, number: int) -> Any:
        found = run.jobs[job] if job < len(run.jobs) else None
        return found if found is not None and found.number == number else None

    patch.setattr(machine, "_current", current)
    for end in JOB_ENDS:
        patch.setitem(tables.JOB, end, frozenset(JobStatus))
    for attempt_end in list(tables.ATTEMPT):
        patch.setitem(tables.ATTEMPT, attempt_end, frozenset(tables.ATTEMPT))


def _effects_before_commit(patch: pytest.MonkeyPatch) -> None:
    append = MemoryStore.append
    receive = RunActor._receive
    acting: list[RunActor] = []

    def received(self: RunActor, messages: Any) -> None:
        acting.append(self)
        try:
            receive(self, messages)
        finally:
            acting.pop()

    def early(self: MemoryStore, one: Any, done: Any) -> None:
        if acting:
            for event in e.decode(one.events):
                if isinstance(event, e.AttemptAssigned):
                    _EFFECTS[type(event)](acting[-1], event)
        append(self, one, done)

    patch.setattr(RunActor, "_receive", received)
    patch.setattr(MemoryStore, "append", early)


def _processes_outlive_their_loss(patch: pytest.MonkeyPatch) -> None:
    async def recover(self: SimProvider) -> list[AttemptKey]:
        left = sorted(self.machine.named)
        self.machine.workers.clear()
        return left

    patch.setattr(SimProvider, "recover", recover)


def _loss_unnoticed(patch: pytest.MonkeyPatch) -> None:
    start, maybe_ready = Agent.start, WorkerManager._maybe_ready

    async def silent(self: Agent) -> None:
        add, self.spool.add = self.spool.add, lambda record, size=100: None  # type: ignore[method-assign]
        try:
            await start(self)
        finally:
            self.spool.add = add  # type: ignore[method-assign]

    def trusting(self: WorkerManager, state: Any) -> None:
        state.told |= set(state.placed)
        maybe_ready(self, state)

    patch.setattr(Agent, "start", silent)
    patch.setattr(WorkerManager, "_maybe_ready", trusting)


def _event_not_stored(patch: pytest.MonkeyPatch) -> None:
    handle = run_actor.handle

    def lossy(run: Any, command: Any) -> list[e.Event]:
        return [event for event in handle(run, command) if not isinstance(event, e.AttemptStarted)]

    patch.setattr(run_actor, "handle", lossy)


def _outputs_forgotten(patch: pytest.MonkeyPatch) -> None:
    replay = StoredRuns.replay

    async def forgetful(self: StoredRuns, history: Any) -> Any:
        run = await replay(self, history)
        for node in run.nodes:
            node.outputs = {}
        return run

    patch.setattr(StoredRuns, "replay", forgetful)


def _needs_without_outputs(patch: pytest.MonkeyPatch) -> None:
    needs_of = plans.needs_of

    def bare(run: Any, node: Any) -> Any:
        return {id: {**need, "outputs": {}} for id, need in needs_of(run, node).items()}

    patch.setattr(assignments, "needs_of", bare)


def _accepted_too_early(patch: pytest.MonkeyPatch) -> None:
    submit = Orchestrator.submit

    def hasty(self: Orchestrator, *given: Any, **named: Any) -> Any:
        submit(self, *given, **named).add_done_callback(lambda done: done.exception())
        reply = self._loop.create_future()
        reply.set_result(True)
        return reply

    patch.setattr(Orchestrator, "submit", hasty)


def _lost_worker_is_green(patch: pytest.MonkeyPatch) -> None:
    process = Activity.process

    async def green(self: Activity, worker: Any, command: Any, log: Any, output: Any) -> Exit:
        try:
            return await process(self, worker, command, log, output)
        except Exception:
            return Exit(0)

    patch.setattr(Activity, "process", green)


def _sent_twice_after_a_reload(patch: pytest.MonkeyPatch) -> None:
    def place(
        self: WorkerManager,
        key: AttemptKey,
        agent: str,
        timeout_s: float,
        *,
        started: bool = False,
        at_ms: int = 0,
    ) -> None:
        state = self._agent(agent)
        placed = state.placed[key] = Placed(self._loop.time() + timeout_s, at_ms)
        placed.started = started
        if state.ready:
            state.outbox.tell(key)

    patch.setattr(WorkerManager, "place", place)


def _rewind_in_the_middle(patch: pytest.MonkeyPatch) -> None:
    """A batch that is failed while it is handed out is kept as if nothing were."""
    rewind = Link.rewind

    def stale(self: Link, batch: Any) -> None:
        reached = self.next
        rewind(self, batch)
        if batch.generation != self._generation:
            self.next = max(self.next, reached)

    patch.setattr(Link, "rewind", stale)


def _group_not_released(patch: pytest.MonkeyPatch) -> None:
    release = RunActor._release

    def forgetful(self: RunActor, index: int) -> None:
        if index % 2:
            release(self, index)

    patch.setattr(RunActor, "_release", forgetful)


def _group_released_too_early(patch: pytest.MonkeyPatch) -> None:
    """A job that is being cancelled lets go of its group before it has ended."""
    cancelling = RunActor._cancelling

    def hasty(self: RunActor, event: e.JobCancelling) -> None:
        cancelling(self, event)
        self._release(event.job)

    patch.setitem(_EFFECTS, e.JobCancelling, hasty)


def _group_forgets_who_holds_it(patch: pytest.MonkeyPatch) -> None:
    async def replay(self: GroupActor) -> None:
        self.group = groups.Group()
        self._version = len(await self._groups.store.read(self._stream))

    patch.setattr(GroupActor, "_replay", replay)


def _latest_in_a_group_first(patch: pytest.MonkeyPatch) -> None:
    waiting = groups.Group.waiting.fget
    patch.setattr(groups.Group, "waiting", property(lambda self: waiting(self)[::-1]))  # type: ignore[misc]


def _refusal_not_told(patch: pytest.MonkeyPatch) -> None:
    tell = GroupActor._tell

    def silent(self: GroupActor, event: Any) -> None:
        if not isinstance(event, groups.Refused):
            tell(self, event)

    patch.setattr(GroupActor, "_tell", silent)


def _groups_not_asked_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RunActor, "_groups_again", lambda self, job: None)


def _deadlocks_unseen(patch: pytest.MonkeyPatch) -> None:
    import relevo.orchestrator.groups as module

    patch.setattr(module, "deadlock", lambda *given, **named: "")


class _Blind:
    """A disk on which a file is always as long as its writer thinks."""

    def __init__(self, disk: Any, segment: Any) -> None:
        self._disk = disk
        self._segment = segment

    def size(self, path: str) -> int:
        return int(self._segment.size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)


def _successor_appends_blindly(patch: pytest.MonkeyPatch) -> None:
    original = RunLog._write

    def write(self: RunLog, segment: Any, parts: Any) -> None:
        actual, self._disk = self._disk, _Blind(self._disk, segment)  # type: ignore[assignment]
        try:
            original(self, segment, parts)
        finally:
            self._disk = actual

    patch.setattr(RunLog, "_write", write)


def _barrier_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Jobs are sent to an agent before it has handed in what it spooled."""
    welcome = Link.welcome

    def hasty(self: Link, epoch: int, next_number: int, unknown: Any) -> None:
        welcome(self, epoch, next_number, unknown)
        assert self.hello is not None
        self.hello = replace(self.hello, next=next_number)
        self._taker.agents[self.agent].hello = self.hello  # type: ignore[attr-defined]

    patch.setattr(Link, "welcome", hasty)


def _forgotten_when_it_made_room(patch: pytest.MonkeyPatch) -> None:
    retry = RunActor._retry

    def forgets(self: RunActor, event: e.JobRetrying) -> None:
        if not event.preempted:
            retry(self, event)

    patch.setitem(_EFFECTS, e.JobRetrying, forgets)


def _room_is_kept_for_ever(patch: pytest.MonkeyPatch) -> None:
    drop = Evictions.drop

    def keeps(self: Evictions, claim: Any) -> Any:
        eviction = drop(self, claim)
        if eviction is not None and eviction.agent in self._capacity.agents:
            self._capacity.agents[eviction.agent].take(eviction.demand)
        return eviction

    patch.setattr(Evictions, "drop", keeps)


def _what_must_not_be_repeated_makes_room(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(JobNode, "may_be_preempted", property(lambda self: self.preemptible))


def _making_room_wins_over_a_cancel(patch: pytest.MonkeyPatch) -> None:
    def wins(job: Any, command: c.EndAttempt) -> list[e.Event]:
        ended = e.AttemptEnded(
            command.job,
            command.number,
            command.result,
            log_size=command.log_size,
            log_digest=command.log_digest,
        )
        return [ended, e.JobRetrying(command.job, "", preempted=True)]

    patch.setattr(machine, "_end_preempted", wins)
    patch.setitem(tables.JOB, JobStatus.CANCELLING, tables.JOB[JobStatus.CANCELLING] | {JobStatus.QUEUED})


BUGS: Final = (
    Bug("the agent forgets to report an end", _agent_forgets_to_report, ("finishes",)),
    Bug("the result of an earlier attempt counts", _stale_result_counts, ("real end", "one live attempt")),
    Bug("acknowledged before it is durable", _acknowledged_before_durable, ("log persists",)),
    Bug("an end is accepted without its bytes", _end_accepted_without_bytes, ("log persists",)),
    Bug("a slot is not freed", _slot_not_freed, ("slot freed", "finishes")),
    Bug("a held job keeps its slot", _held_keeps_its_slot, ("slot freed", "finishes")),
    Bug("a cancelled job revives", _cancelled_revives, ("cancelled",)),
    Bug("no intent is written", _no_intent, ("once",)),
    Bug("an intent is not synced", _intent_not_synced, ("once",)),
    Bug("a lower epoch writes", _lower_epoch_writes, ("fenced",)),
    Bug("a terminal state changes", _terminal_changes, ("terminal",)),
    Bug("effects come before the commit", _effects_before_commit, ("only stored",)),
    Bug("processes outlive their loss", _processes_outlive_their_loss, ("one live attempt",)),
    Bug("a loss is not noticed", _loss_unnoticed, ("loss noticed",)),
    Bug("an event is not stored", _event_not_stored, ("replay",)),
    Bug("outputs do not survive a restart", _outputs_forgotten, ("replay", "outputs")),
    Bug("needs have no outputs", _needs_without_outputs, ("outputs",)),
    Bug("a run is accepted before it is stored", _accepted_too_early, ("accepted", "finishes")),
    Bug("a lost worker counts as green", _lost_worker_is_green, ("real end",)),
    Bug("an attempt is sent twice after a reload", _sent_twice_after_a_reload, ("once",)),
    Bug("a rewind is forgotten", _rewind_in_the_middle, ("finishes", "slot freed", "log persists")),
    Bug("a successor's log is mixed with its predecessor's", _successor_appends_blindly, ("log persists",)),
    Bug("a group is not released", _group_not_released, ("finishes", "slot freed")),
    Bug("a group is released too early", _group_released_too_early, ("one of a group",)),
    Bug("a group forgets who holds it", _group_forgets_who_holds_it, ("one of a group",)),
    Bug("the latest in a group comes first", _latest_in_a_group_first, ("group order",)),
    Bug("a refusal is not told", _refusal_not_told, ("finishes",)),
    Bug("groups are not asked again after a restart", _groups_not_asked_again, ("finishes", "slot freed")),
    Bug("deadlocks of groups are not seen", _deadlocks_unseen, ("finishes",)),
    Bug("who made room is forgotten", _forgotten_when_it_made_room, ("finishes",)),
    Bug("room is kept for ever", _room_is_kept_for_ever, ("slot freed", "finishes")),
    Bug("what must not be repeated makes room", _what_must_not_be_repeated_makes_room, ("preempted",)),
    Bug("making room wins over a cancel", _making_room_wins_over_a_cancel, ("cancelled",)),
    Bug("the start barrier is forgotten", _barrier_forgotten, ("once", "one live attempt", "real end")),
)
