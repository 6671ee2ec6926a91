"""The users of a world: they submit, cancel, retry and give up, and insist until they see that it was done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import msgspec

from relevo.domain import commands as c
from relevo.domain.errors import RelevoError
from relevo.domain.run import Run
from relevo.domain.states import JobStatus, RunStatus
from relevo.orchestrator.plans import SharedContexts, digest_of, group_of_run
from relevo.orchestrator.sparing import spared
from relevo.store.contract import Fact, FactExists
from tests.simulation.plans import RunPlan

if TYPE_CHECKING:
    from tests.simulation.world import EngineProcess, World

AGAIN_S: Final = 0.25

_encode = msgspec.msgpack.Encoder().encode


class _Wish:
    """A run that a user wants, and how far it is."""

    def __init__(self, number: int, plan: RunPlan) -> None:
        self.number = number
        self.plan = plan
        self.tries = 0
        self.asked: EngineProcess | None = None
        self.asked_at = 0.0
        self.run = ""
        self.accepted_at = 0.0
        self.late = plan.cancelled_late


class Client:
    """All users."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._wishes = [_Wish(number, plan) for number, plan in enumerate(world.plan.runs)]
        self.accepted: list[str] = []
        self.plans: dict[str, RunPlan] = {}  #: by run id, those of tries that came to nothing too

    def open(self) -> None:
        """Begin."""
        self._tick()

    @property
    def finished(self) -> bool:
        """Whether nothing is wanted any more: every run has ended, or is held and to be left so."""
        return all(self._over(wish) for wish in self._wishes)

    def waiting(self) -> str:
        """What has not ended."""
        told = []
        for wish in self._wishes:
            if not self._over(wish):
                run = self._world.checker.runs.get(wish.run)
                jobs = run and [(job.decl.name, job.number, str(job.status)) for job in run.jobs]
                told.append(f"{wish.run or 'not accepted'}: {run and run.status} {jobs}")
        return "\n".join(told)

    def _over(self, wish: _Wish) -> bool:
        run = self._world.checker.runs.get(wish.run)
        if run is None:
            return False
        return run.ended or (run.status is RunStatus.HELD and wish.plan.held == "leave")

    def _engine(self) -> EngineProcess | None:
        process = self._world.engine
        usable = process.opened and not process.host.dead and not process.host.stopped and not process.fenced
        return process if usable else None

    def _tick(self) -> None:
        self._world.loop.call_later(AGAIN_S, self._tick)
        process = self._engine()
        if process is None:
            return
        for wish in self._wishes:
            if self._world.now < wish.plan.at_s:
                continue
            if not wish.run:
                self._submit(process, wish)
            else:
                self._attend(process, wish)

    # --- submitting -------------------------------------------------------------------------------------------------

    def _submit(self, process: EngineProcess, wish: _Wish) -> None:
        if wish.asked is process and self._world.now - wish.asked_at < 5.0:
            return  # its answer may come
        wish.asked = process
        wish.asked_at = self._world.now
        wish.tries += 1
        id = f"run{wish.number}.{wish.tries}"
        self.plans[id] = wish.plan
        orchestrator = process.engine.orchestrator
        plan = orchestrator.stored.plans.of(wish.plan.workflow)
        contexts = SharedContexts(github={"event_name": "push", "repository": "sim/sim"})
        blob = _encode(contexts)
        secrets = {"TOKEN": "sEcReT-of-a-run"} if wish.plan.secrets else {}
        facts = [Fact(f"idempotency/{wish.number}", id.encode(), if_absent=True)]
        if secrets:
            facts.append(Fact(f"secrets/{id}", _encode(secrets)))
        submit = c.Submit(
            id,
            wish.plan.workflow.path,
            "simulated",
            "push",
            plan.digest,
            digest_of(blob),
            plan.declarations(),
            at_ms=self._world.clocks[0].wall_ms(),
            secrets=sorted(secrets),
            group=group_of_run(plan, contexts),
        )
        reply = orchestrator.submit(submit, plan, blob, tuple(facts))
        reply.add_done_callback(lambda done: self._answered(wish, id, done))

    def _answered(self, wish: _Wish, id: str, done: asyncio.Future[bool]) -> None:
        error = done.exception()
        if isinstance(error, FactExists):
            self._world.saw("a repeated submission finds its run")
            id = error.value.decode()
        elif error is not None:
            self._world.saw("a submission is refused")
            wish.asked = None
            return
        if not wish.run:
            wish.run = id
            wish.accepted_at = self._world.now
            self.accepted.append(id)
            self._world.note("accepted", id)

    # --- what is done about runs -------------------------------------------------------------------------------------

    def _attend(self, process: EngineProcess, wish: _Wish) -> None:
        run = self._world.checker.runs.get(wish.run)
        if run is None:
            return
        age = self._world.now - wish.accepted_at
        if run.ended:
            if not run.delivered:
                self._deliver(process, wish)
            if wish.late:
                wish.late = False
                self._ask(process, run.id, c.CancelRun("too late"))
            return
        after = wish.plan.cancel_after_s
        if after is not None and age >= after:
            force = wish.plan.force_after_s is not None and age >= after + wish.plan.force_after_s
            self._cancel(process, run, force)
        for job in run.jobs:
            if job.status is JobStatus.HELD and wish.plan.held != "leave":
                self._decide(process, wish, run, job.index)

    def _cancel(self, process: EngineProcess, run: Run, force: bool) -> None:
        cancelling = run.status is RunStatus.CANCELLING
        if cancelling and (
            not force or all(job.forced for job in run.jobs if job.status is JobStatus.CANCELLING)
        ):
            return
        self._world.note("cancel", run.id, force)
        orchestrator = process.engine.orchestrator

        async def cancel() -> None:
            actor = await orchestrator.actor(run.id)
            if actor is not None:
                await orchestrator.ask(run.id, c.CancelRun("by a user", force, spared(actor)))

        self._perform(process, cancel())

    def _decide(self, process: EngineProcess, wish: _Wish, run: Run, job: int) -> None:
        self._world.note("decide", run.id, job, wish.plan.held)
        if wish.plan.held == "retry":
            self._world.checker.released(run.id, job)
            self._ask(process, run.id, c.RetryJob(job))
        else:
            self._ask(process, run.id, c.FailJob(job, "given up"))

    def _ask(self, process: EngineProcess, run: str, command: Any) -> None:
        self._perform(process, process.engine.orchestrator.ask(run, command))

    def _perform(self, process: EngineProcess, asked: Coroutine[Any, Any, object]) -> None:
        async def perform() -> None:
            try:
                await asked
            except RelevoError as error:
                self._world.saw(f"a command is answered with {type(error).__name__}")

        process.host.create_task(perform())

    def _deliver(self, process: EngineProcess, wish: _Wish) -> None:
        for _ in range(1 + wish.plan.delivered_twice):
            process.host.create_task(process.engine.orchestrator.note_delivered(wish.run))
