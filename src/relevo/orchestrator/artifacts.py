"""Which artifacts a run has, read from its events."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from relevo.domain import events as e
from relevo.domain.evolution import evolve
from relevo.domain.run import Run, leg_of
from relevo.orchestrator.plans import Carried
from relevo.protocol.artifacts import ListedArtifact
from relevo.store.contract import EventStore

_carried_decoder = msgspec.msgpack.Decoder(dict[str, Carried])


class _Saved(NamedTuple):
    artifact: ListedArtifact
    job: tuple[str, str]  #: who saved it: path of its node, and which leg


async def stored_carried(store: EventStore, run: str) -> dict[str, Carried]:
    """What a run took over from the one that it retries, by node; {} when it runs all of it again."""
    blob = await store.fact(f"carried/{run}")
    return _carried_decoder.decode(blob) if blob else {}


async def artifacts_of(store: EventStore, run: str) -> dict[str, ListedArtifact]:
    """The artifacts of a run's attempts by name, the last saved of each, without those of lost attempts.

    A retry has those of the run that it retries too, as far as their jobs were taken over and not run again; its own come first.
    """
    return {name: saved.artifact for name, saved in (await _saved(store, run)).items()}


async def _saved(store: EventStore, run: str) -> dict[str, _Saved]:
    state = Run()
    own: dict[tuple[int, int], list[e.ArtifactSaved]] = {}
    for stored in await store.read(run):
        for event in e.decode(stored.events):
            evolve(state, event)
            if isinstance(event, e.ArtifactSaved):
                own.setdefault((event.job, event.number), []).append(event)
            elif isinstance(event, e.AttemptEnded) and event.result == "lost":
                own.pop((event.job, event.number), None)
    retried_from = state.accepted.retried_from if state.accepted is not None else None
    found = {} if retried_from is None else await _taken_over(store, run, retried_from)
    for kept in own.values():
        for one in kept:
            artifact = ListedArtifact(
                one.name, one.digest, one.size_bytes, one.files, run, one.job, one.number
            )
            job = state.jobs[one.job]
            found[one.name] = _Saved(artifact, (job.node.path, leg_of(job.decl)))
    return found


async def _taken_over(store: EventStore, run: str, earlier: str) -> dict[str, _Saved]:
    carried = await stored_carried(store, run)
    if not carried:
        return {}
    jobs = {(path, leg) for path, node in carried.items() for leg in node.legs}
    return {name: saved for name, saved in (await _saved(store, earlier)).items() if saved.job in jobs}
