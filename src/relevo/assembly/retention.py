"""A home is bounded: what old runs leave is removed, the oldest first. Live runs are never touched."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from relevo.assembly.engine import Parts
from relevo.domain import events as e

KEEP_DAYS: Final = 90.0
KEEP_RUNS: Final = 10_000
MAX_BYTES: Final = 20 << 30
_DAY_MS: Final = 86_400_000


class Limits(Struct, frozen=True):
    """What is kept. A run goes when any limit says so."""

    keep_days: float = KEEP_DAYS
    keep_runs: int = KEEP_RUNS
    max_bytes: int = MAX_BYTES  #: of logs and blobs

    @classmethod
    def of(cls, **given: Any) -> Limits:
        """The defaults, with what was given in their place."""
        return cls(**{name: value for name, value in given.items() if value is not None})


async def prune(parts: Parts, limits: Limits, *, dry: bool = False) -> dict[str, Any]:
    """Remove old ended runs and the blobs that nobody names any more; `dry`: only tell which.

    Returns `runs` (ids) and `bytes` (of logs and blobs that were, or would be, freed).
    """
    usage = parts.logs.usage()
    rows = list(await parts.store.runs(live=False, limit=1_000_000))
    blobs = dict(await parts.blobs.list())
    named = {row.run: await _named(parts, row.run) for row in await parts.store.runs(limit=1_000_000)}
    total = sum(usage.values()) + sum(blobs.values())
    oldest_ms = parts.clock.wall_ms() - limits.keep_days * _DAY_MS
    gone: list[str] = []
    freed = 0
    for position, row in reversed(list(enumerate(rows))):
        too_old = (row.ended_ms or row.created_ms) < oldest_ms
        too_many = position >= limits.keep_runs
        if not (too_old or too_many or total - freed > limits.max_bytes):
            continue
        gone.append(row.run)
        mine = named.pop(row.run)
        kept = set().union(*named.values()) if named else set()
        freed += usage.get(row.run, 0) + sum(blobs.get(digest, 0) for digest in mine - kept)
    kept = set().union(*named.values()) if named else set()
    orphans = [digest for digest in blobs if digest not in kept]
    if not dry:
        for run in gone:
            await parts.logs.delete(run)
            await parts.store.delete_run(run)
        for digest in orphans:
            await parts.blobs.delete(digest)
    return {"runs": gone, "bytes": freed, "dry": dry}


async def _named(parts: Parts, run: str) -> set[str]:
    """Digests of the blobs that a run names: its artifacts and its snapshot."""
    found: set[str] = set()
    for stored in await parts.store.read(run):
        for event in e.decode(stored.events):
            if isinstance(event, e.ArtifactSaved):
                found.add(event.digest)
            elif isinstance(event, e.RunAccepted):
                found |= await _snapshot(parts, event.contexts)
    return found


async def _snapshot(parts: Parts, contexts: str) -> set[str]:
    import msgspec

    from relevo.orchestrator.plans import SharedContexts
    from relevo.protocol.snapshot import CONTEXT_KEY

    blob = await parts.store.fact(f"context/{contexts}")
    if blob is None:
        return set()
    digest = msgspec.msgpack.decode(blob, type=SharedContexts).github.get(CONTEXT_KEY)
    return {digest} if isinstance(digest, str) else set()
