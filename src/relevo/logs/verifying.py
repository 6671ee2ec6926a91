"""Looking at every byte of a run's logs. Works in a thread."""

from __future__ import annotations

from relevo.domain.errors import DamagedError
from relevo.domain.ids import AttemptKey
from relevo.logs import reading
from relevo.logs.hashing import digest_of
from relevo.logs.recovery import Live, examine
from relevo.runtime.disk import Disk


def verify_run(disk: Disk, folder: str, run: str, live: Live) -> list[str]:
    """What is wrong, each naming file and position; [] when all is well. Raises OSError."""
    try:
        log = examine(disk, folder, run, live)
    except DamagedError as error:
        return [str(error)]
    wrong = list(log.damage)
    for job, number in sorted(log.attempts):
        attempt = log.attempts[job, number]
        key = AttemptKey(run, job, number)
        if attempt.missing is not None:
            wrong.append(f"log of {key}: {attempt.missing}")
            continue
        try:
            digest = digest_of(disk, reading.source(log, key, attempt))
        except DamagedError as error:
            wrong.append(str(error))
            continue
        if attempt.end is not None and attempt.end.digest != digest:
            where = f"{log.segments[0].path}:0"
            wrong.append(
                f"{where}: log of {key} has the digest {digest.hex()}, its end record says {attempt.end.digest.hex()}"
            )
    return wrong
