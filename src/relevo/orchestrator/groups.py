"""The concurrency groups that somebody has or waits for: an actor for each, and none for the others.

    run stores that it asks ─► Ask ─► group decides, stores ─► GrantGroup, RefuseGroup or a cancellation ─► run stores it
    run stores its end ─────► Release ─► group stores, with the grant of the next one ─► GrantGroup

What is told is told after it is stored, and told again when an engine starts or a run is read again: runs ask for what
they have or wait for, and let go of what they had. So nothing hangs on a message. When a group is read, members whose
runs do not live any more are let go of: a run that ended, was pruned or cannot be read holds nothing. An empty group has
neither an actor nor a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from relevo.actors import Actor, ActorRef, ActorSystem
from relevo.domain import commands as c
from relevo.domain import groups as g
from relevo.domain.deadlocks import deadlock
from relevo.domain.errors import InfrastructureError, RelevoError
from relevo.domain.events import GroupAsk
from relevo.domain.run import Run
from relevo.domain.states import MemberStatus
from relevo.domain.stored import Stored
from relevo.orchestrator.stored_runs import UNREADABLE
from relevo.store.contract import Append, EventStore, Fenced

if TYPE_CHECKING:
    from relevo.runtime.clock import Clock

#: How long a group whose append was refused rests before it is read again.
RELOAD_S: Final = 0.5
#: What may wait at one group.
GROUP_MAILBOX: Final = 500_000


class Home(Protocol):
    """What groups need of the orchestrator."""

    def runs(self) -> Iterable[Run]:
        """The live runs."""

    def run(self, run: str) -> Run | None:
        """A live run."""

    def lives(self, run: str) -> bool:
        """Whether a run is live, or is just being read again."""

    def command(self, run: str, command: c.Command) -> None:
        """Hand a command to a run."""

    def oust(self, run: str, job: int, reason: str) -> None:
        """End a run, or one job of it."""

    def refused(self, error: RelevoError) -> None:
        """An append was: say why nothing goes on."""

    fenced: Callable[[Fenced], None]


class Groups:
    """All groups in use. Nothing is asked of them before `open`: what runs ask for earlier is kept until then."""

    def __init__(
        self,
        home: Home,
        system: ActorSystem,
        store: EventStore,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
    ) -> None:
        self.home = home
        self.store = store
        self.clock = clock
        self._loop = loop
        self._spawner = system.spawn_group("groups")
        self._actors: dict[str, GroupActor] = {}
        self._refs: dict[str, ActorRef[g.GroupCommand]] = {}
        self._early: list[tuple[str, g.GroupCommand]] | None = []
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    def known(self, stream: str) -> g.Group | None:
        """A group in use."""
        actor = self._actors.get(stream)
        return None if actor is None else actor.group

    def open(self) -> None:
        """All live runs are taken up."""
        early, self._early = self._early or [], None
        for stream, command in early:
            self._tell(stream, command)

    def ask(self, run: str, job: int, ask: GroupAsk, who: str) -> None:
        """A run or a job waits for a group, or has it. Idempotent."""
        self._tell(ask.stream, g.Ask(run, job, ask, who, at_ms=self.clock.wall_ms()))

    def release(self, run: str, job: int, asks: Iterable[GroupAsk]) -> None:
        """It lets go of them. Idempotent."""
        for ask in asks:
            self._tell(ask.stream, g.Release(run, job, self.clock.wall_ms()))

    def forget(self, run: str) -> None:
        """A run is given up: it holds nothing any more."""
        for stream, actor in list(self._actors.items()):
            for key in list(actor.group.members):
                if key.run == run:
                    self._tell(stream, g.Release(*key, self.clock.wall_ms()))

    def _tell(self, stream: str, command: g.GroupCommand) -> None:
        if self._closed:
            return  # the next engine hears it again
        if self._early is not None:
            self._early.append((stream, command))
            return
        ref = self._refs.get(stream)
        if ref is None:
            actor = self._actors[stream] = GroupActor(self, stream)
            ref = self._refs[stream] = self._spawner.spawn(actor, stream, mailbox=GROUP_MAILBOX)
        ref.tell(command)

    def close(self) -> None:
        """Let go of all. Idempotent."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._actors.clear()
        self._refs.clear()

    # --- for the actors -------------------------------------------------------------------------------------------

    def gone(self, stream: str) -> None:
        """Nobody asks for this one any more."""
        self._actors.pop(stream, None)
        self._refs.pop(stream, None)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what takes time."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def later(self, call: Callable[[], None]) -> None:
        """After a rest."""

        def fire() -> None:
            self._timers.discard(timer)
            call()

        timer = self._loop.call_later(RELOAD_S, fire)
        self._timers.add(timer)

    def report(self, message: str, error: BaseException) -> None:
        """Something that nobody expects."""
        self._loop.call_exception_handler({"message": message, "exception": error})

    def holding(self, stream: str) -> list[tuple[g.Key, str]]:
        """Who has a group, as the runs know it, and its name."""
        found = []
        for run in self.home.runs():
            group = run.accepted.group if run.accepted is not None else None
            if group is not None and group.stream == stream and not run.waiting and not run.ended:
                found.append((g.Key(run.id, g.RUN), group.name))
            for job in run.jobs:
                names = [ask.name for ask in job.decl.groups[: job.granted] if ask.stream == stream]
                if names and job.asked:
                    found.append((g.Key(run.id, job.index), names[0]))
        return found


