"""What this machine has beside processors and memory: the disk that is free, and what RELEVO_RESOURCES counts."""

from __future__ import annotations

import os
import re
from typing import Final

from relevo.domain.errors import UserError

VARIABLE: Final = "RELEVO_RESOURCES"
#: So many may be named.
COUNT_LIMIT: Final = 64
_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,99}\Z")
_MACHINE: Final = ("cpu", "memory")


def local_resources(home: str) -> dict[str, float]:
    """By name; `disk` in bytes: what is free where the home lies. Raises UserError when RELEVO_RESOURCES cannot be read."""
    try:
        there = os.statvfs(home)
        found: dict[str, float] = {"disk": there.f_bavail * there.f_frsize}
    except OSError:
        found = {}
    stated = os.environ.get(VARIABLE, "")
    return {**found, **parse(stated)} if stated else found


def parse(stated: str) -> dict[str, float]:
    """`gpu=2,licence=5,disk=100Gi` as amounts by name. Raises UserError."""
    from relevo.workflow.quantities import amount

    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in stated.split(","))):
        name, equals, text = part.partition("=")
        name = name.strip().lower()
        if not equals or not _NAME.match(name):
            raise UserError(
                f"{VARIABLE}: '{part}' names no resource", hint="write gpu=2,licence=5,disk=100Gi"
            )
        if name in _MACHINE:
            raise UserError(f"{VARIABLE}: {name} is what the machine has", hint="name other resources")
        try:
            found[name] = amount(name, text)
        except ValueError as error:
            raise UserError(f"{VARIABLE}: {error}") from None
    if len(found) > COUNT_LIMIT:
        raise UserError(
            f"{VARIABLE} names {len(found)} resources", hint=f"at most {COUNT_LIMIT} can be counted"
        )
    return found
