"""What clients upload: by content, once, whole or not at all."""

from __future__ import annotations

import asyncio
import os

import pytest
from blake3 import blake3

from relevo.protocol.http_api import BLOB_LIMIT_BYTES, DIGESTS_LIMIT
from tests.unit.server.conftest import Up

DATA = b"some bytes" * 100_000


def name(data: bytes) -> str:
    return blake3(data).hexdigest()


async def test_what_was_uploaded_is_there_and_not_asked_for_again(up: Up) -> None:
    digests = [name(DATA), name(b"other")]
    asked = await up.client("POST", "/api/v1/blobs/missing", {"digests": digests})
    assert asked.json == {"missing": digests}
    assert (await up.client("PUT", f"/api/v1/blobs/{digests[0]}", body=DATA)).status == 201
    assert (await up.client("PUT", f"/api/v1/blobs/{digests[0]}", body=DATA)).status == 200
    asked = await up.client("POST", "/api/v1/blobs/missing", {"digests": digests})
    assert asked.json == {"missing": digests[1:]}
    assert await up.embedded.engine.parts.blobs.list() == [(digests[0], len(DATA))]


async def test_other_bytes_are_not_kept(up: Up) -> None:
    reply = await up.client("PUT", f"/api/v1/blobs/{name(b'right')}", body=b"wrong")
    assert (reply.status, "are not those" in reply.json["detail"]) == (422, True)
    assert await up.embedded.engine.parts.blobs.list() == []


@pytest.mark.parametrize("digest", ["x", "A" * 64, "..%2f..%2fetc%2fpasswd", "0" * 63])
async def test_what_is_no_name_names_nothing(up: Up, digest: str) -> None:
    assert (await up.client("PUT", f"/api/v1/blobs/{digest}", body=b"x")).status == 404
    assert (await up.client("POST", "/api/v1/blobs/missing", {"digests": [digest]})).status == 400


async def test_uploads_are_bounded(up: Up) -> None:
    head = up.client.head("PUT", f"/api/v1/blobs/{'0' * 64}", {"Content-Length": str(BLOB_LIMIT_BYTES + 1)})
    assert (await up.client.raw(head)).status == 413
    many = ["0" * 64] * (DIGESTS_LIMIT + 1)
    assert (await up.client("POST", "/api/v1/blobs/missing", {"digests": many})).status == 400


async def test_who_has_no_token_brings_nothing(up: Up) -> None:
    up.client.token = ""
    assert (await up.client("PUT", f"/api/v1/blobs/{name(b'x')}", body=b"x")).status == 401
    assert (await up.client("POST", "/api/v1/blobs/missing", {"digests": []})).status == 401
    assert await up.embedded.engine.parts.blobs.list() == []


async def test_an_upload_that_breaks_off_leaves_nothing(up: Up) -> None:
    head = up.client.head("PUT", f"/api/v1/blobs/{name(DATA)}", {"Content-Length": str(len(DATA))})
    async with up.client.talk(head + DATA[:500_000]):
        pass
    async with asyncio.timeout(60):
        while not os.path.isdir(folder := f"{up.home.blobs}/unfinished") or os.listdir(folder):
            await asyncio.sleep(0.01)
    assert await up.embedded.engine.parts.blobs.list() == []


async def test_a_source_whose_parts_are_gone_is_told_so(up: Up) -> None:
    facts = {"root": "", "repository": None, "head": None, "branch": "main", "tags": [], "config": {}}
    facts |= {"remote_url": "", "owner": "o", "name": "n", "default_branch": "main", "actor": "a"}
    text = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: [{uses: actions/checkout@v4}]\n"
    given = {"workflow": {"path": "w.yml", "text": text}, "source": {"facts": facts, "snapshot": ["0" * 64]}}
    reply = await up.client("POST", "/api/v1/runs", given)
    assert (reply.status, reply.json["type"]) == (409, "urn:relevo:blobs-missing")
    both = await up.client("POST", "/api/v1/runs", {**given, "directory": up.home.path})
    assert both.status == 400
    nothing = await up.client("POST", "/api/v1/runs", {**given, "source": {"facts": facts}})
    assert (nothing.status, "1 to 8 parts" in nothing.json["detail"]) == (422, True)


async def test_a_source_never_makes_the_server_look_at_its_own_disk(up: Up) -> None:
    facts = {
        "root": "/etc",
        "repository": {"root": "/", "git_dir": "/.git", "common_dir": "/.git"},
        "head": None,
    }
    facts |= {"branch": "main", "tags": [], "config": {}, "remote_url": "", "owner": "o", "name": "n"}
    facts |= {"default_branch": "main", "actor": "a"}
    text = "on: {push: {paths: [a]}}\njobs:\n  a:\n    uses: ./.github/workflows/x.yml\n"
    given = {"workflow": {"path": "w.yml", "text": text}, "source": {"facts": facts}, "event": "push"}
    reply = await up.client("POST", "/api/v1/runs", given)
    assert reply.status == 422
    assert "there is no such file" in str(reply.json), reply.json