class GroupActor(Actor[g.GroupCommand]):
    """Owns a group: decides, stores, then tells."""

    __slots__ = ("_groups", "_kept", "_stream", "_version", "group")

    def __init__(self, groups: Groups, stream: str) -> None:
        self._groups = groups
        self._stream = stream
        self._kept: list[g.GroupCommand] = []  # what came when nothing could be stored
        self._version = 0
        self.group = g.Group()

    def started(self) -> None:
        self.context.pause()
        self._groups.begin(self._load())

    # --- reading --------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        groups = self._groups
        try:
            await self._replay()
        except InfrastructureError:
            groups.later(lambda: groups.begin(self._load()))
            return
        except UNREADABLE as error:
            # What runs know of it is enough to begin anew; order is lost, not more.
            groups.report(f"concurrency group {self._stream} cannot be read, and begins anew", error)
            try:
                await groups.store.delete_run(self._stream)
            except InfrastructureError:
                groups.later(lambda: groups.begin(self._load()))
                return
            except Fenced as fenced:
                groups.home.fenced(fenced)
                return
            self._anew()
        gone = [
            g.Release(*key, groups.clock.wall_ms())
            for key in self.group.members
            if not groups.home.lives(key.run)
        ]
        kept, self._kept = self._kept, []
        self._work([*gone, *kept])

    async def _replay(self) -> None:
        group, version = g.Group(), 0
        for stored in await self._groups.store.read(self._stream):
            g.replay(g.decode(stored.events), group)
            version = stored.version
        self.group, self._version = group, version

    def _anew(self) -> None:
        self.group, self._version = g.Group(), 0
        for key, name in self._groups.holding(self._stream):
            ask = GroupAsk(self._stream, name, queues=True)
            self._kept.insert(0, g.Ask(*key, ask, f"run {key.run}"))

    # --- deciding -------------------------------------------------------------------------------------------------

    def receive(self, messages: list[g.GroupCommand]) -> None:
        self.context.pause()
        self._work(messages)

    def _work(self, messages: list[g.GroupCommand]) -> None:
        """Decide, and store it; paused until that is done."""
        groups = self._groups
        events: list[g.GroupEvent] = []
        for command in messages:
            if type(command) is g.Ask and g.Key(command.run, command.job) not in self.group.members:
                command = self._judged(command)
            events += g.handle(self.group, command)
        if not events:
            self._tell_again(messages)
            self._done()
            return
        append = Append(self._stream, self._version, g.encode(events), len(events), groups.clock.wall_ms())
        groups.store.append(append, partial(self._stored, messages, events))

    def _judged(self, command: g.Ask) -> g.Ask:
        groups = self._groups
        why = deadlock(
            g.Key(command.run, command.job),
            command.ask,
            groups.known,
            groups.home.run,
            who=command.who,
        )
        if not why:
            return command
        return g.Ask(command.run, command.job, command.ask, command.who, why, command.at_ms)

    def _stored(
        self, messages: list[g.GroupCommand], events: list[g.GroupEvent], outcome: Stored | RelevoError
    ) -> None:
        groups = self._groups
        if isinstance(outcome, Fenced):
            groups.home.fenced(outcome)
            return
        if isinstance(outcome, RelevoError):
            groups.home.refused(outcome)
            self._kept = [*messages, *self._kept]
            groups.later(lambda: groups.begin(self._load()))
            return
        self._version = outcome.version
        for event in events:
            self._tell(event)
        self._tell_again(messages)
        self._done()

    # --- telling --------------------------------------------------------------------------------------------------

    def _tell(self, event: g.GroupEvent) -> None:
        home, at_ms = self._groups.home, self._groups.clock.wall_ms()
        if isinstance(event, g.Granted):
            home.command(event.run, c.GrantGroup(event.job, self._stream, at_ms))
        elif isinstance(event, g.Refused):
            home.command(event.run, c.RefuseGroup(event.job, self._stream, event.reason, at_ms))
        elif isinstance(event, g.Ousted):
            home.oust(event.run, event.job, event.reason)

    def _tell_again(self, messages: list[g.GroupCommand]) -> None:
        """What became of those who asked, who may have asked before and not have heard it. Runs take it once."""
        for command in messages:
            member = self.group.members.get(g.Key(command.run, command.job))
            if member is None or type(command) is not g.Ask:
                continue
            if member.status is MemberStatus.REFUSED:
                self._tell(g.Refused(*member.key, member.reason))
            elif member.status is not MemberStatus.WAITING:
                self._tell(g.Granted(*member.key))
            if member.status is MemberStatus.LEAVING:
                self._tell(g.Ousted(*member.key, member.reason))

    def _done(self) -> None:
        if self.group.members or self.context.waiting:
            self.context.resume()
        elif self._version:
            self._groups.begin(self._delete())
        else:
            self._leave()

    async def _delete(self) -> None:
        """The group is empty: its stream goes, so that it does not grow for ever."""
        try:
            await self._groups.store.delete_run(self._stream)
            self._version = 0
        except InfrastructureError:
            pass  # whoever asks next goes on with it
        except Fenced as fenced:
            self._groups.home.fenced(fenced)
            return
        if self.context.waiting:
            self.context.resume()
        else:
            self._leave()

    def _leave(self) -> None:
        self._groups.gone(self._stream)
        self.context.stop()
