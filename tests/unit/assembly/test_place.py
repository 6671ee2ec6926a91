"""What the agent of a machine answers to, and where it is, as the environment says."""

from __future__ import annotations

import pytest

from relevo.assembly.place import LABELS, POOL, TAINTS, ZONE, local_place
from relevo.domain.errors import UserError


def said(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in (LABELS, TAINTS, POOL, ZONE):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"RELEVO_{name}", value)


def test_without_variables_it_is_what_the_machine_is(monkeypatch):
    said(monkeypatch)
    place = local_place()
    assert {"linux", "self-hosted", "ubuntu-*"} < place.labels
    assert place[1:] == (frozenset(), "", "")


def test_names_are_compared_without_regard_to_case(monkeypatch):
    said(monkeypatch, LABELS=" GPU ,fast,,", TAINTS="Lab", POOL="Big", ZONE="eu-1")
    place = local_place()
    assert {"gpu", "fast", "linux"} < place.labels
    assert place[1:] == (frozenset({"lab"}), "big", "eu-1")


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"LABELS": "a b"}, "RELEVO_LABELS: 'a b' is no name of a label"),
        ({"LABELS": "pool:big"}, "RELEVO_LABELS: 'pool:big' is no label"),
        ({"TAINTS": "a&&b"}, "RELEVO_TAINTS: 'a&&b' is no name"),
        ({"POOL": "a,b"}, "RELEVO_POOL: 'a,b' is no name"),
        ({"ZONE": "x" * 101}, "RELEVO_ZONE: 'xxx"),
        ({"LABELS": ",".join(map(str, range(65)))}, "RELEVO_LABELS has 65 names"),
    ],
)
def test_what_cannot_be_read_is_told(monkeypatch, variables, says):
    said(monkeypatch, **variables)
    with pytest.raises(UserError, match=says):
        local_place()
