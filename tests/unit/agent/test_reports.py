"""The reporter: log bytes numbered and hashed, `starting` told only where it says something."""

from __future__ import annotations

import asyncio

from blake3 import blake3

from relevo.agent.reports import CHUNK_BYTES, AttemptReporter
from relevo.agent.spool import Spool
from relevo.domain.ids import AttemptKey
from relevo.protocol import messages as m
from relevo.runtime.clock import SystemClock
from relevo.testing.sim_disk import SimDisk

records = m.decoder(m.Records)
KEY = AttemptKey("run", 0, 1)


async def nowhere(function):
    function()


class Told:
    def __init__(self) -> None:
        self.spool = Spool(SimDisk(), "/spool", asyncio.get_running_loop(), nowhere)
        self.spool.open()
        self.records: list[m.AnyRecord] = []
        self.spool.flushed = lambda first, count, payload: self.records.extend(
            records.decode(payload).records
        )
        self.ended: list[AttemptKey] = []
        self.reporter = AttemptReporter(KEY, self.spool, None, SystemClock(), self.ended.append)  # type: ignore[arg-type]

    def kinds(self) -> list[str]:
        self.spool.flush()
        return [type(record).__name__ for record in self.records]


async def test_starting_is_told_once_and_only_before_the_worker_is_there():
    told = Told()
    told.reporter.starting()
    told.reporter.starting()
    told.reporter.started()
    told.reporter.starting()
    assert told.kinds() == ["AttemptStarting", "AttemptStarted"]


async def test_nothing_follows_the_end_record():
    told = Told()
    told.reporter.finished("lost", message="no worker")
    told.reporter.starting()
    assert told.kinds() == ["AttemptFinished"]
    assert told.ended == [KEY]


async def test_log_bytes_are_numbered_cut_and_hashed():
    told = Told()
    data = bytes(range(256)) * 2_000
    told.reporter.log(0, b"first")
    told.reporter.log(1, data)
    told.reporter.finished("succeeded")
    told.spool.flush()
    *logs, end = told.records
    assert b"".join(log.data for log in logs) == b"first" + data
    assert max(len(log.data) for log in logs) <= CHUNK_BYTES
    offset = 0
    for log in logs:
        assert log.offset == offset
        offset += len(log.data)
    assert end.log_size == offset
    assert end.log_digest == blake3(b"first" + data).digest()


async def test_a_job_without_output_promises_no_bytes():
    told = Told()
    told.reporter.log(0, b"")
    told.reporter.finished("succeeded")
    told.spool.flush()
    assert (told.records[0].log_size, told.records[0].log_digest) == (0, b"")
