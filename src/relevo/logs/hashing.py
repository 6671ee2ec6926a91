"""The running digest of each log. After a restart it is brought up from disk in the background, a stretch at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from relevo.domain.ids import AttemptKey
from relevo.logs import reading
from relevo.logs.blocking import RunBlocking
from relevo.logs.reading import Source
from relevo.logs.segments import AttemptLog, RunLog
from relevo.runtime.disk import Disk

if TYPE_CHECKING:
    from blake3 import blake3

STRETCH_BYTES: Final = 4 * 1024 * 1024  #: hashed by a worker before it looks whether more has come


class Hashing:
    """Keeps `AttemptLog.hasher` at `AttemptLog.size`, or brings it there."""

    def __init__(self, disk: Disk, run_blocking: RunBlocking) -> None:
        self._disk = disk
        self._run_blocking = run_blocking

    def feed(self, run: RunLog, key: AttemptKey, log: AttemptLog, data: bytes) -> None:
        """`data` was written at the end of a log."""
        if log.hashed == log.size - len(data):
            log.hasher = log.hasher or _new()
            log.hasher.update(data)
            log.hashed = log.size
        elif not log.hashing:
            self._catch_up(run, key, log)

    def digest(self, run: RunLog, key: AttemptKey, log: AttemptLog) -> bytes:
        """Of all that is held; what was not hashed yet is read now. Raises DamagedError, OSError."""
        log.hasher = log.hasher or _new()
        if log.hashed < log.size:
            log.hasher = _hash_on(self._disk, reading.source(run, key, log), log.hasher, log.hashed, log.size)
            log.hashed = log.size
        return log.hasher.digest()

    def _catch_up(self, run: RunLog, key: AttemptKey, log: AttemptLog) -> None:
        log.hashing = True
        start, stop = log.hashed, min(log.size, log.hashed + STRETCH_BYTES)
        source = reading.source(run, key, log)
        hasher = log.hasher.copy() if log.hasher is not None else _new()

        def done(result: blake3 | None, error: BaseException | None) -> None:
            log.hashing = False
            if error is not None or log.hashed != start or log.end is not None or run.gone:
                return  # an error shows again, to somebody, when the end record is checked
            log.hasher = result
            log.hashed = stop
            if log.hashed < log.size:
                self._catch_up(run, key, log)

        self._run_blocking(partial(_hash_on, self._disk, source, hasher, start, stop), done)


def digest_of(disk: Disk, source: Source) -> bytes:
    """BLAKE3 of a whole log, from disk. Raises DamagedError, OSError."""
    return _hash_on(disk, source, _new(), 0, source.size).digest()


def _hash_on(disk: Disk, source: Source, hasher: blake3, start: int, stop: int) -> blake3:
    for frame in reading.read(disk, source, start, stop):
        hasher.update(frame.data)
    return hasher


def _new() -> blake3:
    from blake3 import blake3

    return blake3()
