"""The SQLite store and the one in memory answer alike, whatever is asked of them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from relevo.domain.errors import RelevoError
from relevo.store.contract import Append, EventStore, Fact, Fenced
from relevo.store.memory import MemoryDisk, MemoryStore
from relevo.store.sqlite import SqliteStore, check
from relevo.testing.contracts.store import append, collect, row, submit

runs = st.sampled_from(["a", "b", "c", "run/1", "ü"])
keys = st.sampled_from(["spec/1", "spec/2", "secrets/a", "outputs/a/0", "outputs/ab/0", "k"])
facts = st.lists(
    st.builds(Fact, keys, st.one_of(st.none(), st.binary(max_size=3)), st.booleans()),
    max_size=3,
    unique_by=lambda f: f.key,
)


def plain(outcome: object) -> object:
    """An answer that can be compared."""
    if isinstance(outcome, RelevoError):
        return type(outcome), str(outcome)
    return outcome


class Agreement(RuleBasedStateMachine):
    """Does the same to both and compares every answer, and now and then all that can be read."""

    streams = Bundle("streams")

    @initialize(target=streams)
    def start(self) -> Any:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self.folder.name) / "relevo.db")
        self.disk = MemoryDisk()
        self.epoch = 0
        self.versions: dict[str, int] = {}
        self.stores: list[EventStore] = []
        self.open()
        return multiple()

    def open(self) -> None:
        self.epoch += 1
        sqlite = self.loop.run_until_complete(SqliteStore.open(self.path, self.epoch, self.loop))
        self.stores = [sqlite, MemoryStore(self.disk, self.loop, self.epoch)]

    def both(self, ask: Callable[[EventStore], Awaitable[Any]]) -> Any:
        """The answer of both. Raises AssertionError when they differ."""

        async def one(store: EventStore) -> object:
            try:
                return await ask(store)
            except RelevoError as error:
                return plain(error)

        first, second = (self.loop.run_until_complete(one(store)) for store in self.stores)
        assert first == second
        return first

    @rule(
        wanted=st.lists(
            st.tuples(
                runs, st.integers(-1, 1), st.sampled_from([None, True, False]), st.integers(0, 2), facts
            ),
            min_size=1,
            max_size=6,
        )
    )
    def append(self, wanted: list[tuple[str, int, bool | None, int, list[Fact]]]) -> None:
        """Several at once, most of them with the right version."""
        versions = dict(self.versions)
        appends: list[Append] = []
        for run, off, live, priority, some in wanted:
            version = versions.get(run, 0)
            about = None if live is None else row(run, live=live, priority=priority, created_ms=len(run))
            appends.append(
                append(run, max(version + off, 0), f"{run} {version}".encode(), row=about, facts=some)
            )
            if off == 0:
                versions[run] = version + 1

        async def ask(store: EventStore) -> list[object]:
            return [plain(o) for o in await asyncio.gather(*(submit(store, one) for one in appends))]

        for outcome in self.both(ask):
            if not isinstance(outcome, tuple):
                self.versions[outcome.stream] = outcome.version

    @rule(run=runs)
    def delete(self, run: str) -> None:
        before = self.both(lambda store: store.run(run))
        self.both(lambda store: store.delete_run(run))
        if before is None or not before.live:
            self.versions.pop(run, None)

    @rule(run=runs, after=st.integers(0, 4))
    def read(self, run: str, after: int) -> None:
        self.both(lambda store: store.read(run, after))

    @rule(
        live=st.sampled_from([None, True, False]), before=st.one_of(st.none(), runs), limit=st.integers(1, 4)
    )
    def list_runs(self, live: bool | None, before: str | None, limit: int) -> None:
        self.both(lambda store: store.runs(live=live, before=before, limit=limit))

    @rule(prefix=st.sampled_from(["", "s", "spec/", "outputs/a", "zzz"]))
    def list_facts(self, prefix: str) -> None:
        self.both(lambda store: store.facts(prefix))

    @rule(prefix=st.sampled_from(["", "run", "run/", "a", "ü", "zzz"]))
    def list_streams(self, prefix: str) -> None:
        self.both(lambda store: store.streams(prefix))

    @rule(after=st.integers(0, 10), limit=st.integers(1, 5))
    def scan(self, after: int, limit: int) -> None:
        self.both(lambda store: collect(store.scan(after, limit=limit)))
        self.both(lambda store: collect(store.scan_live(limit=limit)))

    @rule()
    def reopen(self) -> None:
        self.both(lambda store: store.close())
        self.open()

    @rule()
    def take_over(self) -> None:
        """The earlier handles are fenced off."""
        earlier = list(self.stores)
        self.open()
        for store in earlier:
            self.loop.run_until_complete(self.refused(store))

    async def refused(self, store: EventStore) -> None:
        outcome = await submit(store, append("a", self.versions.get("a", 0)))
        assert isinstance(outcome, Fenced)
        await store.close()

    @invariant()
    def sequences_agree(self) -> None:
        if getattr(self, "stores", None):
            first, second = (store.sequence for store in self.stores)
            assert first == second

    def teardown(self) -> None:
        if getattr(self, "stores", None):
            self.both(lambda store: store.close())
            assert check.integrity(self.path) == []
            self.loop.close()
            self.folder.cleanup()


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
