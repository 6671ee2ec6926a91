"""Goals rows 9, 13 and 14: runs created over HTTP, lines to a thousand followers, memory of `relevo up`.

    PYTHONPATH=src python -m benchmarks.bench_http [--quick]

Servers (http_servers.py, `relevo up`) and clients (http_load.py) are processes of their own. What is created is a run whose one job is
skipped: accepted, stored with fsync, decided and ended; no step is started, as bash would be what is measured.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import Comparison, Figure, Spread, figure
from benchmarks.load import FOLDER

ROOT = Path(__file__).parents[1]
KB, MB = 1 << 10, 1 << 20
FOLLOWERS = 1_000
STALLED = 50
LINES = 600  #: a second, to each follower


def run(quick: bool = False) -> list[Figure]:
    """Rows for the harness."""
    rounds, seconds = (1, 3.0) if quick else (3, 6.0)
    os.makedirs(FOLDER, exist_ok=True)
    return [*_created(rounds, seconds), *_followed(rounds, seconds), *_memory()]


# --- runs -------------------------------------------------------------------------------------------------------------


def _created(rounds: int, seconds: float) -> list[Figure]:
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="http-") as folder:
        with _up(folder) as (port, token, _), _server("echo") as (bare, _):
            _ask(port, token, 200, 1.0)  # warm
            _ask(bare, token, 200, 1.0)
            steady = [
                (_ask(port, token, 500, seconds), _ask(bare, token, 500, seconds)) for _ in range(rounds)
            ]
            most = [(_ask(port, token, 0, seconds), _ask(bare, token, 0, seconds)) for _ in range(rounds)]
    return [
        _compared("create a run over HTTP, durable, 500/s: p99", steady, "p99_ms", "ms", "<= 20"),
        _compared("  p50", steady, "p50_ms", "ms"),
        _compared("create runs over HTTP, durable, 64 at a time", most, "rate", "runs/s", ">= 4000"),
        _compared("  p99 then", most, "p99_ms", "ms"),
        _row("  the client's share of a processor then", most[-1][0]["cpu"], ""),
    ]


def _ask(port: int, token: str, rate: float, seconds: float) -> dict[str, Any]:
    argv = [str(port), token, str(rate), str(seconds), "64" if not rate else "128"]
    return _client("requests", *argv)


# --- followers --------------------------------------------------------------------------------------------------------


def _followed(rounds: int, seconds: float) -> list[Figure]:
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(_follow("stream", seconds))
        bare.append(_follow("bare", seconds))
    pairs = list(zip(ours, bare, strict=True))
    name = f"lines to {FOLLOWERS:,} followers, {STALLED} of them stalled, {LINES} a second each"
    return [
        _compared(name, pairs, "rate", "lines/s", ">= 500000"),
        _compared("  p99 from the write to the client", pairs, "p99_ms", "ms", "<= 200"),
        _compared("  the server's memory a follower", pairs, "kb", "kB", "<= 30"),
        _compared("  the server's share of a processor", pairs, "server_cpu", ""),
        _row("  the client's share of a processor", ours[-1]["cpu"], ""),
    ]


def _follow(kind: str, seconds: float) -> dict[str, Any]:
    with _server(kind, str(LINES)) as (port, pid):
        before = _rss(pid)
        argv = [str(port), "/log", str(FOLLOWERS), str(STALLED), str(seconds)]
        client = _start("benchmarks.http_load", "followers", *argv)
        cpu, begun = _cpu(pid), time.perf_counter()
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        used = (_cpu(pid) - cpu) / (time.perf_counter() - begun)
        held = _rss(pid) - before
        told = json.loads(client.communicate("\n")[0])
    return {**told, "kb": held / KB / FOLLOWERS, "server_cpu": used}


# --- memory -----------------------------------------------------------------------------------------------------------


def _memory() -> list[Figure]:
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="http-") as folder, _up(folder) as (_, _, pid):
        time.sleep(2.0)  # what a start leaves behind is given back by then
        agent = next(
            child for child in _children(pid) if b"agent" in Path(f"/proc/{child}/cmdline").read_bytes()
        )
        both = [pid, agent]
        return [
            _row("`relevo up`, idle, and its agent: RSS of both", sum(map(_rss, both)) / MB, "MB", "<= 90"),
            _row("  their share of it (PSS)", sum(map(_pss, both)) / MB, "MB"),
        ]


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    folder = (
        Path(f"/proc/{pid}/environ").read_bytes().partition(b"RELEVO_HOME=")[2].partition(b"\0")[0].decode()
    )
    return [
        int(line.split()[0])
        for line in found.splitlines()
        if folder in line and "relevo.assembly.agent" in line
    ]


# --- processes --------------------------------------------------------------------------------------------------------


def _start(module: str, *argv: str, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **environment}
    return subprocess.Popen(
        [sys.executable, "-m", module, *argv],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=FOLDER,
    )


@contextmanager
def _server(kind: str, *argv: str) -> Iterator[tuple[int, int]]:
    process = _start("benchmarks.http_servers", kind, *argv)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _up(folder: str) -> Iterator[tuple[int, str, int]]:
    process = _start("relevo.cli.main", "up", "--port", "0", RELEVO_HOME=f"{folder}/home")
    assert process.stdout is not None
    try:
        text = ""
        while not (found := re.search(r"token +(rlv_\w+)", text)):
            text += process.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", text)
        assert port is not None
        yield int(port[1]), found[1], process.pid
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _client(*argv: str) -> dict[str, Any]:
    process = _start("benchmarks.http_load", *argv)
    told, _ = process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(told)
    return found


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE)[1]) * KB  # type: ignore[index]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _compared(
    name: str,
    pairs: list[tuple[dict[str, Any], dict[str, Any]]],
    key: str,
    unit: str,
    goal: str | None = None,
) -> Figure:
    ours, bare = [a[key] for a, _ in pairs], [b[key] for _, b in pairs]
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    return figure(name, Comparison(Spread.of(ours), Spread.of(bare), Spread.of(ratios)), unit, goal)


def _row(name: str, value: float, unit: str, goal: str | None = None) -> Figure:
    return {"name": name, "value": value, "unit": unit, "baseline": None, "ratio": None, "goal": goal}


if __name__ == "__main__":
    from benchmarks.harness import table

    print(table(run("--quick" in sys.argv)))
