"""What a look at the machine says."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["good", "lacking", "bad"]


class Finding(NamedTuple):
    """One thing that was looked at. `lacking`: relevo works without, but less well; `bad`: it does not work."""

    what: str
    state: State
    found: str
    advice: str = ""
