"""Steps a second through the process provider, two slots, beside `xargs -P2` with the very same bash line.

The provider alone: no engine, no spool. Output is captured and the exit code is checked, which xargs does not do.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, Worker, WorkerSpec
from relevo.providers.process import ProcessProvider

SLOTS = 2
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


class _Sink:
    def __init__(self) -> None:
        self.exit: Exit | None = None
        self.done = asyncio.get_running_loop().create_future()

    def output(self, data: bytes) -> None:
        raise AssertionError(f"a step that does nothing printed {data!r}")

    def ended(self, exit: Exit) -> None:
        self.done.set_result(exit)


async def _steps(worker: Worker, command: Command, count: int) -> None:
    for _ in range(count):
        sink = _Sink()
        await worker.start(command, sink)
        exit = await sink.done
        assert exit.ok, exit


async def _many_step_jobs(provider: ProcessProvider, command: Command, count: int) -> float:
    """Steps/s when each slot has one attempt with all its steps."""
    workers = [await provider.create(WorkerSpec(AttemptKey("bench", slot, 1), "/")) for slot in range(SLOTS)]
    started = time.perf_counter()
    await asyncio.gather(*(_steps(worker, command, count // SLOTS) for worker in workers))
    seconds = time.perf_counter() - started
    for worker in workers:
        await worker.destroy()
    return count / seconds


async def _one_step_jobs(provider: ProcessProvider, command: Command, count: int) -> float:
    """Steps/s when each attempt has one step: a worker is made and destroyed for each."""

    async def slot(number: int) -> None:
        for attempt in range(count // SLOTS):
            worker = await provider.create(WorkerSpec(AttemptKey("bench", number, attempt + 1), "/"))
            await _steps(worker, command, 1)
            await worker.destroy()

    started = time.perf_counter()
    await asyncio.gather(*(slot(number) for number in range(SLOTS)))
    return count / (time.perf_counter() - started)


def _xargs(line: str, count: int) -> float:
    bash = shutil.which("bash", path=ENV["PATH"]) or "bash"
    numbers = "".join(f"{number}\n" for number in range(count)).encode()
    started = time.perf_counter()
    subprocess.run(
        ["xargs", "-P", str(SLOTS), "-n", "1", bash, "-e", "-c", line, "step"],
        input=numbers,
        env=ENV,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return count / (time.perf_counter() - started)


async def _measure(quick: bool) -> list[dict[str, object]]:
    rounds, count = (3, 200) if quick else (7, 1000)
    bash = shutil.which("bash", path=ENV["PATH"]) or "bash"
    command = Command([bash, "-e", "-c", "true", "step"], ENV, "/")
    figures: dict[str, list[float]] = {"xargs": [], "many": [], "one": []}
    with tempfile.TemporaryDirectory() as folder:
        provider = ProcessProvider(folder)
        try:
            await _many_step_jobs(provider, command, 100)  # launchers are there, files are cached
            _xargs("true", 100)
            for _ in range(rounds):
                figures["xargs"].append(_xargs("true", count))
                figures["many"].append(await _many_step_jobs(provider, command, count))
                figures["one"].append(await _one_step_jobs(provider, command, count))
        finally:
            await provider.close()
    return [
        _row("steps/provider/many-step", figures["many"], figures["xargs"], 0.75),
        _row("steps/provider/one-step", figures["one"], figures["xargs"], 0.70),
    ]


def _row(name: str, values: list[float], baselines: list[float], goal: float) -> dict[str, object]:
    ratios = sorted(value / baseline for value, baseline in zip(values, baselines, strict=True))
    middle = len(values) // 2
    return {
        "name": name,
        "value": round(sorted(values)[middle], 1),
        "unit": "steps/s",
        "baseline": round(sorted(baselines)[middle], 1),
        "ratio": round(ratios[middle], 3),
        "ratio_min": round(ratios[0], 3),
        "ratio_max": round(ratios[-1], 3),
        "goal": f">= {goal} x xargs -P{SLOTS}",
    }


def run(quick: bool = False) -> list[dict[str, object]]:
    """Medians of interleaved rounds."""
    return asyncio.run(_measure(quick))


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    for row in run(quick="--quick" in sys.argv):
        print(row)
