"""The log path: mask, frame, store and sync a gigabyte beside `cat > file`; and one writer with a thousand followers.

    PYTHONPATH=src python benchmarks/bench_logs.py [--quick]

Both sides of a pair run in turn (A B A B) on the same file system; every stored byte is checked before a figure counts.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import string
import subprocess
import sys
import tempfile
import time
import tracemalloc
from functools import partial
from statistics import median
from typing import Any

from relevo.domain.ids import AttemptKey
from relevo.logs.blocking import Threads
from relevo.logs.contract import LogEnd, LogFrame
from relevo.logs.masking import Masker
from relevo.logs.store import FileLogStore
from relevo.runtime.disk import OsDisk

MB = 1_000_000
SYNC_EVERY = 4 * MB
WINDOW = 32 * MB  #: bytes sent and not acknowledged, as a session has them under way


def secrets(count: int = 50) -> list[str]:
    """Tokens as they are in use: 12 to 60 characters."""
    source = random.Random(1)
    alphabet = string.ascii_letters + string.digits + "-_/+="
    return ["".join(source.choices(alphabet, k=source.randint(12, 60))) for _ in range(count)]


def text(size: int) -> bytes:
    """Lines as a compiler prints them."""
    line = b"2026-01-01 12:00:00 compiling module foo/bar/baz.c with -O2 -g -Wall ...... ok %d\n"
    block = b"".join(line % n for n in range(50_000))
    return (block * (size // len(block) + 1))[:size]


async def synced(store: FileLogStore) -> None:
    """Sync and wait."""
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    store.sync(outcome.set_result)
    assert await outcome is None


async def store_all(root: str, pieces: list[bytes], total: int, names: list[str]) -> tuple[float, int]:
    """Seconds to mask, write and make durable all pieces; and the store's peak of private memory over the start, in bytes."""
    from blake3 import blake3

    loop = asyncio.get_running_loop()
    threads = Threads(loop)
    store = FileLogStore(OsDisk(), root, loop, threads)
    attempt = AttemptKey("bench", 0, 1)
    before = private_bytes()
    peak = before
    start = time.perf_counter()
    masker, offset, asked, acked, digest = Masker(names), 0, 0, 0, blake3()

    def acknowledge(upto: int, error: object) -> None:
        nonlocal acked
        assert error is None
        acked = upto

    for n in range(total // len(pieces[0])):
        data = masker.feed(pieces[n % len(pieces)])
        digest.update(data)  # as the sender does
        offset = store.write(attempt, LogFrame(offset, 0, 1, data))
        if offset - asked >= SYNC_EVERY:
            asked = offset
            store.sync(partial(acknowledge, offset))
            await asyncio.sleep(0)
        if offset - acked >= WINDOW:
            await synced(store)
        if n % 256 == 0:
            peak = max(peak, private_bytes())
    data = masker.flush()
    digest.update(data)
    offset = store.write(attempt, LogFrame(offset, 0, 1, data))
    store.end(attempt, LogEnd(offset, digest.digest()))
    await synced(store)
    seconds = time.perf_counter() - start
    assert await store.verify("bench") == []
    await store.close()
    threads.close()
    return seconds, peak - before


def private_bytes() -> int:
    """Memory of this process that is not shared with files."""
    with open("/proc/self/statm") as file:
        _, resident, shared, *_ = file.read().split()
    return (int(resident) - int(shared)) * resource.getpagesize()


def cat_all(source: str, target: str) -> float:
    """Seconds of `cat source > target` and an fsync."""
    start = time.perf_counter()
    with open(target, "wb") as file:
        subprocess.run(["cat", source], stdout=file, check=True)
        os.fsync(file.fileno())
    return time.perf_counter() - start


def big_log(folder: str, size: int, piece: int, rounds: int) -> list[dict[str, Any]]:
    """Write rates beside cat."""
    data = text(size)
    source = f"{folder}/source"
    with open(source, "wb") as file:
        file.write(data)
    pieces = [data[at : at + piece] for at in range(0, min(size, 64 * MB), piece)][:-1]
    del data
    names = secrets()
    rates, bare_rates, cats, peaks = [], [], [], []
    for n in range(rounds):
        cats.append(size / cat_all(source, f"{folder}/copy"))
        os.unlink(f"{folder}/copy")
        total = size // piece * piece
        for given, found in ((names, rates), ([], bare_rates)):
            seconds, peak = asyncio.run(store_all(f"{folder}/logs{n}", pieces, total, given))
            found.append(total / seconds)
            peaks.append(peak)
            shutil.rmtree(f"{folder}/logs{n}")
    os.unlink(source)
    what = f"{size // MB} MB in {piece // 1024} KiB frames, synced every {SYNC_EVERY // MB} MB"
    cat = median(cats)
    return [
        row(f"logs: mask 50 secrets, store; {what}", median(rates) / MB, "MB/s", cat / MB, ">= 150 MB/s"),
        row(f"logs: store without secrets; {what}", median(bare_rates) / MB, "MB/s", cat / MB, ""),
        row(f"logs: private memory while storing; {what}", max(peaks) / MB, "MB", None, "< 64 MB"),
    ]


async def fan_out(root: str, followers: int, lines: int) -> tuple[float, int]:
    """Deliveries a second to so many followers of one log, and bytes of memory a follower."""
    from blake3 import blake3

    loop = asyncio.get_running_loop()
    threads = Threads(loop)
    store = FileLogStore(OsDisk(), root, loop, threads)
    seen = 0

    async def follow(attempt: AttemptKey) -> None:
        nonlocal seen
        async for _ in store.follow(attempt):
            seen += 1

    attempt = AttemptKey("bench", 0, 1)
    tracemalloc.start()
    tasks = [asyncio.ensure_future(follow(attempt)) for _ in range(followers)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    offset, digest = 0, blake3()
    start = time.perf_counter()
    for n in range(lines):
        data = b"a line of the log, number %08d\n" % n
        digest.update(data)
        offset = store.write(attempt, LogFrame(offset, 0, 1, data))
        if n % 20 == 19:
            await asyncio.sleep(0)
    store.end(attempt, LogEnd(offset, digest.digest()))
    await asyncio.gather(*tasks)
    seconds = time.perf_counter() - start
    assert seen == followers * lines
    await store.close()
    threads.close()
    return followers * lines / seconds, memory // followers


async def many_small(root: str, runs: int, attempts: int) -> tuple[float, int]:
    """Logs a second, each one frame and an end record, durable; and how many rounds of syncs that took."""
    from blake3 import blake3

    loop = asyncio.get_running_loop()
    threads = Threads(loop)
    store = FileLogStore(OsDisk(), root, loop, threads)
    data = b"hello from a small job\n"
    end = LogEnd(len(data), blake3(data).digest())
    answers = 0

    def answered(error: object) -> None:
        nonlocal answers
        assert error is None
        answers += 1

    start = time.perf_counter()
    for job in range(attempts):
        for run in range(runs):
            attempt = AttemptKey(f"run-{run}", job, 1)
            store.write(attempt, LogFrame(0, 0, 1, data))
            store.end(attempt, end)
            store.sync(answered)
            if (job * runs + run) % 50 == 0:
                await asyncio.sleep(0)
    await synced(store)
    seconds = time.perf_counter() - start
    assert answers == runs * attempts
    await store.close()
    threads.close()
    return runs * attempts / seconds, answers


async def lines_of(root: str, size: int) -> tuple[float, list[float], int]:
    """Of a big log of short lines: ms to open it and find a line in its middle, ms to find others, and memory held for it."""
    loop = asyncio.get_running_loop()
    threads = Threads(loop)
    block = b"".join(b"line %07d of 100 bytes %s\n" % (n, b"." * 70) for n in range(2500))
    attempt = AttemptKey("bench", 0, 1)
    store = FileLogStore(OsDisk(), root, loop, threads)
    offset = 0
    while offset < size:
        offset = store.write(attempt, LogFrame(offset, 0, 1, block))
    await synced(store)
    await store.close()
    before = private_bytes()
    store = FileLogStore(OsDisk(), root, loop, threads)
    lines = offset // len(block) * 2500
    width = len(block) // 2500
    start = time.perf_counter()
    assert store.line_offset(attempt, lines // 2) == lines // 2 * width
    opened = time.perf_counter() - start
    times = []
    for n in range(100):
        line = lines * n // 100 + 17
        start = time.perf_counter()
        assert store.line_offset(attempt, line) == line * width
        times.append(time.perf_counter() - start)
    memory = private_bytes() - before
    await store.close()
    threads.close()
    return opened * 1000, [found * 1000 for found in times], memory


def row(name: str, value: float, unit: str, baseline: float | None = None, goal: str = "") -> dict[str, Any]:
    """One result."""
    ratio = round(value / baseline, 3) if baseline else None
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "baseline": round(baseline, 1) if baseline else None,
        "ratio": ratio,
        "goal": goal,
    }


def run(quick: bool = False) -> list[dict[str, Any]]:
    """All of it. `quick`: a tenth of the bytes, one round."""
    folder = tempfile.mkdtemp(prefix="relevo-bench-", dir=os.environ.get("RELEVO_BENCH_DIR", "/var/tmp"))
    size, rounds = (100 * MB, 1) if quick else (1000 * MB, 3)
    try:
        rows = big_log(folder, size, 64 * 1024, rounds) + big_log(folder, size, 256 * 1024, rounds)
        deliveries, memory = asyncio.run(fan_out(f"{folder}/follow", 1000, 200 if quick else 1000))
        rows.append(
            row("logs: deliveries to 1,000 followers of one log", deliveries, "1/s", None, ">= 500,000/s")
        )
        rows.append(row("logs: memory of a follower", memory, "bytes", None, "<= 30,000"))
        for runs, attempts in ((1, 5000), (1000, 1)):
            rate, _ = asyncio.run(many_small(f"{folder}/small{runs}", runs, attempts))
            rows.append(row(f"logs: small durable logs, {attempts} in each of {runs} runs", rate, "1/s"))
        opened, found, held = asyncio.run(lines_of(f"{folder}/lines", size))
        rows.append(row(f"logs: open {size // MB} MB of lines, find the middle", opened, "ms"))
        rows.append(row(f"logs: find a line of {size // MB} MB, median", median(found), "ms"))
        rows.append(row(f"logs: find a line of {size // MB} MB, worst of 100", max(found), "ms"))
        rows.append(row(f"logs: memory held for {size // MB} MB", held / MB, "MB", None, "< 32 MB"))
        return rows
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for result in run(quick="--quick" in sys.argv):
        print(result)
