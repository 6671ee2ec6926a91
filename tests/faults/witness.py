"""A workflow whose steps witness themselves, and what the witness and the logs must say once its run has ended.

Each step appends `begin ATTEMPT STEP` and `end ATTEMPT STEP` to one file: what really ran, whatever anybody recorded.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from typing import Any, Final, NamedTuple

from tests.faults.world import World

MADE_LINES: Final = 20_000

_LINE = re.compile(r"(begin|end) ([^/ ]+)/(\d+)/(\d+) (\d+)")


class Step(NamedTuple):
    """One step: what it prints is a range of numbers, so that what its log must hold is known."""

    first: int
    last: int
    sleep_s: float
    idempotent: bool = True
    gated: bool = False  #: waits until `World.open_gate`
    runaway: bool = False  #: leaves a process behind that left its session and cleared its environment


class Job(NamedTuple):
    id: str
    needs: tuple[str, ...]
    legs: int
    steps: tuple[Step, ...]
    artifact: bool = False
    takes: str = ""  #: the job whose artifact it downloads

    def names(self) -> list[str]:
        return [self.id] if self.legs == 1 else [f"{self.id} ({leg})" for leg in range(1, self.legs + 1)]


def some_jobs(rnd: random.Random, *, once: bool = False) -> list[Job]:
    """A small graph: legs, a chain, artifacts now and then; with `once`, a job with a step that must not run twice."""
    artifact = rnd.random() < 0.35
    jobs = [Job("build", (), rnd.choice((2, 3)), _steps(rnd, rnd.choice((2, 3))), artifact=artifact)]
    if rnd.random() < 0.5:
        jobs.append(Job("lint", (), 1, _steps(rnd, 2)))
    jobs.append(
        Job("test", ("build",), rnd.choice((1, 2)), _steps(rnd, 2), takes="build" if artifact else "")
    )
    if once:
        jobs.append(Job("once", (), 1, (*_steps(rnd, 1), Step(1, 20, 0.15, idempotent=False))))
    return jobs


def _steps(rnd: random.Random, count: int) -> tuple[Step, ...]:
    found = []
    for _ in range(count):
        first = rnd.randrange(1, 1_000)
        length = rnd.choice((1, 30, 3_000, 40_000))
        found.append(
            Step(first, first + length, rnd.choice((0.0, 0.02, 0.08, 0.2)), runaway=rnd.random() < 0.15)
        )
    return tuple(found)


def workflow(jobs: list[Job], world: World, *, grouped: bool = False) -> str:
    """The jobs as a workflow file. `grouped`: the run has a concurrency group, and legs of a matrix share one."""
    lines = ["on: workflow_dispatch"]
    if grouped:
        lines.append("concurrency: {group: whole, queue: max}")
    lines.append("jobs:")
    for job in jobs:
        lines.append(f"  {job.id}:")
        lines.append("    runs-on: ubuntu-latest")
        if job.needs:
            lines.append(f"    needs: [{', '.join(job.needs)}]")
        if job.legs > 1:
            lines.append(
                f"    strategy: {{matrix: {{leg: [{', '.join(map(str, range(1, job.legs + 1)))}]}}}}"
            )
            if grouped:
                lines.append(f"    concurrency: {{group: legs-{job.id}, queue: max}}")
        lines.append("    steps:")
        if job.takes:
            lines.append("      - uses: actions/download-artifact@v4")
            lines.append(f"      - run: test $(cat {job.takes}-1/made.txt | wc -l) = {MADE_LINES + 1}")
        for index, step in enumerate(job.steps):
            lines += _step(index, step, world)
        if job.artifact:
            name = f"{job.id}-${{{{ matrix.leg }}}}" if job.legs > 1 else job.id
            # Where the disk is full, what a command writes is its own affair: this one waits for room.
            lines.append(
                f"      - run: until seq 1 {MADE_LINES} > made.txt && echo $GITHUB_JOB ${{{{ matrix.leg }}}} >> made.txt;"
                " do sleep 0.1; done"
            )
            lines.append("      - uses: actions/upload-artifact@v4")
            lines.append(f"        with: {{name: '{name}', path: made.txt}}")
    return "\n".join(lines) + "\n"


def _step(index: int, step: Step, world: World) -> list[str]:
    found = ["      - run: |"]
    found.append(f'          echo "begin $RELEVO_ATTEMPT {index}" >> {world.witness}')
    found.append(f"          seq {step.first} {step.last}")
    if step.runaway:
        # It lives on until somebody ends it; its command line tells whose it is.
        forever = f": {world.folder}; while :; do sleep 1; done"
        found.append(f"          setsid -f env -i /bin/sh -c '{forever}' < /dev/null > /dev/null 2>&1")
    if step.gated:
        found.append(f"          while [ ! -e {world.gate} ]; do sleep 0.02; done")
    if step.sleep_s:
        found.append(f"          sleep {step.sleep_s}")
    found.append('          echo "step of $RELEVO_ATTEMPT"')
    found.append(f'          echo "end $RELEVO_ATTEMPT {index}" >> {world.witness}')
    if not step.idempotent:
        found.append("        relevo: {idempotent: false}")
    return found


def log_of(job: Job, attempt: str) -> bytes:
    """What the steps of a whole attempt print, byte for byte."""
    text = []
    for step in job.steps:
        text += [f"{number}\n" for number in range(step.first, step.last + 1)]
        text.append(f"step of {attempt}\n")
    return "".join(text).encode()


class Verdict(NamedTuple):
    """What is wrong, by kind; all empty when nothing is."""

    lost: list[str]
    repeated: list[str]
    false_green: list[str]
    log: list[str]
    orphans: list[str]

    @property
    def fine(self) -> bool:
        return not any(self)


def judge(
    world: World,
    jobs: list[Job],
    result: dict[str, Any],
    events: list[dict[str, Any]],
    *,
    retried: frozenset[str] = frozenset(),
) -> Verdict:
    """Hold the result of a run against what its steps witnessed. `retried`: jobs that a person ran again."""
    verdict = Verdict([], [], [], [], [])
    text = world.witness.read_text() if world.witness.exists() else ""
    seen = [found.groups() for found in map(_LINE.fullmatch, text.splitlines()) if found]
    if len(seen) != len(text.splitlines()):
        verdict.lost.append("the witness has a line that no step wrote")
    seen = [found for found in seen if found[1] == result["run"]]
    for (word, _, job, number, step), count in Counter(seen).items():
        if count > 1:
            verdict.repeated.append(f"{word} of step {step} of job {job}, attempt {number}: {count} times")
    _no_two_at_once(seen, verdict)
    ends = _ends(events)
    by_attempt: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for word, _, job, number, step in seen:
        by_attempt[job, number].add((word, step))
    index = _indexes(events)
    for job in jobs:
        for name in job.names():
            _judge_job(job, name, index, result, ends, by_attempt, verdict, retried)
    _judge_logs(world, jobs, index, result, verdict)
    verdict.log.extend(world.problems())
    return verdict


def _judge_job(
    job: Job,
    name: str,
    index: dict[str, int],
    result: dict[str, Any],
    ends: dict[tuple[str, int], list[str]],
    by_attempt: dict[tuple[str, str], set[tuple[str, str]]],
    verdict: Verdict,
    retried: frozenset[str],
) -> None:
    told = result["jobs"].get(name)
    if told is None:
        verdict.lost.append(f"job {name} is not in the result")
        return
    if told["status"] != "succeeded":
        verdict.lost.append(f"job {name} is {told['status']}")
        return
    last = told["attempts"]
    number = str(index[name])
    wanted = {(word, str(step)) for word in ("begin", "end") for step in range(len(job.steps))}
    witnessed = by_attempt[number, str(last)]
    if witnessed != wanted:
        missing = sorted(wanted - witnessed)
        verdict.false_green.append(f"job {name} succeeded in attempt {last} without {missing}")
    for owner, attempt in by_attempt:
        if owner == number and int(attempt) > last:
            verdict.repeated.append(f"job {name} ran in attempt {attempt} after attempt {last} was accepted")
    for attempt in range(1, last):
        if ends.get((name, attempt)) != ["lost"]:
            verdict.repeated.append(
                f"job {name}: attempt {attempt} ended as {ends.get((name, attempt))}, and was repeated"
            )
    if ends.get((name, last)) != ["succeeded"]:
        verdict.false_green.append(f"job {name}: attempt {last} ended as {ends.get((name, last))}")
    once = [position for position, step in enumerate(job.steps) if not step.idempotent]
    for position in once:
        runs = [
            key for key, lines in by_attempt.items() if key[0] == number and ("begin", str(position)) in lines
        ]
        if len(runs) > 1 + (name in retried):
            verdict.repeated.append(f"job {name}: step {position} must not repeat, and ran in {runs}")


def _judge_logs(
    world: World, jobs: list[Job], index: dict[str, int], result: dict[str, Any], verdict: Verdict
) -> None:
    done = {name for name, told in result["jobs"].items() if told["status"] == "succeeded"}
    logs = world.logs(result["run"], sorted(done))
    for job in jobs:
        for name in done.intersection(job.names()):
            wrote = log_of(job, f"{result['run']}/{index[name]}/{result['jobs'][name]['attempts']}")
            log = logs[name]
            # Native actions have something to say too: theirs is before, or after, what the steps wrote.
            exact = (
                log.startswith(wrote) if job.artifact else log.endswith(wrote) if job.takes else log == wrote
            )
            if not exact:
                verdict.log.append(
                    f"job {name}: {len(log)} bytes are not the {len(wrote)} that its steps wrote"
                )
    if done:
        name = min(done)
        shown, held = world.log(result["run"], name), logs[name]
        if shown != held:
            same = next(
                (at for at, (one, other) in enumerate(zip(shown, held, strict=False)) if one != other), -1
            )
            verdict.log.append(
                f"job {name}: `relevo logs --raw` gives {len(shown)} bytes, read here they are {len(held)}; from {same} on "
                f"(-1: one is the beginning of the other) {shown[same:][:60]!r} and {held[same:][:60]!r}"
            )


def _no_two_at_once(seen: list[tuple[str, ...]], verdict: Verdict) -> None:
    newest: dict[str, int] = {}
    for _, _, job, number, step in seen:
        if int(number) < newest.get(job, 0):
            verdict.repeated.append(
                f"job {job}: attempt {number} was still at step {step} after a newer one had begun"
            )
        newest[job] = max(newest.get(job, 0), int(number))


def _ends(events: list[dict[str, Any]]) -> dict[tuple[str, int], list[str]]:
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for event in events:
        if event.get("event") == "attempt.finished":
            found[event["job"], event["attempt"]].append(event["result"])
    return found


def _indexes(events: list[dict[str, Any]]) -> dict[str, int]:
    """The number that each job has in the names of its attempts."""
    names = [event["job"] for event in events if event.get("event") == "job.added"]
    return {name: position for position, name in enumerate(names)}
