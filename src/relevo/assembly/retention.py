"""A home is bounded: what old runs leave is removed, the oldest first. Live runs are never touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from msgspec import Struct

from relevo.agent.caches import MAX_BYTES as CACHES_MAX_BYTES
from relevo.agent.caches import Caches, Gone
from relevo.assembly.engine import Parts
from relevo.domain import events as e
from relevo.domain.errors import DamagedError
from relevo.orchestrator import keys
from relevo.orchestrator.plans import context_fact, spec_fact

KEEP_DAYS: Final = 90.0
KEEP_RUNS: Final = 10_000
MAX_BYTES: Final = 20 << 30
_DAY_MS: Final = 86_400_000


class Limits(Struct, frozen=True):
    """What is kept. A run goes when any limit says so."""

    keep_days: float = KEEP_DAYS
    keep_runs: int = KEEP_RUNS
    max_bytes: int = MAX_BYTES  #: of logs and blobs
    max_cache_bytes: int = CACHES_MAX_BYTES

    @classmethod
    def of(cls, **given: Any) -> Limits:
        """The defaults, with what was given in their place."""
        return cls(**{name: value for name, value in given.items() if value is not None})


#: Of keys of facts, those that no live run names, nor one that was accepted since it was made. They are void from then on.
Unnamed = Callable[[set[str]], Sequence[str]]


class Named(Struct, frozen=True):
    """What a run names that others may name too."""

    blobs: set[str]  #: digests of its artifacts and its snapshot
    facts: set[str]  #: keys of its specification and contexts
    known: bool = True  #: False: it is damaged, and may name more


async def _nothing_kept(run: str) -> None:
    """There are no workspaces."""


@contextmanager
def _nobody_else() -> Iterator[Unnamed]:
    """No run is live, and none comes."""
    yield sorted


async def prune(
    parts: Parts,
    limits: Limits,
    *,
    dry: bool = False,
    remove_kept: Callable[[str], Awaitable[None]] = _nothing_kept,
    watch: Callable[[], AbstractContextManager[Unnamed]] = _nobody_else,
) -> dict[str, Any]:
    """Remove old ended runs, and the blobs and facts that nobody names any more; `dry`: only tell which.

    As long as a run that stays is damaged, what it may name stays too: all blobs and shared facts.

    Returns `runs` (ids) and `bytes` (of logs and blobs that were, or would be, freed). `remove_kept`: removes the kept
    workspaces of a run. `watch`: looks on what runs name that are accepted meanwhile.
    """
    with watch() as unnamed:
        return await _prune(parts, limits, dry, remove_kept, unnamed)


async def _prune(
    parts: Parts,
    limits: Limits,
    dry: bool,
    remove_kept: Callable[[str], Awaitable[None]],
    unnamed: Unnamed,
) -> dict[str, Any]:
    usage = parts.logs.usage()
    rows = list(await parts.store.runs(live=False, limit=1_000_000))
    blobs = dict(await parts.blobs.list())
    named: dict[str, Named] = {}
    await _look(parts, named)
    users = Counter(digest for run in named.values() for digest in run.blobs)
    facts_users = Counter(key for run in named.values() for key in run.facts)
    unshared: dict[str, set[str]] = {}
    all_known = all(run.known for run in named.values())
    wanted = await _retried_by_live(parts)
    total = sum(usage.values()) + sum(blobs.values())
    oldest_ms = parts.clock.wall_ms() - limits.keep_days * _DAY_MS
    gone: list[str] = []
    freed = 0
    for position, row in reversed(list(enumerate(rows))):
        too_old = (row.ended_ms or row.created_ms) < oldest_ms
        too_many = position >= limits.keep_runs
        if row.run in wanted or not (too_old or too_many or total - freed > limits.max_bytes):
            continue
        gone.append(row.run)
        mine = named.pop(row.run, Named(set(), set()))
        users.subtract(mine.blobs)
        facts_users.subtract(mine.facts)
        unshared[row.run] = {key for key in mine.facts if not facts_users[key]}
        freed += usage.get(row.run, 0)
        if all_known:
            freed += sum(blobs.get(digest, 0) for digest in mine.blobs if not users[digest])
    if not dry:
        keyed = await _keyed(parts)
        for run in gone:
            await parts.logs.delete(run)
            shared = unnamed(unshared[run]) if all_known else ()
            await parts.store.delete_run(run, facts=(*shared, *keyed.pop(run, ())))
            await remove_kept(run)
        for run, lost in keyed.items():
            if await parts.store.run(run) is None:  # an earlier version left them when it removed the run
                await parts.store.delete_run(run, facts=lost)
        # Runs that were accepted meanwhile may name what an old one named; what was just put, nobody names yet.
        await _look(parts, named)
        kept = set().union(*(run.blobs for run in named.values()))
        for digest in blobs if all(run.known for run in named.values()) else ():
            if digest not in kept and digest not in parts.blobs.fresh:
                await parts.blobs.delete(digest)
    return {"runs": gone, "bytes": freed, "dry": dry}


def prune_caches(folder: str, limits: Limits, now_ms: int, *, dry: bool = False) -> Gone:
    """Remove caches that were not used for long, or are too many; `dry`: only tell. Blocking. Raises OSError.

    Jobs may save and restore at the same time.
    """
    if not folder:
        return Gone(0, 0)
    return Caches(folder).evict(now_ms / 1000, max_bytes=limits.max_cache_bytes, dry=dry)


async def _keyed(parts: Parts) -> dict[str, list[str]]:
    """The idempotency keys of runs, as keys of facts."""
    found: dict[str, list[str]] = {}
    for key, value in await parts.store.facts(keys.PREFIX):
        found.setdefault(keys.run_of(value), []).append(key)
    return found


async def _look(parts: Parts, named: dict[str, Named]) -> None:
    """Take up what runs name that are live or not known yet."""
    for row in await parts.store.runs(limit=1_000_000):
        if row.live or row.run not in named:
            named[row.run] = await _named(parts, row.run)


async def _retried_by_live(parts: Parts) -> set[str]:
    """Ended runs whose artifacts a live one may still ask for, because it retries them."""
    wanted: set[str] = set()
    for row in await parts.store.runs(live=True, limit=1_000_000):
        earlier = row.retried_from
        while earlier is not None and earlier not in wanted:
            wanted.add(earlier)
            found = await parts.store.run(earlier)
            earlier = found.retried_from if found is not None else None
    return wanted


async def _named(parts: Parts, run: str) -> Named:
    found = Named(set(), set())
    try:
        for stored in await parts.store.read(run):
            for event in e.decode(stored.events):
                if isinstance(event, e.ArtifactSaved):
                    found.blobs.add(event.digest)
                elif isinstance(event, e.RunAccepted):
                    found.blobs.update(await _snapshot(parts, event.contexts))
                    found.facts.update((spec_fact(event.spec), context_fact(event.contexts)))
    except DamagedError:
        return Named(found.blobs, found.facts, known=False)  # `relevo db check` names it
    return found


async def _snapshot(parts: Parts, contexts: str) -> set[str]:
    import msgspec

    from relevo.orchestrator.plans import SharedContexts
    from relevo.protocol.snapshot import CONTEXT_KEY

    blob = await parts.store.fact(context_fact(contexts))
    if blob is None:
        return set()
    digest = msgspec.msgpack.decode(blob, type=SharedContexts).github.get(CONTEXT_KEY)
    return {digest} if isinstance(digest, str) else set()
