from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import harness

FIGURE = {"name": "n", "value": 1.0, "unit": "s", "baseline": None, "ratio": None, "goal": 2}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of benchmarks of its own."""
    package = tmp_path / "benchmarks"
    package.mkdir()
    for name in ("__init__.py", "__main__.py", "harness.py"):
        (package / name).write_text((harness.FOLDER / name).read_text())
    monkeypatch.setattr(harness, "FOLDER", package)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return package


def test_turns_are_taken() -> None:
    calls: list[str] = []

    def ours() -> float:
        calls.append("A")
        return 10.0 * len(calls)

    def baseline() -> float:
        calls.append("B")
        return 10.0

    compared = harness.interleave(ours, baseline, rounds=3)
    assert "".join(calls) == "AB" * 4
    assert compared.ours == (30.0, 50.0, 70.0)
    assert compared.ratio == (3.0, 5.0, 7.0)
    made = harness.figure("x", compared, "/s", ">= 2")
    assert {key: made[key] for key in harness.REQUIRED} == {
        "name": "x",
        "value": 50.0,
        "unit": "/s",
        "baseline": 10.0,
        "ratio": 5.0,
        "goal": ">= 2",
    }


def test_each_runs_in_a_process_of_its_own(folder: Path) -> None:
    (folder / "bench_good.py").write_text(
        f"import os\ndef run(quick=False): return [{FIGURE!r} | dict(value=os.getpid(), quick=quick)]\n"
    )
    first, second = (harness.run_apart("good", quick=quick) for quick in (True, False))
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert first[0]["value"] != second[0]["value"]
    assert (first[0]["quick"], second[0]["quick"]) == (True, False)


def test_one_that_fails_is_named(folder: Path) -> None:
    (folder / "bench_bad.py").write_text("def run(quick=False): return [{'name': 'half'}]\n")
    assert harness.run_apart("bad", quick=True) == "bench_bad ended with 1"


def test_results_are_a_list_of_figures(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    harness.write([FIGURE], path)
    assert json.loads(path.read_text()) == [FIGURE]
    assert [entry.name for entry in path.parent.iterdir()] == ["latest.json"]


def test_the_table_shows_every_figure() -> None:
    text = harness.table(
        [
            FIGURE,
            FIGURE | {"name": "jobs", "value": 15_000.4, "ratio": 1.5, "ratio_min": 1.25, "ratio_max": 2},
        ]
    )
    assert text.splitlines()[0].split() == ["what", "value", "unit", "baseline", "ratio", "goal"]
    assert "15,000" in text
    assert "1.5 (1.25 to 2)" in text
