"""The scripts that `driver.py` plays, by name."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from relevo.domain.errors import DamagedError, InfrastructureError, UserError
from tests.unit.cli.fake import RUN, FakeApi, event, job_added, job_finished, one_job, step_started

LOG = {"build": [(0, b"hello\n")]}


def succeeds() -> FakeApi:
    return FakeApi(one_job(), LOG)


def fails() -> FakeApi:
    return FakeApi(one_job("failed"), {"build": [(0, b"one\ntwo\nit broke\n")]})


def steps_without_line_ends() -> FakeApi:
    frames = [(0, b"first"), (1, b"second"), (1, b"\xff, too\n"), (2, b"third")]
    return FakeApi(one_job(), {"build": frames})


def lost() -> FakeApi:
    return FakeApi(one_job("failed", infrastructure=True, message="lost 3 times"), LOG)


def cancelled() -> FakeApi:
    return FakeApi(one_job("cancelled"), LOG)


def held() -> FakeApi:
    script = [
        *one_job()[:7],
        event("job.held", 3000, job="build", attempt=1, message="the agent went away"),
        event("run.held", 3000),
        asyncio.Event().wait,
    ]
    return FakeApi(script, LOG)


def held_with_legs() -> FakeApi:
    """A job is held, another one of a matrix has a name that shells split."""
    script = [*held().script[:-1], job_added("test (3.11, linux)")]
    return FakeApi(script, LOG)


class _Damaged(FakeApi):
    async def find(self, prefix: str) -> Any:
        raise DamagedError("checksum is off", where="relevo.db row 7")

    async def runs(self, **_: Any) -> Any:
        raise DamagedError("checksum is off", where="relevo.db row 7")


def damaged_home() -> FakeApi:
    return _Damaged([])


def refuses() -> FakeApi:
    return FakeApi([UserError("ci.yml:3:5: unknown key 'job'", hint="did you mean 'jobs'?")])


def damaged() -> FakeApi:
    return FakeApi([DamagedError("checksum is off", where="relevo.db row 7")])


def unreachable() -> FakeApi:
    return FakeApi([InfrastructureError("no room on the disk")])


def has_bug() -> FakeApi:
    return FakeApi([RuntimeError("boom")])


def waits_for_cancel() -> FakeApi:
    """Ends only when it is cancelled; says so on its log when it has begun."""
    api = FakeApi([], {"build": [(0, b"begun\n")]})
    api.script = FakeApi(
        [
            *one_job()[:7],
            api.cancelled.wait,
            event("run.cancelling", 3000, reason="cancelled by a user"),
            job_finished("build", "cancelled", 3000),
            event("run.finished", 3000, status="cancelled"),
        ]
    ).script
    api.stored = 7
    return api


def waits_for_force() -> FakeApi:
    api = waits_for_cancel()
    api.script[-2:-2] = [api.forced.wait]
    return api


def thousand_lines() -> FakeApi:
    return FakeApi(one_job(), {"build": [(0, b"a line of some length that fills the pipe\n" * 20_000)]})


def crowd() -> FakeApi:
    jobs = [f"job {number}" for number in range(2_000)]
    script = [event("run.accepted", 0, workflow="CI", title="CI", trigger="push")]
    script += [job_added(job) for job in jobs]
    for number, job in enumerate(jobs):
        script += [
            event("job.running", number * 10, job=job, attempt=1),
            step_started(job, 0, "Try", number * 10),
            job_finished(job, "failed" if number == 77 else "succeeded", number * 10 + 5),
        ]
    script.append(event("run.finished", 20_000, status="failed"))
    return FakeApi(script, {"job 77": [(0, b"the reason\n")]})


class _Ended(FakeApi):
    delivered_before = True

    def __init__(self, script: list[Any], *, delivered: bool) -> None:
        super().__init__(script, LOG)
        self.row = replace(self.row, live=False, status="succeeded", ended_ms=2600, delivered=delivered)
        self.rows = [self.row]


def ended_unseen() -> FakeApi:
    return _Ended(one_job(), delivered=False)


def ended_seen() -> FakeApi:
    return _Ended(one_job(), delivered=True)


class _Empty(FakeApi):
    @asynccontextmanager
    async def opened(self):  # type: ignore[no-untyped-def]
        self.rows = []
        yield self


def empty() -> FakeApi:
    return _Empty([])


assert RUN
