"""Which artifacts a run has, read from its events."""

from __future__ import annotations

from relevo.domain import events as e
from relevo.protocol.artifacts import ListedArtifact
from relevo.store.contract import EventStore


async def artifacts_of(store: EventStore, run: str) -> dict[str, ListedArtifact]:
    """The artifacts of a run's attempts by name, the last saved of each, without those of lost attempts; where it has none
    of a name, that of the run it retries."""
    saved: dict[tuple[int, int], list[e.ArtifactSaved]] = {}
    retried_from = None
    for stored in await store.read(run):
        for event in e.decode(stored.events):
            if isinstance(event, e.RunAccepted):
                retried_from = event.retried_from
            elif isinstance(event, e.ArtifactSaved):
                saved.setdefault((event.job, event.number), []).append(event)
            elif isinstance(event, e.AttemptEnded) and event.result == "lost":
                saved.pop((event.job, event.number), None)
    found = {} if retried_from is None else await artifacts_of(store, retried_from)
    for kept in saved.values():
        for one in kept:
            found[one.name] = ListedArtifact(
                one.name, one.digest, one.size_bytes, one.files, run, one.job, one.number
            )
    return found
