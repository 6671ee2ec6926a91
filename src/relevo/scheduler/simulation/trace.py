"""Loads in files: CSV with a head, or JSON lines. docs/simulation.md has the format.

One row for each job: `submit` and `duration` (seconds, or `10m`), and, where there is something to say, `job` (its name, unique in its
run), `run`, `tenant`, `labels`, `cpus`, `memory`,
`resources` (`gpu=1`), `priority`, `deadline` (after submission), `needs` (names of jobs of the same run), `preemptible` (`true`), and what
`relevo:` of a job may say of where it runs. Whatever is wrong is told by file and line.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from io import StringIO
from math import inf, isfinite
from typing import Any, Final, cast

from relevo.domain.errors import UserError
from relevo.scheduler.demand import Demand, Domain, Rules
from relevo.scheduler.simulation.workload import JOB_LIMIT, Job, Workload
from relevo.workflow import quantities
from relevo.workflow.label_expressions import parse as parse_labels
from relevo.workflow.label_expressions import text as text_of
from relevo.workflow.labels import canonical

COLUMNS: Final = (
    "submit",
    "duration",
    "job",
    "run",
    "tenant",
    "labels",
    "cpus",
    "memory",
    "resources",
    "priority",
    "deadline",
    "needs",
    "preemptible",
    "where",
    "prefers",
    "tolerates",
    "near",
    "apart",
    "over",
)
REQUIRED: Final = COLUMNS[:2]
#: Over what jobs are kept apart.
DOMAINS: Final = ("node", "pool", "zone")
#: Characters of a line at most.
LINE_LIMIT: Final = 65_536
#: What a priority may be.
PRIORITY_LIMIT: Final = 1_000_000


def read(path: str) -> Workload:
    """The load that a file holds. Raises UserError that names file and line."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return parse(file, path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from error


def parse(lines: Iterable[str], path: str) -> Workload:
    """The load that lines hold; `path` names them. Raises UserError."""
    rows = _rows(lines, path)
    jobs: list[Job] = []
    places: list[int] = []
    needs: list[tuple[str, ...]] = []
    known: dict[tuple[str, str], int] = {}
    demands: dict[Demand, Demand] = {}
    for line, row in rows:
        if len(jobs) == JOB_LIMIT:
            raise UserError(f"{path}:{line}: a load has at most {JOB_LIMIT:,} jobs")
        try:
            job, needed = _job(row, line)
        except ValueError as error:
            raise UserError(f"{path}:{line}: {error}") from error
        if (job.run, job.name) in known:
            first = places[known[job.run, job.name]]
            raise UserError(f"{path}:{line}: run {job.run!r} has a job {job.name!r} already, in line {first}")
        known[job.run, job.name] = len(jobs)
        demand = demands.setdefault(job.demand, job.demand)
        jobs.append(job._replace(demand=demand))
        places.append(line)
        needs.append(needed)
    if not jobs:
        raise UserError(f"{path}: no jobs in it", hint=f"it needs the columns {' and '.join(REQUIRED)}")
    for position, needed in enumerate(needs):
        if needed:
            job = jobs[position]
            missing = [name for name in needed if (job.run, name) not in known]
            if missing:
                raise UserError(
                    f"{path}:{places[position]}: it needs {missing[0]!r}, and run {job.run!r} has no such job"
                )
            jobs[position] = job._replace(needs=tuple(known[job.run, name] for name in dict.fromkeys(needed)))
    return Workload(jobs, lambda position: f"{path}:{places[position]}")


