"""The baseline of what is durable: the least that a queue with a result for each job has to do, in one process.

A job is put into a table, taken, and marked as done: three fsynced commits (SQLite, WAL, FULL), for a batch of jobs or for each
one. No events, no read model, no second process, no scheduler.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time

import apsw
from msgspec import Struct

from benchmarks.load import FOLDER


class Bare(Struct):
    """What came of it."""

    jobs_per_s: float
    cpu_us: float  #: for each job
    started_ms: list[float]  #: sorted; from when a job was due to when it was taken, durably


def bare_queue(jobs: int, *, batch: int, rate: float | None = None) -> Bare:
    """Put so many jobs through; `batch` at most in one commit; all at once, or `rate` a second."""
    os.makedirs(FOLDER, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="bare-") as folder:
        connection = apsw.Connection(f"{folder}/queue.db")
        try:
            return asyncio.run(_through(connection, jobs, batch, rate))
        finally:
            connection.close()


async def _through(connection: apsw.Connection, jobs: int, batch: int, rate: float | None) -> Bare:
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE jobs (id TEXT PRIMARY KEY, state INTEGER, result TEXT) WITHOUT ROWID")
    cursor = connection.cursor()

    def commit(statement: str, rows: list[tuple[str, ...]]) -> None:
        cursor.execute("BEGIN IMMEDIATE")
        cursor.executemany(statement, rows)
        cursor.execute("COMMIT")

    started: list[float] = []
    done = 0
    cpu, start = time.process_time(), time.perf_counter()
    while done < jobs:
        now = time.perf_counter()
        due = jobs if rate is None else min(jobs, int((now - start) * rate) + 1)
        if due == done:
            await asyncio.sleep(max(0.0, start + done / (rate or 1) - now))
            continue
        keys = [(f"r{number:012d}",) for number in range(done, min(due, done + batch))]
        commit("INSERT INTO jobs VALUES (?, 0, '')", keys)
        commit("UPDATE jobs SET state = 1 WHERE id = ?", keys)
        now = time.perf_counter()
        if rate is not None:
            started += [(now - start - (done + n) / rate) * 1e3 for n in range(len(keys))]
        commit("UPDATE jobs SET state = 2, result = 'succeeded' WHERE id = ?", keys)
        done += len(keys)
    seconds = time.perf_counter() - start
    cpu = time.process_time() - cpu
    assert connection.execute("SELECT count(*) FROM jobs WHERE state = 2").fetchone() == (jobs,)
    return Bare(jobs / seconds, cpu / jobs * 1e6, sorted(started))
