"""What every `LogStore` must do. Inherit `LogStoreContract` and give the fixture `open_store`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from blake3 import blake3

from relevo.domain.ids import AttemptKey
from relevo.logs.contract import LogEnd, LogFrame, LogGap, LogMismatch, LogStore, LogUnavailable

OpenStore = Callable[[], LogStore]

RUN = "20260101T000000-aaaa"
A = AttemptKey(RUN, 0, 1)
B = AttemptKey(RUN, 1, 1)


def frame(offset: int, data: bytes, *, step: int = 0, at_ms: int = 1_700_000_000_000) -> LogFrame:
    """A frame."""
    return LogFrame(offset, step, at_ms, data)


def end_of(data: bytes) -> LogEnd:
    """The end record of a log with these bytes."""
    return LogEnd(len(data), blake3(data).digest() if data else b"")


async def synced(store: LogStore) -> LogUnavailable | None:
    """Sync and wait for it."""
    outcome: asyncio.Future[LogUnavailable | None] = asyncio.get_running_loop().create_future()
    store.sync(outcome.set_result)
    return await outcome


def held(store: LogStore, attempt: AttemptKey, start: int = 0, stop: int | None = None) -> bytes:
    """All bytes of [start, stop); frames must join without a seam."""
    expected, out = start, []
    for piece in store.frames(attempt, start, stop):
        assert piece.offset == expected
        out.append(bytes(piece.data))
        expected += len(piece.data)
    return b"".join(out)


async def followed(store: LogStore, attempt: AttemptKey, start: int = 0) -> bytes:
    """What a follower gets until the end."""
    expected, out = start, []
    async for piece in store.follow(attempt, start):
        assert piece.offset == expected
        out.append(bytes(piece.data))
        expected += len(piece.data)
    return b"".join(out)


class LogStoreContract:
    """The tests. `open_store()` opens the same store again after `close`; two are never open at once."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        """A factory of stores over the same place."""
        raise NotImplementedError

    async def test_bytes_come_back_as_they_were_written(self, open_store: OpenStore) -> None:
        store = open_store()
        pieces = [b"one\n", b"\x00\xff\xfe binary \r", bytes(range(256)) * 3000, b"x"]
        offset = 0
        for step, piece in enumerate(pieces):
            assert store.write(A, frame(offset, piece, step=step, at_ms=1000 + step)) == offset + len(piece)
            offset += len(piece)
        assert held(store, A) == b"".join(pieces)
        assert {(got.step, got.at_ms) for got in store.frames(A)} == {(n, 1000 + n) for n in range(4)}
        assert await synced(store) is None
        await store.close()
        store = open_store()
        assert store.size(A) == offset
        assert held(store, A) == b"".join(pieces)
        assert [got.step for got in store.frames(A, 0, 5)] == [0, 1]
        await store.close()

    async def test_a_range_is_cut_to_fit(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write(A, frame(0, b"abcdef"))
        store.write(A, frame(6, b"ghijkl"))
        assert held(store, A, 2, 8) == b"cdefgh"
        assert held(store, A, 6, 6) == b""
        assert held(store, A, 11) == b"l"
        assert held(store, A, 12) == b""
        assert held(store, A, 4, 99) == b"efghijkl"
        await store.close()

    async def test_duplicates_are_dropped_and_gaps_refused(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.write(A, frame(0, b"abc")) == 3
        assert store.write(A, frame(0, b"abc")) == 3
        assert store.write(A, frame(1, b"bcd")) == 4
        assert store.write(A, frame(4, b"")) == 4
        with pytest.raises(LogGap) as gap:
            store.write(A, frame(5, b"f"))
        assert (gap.value.attempt, gap.value.expected, gap.value.got) == (A, 4, 5)
        with pytest.raises(LogGap):
            store.write(B, frame(1, b"x"))
        assert store.attempts(RUN) == [A]
        assert held(store, A) == b"abcd"
        await store.close()

    async def test_attempts_do_not_mix(self, open_store: OpenStore) -> None:
        store = open_store()
        again, other = AttemptKey(RUN, 0, 2), AttemptKey("20260101T000000-bbbb", 0, 1)
        keys = [A, B, again, other]
        written = dict.fromkeys(keys, b"")
        for n in range(50):
            for key in keys:
                piece = f"{key} line {n}\n".encode()
                store.write(key, frame(len(written[key]), piece))
                written[key] += piece
        assert store.attempts(RUN) == [A, again, B]
        assert {key: held(store, key) for key in keys} == written
        await synced(store)
        await store.close()
        store = open_store()
        assert {key: held(store, key) for key in keys} == written
        await store.close()

    async def test_the_end_needs_every_byte(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write(A, frame(0, b"all"))
        for wrong in (
            LogEnd(2, end_of(b"al").digest),
            LogEnd(3, end_of(b"alL").digest),
            LogEnd(4, b""),
            LogEnd(3, b""),
        ):
            with pytest.raises(LogMismatch):
                store.end(A, wrong)
        assert store.ended(A) is None
        store.end(A, end_of(b"all"))
        store.end(A, end_of(b"all"))
        assert store.ended(A) == end_of(b"all")
        assert store.write(A, frame(0, b"all")) == 3
        with pytest.raises(LogMismatch):
            store.write(A, frame(3, b"!"))
        with pytest.raises(LogMismatch):
            store.end(A, end_of(b"other"))
        await synced(store)
        await store.close()
        store = open_store()
        assert store.ended(A) == end_of(b"all")
        store.end(A, end_of(b"all"))
        await store.close()

    async def test_the_end_is_checked_after_a_restart_too(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write(A, frame(0, b"first"))
        await store.close()
        store = open_store()
        store.write(A, frame(5, b"second"))
        with pytest.raises(LogMismatch):
            store.end(A, end_of(b"fXrstsecond"))
        store.end(A, end_of(b"firstsecond"))
        assert store.ended(A) == end_of(b"firstsecond")
        await store.close()

    async def test_an_empty_log_leaves_nothing(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.size(A) == 0
        assert store.attempts(RUN) == []
        assert list(store.frames(A)) == []
        assert store.line_offset(A, 3) == 0
        with pytest.raises(LogMismatch):
            store.end(A, LogEnd(0, b"digest"))
        store.end(A, LogEnd(0, b""))
        assert store.ended(A) == LogEnd(0, b"")
        assert await followed(store, A) == b""
        assert await synced(store) is None
        assert store.attempts(RUN) == []
        assert store.usage() == {}
        await store.close()

    async def test_lines_are_found(self, open_store: OpenStore) -> None:
        store = open_store()
        lines = [b"%d\n" % n * (n % 7 + 1) for n in range(3000)]
        text = b"".join(lines) + b"unfinished"
        for at in range(0, len(text), 1000):
            store.write(A, frame(at, text[at : at + 1000]))
            store.write(B, frame(at, text[at : at + 1000]))
        offsets = [0, *(at + 1 for at, byte in enumerate(text) if byte == 10)]
        for line in (0, 1, 2, 999, 5000, len(offsets) - 1):
            assert store.line_offset(A, line) == offsets[line]
        assert store.line_offset(A, len(offsets)) == len(text)
        await synced(store)
        await store.close()
        store = open_store()
        assert [store.line_offset(B, line) for line in range(0, len(offsets), 501)] == offsets[::501]
        await store.close()

    async def test_a_follower_gets_what_was_and_what_comes(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write(A, frame(0, b"before "))
        followers = [asyncio.ensure_future(followed(store, A, start)) for start in (0, 0, 3, 20)]
        late = asyncio.ensure_future(followed(store, B))
        await asyncio.sleep(0)
        text = b"before "
        for n in range(20):
            piece = b"piece %d\n" % n
            store.write(A, frame(len(text), piece))
            text += piece
            if n % 5 == 0:
                await asyncio.sleep(0)
        store.end(A, end_of(text))
        store.write(B, frame(0, b"b"))
        store.end(B, end_of(b"b"))
        assert await asyncio.gather(*followers) == [text, text, text[3:], text[20:]]
        assert await late == b"b"
        assert await followed(store, A, len(text)) == b""
        await store.close()

    async def test_followers_of_a_log_without_an_end_are_let_go(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write(A, frame(0, b"all there is"))
        followers = [asyncio.ensure_future(followed(store, key)) for key in (A, A, B)]
        await asyncio.sleep(0)
        store.no_more(A)
        store.no_more(B)
        assert await asyncio.gather(*followers) == [b"all there is", b"all there is", b""]
        assert await followed(store, A, 4) == b"there is"
        assert store.ended(A) is None
        await store.close()

    async def test_a_follower_far_behind_misses_nothing(self, open_store: OpenStore) -> None:
        store = open_store()
        first: asyncio.Event = asyncio.Event()
        go: asyncio.Event = asyncio.Event()

        async def slow() -> bytes:
            out = []
            async for piece in store.follow(A):
                out.append(bytes(piece.data))
                first.set()
                await go.wait()
            return b"".join(out)

        follower = asyncio.ensure_future(slow())
        store.write(A, frame(0, b"start"))
        await first.wait()
        text = bytearray(b"start")
        for n in range(40):
            piece = bytes([n]) * 100_000
            store.write(A, frame(len(text), piece))
            text += piece
        store.end(A, end_of(bytes(text)))
        go.set()
        assert await follower == bytes(text)
        await store.close()

    async def test_closing_does_not_look_like_an_end(self, open_store: OpenStore) -> None:
        store = open_store()
        store.write(A, frame(0, b"a"))
        follower = asyncio.ensure_future(followed(store, A))
        await asyncio.sleep(0)
        await store.close()
        await store.close()
        with pytest.raises(LogUnavailable):
            await follower
        with pytest.raises(LogUnavailable):
            store.write(A, frame(1, b"b"))

    async def test_syncs_are_answered_each_once(self, open_store: OpenStore) -> None:
        store = open_store()
        answers: list[tuple[int, LogUnavailable | None]] = []
        for n in range(20):
            store.write(AttemptKey(f"run-{n % 5}", 0, 1), frame(n // 5, b"x"))
            store.sync(lambda error, n=n: answers.append((n, error)))  # type: ignore[misc]
        assert answers == []
        assert await synced(store) is None
        assert answers == [(n, None) for n in range(20)]
        await store.close()

    async def test_a_run_is_deleted_whole(self, open_store: OpenStore) -> None:
        store = open_store()
        other = AttemptKey("20260101T000000-bbbb", 0, 1)
        store.write(A, frame(0, b"a"))
        store.write(other, frame(0, b"b"))
        follower = asyncio.ensure_future(followed(store, A))
        await synced(store)
        assert sorted(store.usage()) == [RUN, other.run]
        assert all(size > 0 for size in store.usage().values())
        await store.delete(RUN)
        await store.delete(RUN)
        assert await follower == b"a"
        assert store.attempts(RUN) == []
        assert store.size(A) == 0
        assert sorted(store.usage()) == [other.run]
        assert held(store, other) == b"b"
        assert store.write(A, frame(0, b"new")) == 3
        assert held(store, A) == b"new"
        assert await synced(store) is None
        await store.close()

    async def test_all_is_well(self, open_store: OpenStore) -> None:
        store = open_store()
        assert await store.verify(RUN) == []
        store.write(A, frame(0, b"a" * 300_000))
        assert await store.verify(RUN) == []
        store.end(A, end_of(b"a" * 300_000))
        store.write(B, frame(0, b"b"))
        await synced(store)
        assert await store.verify(RUN) == []
        await store.close()
        store = open_store()
        assert await store.verify(RUN) == []
        await store.close()
