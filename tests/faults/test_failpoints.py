"""Engine and agent are killed and stopped at every named place; the run ends as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from tests.faults.trial import Trial
from tests.faults.witness import Job, Step
from tests.faults.world import World

#: By place: at which reaches it happens.
PLACES: Final = {
    "engine.after-lease": (1, 1, 1),
    "keeper.after-spawn": (1, 1, 1),
    "store.in-migration": (1, 1, 1),
    "store.before-commit": (1, 3, 6),
    "store.after-commit": (1, 4, 6),
    "engine.before-acknowledge": (1, 3, 6),
    "logs.before-sync": (1, 2, 4),
    "logs.at-seal": (1, 1, 1),
    "blobs.before-rename": (1, 2, 2),
    "agent.after-lock": (1, 1, 1),
    "agent.before-send": (1, 4, 9),
    "agent.before-end": (1, 2, 3),
    "provider.after-exec": (1, 2, 5),
    "provider.in-cleanup": (1, 1, 1),
    "spool.after-write": (1, 4, 10),
    "spool.before-sync": (1, 1, 1),
}
KILLS: Final = [(place, nth, again) for place, reaches in PLACES.items() for again, nth in enumerate(reaches)]


def jobs_for(place: str) -> list[Job]:
    """A graph on whose way the place lies."""
    first = Step(1, 2_000, 0.02, runaway=place == "provider.in-cleanup")
    steps = (first, Step(5, 30, 0.05))
    jobs = [
        Job("build", (), 2, steps, artifact=place == "blobs.before-rename"),
        Job("test", ("build",), 1, steps[1:], takes="build" if place == "blobs.before-rename" else ""),
    ]
    if place == "agent.before-end":
        jobs.append(Job("quick", (), 3, (Step(1, 3, 0.0),)))  # perhaps nothing of it is written before
    if place == "spool.before-sync":
        jobs.append(Job("once", (), 1, (Step(1, 3, 0.0, idempotent=False),)))
    if place == "logs.at-seal":
        jobs.append(Job("loud", (), 1, (Step(1_000_000, 3_200_000, 0.0), first)))
    return jobs


def try_place(place: str, spec: str, world: World) -> int:
    """Run with a failpoint; returns how many processes were killed or stopped."""
    trial = Trial(0, world, jobs=jobs_for(place), failpoints=spec)
    outcome = trial.run()
    assert outcome.fine, f"{outcome.verdict}\n{outcome.report}"
    return trial.kills


@pytest.mark.parametrize(("place", "nth", "again"), KILLS)
def test_killed_at(
    place: str, nth: int, again: int, world: World, count_kills: Callable[[int], None]
) -> None:
    ticket = world.folder / "ticket"
    ticket.touch()
    try_place(place, f"{place}=kill:{nth}@{ticket}", world)
    assert not ticket.exists(), f"{place} was not reached {nth} times"
    count_kills(1)


def test_an_agent_killed_as_it_leaves_leaves_no_groups(
    world: World, count_kills: Callable[[int], None]
) -> None:
    """After its launcher, which would have cleared away: the engine has another agent do it before it leaves itself."""
    ticket = world.folder / "ticket"
    ticket.touch()
    try_place("provider.after-kill", f"provider.after-kill=kill:1@{ticket}", world)
    assert not ticket.exists()
    count_kills(1)


def test_killed_as_it_tells_what_the_one_before_lost(
    world: World, count_kills: Callable[[int], None]
) -> None:
    tickets = [world.folder / name for name in ("ticket-1", "ticket-2")]
    for ticket in tickets:
        ticket.touch()
    spec = f"provider.after-exec=kill:2@{tickets[0]},agent.before-losses=kill:1@{tickets[1]}"
    try_place("agent.before-losses", spec, world)
    assert not any(ticket.exists() for ticket in tickets)
    count_kills(2)


@pytest.mark.parametrize("place", PLACES)
def test_stopped_at(place: str, world: World, count_kills: Callable[[int], None]) -> None:
    spec = ",".join(
        f"{place}=stop:{nth}@{world.folder}/ticket-{number}"
        for number, nth in enumerate(sorted(set(PLACES[place])))
    )
    for number in range(3):
        (world.folder / f"ticket-{number}").touch()
    stops = try_place(place, spec, world)
    assert stops, f"{place} was not reached"
    count_kills(stops)
