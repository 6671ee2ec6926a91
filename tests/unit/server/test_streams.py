"""Streams over real sockets: nothing missing, nothing twice, whoever reads how slowly."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from relevo.server import feeds, hub
from tests.unit.server.client import Event, Stream
from tests.unit.server.conftest import Up


def texts(events: list[Event]) -> list[str]:
    return [line["text"] for event in events if event.kind == "lines" for line in event.data["lines"]]


async def test_what_is_sent_as_it_comes_is_refused_to_http_1_0(up: Up) -> None:
    run = await up.submit("mkdir out; echo x > out/a")
    await up.ended(run)
    job = f"/api/v1/runs/{run}/jobs/0/log"

    async def asked(path: str, version: str) -> Any:
        head = up.client.head("GET", path, {"Accept": "text/event-stream", "Connection": "close"})
        return await up.client.raw(head.replace(b" HTTP/1.1", b" HTTP/" + version.encode(), 1))

    for path in (
        f"/api/v1/runs/{run}/events",
        f"{job}/stream",
        f"/api/v1/runs/{run}/log/frames?job=a",
        "/api/v1/stream?topic=runs",
    ):
        refused = await asked(path, "1.0")
        assert (refused.status, refused.headers["content-type"]) == (426, "application/problem+json"), path
        assert refused.headers["upgrade"] == "HTTP/1.1"
        assert "proxy_http_version" in refused.json["hint"]
        assert up.app.hub.followers == 0
    whole = await asked(job, "1.0")
    assert (whole.status, whole.body) == (200, b"")
    assert "transfer-encoding" not in whole.headers


async def test_a_log_is_streamed_as_it_is_written(up: Up) -> None:
    run = await up.submit(f"echo first; {up.wait()}; echo second; printf third")
    await up.running(run)
    log = f"/api/v1/runs/{run}/jobs/0/log"
    async with up.client.stream(f"{log}/stream") as stream:
        first = await stream.next()
        assert texts([first]) == ["first"]
        assert (first.id, first.data["offset"], first.data["lines"][0]["step"]) == ("6", 0, 0)
        up.gate.touch()
        rest = await stream.rest()
        assert stream.whole
    assert texts(rest) == ["second", "third"]
    assert (rest[-1].kind, rest[-1].data["offset"]) == ("end", 18)
    await up.ended(run)
    async with up.client.stream(f"{log}/stream", Last_Event_ID="18") as stream:
        assert stream.status == 204  # a browser does not come again


async def test_a_log_stream_goes_on_after_any_event(up: Up) -> None:
    run = await up.submit("for i in $(seq 1 300); do echo line $i; sleep 0.001; done")
    await up.running(run)
    log = f"/api/v1/runs/{run}/jobs/0/log"
    async with up.client.stream(f"{log}/stream") as stream:
        events = await stream.rest()
    assert texts(events) == [f"line {i}" for i in range(1, 301)]
    for index in {0, len(events) // 2, len(events) - 2}:
        async with up.client.stream(f"{log}/stream", Last_Event_ID=events[index].id) as stream:
            assert texts(await stream.rest()) == texts(events[index + 1 :])


async def test_events_go_on_after_each_of_them(up: Up) -> None:
    run = await up.submit("echo '::warning::careful'")
    await up.ended(run)
    path = f"/api/v1/runs/{run}/events"
    async with up.client.stream(path) as stream:
        events = await stream.rest()
    told = (await up.client("GET", path)).json["items"]
    assert [event.data for event in events] == told
    assert [event.kind for event in events] == [event["event"] for event in told]
    for index, event in enumerate(events[:-1]):
        async with up.client.stream(path, Last_Event_ID=event.id) as stream:
            assert [one.id for one in await stream.rest()] == [one.id for one in events[index + 1 :]]
    async with up.client.stream(path, Last_Event_ID=events[-1].id) as stream:
        assert stream.status == 204
    async with up.client.stream(path, Last_Event_ID="x") as stream:
        assert stream.status == 400


async def test_all_followers_of_a_thing_share_what_is_read_and_encoded(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[Any] = []
    original = feeds.LogFeed.source

    def counted(self: feeds.LogFeed) -> Any:
        sources.append(self)
        return original(self)

    monkeypatch.setattr(feeds.LogFeed, "source", counted)
    run = await up.submit(f"{up.wait()}; for i in $(seq 1 100); do echo line $i; done")
    await up.running(run)
    wanted = [f"line {i}" for i in range(1, 101)]

    async def follow() -> list[str]:
        async with up.client.stream(f"/api/v1/runs/{run}/jobs/0/log/stream") as stream:
            return texts(await stream.rest())

    followers = [asyncio.create_task(follow()) for _ in range(20)]
    # Who is still reading what was there before comes too late for a log that ends at once, and reads it alone.
    while not any(len(feed.subscribers) == 20 for feed in up.app.hub._feeds.values()):
        await asyncio.sleep(0)
    up.gate.touch()
    assert await asyncio.gather(*followers) == [wanted] * 20
    assert len(sources) == 1


async def test_who_has_read_further_than_what_others_follow_gets_nothing_twice(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "TICK_S", 3_600.0)
    last = up.gate.with_name("last")
    run = await up.submit(
        f"{up.wait()}; seq 100 199; while [ ! -e {last} ]; do sleep 0.02; done; echo the last"
    )
    await up.running(run)
    path, topic = f"/api/v1/runs/{run}/jobs/0/log/stream", f"/api/v1/stream?topic=log:{run}/0/1"
    wanted = [*map(str, range(100, 200)), "the last"]

    async def follow(path: str, **headers: str) -> list[str]:
        seen: list[Event] = []
        async with up.client.stream(path, **headers) as stream, asyncio.timeout(60):
            async for event in stream:
                seen.append(event)
                if event.kind in ("end", "log-end"):
                    break
        return texts(seen)

    async with asyncio.timeout(60):
        followers = [asyncio.create_task(follow(path))]
        while not (followed := list(up.app.hub._feeds.values())):
            await asyncio.sleep(0)
        feed = followed[0]
        assert isinstance(feed, feeds.LogFeed)
        up.gate.touch()
        while len(feed._lines) < 100:
            await asyncio.sleep(0)
        read = [0, 1, 50, 99, 100]  # lines, by those who come now; the feed has sealed none
        for count in read:
            followers.append(asyncio.create_task(follow(path, Last_Event_ID=str(count * 4))))
            followers.append(asyncio.create_task(follow(f"{topic}@{count * 4}")))
        while len(feed.subscribers) < len(followers):
            await asyncio.sleep(0)
        monkeypatch.setattr(hub, "TICK_S", 0.02)
        up.app.hub._tick()
        last.touch()
        assert await asyncio.gather(*followers) == [
            wanted,
            *(wanted[count:] for count in read for _ in range(2)),
        ]


async def open_deaf(up: Up, path: str) -> socket.socket:
    """A connection that asks, and does not read."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, up.client.address)
    await loop.sock_sendall(deaf, up.client.head("GET", path))
    return deaf


