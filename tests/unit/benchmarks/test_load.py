"""The load that the figures rest on: all runs of it end, and each is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import load


@pytest.mark.parametrize("rate", [None, 50.0])
def test_a_load_is_run_and_counted(
    rate: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "FOLDER", str(tmp_path))
    measured = load.measure(load.Load(6, rate=rate, warm=2, outstanding=3, slots=2, window=2))
    assert measured.steps == 8
    assert measured.runs_per_s > 0
    assert len(measured.started_ms) == len(measured.ended_ms) == (0 if rate is None else 6)
