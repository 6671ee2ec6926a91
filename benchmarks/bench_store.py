"""Goals row 5: the event store, each append on disk before it is acknowledged.

Ours is 256 callers, each with a stream and a read model of its own, who append one event of 256 bytes after the other.
The baseline writes the same rows in batches of 256 by apsw's executemany with an fsync each, bare: no loop, no checks,
no checksums, one table without an index.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from typing import Any

import apsw

from benchmarks.harness import figure, interleave
from relevo.domain.errors import RelevoError
from relevo.domain.stored import Stored
from relevo.store.contract import Append, RunRow
from relevo.store.sqlite import SqliteStore
from relevo.store.sqlite.connection import CHECKPOINT_PAGES

CALLERS = 256
EVENT = os.urandom(256)
FOLDER = "benchmarks/results"  # on the disk of the repository: /tmp may be memory


def row(run: str, live: bool = True, ended: int = 0) -> RunRow:
    """The row that the orchestrator would write."""
    return RunRow(
        run,
        "running",
        "ci",
        "A run of it",
        "push",
        0,
        live,
        1_700_000_000_000,
        None,
        1,
        ended,
        None,
        1,
        False,
    )


async def appending(
    path: str, each: int, callers: int, rows: bool, events: int = 1
) -> tuple[float, list[float]]:
    """Events a second, and how long each append waited; so many `events` an append."""
    store = await SqliteStore.open(path, 1, asyncio.get_running_loop())
    waits: list[float] = []

    async def caller(number: int) -> None:
        loop = asyncio.get_running_loop()
        stream = f"01m85s9wcva39y{number:04}"
        about = row(stream) if rows else None
        for version in range(each):
            outcome: asyncio.Future[Stored | RelevoError] = loop.create_future()
            begun = time.perf_counter()
            store.append(
                Append(stream, version, EVENT * events, events, 1_700_000_000_000, about), outcome.set_result
            )
            stored = await outcome
            waits.append(time.perf_counter() - begun)
            assert isinstance(stored, Stored), stored
            assert stored.version == version + 1

    begun = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    taken = time.perf_counter() - begun
    assert store.sequence == each * callers
    await store.close()
    return each * callers * events / taken, waits


def raw(path: str, batches: int, size: int) -> float:
    """Rows a second of the bare batch."""
    connection = apsw.Connection(path)
    connection.execute(
        f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"
    )
    connection.execute(
        "CREATE TABLE appends (sequence INTEGER PRIMARY KEY, stream, version, epoch, at_ms, count, events)"
    )
    cursor = connection.cursor()
    begun = time.perf_counter()
    for batch in range(batches):
        values = [
            (batch * size + n + 1, f"01m85s9wcva39y{n:04}", batch + 1, 1, 1_700_000_000_000, 1, EVENT)
            for n in range(size)
        ]
        cursor.execute("BEGIN IMMEDIATE")
        cursor.executemany("INSERT INTO appends VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        cursor.execute("COMMIT")
    taken = time.perf_counter() - begun
    connection.close()
    return batches * size / taken


async def restarting(path: str, runs: int) -> float:
    """Seconds to read and check `runs` live runs of one append, from a fresh opening."""
    loop = asyncio.get_running_loop()
    store = await SqliteStore.open(path, 1, loop)
    if store.sequence == 0:
        refused: list[Any] = []

        def done(outcome: Stored | RelevoError) -> None:
            if not isinstance(outcome, Stored):
                refused.append(outcome)

        for number in range(runs):
            run = f"01m85s9wcv{number:08}"
            store.append(Append(run, 0, EVENT * 4, 3, 1_700_000_000_000, row(run)), done)
        await store.close()
        assert not refused, refused[0]
        store = await SqliteStore.open(path, 1, loop)
    begun = time.perf_counter()
    count = 0
    async for batch in store.scan_live():
        count += len(batch)
    taken = time.perf_counter() - begun
    assert count == runs
    await store.close()
    return taken


def opening(path: str) -> float:
    """Seconds from no home to a store that takes appends."""

    async def once() -> float:
        begun = time.perf_counter()
        store = await SqliteStore.open(path, 1, asyncio.get_running_loop())
        taken = time.perf_counter() - begun
        await store.close()
        return taken

    return asyncio.run(once())


def run(quick: bool = False) -> list[dict[str, Any]]:
    """See `benchmarks.harness`."""
    os.makedirs(FOLDER, exist_ok=True)
    each = 100 if quick else 400
    rounds = 2 if quick else 5
    waits: list[float] = []
    number = iter(range(1_000_000))
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:

        def fresh() -> str:
            return f"{folder}/{next(number)}.db"

        def ours() -> float:
            rate, waited = asyncio.run(appending(fresh(), each, CALLERS, rows=False))
            waits.extend(waited)
            return rate

        compared = interleave(ours, lambda: raw(fresh(), each, CALLERS), rounds=rounds)
        waits.sort()
        with_rows = interleave(
            lambda: asyncio.run(appending(fresh(), each, CALLERS, rows=True))[0],
            lambda: raw(fresh(), each, CALLERS),
            rounds=rounds,
        )
        several = interleave(
            lambda: asyncio.run(appending(fresh(), each // 4, CALLERS, rows=False, events=4))[0],
            lambda: raw(fresh(), each, CALLERS),
            rounds=rounds,
        )
        alone, alone_waits = asyncio.run(appending(fresh(), 500, 1, rows=False))
        home = fresh()
        restart = min(asyncio.run(restarting(home, 20_000 if quick else 100_000)) for _ in range(3))
        opened = sorted(opening(fresh()) for _ in range(9))[4]
    p99 = waits[len(waits) * 99 // 100] * 1_000

    def single(name: str, value: float, unit: str, goal: float | None) -> dict[str, Any]:
        return {"name": name, "value": value, "unit": unit, "baseline": None, "ratio": None, "goal": goal}

    return [
        figure("events of 256 B, 256 callers, fsynced", compared, "events/s", "100,000; ratio 0.5"),
        single("  of these the append's wait, p99", p99, "ms", 10),
        figure("  with a run row in each append", with_rows, "events/s", None),
        figure(
            "  with four events in each append, as a run's have", several, "events/s", "100,000; ratio 0.5"
        ),
        single("one caller", alone, "events/s", None),
        single("  its wait, median", sorted(alone_waits)[250] * 1_000, "ms", None),
        single("restart: 100,000 live runs read and checked", restart * (5 if quick else 1), "s", 1.5),
        single("opening a new home", opened * 1_000, "ms", 8),
    ]


if __name__ == "__main__":
    from benchmarks.harness import table

    print(table(run()))