def _rows(lines: Iterable[str], path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with the number of its line."""
    numbered = _numbered(lines, path)
    first = next(numbered, None)
    if first is None:
        raise UserError(f"{path}: it is empty")
    if first[1].lstrip().startswith("{"):
        yield from _json_rows(first, numbered, path)
    else:
        yield from _csv_rows(first, numbered, path)


def _numbered(lines: Iterable[str], path: str) -> Iterator[tuple[int, str]]:
    """Lines that are not empty."""
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_LIMIT:
            raise UserError(f"{path}:{number}: a line has at most {LINE_LIMIT:,} characters")
        if line.strip():
            yield number, line


def _json_rows(
    first: tuple[int, str], rest: Iterator[tuple[int, str]], path: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    def chained() -> Iterator[tuple[int, str]]:
        yield first
        yield from rest

    for number, line in chained():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: each line must be one JSON object")
        unknown = [key for key in row if key not in COLUMNS]
        if unknown:
            raise UserError(
                f"{path}:{number}: unknown key {unknown[0]!r}", hint=f"known are {', '.join(COLUMNS)}"
            )
        yield number, row


def _csv_rows(
    first: tuple[int, str], rest: Iterator[tuple[int, str]], path: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    head = [name.strip() for name in next(csv.reader([first[1]]))]
    unknown = [name for name in head if name not in COLUMNS]
    missing = [name for name in REQUIRED if name not in head]
    if unknown or missing or len(set(head)) < len(head):
        wrong = (
            f"unknown column {unknown[0]!r}"
            if unknown
            else f"column {missing[0]!r} is missing"
            if missing
            else "a column is there twice"
        )
        raise UserError(
            f"{path}:{first[0]}: {wrong}",
            hint=f"the first line names the columns, of {', '.join(COLUMNS)}",
        )
    for number, line in rest:
        if line.count('"') % 2:
            raise UserError(f"{path}:{number}: a quote is not closed")
        cells = next(csv.reader([line]))
        if len(cells) != len(head):
            raise UserError(f"{path}:{number}: {len(cells)} cells, and the head has {len(head)}")
        yield number, dict(zip(head, (cell.strip() for cell in cells), strict=True))


def _job(row: dict[str, Any], line: int) -> tuple[Job, tuple[str, ...]]:
    """A row as a job, and the names of those that it needs. Raises ValueError."""
    labels, extras = _words(row, "labels"), _resources(row)
    cpus, memory = row.get("cpus"), row.get("memory")
    demand = Demand(
        frozenset(map(canonical, labels)),
        None if cpus in (None, "") else quantities.cpus(_plain("cpus", cpus)),
        None if memory in (None, "") else quantities.memory_bytes(_plain("memory", memory)),
        extras,
        _rules(row),
    )
    job = Job(
        name=_name(row, "job") or f"job-{line}",
        run=_name(row, "run") or f"run-{line}",
        submit_s=_time(row, "submit"),
        duration_s=_time(row, "duration"),
        tenant=_name(row, "tenant"),
        demand=demand,
        priority=_priority(row.get("priority")),
        deadline_s=inf if row.get("deadline") in (None, "") else _time(row, "deadline"),
        preemptible=_flag(row, "preemptible"),
    )
    return job, tuple(_words(row, "needs"))


def _rules(row: dict[str, Any]) -> Rules | None:
    """What `relevo:` of a job may say of where it runs. Raises ValueError."""
    where, prefers = (_name(row, key) for key in ("where", "prefers"))
    over = _name(row, "over") or "node"
    if over not in DOMAINS:
        raise ValueError(f"over is one of {', '.join(DOMAINS)}, not {over!r}")
    found = Rules(
        parse_labels(where) if where else None,
        frozenset(map(str.lower, _words(row, "tolerates"))),
        parse_labels(prefers) if prefers else None,
        _name(row, "near"),
        _name(row, "apart"),
        cast("Domain", over),
    )
    return None if found._replace(apart_over="node") == Rules() else found


def _resources(row: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    """`gpu=1 disk=20Gi`, or the map of a JSON line. Raises ValueError."""
    value = row.get("resources")
    if isinstance(value, dict):
        pairs = [(name, "=", _plain(f"resources.{name}", amount)) for name, amount in value.items()]
    else:
        pairs = [word.partition("=") for word in _words(row, "resources")]
    found: dict[str, float] = {}
    for name, equals, amount in pairs:
        if not equals or not name or name in found:
            raise ValueError(f"resources must be like gpu=1 disk=20Gi, not {value!r}")
        found[name] = quantities.amount(name, amount)
    return tuple(sorted(found.items()))


def _time(row: dict[str, Any], key: str) -> float:
    value = row.get(key)
    if value is None or value == "":
        raise ValueError(f"{key} is missing")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{key} must be a number of seconds, not {value!r}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = float("inf")
    except ValueError:
        seconds = quantities.seconds(str(value))
    if not isfinite(seconds):
        raise ValueError(f"{key} is {value}: it must be a number of seconds")
    if seconds < 0:
        raise ValueError(f"{key} is negative: {seconds:g}")
    return seconds


def _flag(row: dict[str, Any], key: str) -> bool:
    value = row.get(key)
    if isinstance(value, str):
        value = {"true": True, "false": False, "": False}.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise ValueError(f"{key} must be true or false, not {value!r}")


def _plain(key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{key} must be a number or text, not {value!r}")
    return value if isinstance(value, str) else f"{value:.10f}".rstrip("0").rstrip(".")


def _name(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{key} must be text, not {value!r}")
    return str(value).strip()


def _words(row: dict[str, Any], key: str) -> list[str]:
    """Words of a cell, or the list of a JSON line."""
    value = row.get(key)
    if value is None:
        return []
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(word, str) and word.strip() for word in value):
        return [word.strip() for word in value]
    raise ValueError(f"{key} must be a list of names, not {value!r}")


def _priority(value: Any) -> int:
    if value is None or value == "":
        return 0
    try:
        if isinstance(value, bool | float):
            raise ValueError
        number = int(value)
    except (ValueError, TypeError):
        raise ValueError(f"priority must be a whole number, not {value!r}") from None
    if abs(number) > PRIORITY_LIMIT:
        raise ValueError(f"priority must be from {-PRIORITY_LIMIT:,} to {PRIORITY_LIMIT:,}, not {number:,}")
    return number


def write(workload: Workload, path: str) -> None:
    """Keep a load as a file that `read` takes: JSON lines if its name ends so, else CSV. Whole or not at all. Raises UserError."""
    text = _as_json(workload) if path.endswith((".jsonl", ".ndjson", ".json")) else _as_csv(workload)
    write_text(path, text)


def write_text(path: str, text: str | bytes) -> None:
    """Write a file whole or not at all. Raises UserError."""
    data = text.encode() if isinstance(text, str) else text
    folder = os.path.dirname(os.path.abspath(path))
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".relevo-", dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def _cells(job: Job, workload: Workload) -> dict[str, Any]:
    """What differs from what is meant where nothing is said. Times to the millisecond: what a home records."""
    demand = job.demand
    return {
        "submit": round(job.submit_s, 6),
        "duration": round(job.duration_s, 6),
        "job": job.name,
        "run": job.run,
        "tenant": job.tenant,
        "labels": sorted(demand.labels),
        "cpus": demand.cpus,
        "memory": demand.memory_bytes,
        "resources": [f"{name}={_number(amount)}" for name, amount in demand.extras],
        "priority": job.priority or None,
        "deadline": None if job.deadline_s == inf else round(job.deadline_s, 6),
        "needs": [workload.jobs[need].name for need in job.needs],
        "preemptible": "true" if job.preemptible else None,
        **_rule_cells(demand.rules or Rules()),
    }


def _rule_cells(rules: Rules) -> dict[str, Any]:
    return {
        "where": None if rules.where is None else text_of(rules.where),
        "prefers": None if rules.prefers is None else text_of(rules.prefers),
        "tolerates": sorted(rules.tolerates),
        "near": rules.near,
        "apart": rules.apart,
        "over": rules.apart_over if rules.apart and rules.apart_over != "node" else None,
    }


def _number(amount: float) -> str:
    return f"{amount:.3f}".rstrip("0").rstrip(".")


def _as_json(workload: Workload) -> str:
    return "".join(
        json.dumps(
            {key: value for key, value in _cells(job, workload).items() if value not in (None, "", [])},
            ensure_ascii=False,
        )
        + "\n"
        for job in workload.jobs
    )


def _as_csv(workload: Workload) -> str:
    rows = [_cells(job, workload) for job in workload.jobs]
    spaced = next(
        (name for row in rows for name in (*row["needs"], *row["labels"]) if any(map(str.isspace, name))),
        None,
    )
    if spaced is not None:
        raise UserError(
            f"{spaced!r} has a space, and CSV parts names by spaces",
            hint="write JSON lines: --export FILE.jsonl",
        )
    used = [key for key in COLUMNS if key in REQUIRED or any(row[key] not in (None, "", []) for row in rows)]
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(used)
    for row in rows:
        writer.writerow(
            [
                " ".join(value) if isinstance(value := row[key], list) else "" if value is None else value
                for key in used
            ]
        )
    return out.getvalue()
