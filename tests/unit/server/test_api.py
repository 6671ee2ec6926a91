"""The API over real sockets, with a real engine behind it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.server.conftest import Up, workflow


async def test_a_run_from_its_acceptance_to_its_log(up: Up) -> None:
    run = await up.submit("echo one\necho two", "echo three; exit 3")
    shown = await up.ended(run)
    assert (shown["run"], shown["status"], shown["workflow"]) == (run, "failed", "w.yml")
    job = shown["jobs"][0]
    assert (job["number"], job["name"], job["status"], job["attempt"]) == (0, "a", "failed", 1)
    assert [(step["status"], step["exit_code"]) for step in job["steps"]] == [("succeeded", 0), ("failed", 3)]
    assert job["queued_ms"] <= job["assigned_ms"] <= job["started_ms"] <= job["ended_ms"]
    raw = await up.client("GET", f"/api/v1/runs/{run}/jobs/0/log")
    assert (raw.body, raw.headers["x-relevo-complete"]) == (b"one\ntwo\nthree\n", "true")
    assert raw.headers["content-type"] == "text/plain; charset=utf-8"
    assert job["log_size"] == len(raw.body)


async def test_a_run_is_named_by_its_beginning_and_as_the_latest(up: Up) -> None:
    run = await up.submit("true")
    await up.ended(run)
    for name in (run, run[:12], "latest"):
        assert (await up.client("GET", f"/api/v1/runs/{name}")).json["run"] == run


async def test_the_same_key_is_the_same_run(up: Up) -> None:
    given = {"workflow": {"path": "w.yml", "text": workflow("true")}}
    first = await up.client("POST", "/api/v1/runs", given, Idempotency_Key="k")
    again = await up.client("POST", "/api/v1/runs", given, Idempotency_Key="k")
    other = await up.client("POST", "/api/v1/runs", given, Idempotency_Key="l")
    assert (first.status, again.status, other.status) == (201, 200, 201)
    assert first.json == again.json != other.json
    assert first.headers["location"] == f"/api/v1/runs/{first.json['run']}"


async def test_a_key_of_something_else_is_refused(up: Up) -> None:
    given = {"workflow": {"path": "w.yml", "text": workflow("true")}, "env": {"A": "1", "B": "2"}}
    key = {"Idempotency_Key": "k"}
    run = (await up.client("POST", "/api/v1/runs", given, **key)).json["run"]
    same = given | {"env": {"B": "2", "A": "1"}}
    assert (await up.client("POST", "/api/v1/runs", same, traceparent="00-x", **key)).json["run"] == run
    for other in (
        given | {"env": {"A": "1"}},
        given | {"workflow": {"path": "w.yml", "text": workflow("false")}},
        given | {"secrets": {"S": "s"}},
    ):
        refused = await up.client("POST", "/api/v1/runs", other, **key)
        assert (refused.status, refused.headers["content-type"]) == (422, "application/problem+json")
        assert refused.json["type"] == "urn:relevo:idempotency-key-used"
        assert run in refused.json["detail"]
        assert "'k'" in refused.json["detail"]
    await up.ended(run)
    again = await up.client("POST", f"/api/v1/runs/{run}/retry", {}, Idempotency_Key="l")
    assert again.status == 201
    known = await up.client("POST", f"/api/v1/runs/{run}/retry", {}, Idempotency_Key="l")
    assert (known.status, known.json) == (200, again.json)
    for key_used in ("k", "l"):
        asked = {"job": "a"}
        refused = await up.client("POST", f"/api/v1/runs/{run}/retry", asked, Idempotency_Key=key_used)
        assert (refused.status, refused.json["type"]) == (422, "urn:relevo:idempotency-key-used")
    assert len((await up.client("GET", "/api/v1/runs")).json["items"]) == 2


async def test_keys_that_come_at_the_same_time_are_told_apart(up: Up) -> None:
    first, other = ({"workflow": {"path": "w.yml", "text": workflow(text)}} for text in ("true", "false"))
    asked = [first, other, first, other]
    told = await asyncio.gather(
        *(up.client("POST", "/api/v1/runs", one, Idempotency_Key="k") for one in asked)
    )
    ran = {reply.json["run"] for reply in told if reply.status in (200, 201)}
    assert len(ran) == 1
    assert sorted(reply.status == 422 for reply in told) == [False, False, True, True]


async def test_a_run_becomes_part_of_the_trace_of_who_asks_for_it(up: Up) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    asked = {"workflow": {"path": "w.yml", "text": workflow("true")}}
    run = (await up.client("POST", "/api/v1/runs", asked, traceparent=given, tracestate="a=b")).json["run"]
    events = (await up.client("GET", f"/api/v1/runs/{run}/events")).json["items"]
    assert (events[0]["traceparent"], events[0]["tracestate"]) == (given, "a=b")


async def test_a_retry_names_the_secrets_that_it_needs_and_becomes_part_of_a_trace(up: Up) -> None:
    run = await up.submit("true", secrets={"B": "1", "A": "2"})
    await up.ended(run)
    refused = await up.client("POST", f"/api/v1/runs/{run}/retry", {"secrets": {"B": "1"}})
    assert (refused.status, refused.json["type"]) == (422, "urn:relevo:secrets-missing")
    assert refused.json["secrets"] == ["A"]
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    told = {"secrets": {"A": "1", "B": "2"}}
    retry = await up.client("POST", f"/api/v1/runs/{run}/retry", told, traceparent=given, tracestate="a=b")
    assert retry.status == 201
    events = (await up.client("GET", f"/api/v1/runs/{retry.json['run']}/events")).json["items"]
    assert (events[0]["traceparent"], events[0]["tracestate"]) == (given, "a=b")
    assert events[0]["retried_from"] == run
    await up.ended(retry.json["run"])


async def test_parts_of_a_log(up: Up) -> None:
    run = await up.submit("for i in $(seq 1 50); do echo Line $i; done; printf 'no end'")
    await up.ended(run)
    log = f"/api/v1/runs/{run}/jobs/0/log"
    whole = (await up.client("GET", log)).body
    assert whole.endswith(b"Line 50\nno end")
    part = await up.client("GET", log, Range="bytes=7-13")
    assert (part.status, part.body) == (206, whole[7:14])
    assert part.headers["content-range"] == f"bytes 7-13/{len(whole)}"
    assert (await up.client("GET", log, Range="bytes=-6")).body == b"no end"
    beyond = await up.client("GET", log, Range=f"bytes={len(whole)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    assert (await up.client("GET", f"{log}?tail=2")).body == b"Line 50\nno end"
    lines = (await up.client("GET", f"{log}/lines?from=48&count=9")).json
    assert (lines["from"], lines["lines_total"], lines["size_bytes"], lines["complete"]) == (
        48,
        51,
        len(whole),
        True,
    )
    assert [line["text"] for line in lines["lines"]] == ["Line 49", "Line 50", "no end"]
    assert whole[lines["lines"][1]["offset"] :].startswith(b"Line 50")
    found = (await up.client("GET", f"{log}/search?q=line+4&limit=3&from=5")).json
    assert [match["line"] for match in found["matches"]] == [39, 40, 41]
    rest = (await up.client("GET", f"{log}/search?q=line+4&from={found['next']}")).json
    assert ([match["line"] for match in rest["matches"]], rest["next"]) == (list(range(42, 49)), None)
    assert (await up.client("GET", f"{log}/search?q=LINE+4")).json["matches"] == []


async def test_lists_are_read_page_by_page(up: Up) -> None:
    runs = [await up.submit("true", event="push") for _ in range(5)]
    for run in runs:
        await up.ended(run)
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await up.client("GET", f"/api/v1/runs?limit=2&cursor={cursor}")).json
        seen += [row["run"] for row in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert seen == runs[::-1]
    assert (await up.client("GET", "/api/v1/runs?live=true")).json["items"] == []
    assert len((await up.client("GET", "/api/v1/runs?status=succeeded&limit=3")).json["items"]) == 3
    assert (await up.client("GET", "/api/v1/runs?workflow=other.yml")).json["items"] == []


async def test_cancel_and_retry(up: Up) -> None:
    run = await up.submit(up.wait())
    await up.running(run)
    assert (await up.client("POST", f"/api/v1/runs/{run}/retry", {})).status == 409
    assert (await up.client("POST", f"/api/v1/runs/{run}/jobs/0/fail")).status == 409
    assert (await up.client("POST", f"/api/v1/runs/{run}/cancel", {})).status == 202
    assert (await up.ended(run))["status"] == "cancelled"
    up.gate.touch()
    again = await up.client("POST", f"/api/v1/runs/{run}/retry", {"failed": True}, Idempotency_Key="r")
    twice = await up.client("POST", f"/api/v1/runs/{run}/retry", {"failed": True}, Idempotency_Key="r")
    assert (again.status, twice.status, twice.json) == (201, 200, again.json)
    shown = await up.ended(again.json["run"])
    assert (shown["status"], shown["retried_from"], shown["run_attempt"]) == ("succeeded", run, 2)


async def test_what_waits_and_who_works(up: Up) -> None:
    await up.embedded.ready()
    idle = (await up.client("GET", "/api/v1/workers")).json["agents"][0]
    assert (idle["id"], idle["ready"], idle["connected"], idle["slots"]) == ("local", True, True, 2)
    runs = [await up.submit(up.wait()) for _ in range(idle["places"] + 1)]
    async with asyncio.timeout(60):
        while (await up.client("GET", "/api/v1/workers")).json["agents"][0]["busy"] < idle["places"]:
            await asyncio.sleep(0)
    queue = (await up.client("GET", "/api/v1/queue")).json
    assert queue["total"] == 1
    assert (queue["items"][0]["run"], queue["items"][0]["name"]) == (runs[-1], "a")
    assert queue["items"][0]["reason"] == "It waits for a free slot: all 2 slots at local are taken."
    busy = (await up.client("GET", "/api/v1/workers")).json["agents"][0]
    assert busy["busy"] == idle["places"]
    assert {job["run"] for job in busy["jobs"]} == set(runs[:-1])
    up.gate.touch()
    for run in runs:
        await up.ended(run)


async def test_the_server_and_its_health(up: Up) -> None:
    told = (await up.client("GET", "/api/v1/server")).json
    assert (told["home"], told["epoch"], told["live"]) == (up.home.path, 1, 0)
    up.client.token = ""
    assert (await up.client("GET", "/healthz")).status == 200
    assert (await up.client("GET", "/readyz")).status == 200
    assert (await up.client("GET", "/metrics")).status == 401


@pytest.mark.parametrize(
    ("method", "path", "given", "status"),
    [
        ("GET", "/api/v1/runs/nope", None, 404),
        ("GET", "/api/v1/runs/latest", None, 404),
        ("GET", "/api/v1/nope", None, 404),
        ("GET", "/nope", None, 404),
        ("GET", "/api/v1/runs?limit=0", None, 400),
        ("GET", "/api/v1/runs?limit=x", None, 400),
        ("PUT", "/api/v1/runs", None, 405),
        ("POST", "/api/v1/runs", {}, 400),
        ("POST", "/api/v1/runs", {"workflow": {"path": "w", "text": ""}, "more": 1}, 400),
        ("POST", "/api/v1/runs", {"workflow": {"path": "w", "text": ""}, "directory": "relative"}, 400),
        ("POST", "/api/v1/runs", {"workflow": {"path": "w", "text": "on: ["}}, 422),
        (
            "POST",
            "/api/v1/runs",
            {"workflow": {"path": "w", "text": workflow("true")}, "event": "no_such"},
            422,
        ),
    ],
)
async def test_what_cannot_be_done_is_a_problem(
    up: Up, method: str, path: str, given: Any, status: int
) -> None:
    reply = await up.client(method, path, given)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json"), reply
    told = reply.json
    assert (told["status"], bool(told["title"]), bool(told["detail"])) == (status, True, True)


async def test_a_wrong_workflow_is_told_of_by_line(up: Up) -> None:
    text = workflow("true").replace("ubuntu-latest", "${{ nope }}")
    reply = await up.client("POST", "/api/v1/runs", {"workflow": {"path": "w.yml", "text": text}})
    assert reply.status == 422
    error = reply.json["errors"][0]
    assert (error["file"], error["line"], error["severity"]) == ("w.yml", 4, "error")
    assert error["column"] > 1


async def test_events_as_json_go_on_where_they_ended(up: Up) -> None:
    run = await up.submit("true")
    await up.ended(run)
    path = f"/api/v1/runs/{run}/events"
    whole = (await up.client("GET", path)).json
    assert (whole["items"][-1]["event"], whole["next"]) == ("run.finished", None)
    items: list[Any] = []
    after: str | None = "0"
    while after is not None:
        page = (await up.client("GET", f"{path}?after={after}&limit=2")).json
        items += page["items"]
        after = page["next"]
    assert items == whole["items"]


async def test_many_requests_use_one_connection(up: Up) -> None:
    reader, writer = await asyncio.open_connection(*up.client.address)
    request = up.client.head("GET", "/healthz")
    writer.write(request * 3)
    text = b""
    async with asyncio.timeout(60):
        while text.count(b"ok\n") < 3:
            text += await reader.read(4096)
    writer.close()
    await writer.wait_closed()
