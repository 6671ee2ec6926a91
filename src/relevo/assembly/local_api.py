"""The engine of this process, as `api.EngineApi`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec

from relevo.assembly.github_context import number_of
from relevo.assembly.reading import Reading, job_named, waits
from relevo.domain import commands as c
from relevo.domain.errors import UserError
from relevo.domain.run import Job, Run, inside, leg_of
from relevo.domain.states import JobStatus
from relevo.orchestrator import keys
from relevo.orchestrator.api import REASON_LIMIT, SecretsMissing, Submission
from relevo.orchestrator.orchestrator import NoSuchRun
from relevo.orchestrator.plans import Plan, group_of_run
from relevo.store.contract import Fact, FactExists, StoreUnavailable
from relevo.telemetry import ids

if TYPE_CHECKING:
    from relevo.assembly.admission import Admission, Admitted
    from relevo.assembly.engine import Engine
    from relevo.assembly.secrets import Vault
    from relevo.logs.contract import LogFrame
    from relevo.orchestrator.api import AgentView, LogLines, LogMatches, LogState, QueueView, RowChanges, Wait
    from relevo.protocol.artifacts import ListedArtifact
    from relevo.scheduler.reach import Reach
    from relevo.store.contract import RunRow

_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [first + second for first in _DIGITS for second in _DIGITS]
#: Bits below each pair of digits in the 90 that a run's id has.
_PLACES: Final = range(80, -1, -10)

_encode = msgspec.msgpack.Encoder().encode


class LocalApi:
    """Everything a user can ask, answered by the engine beside it."""

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        reach: Reach | None,
        kept: str = "",
        caches: str = "",
        home: str = "",
    ) -> None:
        """`kept`: the folder of workspaces that stayed for somebody to look at, one folder for each run; `caches`: that of
        what jobs cached. "": there is none."""
        self._home = home
        self._started_ms = engine.parts.clock.wall_ms()
        self._caches = caches
        self._kept = kept
        self._engine = engine
        self._vault = vault
        self._reach = reach
        parts = engine.parts
        self._store = parts.store
        self._reading = Reading(parts.store, parts.logs, parts.bus)
        self._entropy = parts.entropy
        self._clock = parts.clock
        self._newest_ms = -1  # the time in the newest run's id, once it is known

    # --- submitting -----------------------------------------------------------------------------------------------

    async def new_id(self) -> str:
        """A run id: 48 bits of milliseconds and 40 of chance, in Crockford's base 32.

        It sorts behind that of every run before, also when the clock was set back.
        """
        if self._newest_ms < 0:
            rows = await self._store.runs(limit=1)
            self._newest_ms = max(self._newest_ms, _made_ms(rows[0].run) if rows else 0)
        self._newest_ms = max(self._clock.wall_ms(), self._newest_ms + 1)
        number = (self._newest_ms << 40) | int.from_bytes(self._entropy.token(5), "big")
        return "".join([_PAIRS[number >> place & 1023] for place in _PLACES])

    async def submit(self, submission: Submission) -> str:
        """See EngineApi.submit."""
        run = submission.run or await self.new_id()
        run_id, run_number = number_of(run), self._number()
        admitted = await self._admission.admit(submission, run_id=run_id, run_number=run_number)
        return await self._accept(run, run_id, run_number, admitted, submission)

    @cached_property
    def _admission(self) -> Admission:
        from relevo.assembly.admission import Admission

        return Admission(self._engine.parts.blobs, self._engine.orchestrator.stored.plans, self._reach)

    def _number(self) -> str:
        """`github.run_number`: grows by one with each run of this home, as far as this engine knows."""
        return str(self._store.sequence + 1)

    async def _accept(
        self, run: str, run_id: str, run_number: str, admitted: Admitted, submission: Submission
    ) -> str:
        facts = _once(submission.idempotency_key, run, lambda: keys.submitted(submission))
        if submission.secrets:
            facts.append(Fact(f"secrets/{run}", self._vault.seal(run, submission.secrets)))
        plan = admitted.plan
        workflow = plan.workflow
        traceparent, tracestate = _trace(submission.traceparent, submission.tracestate)
        submit = c.Submit(
            run,
            workflow.name or workflow.path,
            admitted.title,
            admitted.event,
            plan.digest,
            admitted.digest,
            plan.declarations(),
            at_ms=self._clock.wall_ms(),
            secrets=sorted(submission.secrets),
            group=admitted.group,
            traceparent=traceparent,
            tracestate=tracestate,
            run_id=run_id,
            run_number=run_number,
        )
        return await self._stored(submit, plan, admitted.contexts, facts)

    async def _stored(
        self,
        submit: c.Submit,
        plan: Plan,
        shared_blob: bytes,
        facts: list[Fact],
        carried: dict[str, Any] | None = None,
    ) -> str:
        try:
            await self._engine.orchestrator.submit(submit, plan, shared_blob, tuple(facts), carried)
        except FactExists as error:
            mine = next(fact.value for fact in facts if fact.key == error.key) or b""
            _, _, asked = mine.decode().partition(" ")
            return keys.same(error.key.removeprefix(keys.PREFIX), error.value, asked)
        except StoreUnavailable as error:
            raise UserError(
                f"the run was not accepted: {error}", hint="nothing was lost; make room and try again"
            ) from None
        return submit.run

    # --- reading --------------------------------------------------------------------------------------------------

    def events(
        self, run: str, after: int = 0, *, follow: bool = True, past_holds: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """See EngineApi.events."""
        return self._reading.events(run, after, follow=follow, past_holds=past_holds)

    def log(
        self,
        run: str,
        job: str | int,
        *,
        attempt: int | None = None,
        start: int = 0,
        follow: bool = False,
    ) -> AsyncIterator[LogFrame]:
        """See EngineApi.log."""
        return self._reading.log(run, job, attempt=attempt, start=start, follow=follow)

    async def log_state(self, run: str, job: str | int, *, attempt: int | None = None) -> LogState:
        """See EngineApi.log_state."""
        return await self._reading.log_state(run, job, attempt=attempt)

    async def log_lines(
        self, run: str, job: str | int, *, attempt: int | None = None, first: int = 0, count: int = 1_000
    ) -> LogLines:
        """See EngineApi.log_lines."""
        return await self._reading.log_lines(run, job, attempt=attempt, first=first, count=count)

    async def log_search(self, run: str, job: str | int, **asked: Any) -> LogMatches:
        """See EngineApi.log_search."""
        return await self._reading.log_search(run, job, **asked)

    async def accepted_as(self, key: str, asked: str = "") -> str | None:
        """See EngineApi.accepted_as."""
        return await self._reading.accepted_as(key, asked)

    async def runs(
        self, *, live: bool | None = None, limit: int = 50, before: str | None = None
    ) -> list[RunRow]:
        """See EngineApi.runs."""
        return await self._reading.runs(live=live, limit=limit, before=before)

    def rows(self, after: int | None = None) -> AsyncIterator[RowChanges]:
        """See EngineApi.rows."""
        return self._reading.rows(after)

    async def artifacts(self, run: str) -> list[ListedArtifact]:
        """See EngineApi.artifacts."""
        return await self._reading.artifacts(run)

    async def artifact(self, run: str, name: str) -> AsyncIterator[bytes]:
        """See EngineApi.artifact."""
        listed = await self.artifacts(run)
        found = next((one for one in listed if one.name == name), None)
        if found is None:
            names = ", ".join(one.name for one in listed) or "none"
            raise UserError(f"run {run} has no artifact {name!r}", hint=f"its artifacts: {names}")
        async for piece in self._engine.parts.blobs.read(found.digest):
            yield piece

    async def workers(self) -> list[AgentView]:
        """See EngineApi.workers."""
        from relevo.assembly.observing import workers

        return workers(self._engine)

    async def why(self, run: str, job: str | None = None) -> list[Wait]:
        """See EngineApi.why."""
        from relevo.assembly.observing import scene

        actor = await self._engine.orchestrator.actor(run)
        if actor is None:
            return await self._reading.why(run, job)
        return waits(scene(self._engine), actor.run, job)

    async def queue(self, *, limit: int = 100) -> QueueView:
        """See EngineApi.queue."""
        from relevo.assembly.observing import queue

        return queue(self._engine, limit)

    async def find(self, prefix: str) -> RunRow:
        """See EngineApi.find."""
        return await self._reading.find(prefix)

    async def actors(self) -> list[dict[str, Any]]:
        """See EngineApi.actors."""
        return self._engine.system.tree()

    async def metrics(self) -> str:
        """See EngineApi.metrics."""
        from relevo.core.measured import REGISTRY
        from relevo.core.openmetrics import render

        self._engine.measure()
        return render(REGISTRY)

    # --- deciding -------------------------------------------------------------------------------------------------

    async def _live(self, run: str) -> Run:
        actor = await self._engine.orchestrator.actor(run)
        if actor is None:
            row = await self._store.run(run)
            if row is None:
                raise UserError(f"there is no run {run}", hint="relevo runs lists them")
            raise UserError(f"run {run} has ended: {row.status}")
        return actor.run

    async def cancel(self, run: str, *, force: bool = False) -> None:
        """See EngineApi.cancel."""
        from relevo.orchestrator.sparing import spared

        actor = await self._engine.orchestrator.actor(run)
        if actor is None:
            await self._must_exist(run)
            return
        command = c.CancelRun("cancelled by a user", force, spared(actor), self._clock.wall_ms())
        try:
            await self._engine.orchestrator.ask(run, command)
        except NoSuchRun:
            return  # it ended meanwhile: what was asked for holds

    async def _must_exist(self, run: str) -> None:
        if await self._store.run(run) is None:
            raise UserError(f"there is no run {run}", hint="relevo runs lists them")

    def _held(self, run: Run, job: str | int) -> int:
        found = job_named(run, job)
        if found.status is not JobStatus.HELD:
            raise UserError(f"job {found.decl.name!r} is {found.status.value}, not held")
        return found.index

    async def fail(self, run: str, *, job: str | int) -> None:
        """See EngineApi.fail."""
        index = self._held(await self._live(run), job)
        await self._engine.orchestrator.ask(
            run, c.FailJob(index, "given up by a user", self._clock.wall_ms())
        )

    async def retry(
        self,
        run: str,
        *,
        failed: bool = False,
        job: str | int | None = None,
        secrets: dict[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str = "",
        tracestate: str = "",
    ) -> str:
        """See EngineApi.retry."""
        live = await self._engine.orchestrator.actor(run)
        if live is not None:
            if job is None:
                raise UserError(
                    f"run {run} has not ended", hint="relevo cancel ends it; --job retries a held job of it"
                )
            await self._engine.orchestrator.ask(
                run, c.RetryJob(self._held(live.run, job), self._clock.wall_ms())
            )
            return run
        again = await self.new_id()
        facts = _once(
            idempotency_key, again, lambda: keys.retried(run, failed=failed, job=job, secrets=secrets)
        )
        trace = _trace(traceparent, tracestate)
        return await self._retry_ended(
            run, again, facts, failed=failed, job=job, secrets=secrets or {}, trace=trace
        )

    async def _retry_ended(
        self,
        run: str,
        again: str,
        facts: list[Fact],
        *,
        failed: bool,
        job: str | int | None,
        secrets: dict[str, str],
        trace: tuple[str, str],
    ) -> str:
        orchestrator = self._engine.orchestrator
        state = await self._reading.state(run)
        accepted = state.accepted
        assert accepted is not None
        missing = [name for name in accepted.secrets if name not in secrets]
        if missing:
            raise SecretsMissing(missing)
        plan = await orchestrator.stored.plan(accepted.spec)
        contexts = await orchestrator.stored.contexts(accepted)
        carried = await orchestrator.stored.carried(run) if failed or job is not None else {}
        if job is not None:
            carried = _without(state, carried, job_named(state, job))
        elif failed and not state_failed(state):
            raise UserError(
                f"nothing of run {run} failed", hint="relevo retry without --failed runs all of it again"
            )
        if carried:
            facts.append(Fact(f"carried/{again}", _encode(carried)))
        if secrets:
            facts.append(Fact(f"secrets/{again}", self._vault.seal(again, secrets)))
        submit = c.Submit(
            again,
            accepted.workflow,
            accepted.title,
            accepted.trigger,
            accepted.spec,
            accepted.contexts,
            plan.declarations(),
            accepted.priority,
            run,
            accepted.run_attempt + 1,
            self._clock.wall_ms(),
            sorted(secrets),
            group_of_run(plan, contexts.decoded),
            traceparent=trace[0],
            tracestate=trace[1],
            retried_traceparent=accepted.traceparent,
            run_id=accepted.run_id,
            run_number=accepted.run_number,
        )
        return await self._stored(submit, plan, contexts.held.blob, facts, carried)

    async def drain(self, agent: str, *, reason: str = "") -> None:
        """See EngineApi.drain."""
        reason = " ".join(reason.split())
        if len(reason) > REASON_LIMIT:
            raise UserError(
                f"the reason has {len(reason)} characters", hint=f"at most {REASON_LIMIT} are kept"
            )
        self._must_be_known(agent)
        await self._engine.orchestrator.drains.drain(agent, reason)

    async def undrain(self, agent: str) -> None:
        """See EngineApi.undrain."""
        self._must_be_known(agent)
        await self._engine.orchestrator.drains.undrain(agent)

    def _must_be_known(self, agent: str) -> None:
        engine = self._engine
        known = engine.manager.agents.keys() | engine.orchestrator.drains.agents.keys()
        if self._reach is not None:
            known |= self._reach.agents.keys()
        if agent not in known:
            raise UserError(
                f"there is no agent {agent!r}", hint=f"there are: {', '.join(sorted(known)) or 'none'}"
            )

    async def delivered(self, run: str) -> None:
        """See EngineApi.delivered."""
        await self._engine.orchestrator.note_delivered(run)

    async def prune(
        self,
        *,
        keep_days: float | None = None,
        keep_runs: int | None = None,
        max_bytes: int | None = None,
        max_cache_bytes: int | None = None,
        dry: bool = False,
    ) -> dict[str, Any]:
        """See EngineApi.prune."""
        from relevo.assembly.retention import Limits, prune, prune_caches

        limits = Limits.of(
            keep_days=keep_days, keep_runs=keep_runs, max_bytes=max_bytes, max_cache_bytes=max_cache_bytes
        )
        pruned = await prune(
            self._engine.parts,
            limits,
            dry=dry,
            remove_kept=self._remove_kept,
            watch=self._engine.orchestrator.naming,
        )
        gone = await asyncio.to_thread(prune_caches, self._caches, limits, self._clock.wall_ms(), dry=dry)
        return {**pruned, "caches": gone.entries, "cache_bytes": gone.size_bytes}

    async def _remove_kept(self, run: str) -> None:
        path = f"{self._kept}/{run}"
        if self._kept and os.path.isdir(path):
            import shutil

            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    async def ping(self) -> dict[str, Any]:
        """See EngineApi.ping."""
        from relevo import __version__

        return {
            "pid": os.getpid(),
            "epoch": self._store.epoch,
            "version": __version__,
            "live": len(self._engine.orchestrator.live),
            "started_ms": self._started_ms,
            "home": self._home,
            "sequence": self._store.sequence,
        }


def _made_ms(run: str) -> int:
    """The time in a run's id; 0 when it was made otherwise."""
    number = 0
    for digit in run:
        place = _DIGITS.find(digit)
        if place < 0:
            return 0
        number = number << 5 | place
    return number >> 40 if len(run) == 18 else 0


