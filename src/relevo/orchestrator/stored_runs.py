"""What the store has of runs: their histories, plans and contexts. Plans and contexts are shared by the runs that have the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.errors import InfrastructureError, RelevoError
from relevo.domain.evolution import evolve
from relevo.domain.run import Run, leg_of
from relevo.domain.stored import Stored
from relevo.orchestrator.apart import MAY_LIE_APART, lies_apart, whole
from relevo.orchestrator.plans import (
    Carried,
    HeldContexts,
    Plan,
    PlanCache,
    RunContexts,
    context_fact,
    spec_fact,
)
from relevo.store.contract import EventStore, Fact

#: Keys of stored specs and contexts that are remembered at most.
KNOWN_FACTS: Final = 4_096
#: Ends of jobs that a retry does not run again for their own sake.
TAKEN: Final = frozenset({"succeeded", "skipped"})
#: What reading a run raises when its history is no history.
UNREADABLE: Final = (RelevoError, msgspec.MsgspecError, LookupError)


class StoredRuns:
    """Reads runs, and knows which of their facts need not be stored once more."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._known_facts: set[str] = set()
        self._shared: WeakValueDictionary[str, HeldContexts] = WeakValueDictionary()
        self._naming: list[set[str]] = []  # of who looks on: keys of facts that runs name
        self.plans = PlanCache()

    # --- histories ------------------------------------------------------------------------------------------------

    async def read(self, run: str) -> Run:
        """A run as its events make it; without `accepted` when there are none. Raises what UNREADABLE lists."""
        return await self.replay(await self._store.read(run))

    async def replay(self, history: Sequence[Stored]) -> Run:
        """A run from its history."""
        run = Run()
        for stored in history:
            for event in e.decode(stored.events):
                if type(event) in MAY_LIE_APART and lies_apart(event):
                    event = await whole(event, self._store.fact)
                evolve(run, event)
            run.version = stored.version
        return run

    async def carried(self, run: str) -> dict[str, Carried]:
        """What a retry of an ended run takes over: by node, the legs that succeeded, if none that they waited for is run
        again."""
        earlier = await self.read(run)
        anew = earlier.downstream(
            node for node in earlier.nodes if any(job.status.value not in TAKEN for job in node.jobs)
        )
        found: dict[str, Carried] = {}
        for node in earlier.nodes:
            if node.index in anew:
                continue  # it may have seen a failure that is none any more (`always()`)
            # Calls are made again; what succeeded in them is taken over.
            legs = {
                leg_of(job.decl): job.number
                for job in node.jobs
                if job.status.value == "succeeded" and not job.decl.calls
            }
            if legs:
                found[node.path] = Carried(legs, node.outputs)
        return found

    # --- plans and contexts -----------------------------------------------------------------------------------------

    async def plan(self, digest: str) -> Plan:
        """A plan. Raises RelevoError when the store lacks it."""
        plan = self.plans.get(digest)
        if plan is None:
            blob = await self._store.fact(spec_fact(digest))
            if blob is None:
                raise RelevoError(f"the store lacks spec {digest}")
            plan = self.plans.decode(digest, blob)
        return plan

    async def contexts(self, accepted: e.RunAccepted) -> RunContexts:
        """The contexts of a run. Raises RelevoError when the store lacks them."""
        digest = accepted.contexts
        known = self._shared.get(digest)
        if known is None:
            blob = await self._store.fact(context_fact(digest))
            if blob is None:
                raise RelevoError(f"the store lacks contexts {digest}")
            known = self._hold(digest, blob)
        return RunContexts(known, accepted.run_id, accepted.run_number)

    def held_contexts(self, accepted: e.RunAccepted) -> RunContexts | None:
        """The contexts of a run, if somebody holds them."""
        known = self._shared.get(accepted.contexts)
        return None if known is None else RunContexts(known, accepted.run_id, accepted.run_number)

    async def contexts_ahead(self, runs: Sequence[Run]) -> list[HeldContexts]:
        """The contexts of many runs in one read: keep them until their runs hold them.

        What cannot be read so is read once more for its run, and told of there.
        """
        digests = {run.accepted.contexts for run in runs if run.accepted is not None and not run.ended}
        wanted = {context_fact(digest): digest for digest in digests if digest not in self._shared}
        held: list[HeldContexts] = []
        try:
            for key, blob in (await self._store.facts_named(list(wanted))).items():
                held.append(self._hold(wanted[key], blob))
        except InfrastructureError:
            raise
        except UNREADABLE:
            pass
        return held

    def hold_contexts(self, submit: c.Submit, blob: bytes) -> RunContexts:
        """The contexts of a run that comes; `blob` is shared by all that have the same, for as long as one of them is live."""
        return RunContexts(self._hold(submit.contexts, blob), submit.run_id, submit.run_number)

    def _hold(self, digest: str, blob: bytes) -> HeldContexts:
        known = self._shared.get(digest)
        if known is None:
            known = self._shared[digest] = HeldContexts.of(digest, blob)
        return known

    # --- facts ------------------------------------------------------------------------------------------------------

    def facts_to_store(self, spec: str, contexts: str, plan: Plan, blob: bytes) -> list[Fact]:
        """What a run names by these digests, as far as it is not known to be stored."""
        keys = (spec_fact(spec), context_fact(contexts))
        if not self._naming and self._known_facts.issuperset(keys):
            return []
        for watcher in self._naming:
            watcher.update(keys)
        pairs = zip(keys, (plan.blob, blob), strict=True)
        return [Fact(key, bytes_) for key, bytes_ in pairs if key not in self._known_facts]

    def facts_stored(self, done: asyncio.Future[bool], facts: list[Fact]) -> None:
        """They are, if the future that their run waits for tells so."""
        if not done.cancelled() and done.exception() is None:
            if len(self._known_facts) > KNOWN_FACTS:
                self._known_facts.clear()  # stored once more, that is all
            self._known_facts.update(fact.key for fact in facts)

    @contextmanager
    def naming(self, live: Iterable[tuple[Plan, Run]]) -> Iterator[Callable[[set[str]], list[str]]]:
        """Look on what runs name: `live`, those now live, and those to come; see `retention.prune`."""
        named = {context_fact(digest) for digest in self._shared}
        for plan, run in live:
            named.add(spec_fact(plan.digest))
            if run.accepted is not None:
                named.add(context_fact(run.accepted.contexts))

        def unnamed(keys: set[str]) -> list[str]:
            found = sorted(keys - named)
            self._known_facts.difference_update(found)  # a run to come stores them again
            return found

        self._naming.append(named)
        try:
            yield unnamed
        finally:
            self._naming.remove(named)
