"""What clients bring: parts of snapshots, by content. What nobody names within a day is removed with what is old."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Final

from msgspec import Meta, Struct

from relevo.blobs.contract import BlobStore
from relevo.domain.errors import DamagedError
from relevo.protocol.http_api import BLOB_LIMIT_BYTES, DIGESTS_LIMIT
from relevo.server.http import NO_STORE, Answer, Request, json, too_large
from relevo.server.problems import Problem
from relevo.server.routes import Endpoint, Said

_is_digest: Final = re.compile(r"[0-9a-f]{64}").fullmatch
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class DigestsGiven(Struct, forbid_unknown_fields=True):
    """Blobs, by the BLAKE3 of their bytes in hex."""

    digests: Annotated[list[Digest], Meta(max_length=DIGESTS_LIMIT)]


class Missing(Struct):
    """Those of them that are to be uploaded."""

    missing: list[str]


class Uploads:
    """Handlers. `blobs`: the store of the engine that there is just now."""

    def __init__(self, blobs: Callable[[], BlobStore]) -> None:
        self._blobs = blobs

    def endpoints(self) -> list[Endpoint]:
        """All about blobs."""
        return [
            Endpoint(
                "POST",
                "/api/v1/blobs/missing",
                self.missing,
                "Which blobs are to be uploaded. Those that are there stay for a day from now.",
                (Said(200, "Those that are not there.", Missing),),
                body=DigestsGiven,
                problems=(400, 413, 415),
            ),
            Endpoint(
                "PUT",
                "/api/v1/blobs/{digest}",
                self.put,
                "Upload a blob: the body is its bytes. It stays for a day, and longer if a run names it.",
                (Said(201, "It is durable."), Said(200, "It was there.")),
                problems=(404, 408, 413, 422, 503),
            ),
        ]

    async def missing(self, request: Request) -> Answer:
        given = await request.json(DigestsGiven)
        blobs = self._blobs()
        missing = []
        for digest in dict.fromkeys(given.digests):
            blobs.fresh.add(digest)  # before it is looked for: from here on nobody removes it
            if await blobs.size(digest) is None:
                missing.append(digest)
        return json(Missing(missing))

    async def put(self, request: Request) -> Answer:
        digest = request.path_values[0]
        if not _is_digest(digest):
            raise Problem(
                404, f"{digest!r} is no name of a blob", hint="it is the BLAKE3 of its bytes, in hex"
            )
        blobs = self._blobs()
        declared = request.header(b"content-length")
        if declared and (not declared.isdigit() or int(declared) > BLOB_LIMIT_BYTES):
            raise too_large(BLOB_LIMIT_BYTES)
        if await blobs.size(digest) is not None:
            blobs.fresh.add(digest)
            return Answer(200, b"", [NO_STORE, (b"connection", b"close")])  # its bytes are not read
        writer = await blobs.create()
        try:
            async for piece in request.pieces(BLOB_LIMIT_BYTES):
                await writer.write(piece)
            await writer.commit(digest)
        except BaseException as error:
            await asyncio.shield(writer.abort())
            if isinstance(error, DamagedError):
                raise Problem(422, f"these bytes are not those of {digest}") from None
            raise
        return Answer(201, b"", [NO_STORE])
