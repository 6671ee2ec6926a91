"""The actor of one live run.

Longer than most modules: the way by the rules and the way as other runs went share the life of one append, from the messages
that it answers to the effects of what was stored, and are read side by side. What a way is stands in `shapes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from relevo.actors import Actor
from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.errors import RelevoError
from relevo.domain.groups import RUN
from relevo.domain.ids import AttemptKey
from relevo.domain.machine import handle
from relevo.domain.run import Job, Run
from relevo.domain.states import AT_AGENT, JOB_ENDS, JobStatus
from relevo.domain.stored import Stored
from relevo.orchestrator.apart import as_stored, inputs_stored, outputs_stored, shortened
from relevo.orchestrator.calling import returned
from relevo.orchestrator.plans import Carried, Plan, RunContexts, expand
from relevo.orchestrator.shapes import Course, Made, start_of
from relevo.store.contract import Append, Fact, Fenced, RunRow
from relevo.workers.link import Batch

if TYPE_CHECKING:
    from relevo.orchestrator.orchestrator import Orchestrator


class Envelope(Struct, frozen=True):
    """Commands for a run, in order, and who wants to know what became of them.

    The collector sees it: in the mailbox of an actor that was dropped it may close a cycle with who wants to know.
    """

    commands: Sequence[c.Command]
    batch: Batch | None = None
    #: resolved with True when it made events and these are stored, with False when it made none
    reply: asyncio.Future[bool] | None = None
    facts: tuple[Fact, ...] = ()


#: After this one nothing comes any more.
LAST: Final = Envelope(())


class RunActor(Actor[Envelope]):
    """Owns a run: decides, stores, then acts."""

    __slots__ = (
        "_ask_later",
        "_course",
        "_home",
        "_in_hand",
        "_refusal",
        "_run",
        "_storing",
        "carried",
        "contexts",
        "id",
        "plan",
    )

    def __init__(
        self,
        home: Orchestrator,
        id: str,
        run: Run | None,
        plan: Plan,
        contexts: RunContexts,
        carried: dict[str, Carried],
    ) -> None:
        """`run`: None where it is to be submitted."""
        self._home = home
        self._in_hand: c.Command | None = None
        self._refusal: RelevoError | None = None  # of an append: what the run holds is void since
        self._storing = False
        self._ask_later: list[str] = []  # groups to ask again once what is being stored is
        self._course: Course | None = None  # as long as it goes as others did: then there is no run
        self._run = run
        self.id = id
        self.plan = plan
        self.contexts = contexts
        self.carried = carried

    @property
    def run(self) -> Run:
        """Its state. One that has gone as others did goes by itself from here on."""
        run = self._run
        if run is None:
            run = self._run = Run() if self._course is None else self._course.run()
        return run

    def likeness(self) -> tuple[Run, e.RunAccepted | None]:
        """A run that is in the state of this one, but for names and times, and how this one was accepted. To be read only."""
        if self._run is None and self._course is not None:
            return self._course.shape.run, self._course.accepted
        return self.run, self.run.accepted

    def read_contexts(self) -> None:
        """The first message for it is to come. Whatever a run does needs its contexts: it waits for them."""
        if self.run.accepted is not None:
            self.context.pause()
            contexts = self._home.stored.contexts(self.run.accepted)
            self.context.perform(contexts, self._opened, self._not_opened)

    def _opened(self, contexts: RunContexts) -> None:
        self.contexts = contexts
        self.context.resume()

    def _not_opened(self, error: BaseException) -> None:
        """Who waits is told; the run is read again as a whole, and given up where that says that it cannot be."""
        self._refusal = error if isinstance(error, RelevoError) else RelevoError(str(error))
        self._home.discard(self)
        self.context.resume()

    def receive(self, messages: list[Envelope]) -> None:
        if messages[-1] is LAST:
            messages = messages[:-1]
            self.context.stop()
        if self._refusal is not None:
            self._turn_away(messages, self._refusal)
            return
        try:
            self._receive(messages)
        except Exception as error:
            # What the run holds may be half of a change: it is void. What an agent told and was in hand is poison and not
            # taken again; all else comes again to the run as it is read from the store.
            poison = self._in_hand
            for envelope in messages:
                if envelope.batch is not None:
                    if poison is not None and any(one is poison for one in envelope.commands):
                        self._home.poison.setdefault(self.run.id, []).append(poison)
                    envelope.batch.fail()
                if envelope.reply is not None and not envelope.reply.done():
                    envelope.reply.set_exception(error)
            raise

    def _receive(self, messages: list[Envelope]) -> None:
        if self._run is None and self._receive_alike(messages):
            return
        run = self.run
        home = self._home
        events: list[e.Event] = []
        facts: list[Fact] = []
        at_ms = home.clock.wall_ms()
        for envelope in messages:
            changed = False
            for command in envelope.commands:
                self._in_hand = command
                if type(command) is c.Record:
                    command = shortened(command, run.id, facts)
                elif type(command) is c.EndAttempt and command.outputs:
                    command = outputs_stored(command, run.id, facts)
                made = handle(run, command)
                if made:
                    events += made
                    changed = True
                elif type(command) is c.AssignJob:
                    home.scheduler.withdraw(run.id, command.job)
                elif type(command) is c.PreemptJob:
                    home.scheduler.stays(run.id, command.job)
            if changed and envelope.facts:
                facts += envelope.facts
        while (run.ready or run.returning) and not run.waiting:
            for node in list(run.ready):
                verdict = expand(run, self.plan, self.contexts.decoded, node, self.carried, at_ms, home.reach)
                events += handle(run, inputs_stored(verdict, run.id, facts))
            for job in list(run.returning):
                back = returned(run, self.plan, self.contexts.decoded, job, at_ms)
                events += handle(run, outputs_stored(back, run.id, facts))
        queued = [index for event in events if type(event) is e.JobsQueued for index in event.jobs]
        if queued:
            events += self._placed_at_once(queued, at_ms)
        if not events:
            for envelope in messages:
                if envelope.batch is not None:
                    envelope.batch.settle()
                if envelope.reply is not None and not envelope.reply.done():
                    envelope.reply.set_result(False)
            return
        if run.ended and run.accepted is not None and run.accepted.secrets:
            facts.append(Fact(f"secrets/{run.id}", None))
        append = Append(
            run.id,
            run.version,
            e.encode(list(map(as_stored, events)) if facts else events),
            len(events),
            at_ms,
            run_row(run),
            tuple(facts),
        )
        self.context.pause()
        self._storing = True
        home.store.append(append, partial(self._stored, messages, events))

    # --- as others did ------------------------------------------------------------------------------------------------

    def _receive_alike(self, messages: list[Envelope]) -> bool:
        """Let happen what happened to a run like this one; False, and nothing has happened, when that cannot be."""
        home, course = self._home, self._course
        commands = [command for envelope in messages for command in envelope.commands]
        if not commands:
            return False
        self._in_hand = commands[-1]
        at_ms = home.clock.wall_ms()
        made = self._begin_alike(commands, at_ms) if course is None else course.go(commands)
        if made is None:
            return False
        course = self._course
        assert course is not None
        facts = tuple(fact for envelope in messages for fact in envelope.facts)
        accepted, like = course.accepted, course.shape.run
        if like.ended and accepted.secrets:
            facts += (Fact(f"secrets/{self.id}", None),)
        row = row_of(like, accepted, course.ended_ms)
        append = Append(self.id, course.version, made.events, made.count, at_ms, row, facts)
        self.context.pause()
        self._storing = True
        home.store.append(append, partial(self._stored_alike, course, messages, commands))
        return True

    def _begin_alike(self, commands: list[c.Command], at_ms: int) -> Made | None:
        """Be accepted, and have a place at once."""
        start = start_of(self.plan) if len(commands) == 1 else None
        submit = commands[0]
        if (
            start is None
            or type(submit) is not c.Submit
            or submit.group is not None
            or submit.nodes is not self.plan.declarations()
            or self.carried
        ):
            return None
        home = self._home
        if home.reach is not None and home.reach.refusal(start.demand):
            return None
        agent = home.scheduler.reserve_at_once(self.id, 0, start.demand, home.tenant(self))
        if agent is None:
            return None
        self._course, made = Course.begin(start, submit, agent, at_ms)
        return made

    def _stored_alike(
        self,
        course: Course,
        messages: list[Envelope],
        commands: list[c.Command],
        outcome: Stored | RelevoError,
    ) -> None:
        if isinstance(outcome, RelevoError):
            self._refused(outcome, messages)
            return
        course.version = outcome.version
        if self._run is not None:  # somebody looked at it meanwhile
            self._run.version = outcome.version
        self._home.refusing = False
        self._storing = False
        if outcome.version == 1:
            timeout_s = course.shape.run.jobs[0].decl.timeout_s
            self._home.manager.place(course.key, course.agent, timeout_s, at_ms=outcome.at_ms)
        else:
            for command in commands:
                if type(command) is c.StartingAttempt:
                    self._home.manager.started(course.key, course.agent)
                elif type(command) is c.StartAttempt:
                    self._home.manager.started(course.key, course.agent, command.at_ms)
                elif type(command) is c.EndAttempt:
                    self._home.attempt_ended(course.key, course.agent, command, over=True)
                    self._home.scheduler.withdraw(self.id, command.job)
        self._settled(messages, outcome)

    def _placed_at_once(self, queued: list[int], at_ms: int) -> list[e.Event]:
        """Of the jobs that are being queued, those that need not wait for a place are assigned in the same append."""
        run = self.run
        made: list[e.Event] = []
        if len(queued) > 1:  # in the order in which the queue would have them
            queued.sort(
                key=lambda index: (
                    -self._home.priority(self, run.jobs[index]),
                    self._home.deadline_in_s(run.id, index),
                )
            )
        for index in queued:
            if run.jobs[index].status is not JobStatus.QUEUED:
                continue
            agent = self._home.place_at_once(self, index)
            if agent is None:
                return made
            made += handle(run, c.AssignJob(index, agent, at_ms))
        return made

    def _stored(self, messages: list[Envelope], events: list[e.Event], outcome: Stored | RelevoError) -> None:
        if isinstance(outcome, RelevoError):
            self._refused(outcome, messages)
            return
        self.run.version = outcome.version
        self._storing = False
        self._home.refusing = False
        for event in events:
            effect = _EFFECTS.get(type(event))
            if effect is not None:
                effect(self, event)
        self._settled(messages, outcome)

    def _settled(self, messages: list[Envelope], outcome: Stored) -> None:
        """What was stored has taken effect: answer, and tell whoever looks on."""
        while self._ask_later:
            self.ask_again(self._ask_later.pop())
        for envelope in messages:
            if envelope.batch is not None:
                envelope.batch.settle()
            if envelope.reply is not None and not envelope.reply.done():
                envelope.reply.set_result(True)
        home = self._home
        if home.bus.followers:
            home.bus.publish(outcome)
        if self.likeness()[0].ended:
            if home.ended is not None:
                home.ended(self.id, outcome.sequence)
            home.run_ended(self)
        else:
            self.context.resume()

    def _refused(self, error: RelevoError, messages: list[Envelope]) -> None:
        """Nothing was stored: forget, and tell everybody, those too who wait."""
        self._refusal = error
        if isinstance(error, Fenced):
            self._home.fenced(error)
        else:
            self._home.refused(error)
            self._home.discard(self)
        self._turn_away(messages, error)
        self.context.resume()

    def _turn_away(self, messages: list[Envelope], error: RelevoError) -> None:
        for envelope in messages:
            if envelope.batch is not None:
                envelope.batch.fail()
            elif envelope.reply is None and any(type(one) is c.LoseAttempt for one in envelope.commands):
                self._home.again(self.run.id, envelope)
            if envelope.reply is not None and not envelope.reply.done():
                envelope.reply.set_exception(error)

    def leave(self) -> None:
        """Stop; what waits already is answered before. Whoever calls sees to it that nothing more is told, and that it does not
        handle mail just now."""
        if self.context.waiting:
            self.context.ref.tell(LAST)
            self.context.resume()
        else:
            self.context.end()

    # --- effects ------------------------------------------------------------------------------------------------------

    def _queued(self, event: e.JobsQueued) -> None:
        for index in event.jobs:
            if self.run.jobs[index].status is JobStatus.QUEUED:
                self._home.enqueue(self, index)

    def _accepted(self, event: e.RunAccepted) -> None:
        if event.group is not None:
            self._home.groups.ask(self.run.id, RUN, event.group, self._who(RUN))

    def _waiting(self, event: e.JobsWaiting) -> None:
        for index in event.jobs:
            self._ask(index)

    def _granted(self, event: e.GroupGranted) -> None:
        if event.job != RUN:
            self._ask(event.job)

    def _ask(self, index: int) -> None:
        ask = self.run.jobs[index].asks
        if ask is not None:
            self._home.groups.ask(self.run.id, index, ask, self._who(index))

    def _who(self, index: int) -> str:
        """A member of a group, for people."""
        run = f"run {self.run.id}"
        return run if index == RUN else f"job '{self.run.jobs[index].decl.name}' of {run}"

    def _held(self, event: e.JobHeld) -> None:
        self._release(event.job)

    def _release(self, index: int) -> None:
        groups = self.run.jobs[index].decl.groups
        if groups:
            self._home.groups.release(self.run.id, index, groups)

    def _run_over(self, event: e.RunEnded) -> None:
        accepted = self.run.accepted
        if accepted is not None and accepted.group is not None:
            self._home.groups.release(self.run.id, RUN, [accepted.group])

    def _started(self, event: e.AttemptStarted | e.AttemptStarting) -> None:
        job = self.run.jobs[event.job]
        running_ms = event.at_ms if type(event) is e.AttemptStarted else 0
        self._home.manager.started(self._key(job, event.number), job.agent, running_ms)

    def _ended(self, event: e.AttemptEnded) -> None:
        job = self.run.jobs[event.job]
        over = job.status in JOB_ENDS
        self._home.attempt_ended(self._key(job, event.number), job.agent, event, over=over)

    def _cancelling(self, event: e.JobCancelling) -> None:
        job = self.run.jobs[event.job]
        self._home.manager.cancel(self._key(job, job.number), job.agent, event.reason, event.forced)

    def _key(self, job: Job, number: int) -> AttemptKey:
        """Of an attempt of a job: most often the current one."""
        key = job.key
        return key if key is not None and key[2] == number else AttemptKey(self.run.id, job.index, number)

    def _preempting(self, event: e.JobPreempting) -> None:
        job = self.run.jobs[event.job]
        self._home.preempting.told(self._key(job, job.number), job)

    def _over(self, event: e.JobEnded) -> None:
        self._home.scheduler.withdraw(self.run.id, event.job)
        if self.run.jobs[event.job].asked:
            self._release(event.job)

    def _place(self, event: e.AttemptAssigned) -> None:
        job = self.run.jobs[event.job]
        if job.number == event.number:
            key = self._key(job, event.number)
            self._home.manager.place(key, event.agent, job.decl.timeout_s, at_ms=event.at_ms)

    def _retry(self, event: e.JobRetrying) -> None:
        if event.delay_s:
            self._home.retry_later(event.delay_s, self.run.id, event.job)
        elif self.run.jobs[event.job].status is JobStatus.QUEUED:
            self._home.enqueue(self, event.job)

    def placed(self) -> set[AttemptKey]:
        """The attempts that agents have."""
        run = self.run
        return {
            AttemptKey(run.id, job.index, job.number)
            for job in run.jobs
            if job.number and job.status in AT_AGENT
        }

    def resume_effects(self) -> None:
        """Bring about again, after a start or a discard, what the stored state asks for."""
        run = self.run
        home = self._home
        accepted = run.accepted
        if accepted is not None:
            self._accepted(accepted)
        for job in run.jobs:
            if job.decl.groups:
                self._groups_again(job)
            if job.status is JobStatus.QUEUED:
                home.enqueue(self, job.index)
            elif job.delayed:
                home.retry_later(job.delay_s, run.id, job.index)
            elif job.number and job.status in AT_AGENT:
                key = AttemptKey(run.id, job.index, job.number)
                home.adopt(key, job)

    def ask_again(self, stream: str) -> None:
        """Ask a group for what the run and its jobs have of it or wait for, by what is stored."""
        if self._run is None:
            return  # as others did: without groups
        if self._storing:
            self._ask_later.append(stream)
            return
        accepted = self.run.accepted
        if accepted is not None and accepted.group is not None and accepted.group.stream == stream:
            self._accepted(accepted)
        for job in self.run.jobs:
            if any(ask.stream == stream for ask in job.decl.groups):
                self._groups_again(job)

    def _groups_again(self, job: Job) -> None:
        """Ask for what a job has or waits for; let go of what it had."""
        if job.asked and job.status not in JOB_ENDS:
            for ask in job.decl.groups[: job.granted + 1]:
                self._home.groups.ask(self.run.id, job.index, ask, self._who(job.index))
        elif job.asked or job.number:
            self._release(job.index)


_EFFECTS: Final[dict[type, Callable[[RunActor, Any], None]]] = {
    e.RunAccepted: RunActor._accepted,
    e.JobsQueued: RunActor._queued,
    e.JobsWaiting: RunActor._waiting,
    e.GroupGranted: RunActor._granted,
    e.JobHeld: RunActor._held,
    e.RunEnded: RunActor._run_over,
    e.AttemptAssigned: RunActor._place,
    e.AttemptStarting: RunActor._started,
    e.AttemptStarted: RunActor._started,
    e.AttemptEnded: RunActor._ended,
    e.JobRetrying: RunActor._retry,
    e.JobPreempting: RunActor._preempting,
    e.JobCancelling: RunActor._cancelling,
    e.JobEnded: RunActor._over,
}


def run_row(run: Run) -> RunRow:
    """The read model of a run."""
    assert run.accepted is not None
    return row_of(run, run.accepted, run.ended_ms)


def row_of(like: Run, accepted: e.RunAccepted, ended_ms: int | None) -> RunRow:
    """The read model of a run that was accepted so and is in the state of `like`, but for names and times."""
    return RunRow(
        accepted.run,
        str(like.status),  # plain text; `.value` costs ten times as much
        accepted.workflow,
        accepted.title,
        accepted.trigger,
        accepted.priority,
        not like.ended,
        accepted.at_ms,
        ended_ms,
        len(like.jobs) - like.calls,  # `job_count`
        like.jobs_ended,
        accepted.retried_from,
        accepted.run_attempt,
        like.delivered,
    )
