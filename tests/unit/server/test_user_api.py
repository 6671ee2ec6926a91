"""A server's HTTP API keeps, by way of its client, what `UserApi` promises."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relevo.assembly.remote.api import RemoteApi, open_remote
from relevo.orchestrator.api import Submission
from relevo.testing.contracts.user_api import HELLO, UserApiContract, asked, followed
from tests.unit.server.conftest import Up


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
async def api(up: Up) -> AsyncIterator[RemoteApi]:
    host, port = up.serving.address
    token = (Path(up.home.path) / "token").read_text().strip()
    async with open_remote(f"http://{host}:{port}", token) as api:
        yield api


class TestRemoteApi(UserApiContract):
    @pytest.fixture
    async def api(self, api: RemoteApi) -> RemoteApi:
        return api


CHECKOUT = """
on: push
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: find . -name .git -prune -o -type f -print | sort | xargs cat
"""


async def _blobs(up: Up) -> dict[str, int]:
    return dict(await up.embedded.engine.parts.blobs.list())


async def _printed(api: RemoteApi, tree: Path) -> bytes:
    run = await api.submit(asked(CHECKOUT, tree))
    assert (await followed(api, run))[-1]["status"] == "succeeded"
    return b"".join([bytes(frame.data) async for frame in api.log(run, "a") if frame.step == 1])


async def test_only_what_changed_is_sent_again(api: RemoteApi, up: Up, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(200):
        (tree / f"{number:03}.txt").write_bytes(random.Random(number).randbytes(1_000))

    def content() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tree.iterdir()))

    assert await _printed(api, tree) == content()
    first = await _blobs(up)
    assert len(first) == 1
    assert await _printed(api, tree) == content()
    assert await _blobs(up) == first
    (tree / "007.txt").write_text("changed\n")
    (tree / "008.txt").unlink()
    assert await _printed(api, tree) == content()
    after = await _blobs(up)
    assert len(after) == 3  # the first, what it lacks, and both joined
    assert min(after.values()) * 10 < max(first.values())


async def test_a_run_becomes_part_of_the_trace_that_it_was_asked_from(
    api: RemoteApi, up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = []
    submit = up.embedded.api.submit

    async def noted(submission: Submission) -> str:
        submitted.append(submission)
        return await submit(submission)

    monkeypatch.setattr(up.embedded.api, "submit", noted)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await followed(api, await api.submit(asked(HELLO, tmp_path, traceparent=parent)))
    await followed(api, await api.submit(asked(HELLO, tmp_path)))
    assert [one.traceparent for one in submitted] == [parent, ""]


async def test_what_is_gone_is_sent_again(api: RemoteApi, up: Up, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.txt").write_text("one\n")
    assert await _printed(api, tree) == b"one\n"
    for digest in await _blobs(up):
        await up.embedded.engine.parts.blobs.delete(digest)
    assert await _printed(api, tree) == b"one\n"


async def test_a_stream_that_is_cut_goes_on_where_it_was(api: RemoteApi, up: Up, tmp_path: Path) -> None:
    gates = [up.gate.with_name(f"gate-{number}") for number in range(3)]
    parts = [
        f"for i in $(seq {50 * n + 1} {50 * n + 50}); do echo line $i; done; "
        f"while [ ! -e {gate} ]; do sleep 0.02; done"
        for n, gate in enumerate(gates)
    ]
    run = await up.submit("; ".join([*parts, "echo over"]))
    await up.running(run)

    def cut() -> None:
        for connection in list(up.serving._state.connections):
            connection.transport.abort()

    async def events() -> list[str]:
        return [event["event"] async for event in api.events(run)]

    following = asyncio.ensure_future(events())
    data = b""
    async for frame in api.log(run, "a", follow=True):
        assert frame.offset == len(data)
        data += bytes(frame.data)
        if gates and data.endswith(b"line %d\n" % (200 - 50 * len(gates))):
            cut()
            gates.pop(0).touch()
    wanted = b"".join(b"line %d\n" % number for number in range(1, 151)) + b"over\n"
    assert data == wanted
    assert await following == [event["event"] async for event in api.events(run, follow=False)]
