"""How a run is followed, in one process, with a view that writes down what it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relevo.cli import live_logs, watch
from relevo.cli.signals import Signals
from relevo.domain.errors import DamagedError
from relevo.logs.contract import LogFrame
from relevo.orchestrator.api import Wait
from relevo.orchestrator.progress import Progress
from tests.unit.cli.fake import RUN, FakeApi, event, one_job


class Notes:
    """A view."""

    wants_logs = True
    explains = True
    seen = True

    def reasons(self, reasons: dict[str, str]) -> None:
        self.told.append(reasons)

    def __init__(self) -> None:
        self.told: list[Any] = []

    def caught_up(self, progress: Progress) -> None:
        self.told.append("caught up")

    def event(self, event: dict[str, Any], progress: Progress) -> None:
        self.told.append(event["event"])

    def log(self, job: str, step: int, data: bytes) -> None:
        self.told.append(data)

    def summary(self, progress: Progress, tails: dict[str, list[str]]) -> None:
        self.told.append(tails)

    async def room(self) -> None: ...

    async def flushed(self) -> bool:
        return self.seen


async def follow(api: FakeApi, view: Notes, *, resumed: bool = False, owns: bool = True) -> int:
    return await watch.follow(api, RUN, view, Signals(), resumed=resumed, owns=owns)


async def test_log_bytes_stand_between_the_start_and_the_end_of_their_step() -> None:
    api = FakeApi(one_job("failed"), {"build": [(0, b"one\n"), (0, b"two\n")]})
    view = Notes()
    assert await follow(api, view) == 1
    steps = [told for told in view.told if isinstance(told, bytes) or str(told).startswith("step")]
    assert steps == ["step.started", b"one\n", b"two\n", "step.finished"]
    assert view.told[-1] == {"build": ["one", "two"]}


async def test_the_summary_counts_as_delivered_only_when_somebody_saw_it() -> None:
    for seen, owns in [(True, True), (False, True), (True, False)]:
        api, view = FakeApi(one_job()), Notes()
        view.seen = seen
        await follow(api, view, owns=owns)
        assert (("delivered", RUN) in api.calls) == (seen and owns)


class NoEnd(FakeApi):
    """The log of an attempt that was lost: its end never comes."""

    async def log(self, run: str, job: str, **_: Any) -> AsyncIterator[LogFrame]:
        yield LogFrame(0, 0, 0, b"last words\n")
        await asyncio.Event().wait()


async def test_a_log_without_an_end_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_logs, "END_S", 0.0)
    view = Notes()
    assert await follow(NoEnd(one_job("failed", infrastructure=True)), view) == 4
    assert b"last words\n" in view.told
    assert len(asyncio.all_tasks()) == 1


class Unreadable(FakeApi):
    async def log(self, run: str, job: str, **_: Any) -> AsyncIterator[LogFrame]:
        raise DamagedError("a checksum is off", where="000001.seg at 17")
        yield


async def test_a_log_that_cannot_be_read_does_not_hide_the_run() -> None:
    view = Notes()
    assert await follow(Unreadable(one_job()), view) == 0
    assert "warning" in view.told


async def test_what_has_happened_before_is_not_told_again() -> None:
    api = FakeApi(one_job(), {"build": [(0, b"hello\n")]}, stored=7)
    view = Notes()
    assert await follow(api, view, resumed=True) == 0
    assert view.told == [
        "caught up",
        b"hello\n",
        "step.finished",
        "attempt.finished",
        "job.finished",
        "run.finished",
        {},
    ]


async def test_a_held_run_that_is_resumed_asks_at_once() -> None:
    script = [*one_job()[:7], event("job.held", job="build", attempt=1, message=""), event("run.held")]
    api = FakeApi([*script, asyncio.Event().wait], stored=9)
    assert await follow(api, Notes(), resumed=True) == 3


async def test_a_job_that_was_not_followed_shows_its_end_as_well() -> None:
    view = Notes()
    view.wants_logs = False
    await follow(FakeApi(one_job("failed"), {"build": [(0, b"why\n")]}), view)
    assert view.told[-1] == {"build": ["why"]}


async def test_why_a_job_waits_is_told_once_it_has_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EXPLAIN_S", 0.0)
    told = asyncio.Event()

    class Explained(Notes):
        def reasons(self, reasons: dict[str, str]) -> None:
            super().reasons(reasons)
            if reasons:
                told.set()

    steps = one_job()
    queued = next(n for n, item in enumerate(steps) if item["event"] == "job.queued") + 1
    api = FakeApi([*steps[:queued], told.wait, *steps[queued:]])
    api.waits = [
        Wait(RUN, "build", 0, "queued", "slot", "waits for a free slot"),
        Wait(RUN, "other", 1, "pending", "needs", "has only just begun to wait"),
    ]
    view = Explained()
    assert await follow(api, view) == 0
    assert {"build": "waits for a free slot"} in view.told


async def test_a_view_that_shows_no_reasons_costs_no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EXPLAIN_S", 0.0)
    view = Notes()
    view.explains = False
    api = FakeApi(one_job())
    await follow(api, view)
    assert ("why", RUN, None) not in api.calls