async def test_who_does_not_read_costs_nothing_and_misses_nothing(up: Up) -> None:
    count = 60_000
    run = await up.submit(f"{up.wait()}; seq 1 {count} | sed 's/^/a line of some length, number /'")
    await up.running(run)
    path = f"/api/v1/runs/{run}/jobs/0/log/stream"
    deaf = await open_deaf(up, path)
    while not up.app.hub.followers:
        await asyncio.sleep(0)
    async with up.client.stream(path) as stream:
        up.gate.touch()
        seen = texts(await stream.rest())
    assert len(seen) == count
    # What it has not read is kept for it nowhere but in its socket, and in what is left of one chunk.
    connections = up.serving._state.connections
    kept = max(connection.transport.get_write_buffer_size() for connection in connections)
    assert kept < 4 * feeds.CHUNK_BYTES
    assert not up.app.hub._feeds or all(
        feed._bytes < 2 * feeds.WINDOW_BYTES for feed in up.app.hub._feeds.values()
    )
    reader, writer = await asyncio.open_connection(sock=deaf, limit=1 << 24)
    try:
        await reader.readuntil(b"\r\n\r\n")
        assert texts(await Stream(reader, 200, {}).rest()) == seen
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_silent_stream_gives_signs_of_life(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr("relevo.server.topics.HEARTBEAT_S", 0.2)
    run = await up.submit(up.wait())
    await up.running(run)
    for path in (f"/api/v1/runs/{run}/jobs/0/log/stream", f"/api/v1/stream?topic=log:{run}/0/1"):
        async with up.client.stream(path) as stream:
            reading = asyncio.create_task(stream.next())
            async with asyncio.timeout(60):
                while stream.comments < 2:
                    await asyncio.sleep(0.01)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_a_job_that_has_not_begun_has_no_log_to_follow(up: Up) -> None:
    runs = [await up.submit(up.wait()) for _ in range(5)]
    await up.running(runs[0])
    reply = await up.client("GET", f"/api/v1/runs/{runs[-1]}/jobs/0/log/stream")
    assert reply.status == 409
    up.gate.touch()


# --- many topics -----------------------------------------------------------------------------------------------------


async def test_one_stream_brings_all_that_a_tab_shows(up: Up) -> None:
    sequence = (await up.client("GET", "/api/v1/runs")).json["sequence"]
    run = await up.submit(f"echo one; {up.wait()}; echo two")
    await up.running(run)
    path = (
        f"/api/v1/stream?topic=runs@{sequence}&topic=run:{run}@0&topic=log:{run}/0/1@0"
        "&topic=workers&topic=queue&topic=actors"
    )
    seen: list[Event] = []
    async with up.client.stream(path) as stream:
        async with asyncio.timeout(60):
            async for event in stream:
                seen.append(event)
                if event.kind == "lines":
                    up.gate.touch()
                kinds = {one.kind for one in seen}
                last = [one.data for one in seen if one.kind == "row"][-1:]
                if (
                    last
                    and not last[0]["live"]
                    and "log-end" in kinds
                    and {"workers", "queue", "actors"} <= kinds
                ):
                    break
    told = (await up.client("GET", f"/api/v1/runs/{run}/events")).json["items"]
    assert [event.data for event in seen if event.kind == "event"] == told
    assert texts(seen) == ["one", "two"]
    lines = next(event.data for event in seen if event.kind == "lines")
    assert (lines["run"], lines["job"], lines["attempt"]) == (run, 0, 1)
    end = next(event.data for event in seen if event.kind == "log-end")
    assert end == {"run": run, "job": 0, "attempt": 1, "offset": 8}


async def test_many_topics_go_on_after_any_event(up: Up) -> None:
    run = await up.submit("for i in $(seq 1 40); do echo line $i; sleep 0.005; done")
    await up.running(run)
    path = f"/api/v1/stream?topic=run:{run}&topic=log:{run}/0/1"

    async def until_both_end(**headers: str) -> list[Event]:
        seen: list[Event] = []
        ends = 0
        async with up.client.stream(path, **headers) as stream:
            async with asyncio.timeout(60):
                async for event in stream:
                    seen.append(event)
                    ends += event.kind == "log-end" or event.data.get("event") == "run.finished"
                    if ends == 2:
                        return seen
        raise AssertionError("it ended")

    def told(events: list[Event]) -> tuple[list[Any], list[str]]:
        return [event.data for event in events if event.kind == "event"], texts(events)

    whole = await until_both_end()
    for cut in range(0, len(whole) - 3, 3):
        if sum(
            event.kind == "log-end" or event.data.get("event") == "run.finished" for event in whole[: cut + 1]
        ):
            break
        rest = await until_both_end(Last_Event_ID=whole[cut].id)
        before, after = told(whole[: cut + 1]), told(rest)
        assert (before[0] + after[0], before[1] + after[1]) == told(whole)


async def test_what_there_is_not_is_said_and_the_other_topics_go_on(up: Up) -> None:
    run = await up.submit("true")
    await up.ended(run)
    path = f"/api/v1/stream?topic=run:nope&topic=log:{run}/7/1&topic=run:{run}"
    seen: list[Event] = []
    async with up.client.stream(path) as stream:
        async with asyncio.timeout(60):
            async for event in stream:
                seen.append(event)
                if (
                    sum(one.kind == "reset" for one in seen) == 2
                    and event.data.get("event") == "run.finished"
                ):
                    break
                if len(seen) > 50:
                    break
    assert {one.data["topic"] for one in seen if one.kind == "reset"} == {"run:nope", f"log:{run}/7/1"}
    for wrong in ("", "?topic=what", "?topic=runs@x", "?topic=log:a/b", "?topic=workers@3"):
        assert (await up.client("GET", f"/api/v1/stream{wrong}")).status == 400, wrong


async def test_who_was_away_for_long_is_told_to_read_the_list_again(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relevo.assembly.reading.MOST_MISSED", 3)
    for _ in range(2):
        await up.ended(await up.submit("true"))
    async with up.client.stream("/api/v1/stream?topic=runs@1") as stream:
        event = await stream.next()
    assert (event.kind, event.data) == ("reset", {"topic": "runs"})


async def test_streams_end_with_the_server_and_say_when_to_come_again(made: Up) -> None:
    await made.open()
    run = await made.submit(made.wait())
    await made.running(run)
    paths = (
        f"/api/v1/runs/{run}/events",
        f"/api/v1/runs/{run}/jobs/0/log/stream",
        "/api/v1/stream?topic=runs",
    )
    ends = []

    async def follow(path: str) -> None:
        async with made.client.stream(path) as stream:
            async with asyncio.timeout(60):
                async for _ in stream:
                    stream.retry = ""
            ends.append((stream.whole, stream.retry))

    following = [asyncio.create_task(follow(path)) for path in paths]
    while made.app.hub.followers < 3:
        await asyncio.sleep(0)
    await made.close()
    await asyncio.gather(*following)
    assert ends == [(True, "1000")] * 3
    # The job went on: the next engine has it to its end.
    made.gate.touch()
    await made.open()
    assert (await made.ended(run))["status"] == "succeeded"
    await made.close()


async def test_a_stream_goes_on_with_the_next_server_without_a_gap(made: Up) -> None:
    await made.open()
    run = await made.submit(f"for i in $(seq 1 50); do echo line $i; done; {made.wait()}; echo last")
    await made.running(run)
    log = f"/api/v1/runs/{run}/jobs/0/log/stream"
    events = f"/api/v1/runs/{run}/events"
    async with made.client.stream(log) as stream:
        first = [await stream.next()]
        while len(texts(first)) < 50:
            first.append(await stream.next())
    async with made.client.stream(events) as stream:
        told = [await stream.next() for _ in range(6)]
    await made.close()
    await made.open()
    made.gate.touch()
    async with made.client.stream(log, Last_Event_ID=first[-1].id) as stream:
        rest = await stream.rest()
    assert texts(first + rest) == [*(f"line {i}" for i in range(1, 51)), "last"]
    async with made.client.stream(events, Last_Event_ID=told[-1].id) as stream:
        told += await stream.rest()
    whole = (await made.client("GET", events)).json["items"]
    assert [event.data for event in told] == whole
    await made.ended(run)
    await made.close()
