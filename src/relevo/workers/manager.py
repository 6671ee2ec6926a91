"""Which agents there are, what each of them has, and what is done about it.

What is recorded (`Placed`) is rebuilt from the runs when an engine starts; an agent's Hello is held against it:

    live there, not wanted here      → it is told so, and ends it
    wanted here, not live there      → after its hand-in: never begun? sent again : lost
    both                             → adopted; cancelled again if it is being cancelled
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from relevo.actors import Actor, ActorRef, Group
from relevo.core.measured import AGENT_HELD, ATTEMPT_RUN_SECONDS, ATTEMPT_START_SECONDS, SPOOL_BYTES
from relevo.domain import commands as c
from relevo.domain.ids import AttemptKey
from relevo.logs.contract import LogStore
from relevo.protocol import messages as m
from relevo.runtime.clock import Clock
from relevo.runtime.notices import NOTICES
from relevo.workers.bulk import Bulk
from relevo.workers.link import Batch, Link
from relevo.workers.load import load_of

BEAT_S: Final = 2.0
#: An agent that was silent for this long is dropped: it dials again if it can.
SILENCE_S: Final = 8.0
#: Added to an attempt's own time-out before the engine's back-stop ends it.
BACKSTOP_S: Final = 360.0
FENCE_MARGIN_S: Final = 30.0
#: Attempts that may wait to be sent to one agent: more than it ever takes.
OUTBOX: Final = 1_000_000

_log = logging.getLogger(__name__)


class Placed:
    """An attempt that an agent has, or is about to get."""

    __slots__ = ("assigned_ms", "cancel", "deadline", "sent", "started", "started_ms")

    def __init__(self, deadline: float, assigned_ms: int = 0) -> None:
        self.started = False
        self.assigned_ms = assigned_ms  #: 0: another engine assigned it
        self.started_ms = 0  #: when its worker was there; 0: it is not, or another engine was told
        self.sent = False  #: to the agent as it is now: sent twice, it could run twice
        self.cancel: m.Cancel | None = None
        self.deadline = deadline  #: of the loop's time; the engine's back-stop


class AgentState:
    """One agent, connected or not."""

    __slots__ = (
        "fence_after_s",
        "gone_since",
        "held",
        "hello",
        "id",
        "link",
        "load",
        "outbox",
        "placed",
        "ready",
        "spool_bytes",
        "told",
        "turn",
    )

    outbox: ActorRef[AttemptKey]  #: takes the attempts that are to be sent to it

    def __init__(self, id: str, gone_since: float) -> None:
        self.id = id
        self.link: Link | None = None
        self.hello: m.Hello | None = None
        self.ready = False  #: past the start barrier: it may get jobs
        self.placed: dict[AttemptKey, Placed] = {}
        self.gone_since: float | None = gone_since
        self.fence_after_s: float | None = None
        self.held = False  #: its steps are, by back-pressure
        self.spool_bytes = 0  #: as it told last
        self.load = 0.0  #: the share of its machine that is in use, as it told last
        self.turn = 0  #: of the Hello that it was taken by
        self.told: set[AttemptKey] = set()  #: what it said at its Hello that it runs


class Outbox(Actor[AttemptKey]):
    """Sends an agent what is assigned to it: all that one turn of the loop brought, in one message."""

    __slots__ = ("_manager", "_state")

    def __init__(self, manager: WorkerManager, state: AgentState) -> None:
        self._manager = manager
        self._state = state

    def receive(self, messages: list[AttemptKey]) -> None:
        self._manager.send(self._state, messages)


class Orders(Protocol):
    """What the manager asks of the orchestrator."""

    def command(self, run: str, command: c.Command) -> None:
        """Hand a command to a run."""

    def told(self, run: str, commands: list[c.Command], batch: Batch) -> None:
        """An agent told this of a run, in order. `batch` is settled once for all of it, or failed, when it is known what
        became of it."""

    def assignment(self, key: AttemptKey) -> tuple[m.Assignment, dict[str, bytes]] | None:
        """The assignment of a placed attempt and the blobs that it names; None when it is not wanted any more."""

    def agent_ready(self, agent: AgentState) -> None:
        """It takes jobs from now on."""

    def agent_load(self, agent: AgentState) -> None:
        """It has told how busy its machine is."""

    def agent_away(self, agent: AgentState) -> None:
        """It takes none for now."""


class WorkerManager:
    """See the module."""

    def __init__(
        self,
        epoch: int,
        orders: Orders,
        logs: LogStore,
        bulk: Bulk,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        group: Group,
    ) -> None:
        self._group = group
        self._epoch = epoch
        self._orders = orders
        self._logs = logs
        self._bulk = bulk
        self._loop = loop
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._farewell: asyncio.Future[None] | None = None
        self._hellos = 0
        self._refused: dict[
            str, float
        ] = {}  # agents of another protocol → when one last dialled that is to finish
        self.agents: dict[str, AgentState] = {}
        self.some_agent_ready = asyncio.Event()  #: set when the first agent has passed the start barrier
        self.on_fenced: Callable[[int], None] = lambda epoch: None

    def open(self) -> None:
        """Begin to watch over agents."""
        self._timer = self._loop.call_later(BEAT_S, self._tick)

    def stop_agents(self) -> asyncio.Future[None]:
        """Have agents leave as soon as they have nothing to do any more; done when all have hung up."""
        self._farewell = self._loop.create_future()
        for agent in self.agents.values():
            if agent.link is not None:
                agent.link.send(m.Drain(stop=True))
        self._note_farewell()
        return self._farewell

    def _note_farewell(self) -> None:
        farewell = self._farewell
        if farewell is not None and not farewell.done() and all(a.link is None for a in self.agents.values()):
            farewell.set_result(None)

    def close(self) -> None:
        """Leave the agents to whoever comes next."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for agent in self.agents.values():
            if agent.link is not None:
                agent.link.finish()

    def accept(self) -> Link:
        """A connection's protocol."""
        return Link(self, self._logs, self._loop)

    # --- what runs say ------------------------------------------------------------------------------------------------

    def _agent(self, id: str) -> AgentState:
        agent = self.agents.get(id)
        if agent is None:
            agent = self.agents[id] = AgentState(id, self._loop.time())
            agent.outbox = self._group.spawn(Outbox(self, agent), id, mailbox=OUTBOX)
        return agent

    def place(
        self, key: AttemptKey, agent: str, timeout_s: float, *, started: bool = False, at_ms: int = 0
    ) -> None:
        """An attempt is stored as assigned to an agent, just now at `at_ms`. It is sent as soon as the agent is ready."""
        state = self._agent(agent)
        placed = state.placed.get(key)
        if placed is None:
            placed = state.placed[key] = Placed(self._loop.time() + timeout_s + BACKSTOP_S, at_ms)
        placed.started = placed.started or started
        # One that is known: its run was read again, and could not say meanwhile what was to be sent.
        if state.ready and not placed.sent and not placed.started:
            state.outbox.tell(key)

    def started(self, key: AttemptKey, agent: str, running_ms: int = 0) -> None:
        """It is stored that it began; `running_ms`: when its worker was there, 0 while that is being made."""
        placed = self._agent(agent).placed.get(key)
        if placed is not None:
            placed.started = True
            if running_ms:
                placed.started_ms = running_ms
                if placed.assigned_ms:
                    ATTEMPT_START_SECONDS.record_ms(max(0, running_ms - placed.assigned_ms))

    def cancel(
        self, key: AttemptKey, agent: str, reason: str, force: bool, grace_s: float = m.GRACE_S
    ) -> None:
        """It is stored that it is being cancelled, or preempted within `grace_s`."""
        state = self._agent(agent)
        placed = state.placed.get(key)
        if placed is not None:
            placed.cancel = m.Cancel(*key, reason, force, grace_s)
            if state.link is not None and state.ready:
                state.link.send(placed.cancel)

    def ended(self, key: AttemptKey, agent: str, *, log: bool, at_ms: int = 0) -> None:
        """It is stored that it ended, at `at_ms`. `log`: its log has an end record."""
        placed = self._agent(agent).placed.pop(key, None)
        if placed is not None and placed.started_ms and at_ms:
            ATTEMPT_RUN_SECONDS.record_ms(max(0, at_ms - placed.started_ms))
        if not log:
            self._logs.no_more(key)

    def keep(self, run: str, keys: set[AttemptKey]) -> None:
        """Of a run that was read again, only these attempts are anywhere."""
        for state in self.agents.values():
            for key in [key for key in state.placed if key.run == run and key not in keys]:
                del state.placed[key]

    def send(self, state: AgentState, keys: list[AttemptKey]) -> None:
        """Send assignments in one message. An agent that is away gets them when it is back."""
        link = state.link
        if link is None or not state.ready:
            return
        assignments = []
        blobs: dict[str, bytes] = {}
        for key in keys:
            placed = state.placed.get(key)
            if placed is None or placed.sent:
                continue
            found = self._orders.assignment(key)
            if found is None:
                continue
            placed.sent = True
            assignment, named = found
            blobs |= {digest: blob for digest, blob in named.items() if not link.knows(digest)}
            assignments.append(assignment)
        if assignments:
            link.send(m.Assign(assignments, blobs))
        for key in keys:
            placed = state.placed.get(key)
            if placed is not None and placed.cancel is not None:
                link.send(
                    placed.cancel
                )  # it was cancelled before it was sent: the agent did not know it then

    # --- what agents say ----------------------------------------------------------------------------------------------

    def hello(self, link: Link, hello: m.Hello) -> None:
        if self._closed:
            link.close()
            return
        if not m.OLDEST <= hello.version <= m.VERSION:
            self._refuse(link, hello)
            return
        if hello.epoch > self._epoch:
            # Somebody else is the engine by now: the store will say so at the next commit; the agent said it first.
            link.close()
            self.on_fenced(hello.epoch)
            return
        self._hellos += 1
        link.turn = self._hellos
        placed = self._agent(hello.agent).placed
        unknown = [live for live in hello.live if AttemptKey(live.run, live.job, live.number) not in placed]
        link.welcome(self._epoch, hello.first, unknown)

    def _refuse(self, link: Link, hello: m.Hello) -> None:
        """It cannot be understood. What it runs it runs to its end alone, and its successor hands that in."""
        reason = f"agent {hello.agent} (process {hello.pid}) speaks protocol {hello.version}, this engine {m.VERSION}"
        if hello.agent not in self._refused:
            NOTICES.warning(
                "%s: it is left to finish what it runs, then replaced; until then jobs wait", reason
            )
        placed = self._agent(hello.agent).placed
        known = [placed.get(AttemptKey(live.run, live.job, live.number)) for live in hello.live]
        wanted = any(found is not None and found.cancel is None for found in known)
        self._refused[hello.agent] = self._loop.time() if wanted else float("-inf")
        link.send(m.Refused(reason, self._epoch))
        link.finish()

    def left_to_finish(self, agent: str) -> bool:
        """Whether an agent that cannot be understood dials, and runs something that nobody cancelled."""
        return self._loop.time() - self._refused.get(agent, float("-inf")) < SILENCE_S

    def confirmed(self, link: Link) -> None:
        hello = link.hello
        assert hello is not None
        state = self._agent(hello.agent)
        if link.turn < state.turn:
            # Its answer was under way for long: the agent has dialled again since, and was taken there.
            link.close()
            return
        state.turn = link.turn
        if state.link is not None:
            # It dialled again before its last connection was known to be gone: the barrier stands anew.
            old = state.link
            self.lost(old)
            old.close()
        state.link = link
        state.hello = hello
        state.gone_since = None
        state.told = {AttemptKey(live.run, live.job, live.number) for live in hello.live}
        self._maybe_ready(state)

    def _maybe_ready(self, state: AgentState) -> None:
        link = state.link
        if state.ready or link is None or state.hello is None or link.acknowledged < state.hello.next:
            return
        state.ready = True
        _log.info("an agent takes jobs", extra={"agent": state.id})
        self.some_agent_ready.set()
        again = []
        for key, placed in list(state.placed.items()):
            placed.sent = key in state.told
            if placed.sent:
                if placed.cancel is not None:
                    link.send(placed.cancel)
            elif placed.started or self._logs.size(key):
                reason = "the agent does not have it any more"
                self._orders.command(
                    key.run, c.LoseAttempt(key.job, key.number, reason, self._clock.wall_ms())
                )
            else:
                again.append(key)
        if state.hello.version < m.VERSION:
            # Of before an upgrade: it finishes what it has, and what it has not begun its successor gets.
            link.send(m.Drain(stop=True))
            return
        self._orders.agent_ready(state)
        if again:
            self.send(state, again)

    def lost(self, link: Link) -> None:
        self._bulk.gone(link)
        state = self.agents.get(link.agent)
        if state is None or state.link is not link:
            return
        state.link = None
        _log.info("an agent is gone", extra={"agent": state.id})
        self._note_farewell()
        state.gone_since = self._loop.time()
        if state.ready and not self._closed:
            state.ready = False
            self._orders.agent_away(state)

    def taken(self, link: Link) -> None:
        state = self.agents[link.agent]
        if not state.ready and state.link is link:
            self._maybe_ready(state)

    def wanted(self, link: Link, key: AttemptKey) -> bool:
        state = self.agents.get(link.agent)
        return state is not None and key in state.placed

    def deliver(self, commands: list[c.Command], run: str, batch: Batch) -> None:
        self._orders.told(run, commands, batch)

    def beat(self, link: Link, message: m.Beat) -> None:
        SPOOL_BYTES.labels(link.agent).set(message.spool_bytes)
        AGENT_HELD.labels(link.agent).set(int(message.paused))
        state = self.agents.get(link.agent)
        if state is not None:
            state.spool_bytes = message.spool_bytes
            if state.hello is not None:
                state.load = load_of(message, state.hello)
                self._orders.agent_load(state)
        if state is not None and state.held != message.paused:
            state.held = message.paused
            if message.paused:
                NOTICES.warning(
                    "attempts of agent %s wait: its disk is full, or its spool; they go on when there is room",
                    state.id,
                )
        link.beat()

    def put_blob(self, link: Link, message: m.PutBlob) -> None:
        self._bulk.put(link, message)

    def blob_durable(self, digest: str, done: Callable[[bool], None]) -> None:
        self._bulk.durable(digest, done)

    def get_blob(self, link: Link, message: m.GetBlob) -> None:
        self._bulk.get(link, message)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = self._loop.call_later(BEAT_S, self._tick)
        now = self._loop.time()
        for state in list(self.agents.values()):
            if state.link is not None and now - state.link.heard > SILENCE_S:
                state.link.close()
            if (
                state.link is None
                and state.fence_after_s is not None
                and state.gone_since is not None
                and now - state.gone_since > state.fence_after_s + FENCE_MARGIN_S
            ):
                self.lose_all(state.id, "its agent was out of reach for too long")
            for key, placed in list(state.placed.items()):
                # One that was told to make room may not obey.
                told = placed.cancel
                if now > placed.deadline and (told is None or told.reason == "preempted"):
                    self._orders.command(key.run, c.TimeOutJob(key.job, key.number))

    def lose_all(self, agent: str, reason: str) -> None:
        """It is verified that nothing of what this agent had goes on, and that it will hand in nothing more."""
        state = self.agents.get(agent)
        if state is None:
            return
        for key in list(state.placed):
            self._orders.command(key.run, c.LoseAttempt(key.job, key.number, reason, self._clock.wall_ms()))
