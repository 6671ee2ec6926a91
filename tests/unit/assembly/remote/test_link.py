"""The link to a server: what is asked again, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2 as httpx
import pytest

from relevo.assembly.remote import link as links
from relevo.assembly.remote.link import Link, Lost, NotReached
from relevo.domain.errors import InfrastructureError, UserError

Reply = tuple[int, dict[str, str], bytes]
GOOD: Reply = (200, {}, b'{"version": "1", "api": 1}')


class Far:
    """The far end: plays replies; None cuts the connection before one is given."""

    def __init__(self) -> None:
        self.replies: list[Reply | None] = []
        self.asked: list[tuple[str, str]] = []
        self.server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self.server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        if length:
            await reader.readexactly(int(length[0].partition(":")[2]))
        method, path, _ = head.split(" ", 2)
        self.asked.append((method, path))
        reply = self.replies.pop(0) if self.replies else GOOD
        if reply is not None:
            status, headers, body = reply
            told = {"content-length": str(len(body)), "connection": "close", **headers}
            lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
            writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body)
            await writer.drain()
        writer.close()


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()
    await far.open()
    yield far
    await far.close()


@pytest.fixture
async def link(far: Far, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Link]:
    monkeypatch.setattr(links, "PAUSE_S", 0.001)
    monkeypatch.setattr(links, "LONGEST_PAUSE_S", 0.002)
    link = Link(f"http://127.0.0.1:{far.port}", "rlv_t", patience_s=600.0)
    yield link
    await link.close()


async def test_who_was_never_met_is_not_waited_for(far: Far, link: Link) -> None:
    far.replies = [None]
    with pytest.raises(UserError, match="does not answer as a server would"):
        await link.meet()
    await far.close()
    with pytest.raises(UserError, match="nobody answers at"):
        await link.meet()


async def test_what_can_be_repeated_is_asked_again(far: Far, link: Link) -> None:
    await link.meet()
    far.replies = [None, GOOD, (200, {}, b"[1]")]
    assert await link.get("/some") == [1]
    far.replies = [None, GOOD, (201, {}, b'{"run": "r"}')]
    assert await link.post("/runs", {}, key="k") == {"run": "r"}
    assert [path for _, path in far.asked].count("/api/v1/runs") == 2


async def test_what_cannot_is_not(far: Far, link: Link) -> None:
    await link.meet()
    far.asked.clear()
    far.replies = [None]
    with pytest.raises(NotReached, match="look whether it has done it"):
        await link.post("/fail", repeatable=False)
    assert [path for _, path in far.asked] == ["/api/v1/fail"]


async def test_a_server_that_goes_and_comes_is_waited_for(far: Far, link: Link) -> None:
    await link.meet()
    await far.close()
    asking = [asyncio.ensure_future(link.get("/some")) for _ in range(20)]
    await asyncio.wait(asking, timeout=0.05)
    assert not any(one.done() for one in asking)
    await far.open()
    assert await asyncio.gather(*asking) == [{"version": "1", "api": 1}] * 20


async def test_patience_ends(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(f"http://127.0.0.1:{far.port}", None, patience_s=0.0)
    await link.meet()
    await far.close()
    with pytest.raises(NotReached, match="has not answered for 0 s"):
        await link.get("/some")
    await link.close()


async def test_one_that_is_there_and_never_answers_is_given_up(far: Far) -> None:
    link = Link(f"http://127.0.0.1:{far.port}", None, patience_s=0.0)
    await link.meet()
    far.replies = [None, GOOD] * 5
    with pytest.raises(NotReached, match="gives no answer"):
        await link.get("/some")
    assert [path for _, path in far.asked].count("/api/v1/some") == 2
    await link.close()


async def test_a_connection_that_is_closed_as_it_is_made_is_a_lost_one(
    far: Far, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    await link.meet()
    send, closed = httpx.AsyncClient.send, [True]

    async def closed_once(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        if closed:  # what anyio makes of it under uvloop
            closed.pop()
            raise AttributeError("no attribute", name="getpeername", obj=None)
        return await send(self, request, **options)

    monkeypatch.setattr(httpx.AsyncClient, "send", closed_once)
    far.replies = [GOOD, (201, {}, b'{"run": "r"}')]
    assert await link.post("/fail", repeatable=False) == {"run": "r"}  # it was never sent


async def test_a_busy_server_is_asked_again_when_it_says(far: Far, link: Link) -> None:
    busy = (503, {"retry-after": "0"}, b"")
    far.replies = [busy, (429, {"retry-after": "0"}, b""), GOOD]
    assert (await link.meet())["version"] == "1"
    assert len(far.asked) == 3


async def test_one_that_stays_busy_is_told(far: Far, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "BUSY_S", 0.0)
    body = b'{"title": "No", "status": 503, "detail": "no room"}'
    far.replies = [(503, {"content-type": "application/problem+json"}, body)]
    with pytest.raises(InfrastructureError, match="no room"):
        await link.meet()


async def test_refusals_are_the_errors_that_they_are(far: Far, link: Link) -> None:
    async def asked(status: int, body: bytes, kind: str = "application/problem+json") -> Exception:
        far.replies = [(status, {"content-type": kind}, body)]
        with pytest.raises(Exception) as raised:  # noqa: PT011  # which one is what is asked
            await link.get("/some")
        return raised.value

    told = await asked(
        404, b'{"title": "x", "status": 404, "detail": "there is no run x", "hint": "relevo runs"}'
    )
    assert isinstance(told, UserError)
    assert (str(told), told.hint) == ("there is no run x", "relevo runs")
    told = await asked(
        422,
        b'{"detail": "bad", "errors": [{"file": "w.yml", "line": 3, "column": 4, "message": "unknown key"}]}',
    )
    assert "w.yml:3:4: unknown key" in str(told)
    assert isinstance(await asked(409, b'{"type": "urn:relevo:blobs-missing"}'), links.BlobsMissing)
    assert "damaged" not in str(await asked(500, b'{"detail": "damaged: log 3"}'))
    for status, body, kind in ((500, b"oops", "text/plain"), (500, b"{", "application/problem+json")):
        assert isinstance(await asked(status, body, kind), InfrastructureError)
    assert "no relevo server" in str(await asked(404, b"", "text/html"))
    assert "RELEVO_SERVER" in str((await asked(301, b"")).__dict__)


async def test_a_stream_that_is_cut_says_so(far: Far, link: Link) -> None:
    await link.meet()
    read = b""

    async def all_of_it() -> None:
        nonlocal read
        async with link.stream("/log") as pieces:
            async for piece in pieces:
                read += piece

    far.replies = [(200, {"content-length": "99"}, b"some")]
    with pytest.raises(Lost):
        await all_of_it()
    assert read == b"some"
    far.replies = [(503, {}, b"")]
    with pytest.raises(Lost):
        await all_of_it()
    far.replies = [(200, {}, b" more")]
    await all_of_it()
    assert read == b"some more"
