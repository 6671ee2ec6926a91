"""What a job asks of its place."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from relevo.workflow.label_expressions import Expression


#: Over what jobs with the same key are kept apart.
Domain = Literal["node", "pool", "zone"]


class Rules(NamedTuple):
    """Where a job may run, beyond labels and amounts. Expressions name labels, `node:ID`, `pool:NAME` and `zone:NAME`."""

    where: Expression | None = None  #: must hold of the node
    tolerates: frozenset[str] = frozenset()  #: taints that do not keep it away
    prefers: Expression | None = None  #: better where it holds
    near: str = ""  #: better where a job with the same key ran lately
    apart: str = ""  #: never where a job with the same key runs
    apart_over: Domain = "node"  #: or in the same pool or zone


class Demand(NamedTuple):
    """What a job asks of its place. Jobs that ask for the same are one class: they are matched together."""

    labels: frozenset[str]
    cpus: float | None
    memory_bytes: int | None
    #: what else it uses, by name in order: disk in bytes, gpu, and what operators name themselves
    extras: tuple[tuple[str, float], ...] = ()
    rules: Rules | None = None


#: More than any machine has of anything.
MOST: Final = 1e15


def thousandths(amount: float) -> int:
    """An amount in whole thousandths, whatever was said: what is no number counts as nothing."""
    return round(max(-MOST, min(amount, MOST)) * 1000) if amount == amount else 0


@lru_cache(4_096)
def amounts(demand: Demand) -> tuple[tuple[str, int], ...]:
    """What it uses, in whole thousandths: sums of these are exact. Its place is counted as `places`."""
    found = [("places", 1000)]
    asked = (("cpu", demand.cpus or 0), ("memory", demand.memory_bytes or 0), *demand.extras)
    found += ((name, thousandths(amount)) for name, amount in asked if amount > 0)
    return tuple(found)