def _trace(traceparent: str, tracestate: str) -> tuple[str, str]:
    """Where a run hangs, as it is stored: what is malformed is left out."""
    parent = ids.parse(traceparent)
    return ("", "") if parent is None else (str(parent), ids.state(tracestate))


def _once(key: str | None, run: str, asked: Callable[[], str]) -> list[Fact]:
    return [] if key is None else [keys.fact_of(key, run, asked())]


def state_failed(state: Run) -> bool:
    """Whether some job of an ended run did not succeed."""
    return any(job.status not in (JobStatus.SUCCEEDED, JobStatus.SKIPPED) for job in state.jobs)


def _without(state: Run, carried: dict[str, Any], job: Job) -> dict[str, Any]:
    """What is carried over when `job`, what it calls, and all that depends on it run again."""
    called = {node.index for inner in job.nodes for node in (inner, *inside(inner))}
    kept = {}
    for node in state.nodes:
        found = carried.get(node.path)
        if found is None or node.index in called or job.node.index in state.upstream(node):
            continue
        if node is job.node:
            found = msgspec.structs.replace(found, legs=_other(found.legs, leg_of(job.decl)))
        if found.legs:
            kept[node.path] = found
    return kept


def _other(legs: dict[str, int], leg: str) -> dict[str, int]:
    return {other: number for other, number in legs.items() if other != leg}
