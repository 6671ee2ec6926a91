"""How busy a machine is, as its kernel tells."""

from __future__ import annotations

import pytest

from relevo.runtime.load import MEMORY, PRESSURE, Load, read_load

SOME = "some avg10=12.50 avg60=1.00 avg300=0.10 total=5\nfull avg10=99.00 avg60=0 avg300=0 total=0\n"
MEMINFO = "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:     400 kB\nBuffers: 1 kB\n"


def told(**files: str) -> Load:
    return read_load({PRESSURE: files.get("pressure", ""), MEMORY: files.get("memory", "")}.__getitem__)


def test_what_the_kernel_tells():
    found = told(pressure=SOME, memory=MEMINFO)
    assert found[1:] == (0.125, 400 << 10)
    assert found.average >= 0


@pytest.mark.parametrize(
    ("pressure", "memory"),
    [
        ("", ""),
        ("some avg10=lots", "MemAvailable:\n"),
        ("full avg60=1", "MemAvailable: many kB"),
        ("\0", "\0"),
    ],
)
def test_what_it_does_not_tell_is_not_known(pressure, memory):
    assert told(pressure=pressure, memory=memory)[1:] == (0.0, -1)


def test_this_machine():
    found = read_load()
    assert 0 <= found.pressure <= 1
    assert found.memory_free_bytes > 0


def test_files_that_are_not_there(monkeypatch):
    monkeypatch.setattr("relevo.runtime.load.PRESSURE", "/nowhere")
    monkeypatch.setattr("relevo.runtime.load.MEMORY", "/proc")
    assert read_load()[1:] == (0.0, -1)
