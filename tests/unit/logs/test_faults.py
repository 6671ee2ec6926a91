"""Whatever happens to process, machine and disk: no wrong byte, nothing acknowledged lost, no damage unnamed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterable
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relevo.domain.errors import DamagedError
from relevo.domain.ids import AttemptKey
from relevo.logs import index, segments
from relevo.logs.contract import LogEnd, LogGap, LogMismatch, LogUnavailable
from relevo.logs.framing import TRAILER_SIZE, footer_position
from relevo.logs.store import FileLogStore
from relevo.runtime.entropy import SeededEntropy
from relevo.testing.contracts.logs import end_of, frame, held, synced
from relevo.testing.in_loop import InLoop
from relevo.testing.sim_disk import Killed, SimDisk

T = TypeVar("T")
KEYS = [
    AttemptKey("run-a", 0, 1),
    AttemptKey("run-a", 1, 1),
    AttemptKey("run-a", 1, 2),
    AttemptKey("run-b", 0, 1),
]
ROOT = "/home/logs"


def content(key: AttemptKey, start: int, stop: int) -> bytes:
    """What the sender of a log would send: a function of attempt and offset."""
    seed = hash_of(key)
    return bytes((at * 7 + at // 11 * seed + seed) % 251 if at % 13 else 10 for at in range(start, stop))


def hash_of(key: AttemptKey) -> int:
    return sum(key.run.encode()) * 31 + key.job * 7 + key.number


class Logs(RuleBasedStateMachine):
    """Senders, syncs, kills, power cuts, full disks, failing syncs, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = (segments.SEGMENT_BYTES, index.POINT_EVERY, index.POINT_AFTER_OTHERS)
        self.loop = asyncio.new_event_loop()
        self.disk = SimDisk()
        self.disk.make("/home")
        self.disk.sync_folder("/")
        self.acked = dict.fromkeys(KEYS, 0)
        self.ended: dict[AttemptKey, LogEnd] = {}  # acknowledged
        self.open()

    @initialize(segment=st.sampled_from([300, 900, 5000]), every=st.sampled_from([1, 60, 70_000]))
    def sizes(self, segment: int, every: int) -> None:
        segments.SEGMENT_BYTES = segment
        index.POINT_EVERY = index.POINT_AFTER_OTHERS = every

    def open(self) -> None:
        self.in_loop = InLoop(self.loop)
        self.store = FileLogStore(self.disk, ROOT, self.loop, self.in_loop)
        self.pending: list[tuple[dict[AttemptKey, int], dict[AttemptKey, LogEnd]]] = []

    def wait(self, what: Awaitable[T]) -> T:
        return self.loop.run_until_complete(what)

    @rule(key=st.sampled_from(KEYS), shift=st.integers(-60, 20), size=st.integers(0, 150))
    def write(self, key: AttemptKey, shift: int, size: int) -> None:
        before = self.store.size(key)
        start = max(before + min(shift, 3), 0)
        try:
            after = self.store.write(key, frame(start, content(key, start, start + size)))
        except LogGap:
            assert start > before
        except LogMismatch:
            assert self.store.ended(key) is not None
        except LogUnavailable:
            assert self.store.size(key) >= before
        else:
            assert after == max(before, start + size) == self.store.size(key)

    @rule(key=st.sampled_from(KEYS))
    def end(self, key: AttemptKey) -> None:
        end = end_of(content(key, 0, self.store.size(key)))
        try:
            self.store.end(key, end)
        except LogUnavailable:
            return
        assert self.store.ended(key) == end

    @rule(key=st.sampled_from(KEYS), by=st.integers(1, 3))
    def end_wrongly(self, key: AttemptKey, by: int) -> None:
        size = self.store.size(key)
        with pytest.raises(LogMismatch):
            self.store.end(key, end_of(content(key, 0, size + by)))
        if size:
            with pytest.raises((LogMismatch, LogUnavailable)):
                self.store.end(key, end_of(b"?" + content(key, 1, size)))

    @rule()
    def sync(self) -> None:
        self.request()
        self.wait(synced(self.store))

    @rule(turns=st.integers(0, 3))
    def request(self, turns: int = 0) -> None:
        """Ask for a sync and go on; what it covers is acknowledged when it answers."""
        sizes = {key: self.store.size(key) for key in KEYS}
        ends = {key: end for key in KEYS if (end := self.store.ended(key)) is not None and end.size_bytes}
        store = self.store
        for key in KEYS:
            store.write(key, frame(0, b""))  # as a session does with what it was sent again

        def done(error: LogUnavailable | None) -> None:
            if error is None and store is self.store:
                self.acked = {key: max(self.acked[key], sizes[key]) for key in KEYS}
                self.ended |= ends

        store.sync(done)
        self.turn(turns)

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.wait(asyncio.sleep(0))

    @rule()
    def close(self) -> None:
        try:
            self.wait(self.store.close())
        except LogUnavailable:
            pass
        self.open()

    @rule()
    def kill(self) -> None:
        self.in_loop.dead = True
        self.disk.kill()
        self.open()

    @rule(seed=st.integers(0, 2**32), nth=st.integers(1, 4), key=st.sampled_from(KEYS))
    def kill_in_a_write(self, seed: int, nth: int, key: AttemptKey) -> None:
        self.disk.kill_at_write(nth, SeededEntropy(seed))
        try:
            for _ in range(nth):
                self.write(key, 0, 100)
                self.sync()
        except Killed:
            pass
        self.kill()

    @rule(seed=st.integers(0, 2**32))
    def crash(self, seed: int) -> None:
        self.in_loop.dead = True
        self.disk.crash(SeededEntropy(seed))
        self.open()

    @rule(room=st.integers(0, 200))
    def fill(self, room: int) -> None:
        self.disk.fill(room)

    @rule()
    def free(self) -> None:
        self.disk.free()

    @rule()
    def fail_a_sync(self) -> None:
        self.disk.fail_sync("run-a")

    @invariant()
    def every_byte_is_right(self) -> None:
        for key in KEYS:
            size = self.store.size(key)
            assert size >= self.acked[key]
            assert held(self.store, key) == content(key, 0, size)
            middle = size // 3
            assert held(self.store, key, middle, middle + 70) == content(key, middle, min(middle + 70, size))
            if key in self.ended:
                assert self.store.ended(key) == self.ended[key]

    @invariant()
    def lines_are_right(self) -> None:
        for key in KEYS:
            data = content(key, 0, self.store.size(key))
            offsets = [0, *(at + 1 for at, byte in enumerate(data) if byte == 10)]
            line = len(offsets) * 2 // 3
            assert self.store.line_offset(key, line) == offsets[line]

    @rule()
    def nothing_is_damaged(self) -> None:
        for run in ("run-a", "run-b"):
            assert self.wait(self.store.verify(run)) == []

    @precondition(lambda self: any(self.acked.values()))
    @rule(pick=st.integers(0, 2**32), mask=st.integers(1, 255))
    def rot(self, pick: int, mask: int) -> None:
        """A byte of what was acknowledged changes: named, never given out, confined to its run; then it is mended.

        Only an index that nothing follows may be taken for a torn one without a word: it is made anew, and nothing is lost.
        """
        self.disk.free()
        self.request()
        if self.wait(synced(self.store)) is not None:
            return
        self.turn(1)
        places = [(path, at) for path, stop in self.sure() for at in range(stop)]
        path, at = places[pick % len(places)]
        self.kill()
        self.disk.flip(path, at, mask)
        run = path.split("/")[-2]
        wrong = self.wait(self.store.verify(run))
        assert any(path in line for line in wrong) or (at >= self.index_of[path] and not wrong)
        if not wrong:
            self.every_byte_is_right()
        self.nobody_is_deceived(run, sound=not wrong)
        self.disk.flip(path, at, mask)
        self.kill()

    @precondition(lambda self: any(self.acked.values()))
    @rule(pick=st.integers(0, 2**32))
    def cut(self, pick: int) -> None:
        """A segment loses its end: an attempt that is ended says so or is whole. Then it is mended."""
        self.disk.free()
        self.request()
        if self.wait(synced(self.store)) is not None:
            return
        self.turn(1)
        places = [(path, at) for path, stop in self.sure() for at in range(stop)]
        path, at = places[pick % len(places)]
        newest = path == max(other for other, _ in self.sure() if other.split("/")[-2] == path.split("/")[-2])
        self.kill()
        kept = self.disk.read(path)
        self.disk.cut(path, at)
        run = path.split("/")[-2]
        wrong = self.wait(self.store.verify(run))
        assert newest or at >= self.index_of[path] or any(path in line for line in wrong)
        self.nobody_is_deceived(run, sound=not wrong)
        self.disk.replace(path, kept)
        self.kill()

    def sure(self) -> list[tuple[str, int]]:
        """Paths, and how much of each was surely durable before the last sync was answered."""
        found = []
        self.index_of = {}  # where the index begins, of a newest segment that is sealed
        for run in self.store._runs.values():
            for segment in run.segments:
                stop = segment.size
                if segment is run.segments[-1]:
                    stop = min(stop, max(min(run.durable, run.written) - (segment.index << 32), 0))
                found += [(segment.path, stop)] if stop else []
                tail = (
                    self.disk.read(segment.path, segment.size - TRAILER_SIZE, TRAILER_SIZE) if stop else b""
                )
                newest_index = footer_position(tail, segment.salt) if segment is run.segments[-1] else None
                self.index_of[segment.path] = newest_index or segment.size
        return sorted(found)

    def nobody_is_deceived(self, damaged: str, *, sound: bool) -> None:
        """`sound`: the check of the damaged run found nothing. Then its logs do not say otherwise."""
        for key in KEYS:
            try:
                data = held(self.store, key)
            except DamagedError:
                assert key.run == damaged
                assert not sound
                continue
            assert data == content(key, 0, len(data))
            if self.store.ended(key) is not None:
                assert len(data) == self.store.ended(key).size_bytes
            if key.run != damaged:
                assert len(data) >= self.acked[key]

    def teardown(self) -> None:
        segments.SEGMENT_BYTES, index.POINT_EVERY, index.POINT_AFTER_OTHERS = self.kept
        self.disk.free()
        self.in_loop.dead = True
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


