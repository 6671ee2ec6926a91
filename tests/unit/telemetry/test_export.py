"""How traces of ended runs come to a receiver: once each, whatever becomes of engine and receiver, and at nobody's expense."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from relevo.core import measured
from relevo.domain import events as e
from relevo.domain.stored import Stored
from relevo.orchestrator.public import ends_run
from relevo.telemetry import export, settings
from relevo.telemetry.export import Exporter, Unreachable
from relevo.telemetry.spans import Span, Trace


class Sender:
    """Takes what it is sent, or not."""

    def __init__(self) -> None:
        self.spans: list[str] = []
        self.answers: list[bool | str] = []  #: to the next requests; then True
        self.closed = False

    def send(self, trace: Trace, spans: Sequence[Span]) -> bool:
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, str):
            raise Unreachable(answer)
        if answer:
            self.spans += [span.id for span in spans]
        return answer

    def close(self) -> None:
        self.closed = True


def trace_of(run: str, history: Sequence[Stored]) -> Trace:
    """Three spans for each run; "off…" is not sampled."""
    made = [Span("step", run, f"{run}.{number}", None, 0) for number in range(3)]
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" if run.startswith("off") else ""
    return Trace(run, given=given, spans=made)


class Store:
    def __init__(self) -> None:
        self.ends: dict[str, Stored] = {}

    def end(self, run: str) -> int:
        sequence = len(self.ends) + 1
        self.ends[run] = Stored(sequence, run, 1, 1, 0, e.encode([e.RunEnded("succeeded")]))
        return sequence

    async def read(self, run: str) -> Sequence[Stored]:
        return [self.ends[run]] if run in self.ends else []

    async def scan(self, after: int) -> AsyncIterator[Sequence[Stored]]:
        for stored in list(self.ends.values()):
            if stored.sequence > after:
                yield [stored]


class World:
    """A store and a receiver, and exporters one after another."""

    def __init__(self, cursor: str) -> None:
        self.store = Store()
        self.sender = Sender()
        self.cursor = cursor

    def open(self, connect: Callable[[], Any] | None = None) -> Exporter:
        exporter = Exporter(
            asyncio.get_running_loop(),
            read=self.store.read,
            scan=self.store.scan,
            ends=ends_run,
            derive=trace_of,
            connect=connect or (lambda: self.sender),
            where="there",
            cursor=self.cursor,
            last=len(self.store.ends),
        )
        exporter.open()
        return exporter

    def ends(self, exporter: Exporter, run: str) -> None:
        exporter.ended(run, self.store.end(run))

    def sent(self, *runs: str) -> bool:
        return self.sender.spans == [f"{run}.{number}" for run in runs for number in range(3)]


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "AGAIN_S", (0.01,))
    return World(str(tmp_path / "cursor"))


def outcomes() -> dict[str, float]:
    return {values[0]: child.value for values, child in measured.TRACES.children()}


async def test_what_ended_is_sent_once(world):
    before = outcomes().get("sent", 0)
    exporter = world.open()
    for run in ("a", "b"):
        world.ends(exporter, run)
    await exporter.close()
    assert world.sent("a", "b")
    assert world.sender.closed
    assert outcomes()["sent"] == before + 2
    await exporter.close()


async def test_the_next_engine_sends_what_was_left(world):
    first = world.open()
    world.ends(first, "a")
    await first.close()
    world.store.end("b")  # and the engine was killed
    second = world.open()
    world.ends(second, "c")
    await second.close()
    assert world.sent("a", "b", "c")


async def test_what_ended_before_anybody_exported_is_not_sent(world):
    world.store.end("old")
    exporter = world.open()
    world.ends(exporter, "a")
    await exporter.close()
    assert world.sent("a")
    settings.forget(world.cursor)
    world.store.end("meanwhile")
    await world.open().close()
    assert world.sent("a")


async def test_a_cursor_of_another_time_is_not_followed(world, monkeypatch):
    exporter = world.open()
    world.ends(exporter, "a")
    await exporter.close()
    monkeypatch.setattr(export, "BACKLOG", 1)
    for run in ("b", "c", "d"):
        world.store.end(run)
    await world.open().close()
    assert world.sent("a")


async def test_a_receiver_that_is_away_loses_nothing_and_is_told_of_once(world, caplog):
    exporter = world.open()
    world.sender.answers = ["Connection refused"] * 3
    for run in ("a", "b"):
        world.ends(exporter, run)
    while world.sender.answers:
        await asyncio.sleep(0)
    await exporter._idle.wait()
    while not world.sent("a", "b"):
        await asyncio.sleep(0)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == ["traces do not reach there: Connection refused; they wait, runs do not"]
    await exporter.close()


async def test_an_engine_that_goes_does_not_wait_for_a_receiver_that_is_away(world, monkeypatch):
    monkeypatch.setattr(export, "AGAIN_S", (3_600.0,))
    monkeypatch.setattr(export, "FLUSH_S", 3_600.0)
    exporter = world.open()
    world.sender.answers = ["Connection refused"]
    world.ends(exporter, "a")
    await asyncio.wait_for(exporter.close(), 60)
    assert world.sender.spans == []
    await world.open().close()
    assert world.sent("a"), "the next one sends it"


async def test_an_engine_that_goes_does_not_wait_for_ever_for_a_receiver_that_does_not_answer(
    world, monkeypatch, caplog
):
    asked, answer = threading.Event(), threading.Event()

    class Silent(Sender):
        def send(self, trace: Trace, spans: Sequence[Span]) -> bool:
            asked.set()
            return answer.wait() and False

        def close(self) -> None:
            answer.set()

    exporter = world.open(Silent)
    world.ends(exporter, "a")
    await asyncio.to_thread(asked.wait)
    with monkeypatch.context() as impatient:
        impatient.setattr(export, "FLUSH_S", 0.0)
        await exporter.close()
    told = [record.getMessage() for record in caplog.records]
    assert told == ["traces do not reach there: it is slow; they wait, runs do not"]
    await world.open().close()
    assert world.sent("a"), "the next one sends it"


async def test_who_was_taken_over_sends_nothing_more(world):
    exporter = world.open()
    world.ends(exporter, "a")
    await exporter.close(flush=False)
    assert world.sender.spans == []


async def test_what_a_receiver_refuses_is_dropped_and_counted(world):
    dropped = outcomes().get("dropped", 0)
    exporter = world.open()
    world.sender.answers = [False] * export.REFUSALS
    world.ends(exporter, "a")
    while world.sender.answers:
        await asyncio.sleep(0)
    world.ends(exporter, "b")
    await exporter.close()
    assert world.sent("b")
    assert outcomes()["dropped"] == dropped + 1


async def test_a_trace_that_was_sent_in_part_goes_on_where_it_was(world, monkeypatch):
    monkeypatch.setattr(export, "REQUEST_SPANS", 1)
    exporter = world.open()
    world.sender.answers = [True, True, "Connection reset", True, False, True]
    world.ends(exporter, "a")
    world.ends(exporter, "b")
    while world.sender.answers:
        await asyncio.sleep(0)
    await exporter.close()
    assert world.sent("a", "b")


async def test_what_waits_is_bounded(world, monkeypatch):
    monkeypatch.setattr(export, "PENDING_RUNS", 2)
    dropped = outcomes().get("dropped", 0)
    exporter = world.open()
    for run in ("a", "b", "c"):
        world.ends(exporter, run)
    assert measured.TRACES_WAITING.value == 2
    await exporter.close()
    assert world.sent("a", "b")
    assert outcomes()["dropped"] == dropped + 1


async def test_who_records_nothing_gets_nothing(world):
    exporter = world.open()
    for run in ("off", "a"):
        world.ends(exporter, run)
    await exporter.close()
    assert world.sent("a")


async def test_without_the_sdk_it_is_said_once_and_nothing_waits(world, caplog):
    def connect() -> Any:
        raise ImportError("no module named opentelemetry")

    exporter = world.open(connect)
    world.ends(exporter, "a")
    await exporter.close()
    world.ends(exporter, "b")
    assert [record.getMessage() for record in caplog.records] == [
        "traces are not sent to there: the SDK of OpenTelemetry is not installed: pip install 'relevo[otel]'"
    ]


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}, "http://a:4318"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b"},
            "http://b",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "TRUE"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "otlp"}, "http://a"),
        ({"OTEL_SERVICE_NAME": "x"}, ""),
    ],
)
def test_what_the_variables_say(environment, where):
    assert settings.endpoint(environment) == where


def test_another_protocol_is_refused():
    assert not settings.refusal({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})
    assert "4318" in settings.refusal({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
