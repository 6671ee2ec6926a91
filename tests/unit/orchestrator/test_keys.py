"""What is asked twice with one key."""

from __future__ import annotations

import msgspec

from relevo.orchestrator.api import Submission
from relevo.orchestrator.keys import submitted


class Later(Submission, frozen=True):
    """As a later version may have it."""

    further: str = ""
    also: tuple[str, ...] = ()


def test_a_later_version_takes_the_same_for_the_same():
    said = Submission("w.yml", b"on: push", env={"A": "1"}, secrets={"TOKEN": "s"}, committed=True)
    later = msgspec.convert(msgspec.structs.asdict(said), Later)
    assert submitted(later) == submitted(said)
    assert submitted(msgspec.structs.replace(later, further="x")) != submitted(said)
    for name, other in (
        ("committed", False),
        ("env", {"A": "2"}),
        ("secrets", {}),
        ("workflow_text", b"on: {}"),
    ):
        assert submitted(msgspec.structs.replace(said, **{name: other})) != submitted(said), name
