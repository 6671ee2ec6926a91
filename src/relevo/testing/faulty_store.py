"""An EventStore whose appends go wrong on command.

    store = FaultyStore(inner, loop)
    store.fail(3, "refuse", StoreUnavailable("no room", full=True))   # the third append from now on is not stored
    store.fail(5, "lose-answer")                                      # the fifth is stored, and `done` never comes

Without faults it keeps every promise of the contract.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from msgspec import Struct

from relevo.domain.errors import RelevoError
from relevo.domain.stored import Stored
from relevo.store.contract import Append, Done, EventStore, Fact, RunRow, StoreUnavailable

Kind = Literal["refuse", "deny", "lose-answer", "delay"]


class Fault(Struct, frozen=True):
    """What happens to one append.

    refuse: it is not stored, `done` gets the error. deny: it is stored, and `done` gets the error all the same, as
    when the commit's fsync fails after the bytes had reached the disk. lose-answer: it is stored, `done` is never
    called. delay: `done` comes `delay_s` later, and those of the appends behind it not before.
    """

    kind: Kind
    error: RelevoError
    delay_s: float


class _Slot:
    """One append's place in the order of answers."""

    __slots__ = ("done", "outcome", "ready", "silent")

    def __init__(self, done: Done) -> None:
        self.done = done
        self.outcome: Stored | RelevoError | None = None
        self.ready = False
        self.silent = False


class FaultyStore:
    """See the module. Everything but appends goes to the inner store untouched."""

    def __init__(self, inner: EventStore, loop: AbstractEventLoop) -> None:
        self.inner = inner
        self.appends = 0  #: how many appends there were
        self.struck = 0  #: how many faults have happened
        self._loop = loop
        self._faults: dict[int, Fault] = {}
        self._slots: deque[_Slot] = deque()

    def fail(self, nth: int, kind: Kind, error: RelevoError | None = None, *, delay_s: float = 0.0) -> None:
        """Let something happen to the nth append from now on, 1 for the next."""
        failed = error or StoreUnavailable("a fault of the test")
        self._faults[self.appends + nth] = Fault(kind, failed, delay_s)

    @property
    def epoch(self) -> int:
        return self.inner.epoch

    @property
    def sequence(self) -> int:
        return self.inner.sequence

    def append(self, append: Append, done: Done) -> None:
        self.appends += 1
        fault = self._faults.pop(self.appends, None)
        slot = _Slot(done)
        self._slots.append(slot)
        if fault is None:
            self.inner.append(append, lambda outcome: self._answer(slot, outcome))
            return
        self.struck += 1
        if fault.kind == "refuse":
            self._loop.call_soon(self._answer, slot, fault.error)
            return
        slot.silent = fault.kind == "lose-answer"

        def answered(outcome: Stored | RelevoError) -> None:
            told = fault.error if fault.kind == "deny" and isinstance(outcome, Stored) else outcome
            if fault.delay_s:
                self._loop.call_later(fault.delay_s, self._answer, slot, told)
            else:
                self._answer(slot, told)

        self.inner.append(append, answered)

    def _answer(self, slot: _Slot, outcome: Stored | RelevoError) -> None:
        slot.outcome = outcome
        slot.ready = True
        while self._slots and self._slots[0].ready:
            first = self._slots.popleft()
            if first.silent:
                continue
            assert first.outcome is not None
            try:
                first.done(first.outcome)
            except Exception as error:
                self._loop.call_exception_handler({"message": "a store callback failed", "exception": error})

    # --- untouched --------------------------------------------------------------------------------------------------

    async def read(self, stream: str, after_version: int = 0) -> Sequence[Stored]:
        return await self.inner.read(stream, after_version)

    def scan(self, after_sequence: int = 0, *, limit: int = 1_000) -> AsyncIterator[Sequence[Stored]]:
        return self.inner.scan(after_sequence, limit=limit)

    def scan_live(self, *, limit: int = 1_000) -> AsyncIterator[Sequence[Stored]]:
        return self.inner.scan_live(limit=limit)

    def damaged(self) -> Sequence[tuple[str, str]]:
        return self.inner.damaged()

    async def streams(self, prefix: str) -> Sequence[str]:
        return await self.inner.streams(prefix)

    async def fact(self, key: str) -> bytes | None:
        return await self.inner.fact(key)

    async def facts_named(self, keys: Sequence[str]) -> dict[str, bytes]:
        return await self.inner.facts_named(keys)

    async def facts(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return await self.inner.facts(prefix)

    async def runs(
        self, *, live: bool | None = None, before: str | None = None, limit: int = 50
    ) -> Sequence[RunRow]:
        return await self.inner.runs(live=live, before=before, limit=limit)

    async def run(self, run: str) -> RunRow | None:
        return await self.inner.run(run)

    async def put_facts(self, facts: Sequence[Fact]) -> None:
        await self.inner.put_facts(facts)

    async def delete_run(self, run: str, *, facts: Sequence[str] = ()) -> None:
        await self.inner.delete_run(run, facts=facts)

    async def close(self) -> None:
        await self.inner.close()