class Wild(Logs):
    """The same rules by seed, many more of them than hypothesis has the time for, in an order that favours two logs of one run."""

    WEIGHTS: Final = {
        "write": 12,
        "end": 2,
        "sync": 4,
        "request": 2,
        "turn": 2,
        "close": 2,
        "kill": 1,
        "kill_in_a_write": 3,
        "crash": 1,
        "rot": 2,
        "cut": 2,
        "fill": 0.3,
        "free": 0.6,
        "fail_a_sync": 0.3,
    }

    def play(self, chance: random.Random) -> None:
        self.sizes(chance.choice((300, 900, 5_000)), chance.choice((1, 60, 70_000)))
        for _ in range(chance.randint(3, 60)):
            key = chance.choice(KEYS[:2] if chance.random() < 0.7 else KEYS)
            name = chance.choices([*self.WEIGHTS], [*self.WEIGHTS.values()])[0]
            seed = chance.randrange(2**32)
            arguments: dict[str, tuple[object, ...]] = {
                "write": (key, chance.randint(-60, 20), chance.randint(0, 150)),
                "end": (key,),
                "request": (chance.randint(0, 3),),
                "turn": (chance.randint(1, 3),),
                "kill_in_a_write": (seed, chance.randint(1, 4), key),
                "crash": (seed,),
                "rot": (seed, chance.randint(1, 255)),
                "cut": (seed,),
                "fill": (chance.randint(0, 200),),
            }
            if name not in ("rot", "cut") or any(self.acked.values()):
                getattr(self, name)(*arguments.get(name, ()))
            self.every_byte_is_right()


def play(seeds: Iterable[int]) -> None:
    for seed in seeds:
        logs = Wild()
        try:
            logs.play(random.Random(seed))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        finally:
            logs.teardown()


#: The first three: a segment whose index the loss of power took, and which was called cut once later ones were durable.
@pytest.mark.parametrize("seeds", [(179, 1247, 2995), range(150)])
def test_wild_histories(seeds: Iterable[int]) -> None:
    play(seeds)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_many_wild_histories() -> None:
    play(range(150, 6_000))


TestLogs = Logs.TestCase
TestLogs.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
