"""The concurrency groups that somebody has or waits for: an actor for each, and none for the others.

    run stores that it asks ─► Ask ─► group decides, stores ─► GrantGroup, RefuseGroup or a cancellation ─► run stores it
    run stores its end ─────► Release ─► group stores, with the grant of the next one ─► GrantGroup

What is told is told after it is stored, and told again when an engine starts or a run is read again: runs ask for what
they have or wait for, and let go of what they had. So nothing hangs on a message. When a group is read, members whose
runs do not live any more are let go of: a run that ended, was pruned or cannot be read holds nothing. An engine that
starts reads all groups that there are. From then on an empty one has no actor and no stream, and one without an actor
is empty.

A group that fails is read again in a while, and all who live ask again: what is asked meanwhile is let drop. A circle of groups that closes while one of them,
or a run in it, is being read is seen when that asks again: who waits already is judged anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from relevo.actors import Actor, ActorRef, ActorSystem, Terminated
from relevo.domain import commands as c
from relevo.domain import groups as g
from relevo.domain.deadlocks import deadlock
from relevo.domain.errors import InfrastructureError, RelevoError
from relevo.domain.events import GroupAsk
from relevo.domain.run import Run
from relevo.domain.states import JOB_ENDS, MemberStatus
from relevo.domain.stored import Stored
from relevo.orchestrator.plans import GROUP_STREAM
from relevo.orchestrator.stored_runs import UNREADABLE
from relevo.runtime.notices import NOTICES
from relevo.store.contract import Append, EventStore, Fenced

if TYPE_CHECKING:
    from relevo.runtime.clock import Clock

#: How long a group rests before it is read again: its append was refused, it cannot be read just now, or it failed.
RELOAD_S: Final = 0.5
#: It rests twice as long each time that it failed, or could not be read, in a row, and this long at most.
REST_S: Final = 60.0
#: More would not be more.
DOUBLINGS: Final = 10
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

    def ask_again(self, stream: str) -> None:
        """Have all live runs ask for what they have of a group or wait for, and let go of what they had."""

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
        self._spawner = system.spawn_group("groups", ended=self._actor_ended)
        self._spawned = 0
        self._actors: dict[str, GroupActor] = {}
        self._refs: dict[str, ActorRef[g.GroupCommand]] = {}
        self._early: list[tuple[str, g.GroupCommand]] | None = []
        self._failures: dict[
            str, int
        ] = {}  # in a row, of those that did not come to an end of their work since
        self._resting: set[str] = set()
        self._closed = False
        self._timers: set[asyncio.TimerHandle] = set()

    def known(self, stream: str) -> g.Group | None:
        """A group in use."""
        actor = self._actors.get(stream)
        return None if actor is None else actor.group

    async def open(self) -> None:
        """All live runs are taken up. Raises StoreUnavailable."""
        for stream in await self.store.streams(GROUP_STREAM):
            self._ref(stream)  # one in which nobody lives goes when it is read
        early, self._early = self._early or [], None
        for stream, command in early:
            self._hand(stream, command)

    def ask(self, run: str, job: int, ask: GroupAsk, who: str) -> None:
        """A run or a job waits for a group, or has it. Idempotent."""
        self._hand(ask.stream, g.Ask(run, job, ask, who, at_ms=self.clock.wall_ms()))

    def release(self, run: str, job: int, asks: Iterable[GroupAsk]) -> None:
        """It lets go of them. Idempotent."""
        for ask in asks:
            self._hand(ask.stream, g.Release(run, job, self.clock.wall_ms()))

    def forget(self, run: str) -> None:
        """A run is given up: it holds nothing any more."""
        for stream, actor in list(self._actors.items()):
            for key in list(actor.group.members):
                if key.run == run:
                    self._hand(stream, g.Release(*key, self.clock.wall_ms()))

    def _hand(self, stream: str, command: g.GroupCommand) -> None:
        if self._closed or stream in self._resting:
            return  # the next engine hears it again, or the group when it has rested
        if self._early is not None:
            self._early.append((stream, command))
        elif stream in self._refs or type(command) is g.Ask:  # of an empty one there is nothing to let go
            self._ref(stream).tell(command)

    def _ref(self, stream: str) -> ActorRef[g.GroupCommand]:
        ref = self._refs.get(stream)
        if ref is None:
            actor = self._actors[stream] = GroupActor(self, stream)
            self._spawned += 1  # in the name: the one before it may be stopping still
            name = f"{stream}.{self._spawned}"
            ref = self._refs[stream] = self._spawner.spawn(actor, name, mailbox=GROUP_MAILBOX)
        return ref

    def _actor_ended(self, name: str, signal: Terminated) -> None:
        """The actor of a group is gone. When it failed, what it held is void."""
        if signal.error is None or self._closed:
            return
        stream = name.partition(".")[0]
        self.gone(stream)
        self._resting.add(stream)
        rest_s = self.failed(stream, f"concurrency group {stream} failed, and is read again", signal.error)

        def again() -> None:
            self._timers.discard(timer)
            self._resting.discard(stream)
            self._ref(stream)
            self.home.ask_again(stream)

        timer = self._loop.call_later(rest_s, again)
        self._timers.add(timer)

    def close(self) -> None:
        """Let go of all. Idempotent."""
        self._closed = True
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

    def failed(self, stream: str, message: str, error: BaseException) -> float:
        """A group failed, or could not be read; returns how long it is to rest. Only the first time in a row is told."""
        times = self._failures.get(stream, 0)
        self._failures[stream] = times + 1
        if not times and isinstance(error, InfrastructureError):
            NOTICES.warning("%s, and is tried again: %s", message, error)
        elif not times:
            self.report(message, error)
        return min(RELOAD_S * 2.0 ** min(times, DOUBLINGS), REST_S)

    def works(self, stream: str) -> None:
        """It took in what it was asked."""
        if self._failures:
            self._failures.pop(stream, None)

    def report(self, message: str, error: BaseException) -> None:
        """Something that nobody expects."""
        self._loop.call_exception_handler({"message": message, "exception": error})

    def holding(self, stream: str) -> list[g.Ask]:
        """Who has a group, as the runs know it."""
        found = []
        for run in self.home.runs():
            asks = []
            group = run.accepted.group if run.accepted is not None else None
            if group is not None and not run.waiting and not run.ended:
                asks.append((g.RUN, group))
            for job in run.jobs:
                if job.asked and job.status not in JOB_ENDS:
                    asks += [(job.index, ask) for ask in job.decl.groups[: job.granted]]
            found += [
                g.Ask(run.id, job, GroupAsk(stream, ask.name, queues=True), f"run {run.id}")
                for job, ask in asks
                if ask.stream == stream
            ]
        return found


class GroupActor(Actor[g.GroupCommand]):
    """Owns a group: decides, stores, then tells. Paused while it reads or stores."""

    __slots__ = ("_groups", "_stream", "_unstored", "_version", "group")

    def __init__(self, groups: Groups, stream: str) -> None:
        self._groups = groups
        self._stream = stream
        self._unstored: list[g.GroupCommand] = []  # what is to be decided again, once it is read again
        self._version = 0
        self.group = g.Group()

    @property
    def about(self) -> str:
        """The group's name, as those have it who asked for it: streams are named by a digest."""
        for key in self.group.members:
            run = self._groups.home.run(key.run)
            if run is None or run.accepted is None:
                continue
            own = run.accepted.group
            asks = [own] if own is not None else []
            if key.job != g.RUN:
                asks = run.jobs[key.job].decl.groups if key.job < len(run.jobs) else []
            for ask in asks:
                if ask.stream == self._stream:
                    return ask.name
        return ""

    def started(self) -> None:
        self.context.pause()
        self._read()

    # --- reading --------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        self.context.perform(self._load(), self._loaded, self._not_loaded)

    async def _load(self) -> list[g.Ask]:
        """Replay it; returns what is to be asked of it first."""
        groups = self._groups
        try:
            await self._replay()
        except InfrastructureError:
            raise
        except UNREADABLE as error:
            # What runs know of it is enough to begin anew; order is lost, not more.
            groups.report(f"concurrency group {self._stream} cannot be read, and begins anew", error)
            await groups.store.delete_run(self._stream)
            self.group, self._version = g.Group(), 0
            return groups.holding(self._stream)
        return []

    async def _replay(self) -> None:
        group, version = g.Group(), 0
        for stored in await self._groups.store.read(self._stream):
            g.replay(g.decode(stored.events), group)
            version = stored.version
        self.group, self._version = group, version

    def _loaded(self, first: list[g.Ask]) -> None:
        groups = self._groups
        at_ms = groups.clock.wall_ms()
        gone = [g.Release(*key, at_ms) for key in self.group.members if not groups.home.lives(key.run)]
        unstored, self._unstored = self._unstored, []
        self._work([*gone, *first, *unstored])

    def _not_loaded(self, error: BaseException) -> None:
        if isinstance(error, Fenced):
            self._groups.home.fenced(error)
        elif isinstance(error, InfrastructureError):
            message = f"concurrency group {self._stream} cannot be read just now"
            self.context.later(self._groups.failed(self._stream, message, error), self._read)
        else:
            raise error

    # --- deciding -------------------------------------------------------------------------------------------------

    def receive(self, messages: list[g.GroupCommand]) -> None:
        self.context.pause()
        self._work(messages)

    def _work(self, messages: list[g.GroupCommand]) -> None:
        """Decide, and store it."""
        groups = self._groups
        events: list[g.GroupEvent] = []
        known: list[g.Ask] = []
        for command in messages:
            if type(command) is not g.Ask:
                events += g.handle(self.group, command)
            elif groups.home.lives(command.run):  # else it ended or was given up since
                made = g.handle(self.group, self._judged(command))
                events += made
                if not made:
                    known.append(command)
        if not events:
            self._tell_again(known)
            self._done()
            return
        append = Append(self._stream, self._version, g.encode(events), len(events), groups.clock.wall_ms())
        stored = self.context.bound(partial(self._stored, messages, events, known))
        groups.store.append(append, stored)

    def _judged(self, command: g.Ask) -> g.Ask:
        groups = self._groups
        key = g.Key(command.run, command.job)
        member = self.group.members.get(key)
        if member is not None and member.status is not MemberStatus.WAITING:
            return command
        why = deadlock(key, command.ask, groups.known, groups.home.run, who=command.who)
        return g.Ask(*key, command.ask, command.who, why, command.at_ms) if why else command

    def _stored(
        self,
        messages: list[g.GroupCommand],
        events: list[g.GroupEvent],
        known: list[g.Ask],
        outcome: Stored | RelevoError,
    ) -> None:
        groups = self._groups
        if isinstance(outcome, Fenced):
            groups.home.fenced(outcome)
            return
        if isinstance(outcome, RelevoError):
            groups.home.refused(outcome)
            self._unstored = messages
            self.context.later(RELOAD_S, self._read)
            return
        self._version = outcome.version
        for event in events:
            self._tell(event)
        self._tell_again(known)
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

    def _tell_again(self, known: list[g.Ask]) -> None:
        """What became of members that ask again: they may not have heard it. Runs take it once."""
        for command in known:
            member = self.group.members.get(g.Key(command.run, command.job))
            if member is None:
                continue
            if member.status is MemberStatus.REFUSED:
                self._tell(g.Refused(*member.key, member.reason))
            elif member.status is not MemberStatus.WAITING:
                self._tell(g.Granted(*member.key))
            if member.status is MemberStatus.LEAVING:
                self._tell(g.Ousted(*member.key, member.reason))

    def _done(self) -> None:
        if self.group.members or self.context.waiting:
            self._groups.works(self._stream)
            self.context.resume()
        elif self._version:
            # It is empty: its stream goes, so that it does not grow for ever.
            store = self._groups.store
            self.context.perform(store.delete_run(self._stream), self._deleted, self._not_deleted)
        else:
            self._leave()

    def _deleted(self, _: None) -> None:
        self._version = 0
        self._leave()

    def _not_deleted(self, error: BaseException) -> None:
        if isinstance(error, Fenced):
            self._groups.home.fenced(error)
        elif isinstance(error, InfrastructureError):
            self._leave()  # whoever asks next goes on with it
        else:
            raise error

    def _leave(self) -> None:
        self._groups.works(self._stream)
        if self.context.waiting:
            self.context.resume()
        else:
            self._groups.gone(self._stream)
            self.context.stop()
