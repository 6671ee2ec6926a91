"""What a client may send: bodies, heads, depth, connections, time."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.domain.errors import UserError
from relevo.server import connection, http
from relevo.server.http import DEPTH_LIMIT, check_depth
from relevo.server.logs import byte_range
from relevo.server.problems import Problem
from relevo.server.serving import listen
from tests.unit.server.client import read_head, read_reply
from tests.unit.server.conftest import Up, workflow


async def test_a_body_has_a_limit_whether_it_tells_its_size_or_not(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relevo.server.runs.RUN_LIMIT", 10_000)
    given = {"workflow": {"path": "w", "text": "x" * 20_000}}
    assert (await up.client("POST", "/api/v1/runs", given)).status == 413
    body = json.dumps(given).encode()
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(p), p) for p in (body[i : i + 1000] for i in range(0, len(body), 1000))
    )
    head = up.client.head(
        "POST", "/api/v1/runs", {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    )
    assert (await up.client.raw(head + chunks + b"0\r\n\r\n")).status == 413


async def test_a_body_is_json_of_bounded_depth(up: Up) -> None:
    for body, status in {
        b"": 400,
        b"{": 400,
        b"[]": 400,
        b'{"workflow": ' + b"[" * 100_000: 400,
        b'{"workflow": {"path": "w", "text": "\xff"}}': 400,
        b'{"workflow": {"path": "a\\u0000", "text": ""}}': 400,
    }.items():
        reply = await up.client("POST", "/api/v1/runs", body=body)
        assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json"), body[
            :60
        ]
    other = await up.client(
        "POST", "/api/v1/runs", body=b"a=b", Content_Type="application/x-www-form-urlencoded"
    )
    assert other.status == 415


@given(
    st.recursive(
        st.none() | st.text(),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    ),
    st.integers(0, 2 * DEPTH_LIMIT),
)
def test_depth_is_counted_outside_of_texts(value: object, more: int) -> None:
    deep = depth(value) + more
    data = b"[" * more + json.dumps(value).encode() + b"]" * more
    if deep <= DEPTH_LIMIT:
        check_depth(data)
    else:
        with pytest.raises(Problem):
            check_depth(data)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


async def test_a_head_has_a_limit(up: Up) -> None:
    many = up.client.head("GET", "/healthz", {f"X-{n}": "x" for n in range(200)})
    one = up.client.head("GET", "/healthz", {"X-Long": "x" * 40_000})
    path = up.client.head("GET", "/" + "x" * 40_000)
    endless = up.client.head("GET", "/healthz")[:-2] + b"X-Endless: " + b"x" * 100_000
    for request in (many, one, path, endless):
        async with up.client.talk(request) as reader:
            assert (await read_head(reader))[0] == 431


async def test_who_never_finishes_a_head_is_hung_up_on(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.1)
    for begun in (b"", b"GET /healthz HTTP/1.1\r\nHost: local"):
        async with up.client.talk(begun) as reader:
            assert (await reader.read()).startswith(b"HTTP/1.1 408")


async def test_one_request_behind_another_is_bounded_as_if_it_were_alone(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = up.client.head("GET", "/healthz")
    async with up.client.talk(first + up.client.head("GET", "/healthz", {"X-Long": "x" * 33_000})) as reader:
        assert (await read_head(reader))[0] == 431
    reader, writer = await asyncio.open_connection(*up.client.address)
    writer.write(first)
    assert (await read_reply(reader)).status == 200
    monkeypatch.setattr(connection, "HEAD_S", 0.1)  # from the next answer on
    writer.write(first + first[:20])
    assert (await read_reply(reader)).status == 200
    assert (await reader.read()).startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


async def test_a_whole_answer_is_written_at_once(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bool] = []
    real = connection.Connection.answer

    def noted(*asked: Any) -> bool:
        written.append(real(*asked))
        return written[-1]

    monkeypatch.setattr(connection.Connection, "answer", noted)
    async with up.client.talk(up.client.head("GET", "/api/v1/runs") * 2) as reader:
        for _ in range(2):
            reply = await read_reply(reader)
            assert (reply.status, reply.json["items"], "connection" in reply.headers) == (200, [], False)
    assert written == [True, True]
    closing = await up.client("GET", "/api/v1/runs")
    assert (closing.status, closing.headers["connection"]) == (200, "close")
    assert (await up.client("HEAD", "/api/v1/runs")).headers["content-length"] == str(len(closing.body))
    assert (await up.client("GET", "/api/v1/what")).status == 404


@pytest.mark.parametrize("value", [b"a\r\nx-more: b", b"a\nx-more: b", b"a\0"])
async def test_no_value_of_a_header_makes_another(
    up: Up, monkeypatch: pytest.MonkeyPatch, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def answered(*_: Any) -> http.Answer:
        return http.Answer(200, b"", [(b"x-told", value)])

    monkeypatch.setattr(up.app._pages, "answer", answered)
    async with up.client.talk(up.client.head("GET", "/")) as reader:
        assert await reader.read() == b""
    assert "Invalid HTTP header value" in caplog.text


async def test_a_body_must_come_in_time(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_S", 0.1)
    head = up.client.head(
        "POST", "/api/v1/runs", {"Content-Length": "100", "Content-Type": "application/json"}
    )
    assert (await up.client.raw(head + b"{")).status == 408


async def test_too_many_connections_are_refused_and_the_others_go_on(made: Up) -> None:
    await made.open(connections=3)
    run = await made.submit(made.wait())
    await made.running(run)
    async with (
        made.client.stream(f"/api/v1/runs/{run}/events") as one,
        made.client.stream("/api/v1/stream?topic=runs"),
    ):
        await one.next()
        async with made.client.stream("/api/v1/stream?topic=queue"):
            refused = await made.client("GET", "/healthz")
            assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        async with asyncio.timeout(60):
            while (await made.client("GET", "/healthz")).status != 200:
                await asyncio.sleep(0)
    made.gate.touch()
    await made.ended(run)
    await made.close()


async def test_what_is_no_http_is_no_harm(up: Up) -> None:
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        async with up.client.talk(noise) as reader:
            assert (await reader.read(100)).startswith(b"HTTP/1.1 4")
    assert (await up.client("GET", "/healthz")).status == 200


@given(st.integers(0, 40), st.one_of(st.none(), st.integers(0, 60)), st.one_of(st.none(), st.integers(0, 60)))
def test_a_range_gives_the_bytes_it_names(size: int, first: int | None, last: int | None) -> None:
    data = bytes(range(size))
    told = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    found = byte_range(told, size)
    if first is None and last is None:
        assert found == (0, size)
    elif first is None:
        assert last is not None
        assert (data[slice(*found)] if found else b"") == (data[-last:] if last else b"")
    elif last is not None and last < first:
        assert found == (0, size)  # it is none, and passed over
    else:
        assert (data[slice(*found)] if found else b"") == data[first : None if last is None else last + 1]


async def test_a_request_that_fails_by_our_fault_tells_nothing_of_it(
    up: Up, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*args: object, **named: object) -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr(up.embedded.api, "queue", broken)
    reply = await up.client("GET", "/api/v1/queue")
    assert (reply.status, b"secret" in reply.body) == (500, False)
    assert "a secret of ours" in caplog.text


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(made: Up, tmp_path: Path) -> Up:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>relevo</title>")
    (tmp_path / "assets" / "main-B7d0a81c.js").write_text("plain")
    (tmp_path / "assets" / "main-B7d0a81c.js.gz").write_bytes(b"packed")
    made.static = str(tmp_path)
    return made


async def test_the_page_and_its_files(page: Up) -> None:
    await page.open()
    page.client.token = ""
    for path in ("/", "/runs", "/runs/abc", "/runs/abc/jobs/3", "/workers", "/queue", "/actors"):
        reply = await page.client("GET", path)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8"), path
        assert "default-src 'self'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["cache-control"] == "no-cache"
    asset = await page.client("GET", "/assets/main-B7d0a81c.js", Accept_Encoding="br, gzip")
    assert (asset.body, asset.headers["content-encoding"]) == (b"packed", "gzip")
    assert "immutable" in asset.headers["cache-control"]
    plain = await page.client("GET", "/assets/main-B7d0a81c.js")
    assert plain.body == b"plain"
    again = await page.client("GET", "/assets/main-B7d0a81c.js", If_None_Match=plain.headers["etag"])
    assert again.status == 304
    for path in (
        "/nope",
        "/assets/../index.htm",
        "/..%2f..%2fetc/passwd",
        "/assets/",
        "/assets/main-B7d0a81c.js.gz",
    ):
        assert (await page.client("GET", path)).status == 404, path
    await page.close()


async def test_without_a_page_it_says_how_to_build_it(up: Up) -> None:
    reply = await up.client("GET", "/")
    assert reply.status == 503
    assert b"make console" in reply.body


async def test_requests_are_counted_by_route_and_not_by_run(up: Up) -> None:
    for path in ("/api/v1/runs/a", "/api/v1/runs/b", "/api/v1/what"):
        await up.client("GET", path)
    text = (await up.client("GET", "/metrics")).body.decode()
    line = 'relevo_http_requests_total{method="GET",route="/api/v1/runs/{run}",status="4xx"}'
    assert float(next(one for one in text.splitlines() if one.startswith(line)).split()[-1]) >= 2
    assert "/api/v1/runs/a" not in text
    assert text.endswith("# EOF\n")


async def test_a_workflow_with_an_artifact(up: Up, tmp_path: Path) -> None:
    import io
    import zipfile

    text = workflow("mkdir out; echo hello > out/a.txt; echo more > out/b.txt")
    text += "      - uses: actions/upload-artifact@v4\n        with:\n          name: result\n          path: out\n"
    reply = await up.client("POST", "/api/v1/runs", {"workflow": {"path": "w.yml", "text": text}})
    run = reply.json["run"]
    assert (await up.ended(run))["status"] == "succeeded"
    listed = (await up.client("GET", f"/api/v1/runs/{run}/artifacts")).json["items"]
    assert [(one["name"], one["files"], one["job"], one["attempt"]) for one in listed] == [
        ("result", 2, 0, 1)
    ]
    got = await up.client("GET", f"/api/v1/runs/{run}/artifacts/result")
    assert got.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.body)) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == {
            "a.txt": b"hello\n",
            "b.txt": b"more\n",
        }
    assert (await up.client("GET", f"/api/v1/runs/{run}/artifacts/nope")).status == 404


@pytest.mark.parametrize(
    ("host", "hint"), [("nowhere.invalid", "--host is an address"), ("203.0.113.7", "--host is an address")]
)
def test_what_cannot_be_listened_on_is_told_with_what_to_do(host: str, hint: str) -> None:
    with pytest.raises(UserError, match="cannot be listened on") as refused:
        listen(host, 0)
    assert refused.value.hint is not None
    assert refused.value.hint.startswith(hint)
