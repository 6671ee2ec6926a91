"""What a machine has beside processors and memory."""

from __future__ import annotations

import pytest

from relevo.assembly.resources import local_resources, parse
from relevo.domain.errors import UserError


def test_amounts_by_name():
    assert parse("gpu=2, Licence=0.5,disk=1Gi,") == {"gpu": 2.0, "licence": 0.5, "disk": 1 << 30}


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ("gpu", "'gpu' names no resource"),
        ("=2", "names no resource"),
        ("gpu=many", "no amount of gpu"),
        ("gpu=-1", "no amount of gpu"),
        ("jobs=3", "it counts jobs"),
        ("cpu=4", "what the machine has"),
        (",".join(f"r{number}=1" for number in range(65)), "names 65 resources"),
    ],
)
def test_what_cannot_be_read_is_told(stated, says):
    with pytest.raises(UserError, match=says):
        parse(stated)


def test_free_disk_counts_unless_it_is_stated(tmp_path, monkeypatch):
    monkeypatch.delenv("RELEVO_RESOURCES", raising=False)
    assert local_resources(str(tmp_path))["disk"] > 0
    assert local_resources(str(tmp_path / "nowhere")) == {}
    monkeypatch.setenv("RELEVO_RESOURCES", "disk=1Mi,board=1")
    assert local_resources(str(tmp_path)) == {"disk": 1 << 20, "board": 1.0}
