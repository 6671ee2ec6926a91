"""An engine that plays a script: events and log bytes in the order that a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from relevo.domain.errors import UserError
from relevo.logs.contract import LogFrame
from relevo.orchestrator.api import Submission, Wait
from relevo.store.contract import RunRow

RUN = "r1"
METRICS = r"""# TYPE relevo_jobs counter
relevo_jobs_total{status="a \"b\"\n"} 3
# TYPE relevo_lag_seconds gauge
relevo_lag_seconds 0.25
relevo_lag_seconds NaN
# EOF
"""


def event(kind: str, at: int = 0, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "event": kind, "run": RUN, "at": at, **fields}


def job_added(job: str, **fields: Any) -> dict[str, Any]:
    return event("job.added", job=job, name=job, needs=[], labels=["ubuntu-latest"], **fields)


def step_started(job: str, step: int, name: str, at: int = 0, attempt: int = 1) -> dict[str, Any]:
    return event("step.started", at, job=job, attempt=attempt, step=step, name=name)


def step_finished(
    job: str, step: int, name: str, outcome: str = "success", at: int = 0, **fields: Any
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "attempt": 1,
        "conclusion": outcome,
        "exit_code": None,
        "message": "",
        "summary": "",
    }
    told |= fields
    return event("step.finished", at, job=job, step=step, name=name, outcome=outcome, **told)


def job_finished(job: str, status: str = "succeeded", at: int = 0, **fields: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"attempts": 1, "message": "", "outputs": {}, "infrastructure": False}
    return event("job.finished", at, job=job, status=status, **(told | fields))


def one_job(status: str = "succeeded", **fields: Any) -> list[dict[str, Any]]:
    """A run of one job with one step."""
    good = status == "succeeded"
    return [
        event("run.accepted", 1000, workflow="CI", title="push", trigger="push"),
        job_added("build"),
        event("job.queued", job="build"),
        event("run.started", 1000),
        event("job.assigned", 1000, job="build", attempt=1, agent="local"),
        event("job.running", 1000, job="build", attempt=1),
        step_started("build", 0, "Compile", 1000),
        step_finished(
            "build", 0, "Compile", "success" if good else "failure", 2500, exit_code=0 if good else 2
        ),
        event("attempt.finished", 2500, job="build", attempt=1, result=status, message="", log_size=6),
        job_finished("build", status, 2500, **fields),
        event("run.finished", 2600, status=status),
    ]


class FakeApi:
    """Plays `script`: events, and things to await before going on. `logs` maps a job to (step, bytes) pairs."""

    def __init__(
        self, script: list[Any], logs: dict[str, list[tuple[int, bytes]]] | None = None, *, stored: int = 0
    ) -> None:
        self.script = [
            dict(item, seq=n + 1) if isinstance(item, dict) else item for n, item in enumerate(script)
        ]
        self.logs = logs or {}
        self.stored = stored  #: how many items of the script had happened before anybody looked
        self.calls: list[tuple[Any, ...]] = []
        self.cancelled = asyncio.Event()
        self.forced = asyncio.Event()
        self.row = RunRow(RUN, "running", "CI", "push", "push", 0, True, 1000, None, 1, 0, None, 1, False)
        self.rows = [self.row]
        self.waits: list[Wait] = []

    async def why(self, run: str, job: str | None = None) -> list[Wait]:
        self.calls.append(("why", run, job))
        return self.waits

    async def submit(self, submission: Submission) -> str:
        self.calls.append(("submit", submission))
        return RUN

    async def events(self, run: str, after: int = 0, *, follow: bool = True) -> AsyncIterator[dict[str, Any]]:
        self.calls.append(("events", run, after, follow))
        items = self.script if follow else self.script[: self.stored or len(self.script)]
        for item in items:
            if isinstance(item, Exception):
                raise item
            if not isinstance(item, dict):
                if follow:
                    await item()
            elif item["seq"] > after:
                yield item

    async def log(
        self, run: str, job: str, *, attempt: int | None = None, start: int = 0, follow: bool = False
    ) -> AsyncIterator[LogFrame]:
        offset = 0
        for step, data in self.logs.get(job, []):
            if offset >= start:
                yield LogFrame(offset, step, 1_700_000_000_123, data)
            offset += len(data)

    async def cancel(self, run: str, *, force: bool = False) -> None:
        self.calls.append(("cancel", run, force))
        (self.forced if force else self.cancelled).set()

    async def retry(
        self,
        run: str,
        *,
        failed: bool = False,
        job: str | None = None,
        secrets: dict[str, str] | None = None,
        traceparent: str = "",
        tracestate: str = "",
    ) -> str:
        self.traced = traceparent
        self.calls.append(("retry", run, failed, job, secrets))
        return RUN

    async def fail(self, run: str, *, job: str) -> None:
        self.calls.append(("fail", run, job))

    async def delivered(self, run: str) -> None:
        self.calls.append(("delivered", run))

    async def runs(self, *, live: bool | None = None, limit: int = 50) -> list[RunRow]:
        return [row for row in self.rows if live is None or row.live == live][:limit]

    async def find(self, prefix: str) -> RunRow:
        for row in self.rows:
            if prefix == "latest" or row.run.startswith(prefix):
                return row
        raise UserError(f"there is no run {prefix}", hint="relevo runs lists them")

    async def prune(self, **limits: Any) -> dict[str, Any]:
        self.calls.append(("prune", limits))
        return {"runs": ["r0"], "bytes": 1234, "caches": 2, "cache_bytes": 5678, "dry": limits["dry"]}

    async def ping(self) -> dict[str, Any]:
        return {"pid": 1, "epoch": 1, "version": "0", "live": 1}

    async def metrics(self) -> str:
        return METRICS

    async def actors(self) -> list[dict[str, Any]]:
        return [{"path": "/engine", "kind": "Engine", "state": "running", "mailbox": 0}]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[FakeApi]:
        yield self
