"""What the agent of this machine answers to, and where it is: RELEVO_LABELS, RELEVO_TAINTS, RELEVO_POOL, RELEVO_ZONE."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from relevo.domain.errors import UserError
from relevo.workflow.labels import OWN_PREFIXES, local_labels

LABELS: Final = "RELEVO_LABELS"
TAINTS: Final = "RELEVO_TAINTS"
POOL: Final = "RELEVO_POOL"
ZONE: Final = "RELEVO_ZONE"
#: Labels, and taints, that an agent may have.
COUNT_LIMIT: Final = 64


class Place(NamedTuple):
    """Of an agent."""

    labels: frozenset[str]  #: with those that every machine of its kind answers to
    taints: frozenset[str] = frozenset()
    pool: str = ""
    zone: str = ""


def local_place() -> Place:
    """That of this machine. Raises UserError when a variable cannot be read."""
    usual = local_labels(os.uname().machine)
    return Place(usual | _names(LABELS), _names(TAINTS), _name(POOL), _name(ZONE))


def _names(variable: str) -> frozenset[str]:
    stated = os.environ.get(variable, "")
    if not stated:
        return frozenset()
    found = frozenset(_checked(variable, part) for part in stated.split(",") if part.strip())
    if len(found) > COUNT_LIMIT:
        raise UserError(f"{variable} has {len(found)} names", hint=f"at most {COUNT_LIMIT} are taken")
    return found


def _name(variable: str) -> str:
    stated = os.environ.get(variable, "")
    return _checked(variable, stated) if stated else ""


def _checked(variable: str, text: str) -> str:
    from relevo.workflow.names import label

    name = text.strip().lower()
    wrong = label(name)
    if wrong is not None:
        raise UserError(f"{variable}: {wrong}", hint="write fast,big-disk")
    if name.startswith(OWN_PREFIXES):
        raise UserError(
            f"{variable}: '{name}' is no label",
            hint=f"{POOL} and {ZONE} say in which pool and zone the agent is",
        )
    return name
