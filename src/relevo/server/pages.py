"""The static files of the page. They are looked up once, at start: nothing that a request names reaches the disk's names."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import os
import re
from typing import Final

from msgspec import Struct

from relevo.server.http import Answer, Headers, Request
from relevo.server.problems import Problem

#: Names with a hash in them never change: `main-B7d0a81c.js`.
_HASHED: Final = re.compile(r"[.-][0-9A-Za-z_-]{8,}\.[a-z0-9]+$")
_ENCODINGS: Final = {".br": "br", ".gz": "gzip"}
#: Where the page shows something of its own: these paths give its first file.
_LINKS: Final = re.compile(r"/(runs(/[^/]+(/jobs/[^/]+)?)?|workers|queue|actors)?/?")
POLICY: Final = b"default-src 'self'; img-src 'self' data:; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_SAFE: Final = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_MISSING: Final = (
    b"There is no page in this installation: `make console` builds it. The API is at /api/v1/openapi.json\n"
)


class _File(Struct):
    path: str
    type: str
    etag: bytes
    hashed: bool
    encoded: dict[str, str] = {}  #: by encoding: the file that has it so


class Pages:
    """A folder of files."""

    def __init__(self, folder: str) -> None:
        self._files = _found(folder) if folder else {}

    async def answer(self, request: Request) -> Answer:
        """The file of a path, or the page for its deep links. Raises Problem 404."""
        found = self._files.get(request.path.lstrip("/"))
        if found is None:
            if not _LINKS.fullmatch(request.path):
                raise Problem(404, f"there is no {request.path}")
            found = self._files.get("index.html")
            if found is None:
                return Answer(503, _MISSING, [(b"content-type", b"text/plain; charset=utf-8")])
        headers: Headers = [
            *_SAFE,
            (b"content-type", found.type.encode()),
            (b"etag", found.etag),
            (b"vary", b"accept-encoding"),
            (b"cache-control", b"public, max-age=31536000, immutable" if found.hashed else b"no-cache"),
        ]
        if request.header(b"if-none-match") == found.etag.decode():
            return Answer(304, b"", headers)
        path = found.path
        accepted = {part.partition(";")[0].strip() for part in request.header(b"accept-encoding").split(",")}
        for encoding, file in found.encoded.items():
            if encoding in accepted:
                headers.append((b"content-encoding", encoding.encode()))
                path = file
                break
        return Answer(200, await asyncio.to_thread(_read, path), headers)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _found(folder: str) -> dict[str, _File]:
    files: dict[str, _File] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            stem, extension = os.path.splitext(path)
            if extension in _ENCODINGS and os.path.exists(stem):
                continue
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            if kind.startswith("text/") or kind in ("application/javascript", "application/json"):
                kind += "; charset=utf-8"
            etag = b'"%b"' % hashlib.sha256(_read(path)).hexdigest()[:32].encode()
            encoded = {how: path + end for end, how in _ENCODINGS.items() if os.path.exists(path + end)}
            files[os.path.relpath(path, folder)] = _File(
                path, kind, etag, _HASHED.search(name) is not None, encoded
            )
    return files
