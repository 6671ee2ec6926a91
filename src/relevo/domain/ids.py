"""Names of things. A run id is a string; a job and an attempt are named within their run."""

from __future__ import annotations

from typing import Final, NamedTuple

#: The lease of a home's engine. Its epoch is what every commit of the home's store is checked against.
LEASE: Final = "engine"


class AttemptKey(NamedTuple):
    """One try at one job of one run: what log bytes, artifacts and results belong to."""

    run: str  #: run id, sorts by time of acceptance
    job: int  #: index of the job (matrix leg) within its run, in order of creation
    number: int  #: 1 for the first attempt

    def __str__(self) -> str:
        return f"{self.run}/{self.job}/{self.number}"
