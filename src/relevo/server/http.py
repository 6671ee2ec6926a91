"""Requests and answers, between the ASGI server and those who answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from relevo.server.problems import Problem

if TYPE_CHECKING:
    from relevo.server.connection import Connection

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")

#: A body of JSON at most; a workflow file and what is given with it are far below.
BODY_LIMIT: Final = 4 << 20
#: A body must be there within this time.
BODY_S: Final = 30.0
#: Nesting of a body at most.
DEPTH_LIMIT: Final = 64

CLOSE: Final = (b"connection", b"close")
JSON: Final = (b"content-type", b"application/json")
NO_STORE: Final = (b"cache-control", b"no-store")
_encode = msgspec.json.Encoder().encode


class Request:
    """One request."""

    __slots__ = (
        "_receive",
        "_scope",
        "connection",
        "headers",
        "host",
        "method",
        "path",
        "path_values",
        "query_string",
        "status",
        "version",
    )

    def __init__(self, scope: dict[str, Any], receive: Receive) -> None:
        self._receive = receive
        self._scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query_string: bytes = scope["query_string"]
        #: the last of each name; none of those that are looked at may stand twice, but `host`
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.host: list[bytes] = [value for name, value in scope["headers"] if name == b"host"]
        self.path_values: tuple[str, ...] = ()
        self.connection: Connection = scope["relevo.connection"]
        self.version: str = scope["http_version"]
        self.status = 0  #: of the answer, once it has begun

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """See Connection.answer."""
        if not self.connection.answer(self._scope["relevo.cycle"], status, headers, body):
            return False
        self.status = status
        return True

    def header(self, name: bytes) -> str:
        """A header's value; "" when it is not there."""
        return self.headers.get(name, b"").decode("latin-1")

    def query(self, kind: type[T]) -> T:
        """The query as a struct; of a name that stands twice, lists take all. Raises Problem."""
        if not self.query_string:
            given: dict[str, Any] = {}
        else:
            given = {}
            try:
                pairs = parse_qsl(
                    self.query_string.decode("ascii"), keep_blank_values=True, max_num_fields=100
                )
            except ValueError as error:
                raise Problem(400, f"the query cannot be read: {error}") from None
            for name, value in pairs:
                given.setdefault(name, []).append(value)
            many = _lists(kind)
            for name, values in given.items():
                if name not in many:
                    given[name] = values[-1]
        try:
            return msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as error:
            raise Problem(400, f"the query cannot be understood: {error}") from None

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """All of it. Raises Problem 413 when it is longer than `limit`."""
        declared = self.headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            raise too_large(limit)
        if self._scope.get("relevo.whole"):
            return self._there(limit)
        try:
            async with asyncio.timeout(BODY_S):
                return await self._whole(limit)
        except TimeoutError:
            raise Problem(408, f"the body was not there within {BODY_S:g} s", headers=(CLOSE,)) from None

    def _there(self, limit: int) -> bytes:
        """The body that has come already: no need of a timer, nor of waiting."""
        cycle = self._scope["relevo.cycle"]
        data = bytes(cycle.body)
        cycle.body = bytearray()
        if cycle.disconnected:
            raise Problem(400, "the request was not sent whole")
        if len(data) > limit:
            raise too_large(limit)
        return data

    async def _whole(self, limit: int) -> bytes:
        pieces = bytearray()
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Problem(400, "the request was not sent whole")
            pieces += message.get("body", b"")
            if len(pieces) > limit:
                raise too_large(limit)
            if not message.get("more_body", False):
                return bytes(pieces)

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Problem 413 when it is longer than `limit`, 408 when nothing comes any more."""
        size = 0
        while True:
            try:
                message = await asyncio.wait_for(self._receive(), BODY_S)
            except TimeoutError:
                raise Problem(408, f"nothing came for {BODY_S:g} s", headers=(CLOSE,)) from None
            if message["type"] != "http.request":
                raise Problem(400, "the request was not sent whole")
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            if piece:
                yield piece
            if not message.get("more_body", False):
                return

    async def json(self, kind: type[T], limit: int = BODY_LIMIT) -> T:
        """The body as a struct; an empty one is `{}`. Raises Problem."""
        media = self.header(b"content-type").partition(";")[0].strip().lower()
        data = await self.body(limit)
        if media != "application/json" and (media or data):
            raise Problem(415, f"the body is {media or 'of no type'}, not application/json")
        check_depth(data)
        try:
            return msgspec.json.decode(data or b"{}", type=kind)
        except msgspec.ValidationError as error:
            raise Problem(400, f"the body cannot be understood: {error}") from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Problem(400, f"the body is no JSON: {error}") from None


def too_large(limit: int) -> Problem:
    """The body is."""
    return Problem(413, f"the body is larger than {limit} bytes", headers=(CLOSE,))


def check_depth(data: bytes) -> None:
    """Refuse JSON that is nested deeper than DEPTH_LIMIT. Raises Problem. O(n), and cheap where there are few brackets."""
    if data.count(b"[") + data.count(b"{") <= DEPTH_LIMIT:
        return
    depth = 0
    text = False
    escaped = False
    for byte in data:
        if text:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                text = False
        elif byte == 0x22:
            text = True
        elif byte in b"[{":
            depth += 1
            if depth > DEPTH_LIMIT:
                raise Problem(400, f"the body is nested deeper than {DEPTH_LIMIT} levels")
        elif byte in b"]}":
            depth -= 1


_lists_of: dict[type[Any], frozenset[str]] = {}


def _lists(kind: type[Any]) -> frozenset[str]:
    found = _lists_of.get(kind)
    if found is None:
        fields = msgspec.structs.fields(kind)
        found = frozenset(
            field.encode_name for field in fields if getattr(field.type, "__origin__", None) is list
        )
        _lists_of[kind] = found
    return found


class Answer:
    """A whole answer."""

    __slots__ = ("body", "headers", "status")

    @property
    def chunked(self) -> bool:
        """Whether it is sent as it comes, framed in a way that HTTP/1.0 does not know."""
        return False

    def __init__(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = headers if headers is not None else []

    async def send(self, request: Request, send: Send) -> None:
        """Write it out."""
        headers = self.headers
        if self.status not in (204, 304):
            if request.method != "HEAD" and request.answer(self.status, headers, self.body):
                return
            headers = [*headers, (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        body = b"" if request.method == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body})


class Pieces(Answer):
    """An answer that comes in pieces; `size` in bytes when it is known."""

    __slots__ = ("_pieces", "_size")

    def __init__(
        self, pieces: AsyncIterator[bytes], headers: Headers, *, status: int = 200, size: int | None = None
    ) -> None:
        super().__init__(status, b"", headers)
        self._pieces = pieces
        self._size = size

    @property
    def chunked(self) -> bool:
        return self._size is None

    async def send(self, request: Request, send: Send) -> None:
        headers = self.headers
        if self._size is not None:
            headers = [*headers, (b"content-length", b"%d" % self._size)]
        try:
            first = await anext(self._pieces, b"")  # what goes wrong at once is still answered as a problem
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            if first and request.method != "HEAD":
                await send({"type": "http.response.body", "body": first, "more_body": True})
                async for piece in self._pieces:
                    if request.connection.lost:
                        return
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await self._pieces.aclose()  # type: ignore[attr-defined]  # all are generators


def json(value: Any, status: int = 200, *more: tuple[bytes, bytes]) -> Answer:
    """A value as JSON."""
    return Answer(status, _encode(value), [JSON, NO_STORE, *more])
