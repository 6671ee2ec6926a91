"""One server over HTTP: requests, streams, and what becomes of lost connections.

Whoever has met the server waits for it when it goes (it is started again, or moves); all who wait share one probe, so that they
go on together. What cannot be repeated without harm is not. A refusal becomes the error that an engine here would have raised.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import httpx2 as httpx
import msgspec
from msgspec import Struct

from relevo.assembly.remote.logins import is_loopback
from relevo.domain.errors import DamagedError, InfrastructureError, UserError
from relevo.protocol.http_api import API_LEVEL, BLOBS_MISSING
from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid

#: How long a server that was there is waited for.
PATIENCE_S: Final = 120.0
#: How long one is that says itself that it can do nothing just now.
BUSY_S: Final = 20.0
CONNECT_S: Final = 10.0
#: An answer is there within this time; streams say something every 15 s.
ANSWER_S: Final = 60.0
#: So long the server may take over a run: it joins snapshots, and waits for its disk.
ACCEPT_S: Final = 600.0
PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
_BUSY: Final = frozenset({429, 502, 503, 504})
#: What one answer may be long; streams are not held.
_PROBLEM_BYTES: Final = 4 << 20


class NotReached(InfrastructureError):
    """The server does not answer."""


class Lost(InfrastructureError):
    """A stream was cut: the server can be asked to go on behind its last item."""


class BlobsMissing(UserError):
    """What was uploaded is gone."""


class _Wrong(Struct):
    """See `server.problems.WorkflowError`."""

    file: str
    line: int = 0
    column: int = 0
    severity: Literal["error", "warning"] = "error"
    message: str = ""
    hint: str | None = None


class _Problem(Struct):
    """See `server.problems.ProblemDetails`."""

    detail: str = ""
    title: str = ""
    type: str = ""
    hint: str | None = None
    errors: list[_Wrong] = []


class _Client(httpx.AsyncClient):
    """Tells of a connection that was closed as it was made as such: anyio looks at its socket, which is gone by then."""

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        try:
            return await super().send(request, **options)
        except AttributeError as error:
            if error.name != "getpeername" or error.obj is not None:
                raise
            raise httpx.ConnectError("closed as it was made", request=request) from error


class Link:
    """See the module. `url` is one that `logins.normal` gave."""

    def __init__(self, url: str, token: str | None, *, patience_s: float = PATIENCE_S) -> None:
        self.url = url
        self._patience_s = patience_s
        self._met = False
        self._probing: asyncio.Task[None] | None = None
        headers = {"user-agent": f"relevo/{_version()}"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._client = _Client(
            base_url=f"{url}/api/v1",
            headers=headers,
            # The system's authorities, and those of SSL_CERT_FILE. Loading them takes 20 ms: not where they are not needed.
            verify=ssl.create_default_context() if url.startswith("https:") else False,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            trust_env=not is_loopback(url),  # proxies
        )

    async def meet(self) -> dict[str, Any]:
        """Who is there. Raises UserError when that is no server that this program can speak with."""
        told = await self.get("/server")
        level = told.get("api") if isinstance(told, dict) else None
        if not isinstance(told, dict) or "version" not in told:
            raise self._nobody()
        server, mine = told["version"], _version()
        if not isinstance(level, int) or level < API_LEVEL:
            raise UserError(
                f"the server at {self.url} is older than this program (relevo {server} there, {mine} here)",
                hint="upgrade the server, or use its version of relevo here",
            )
        if told.get("api_oldest", 0) > API_LEVEL:
            raise UserError(
                f"this program is older than what the server at {self.url} speaks with (relevo {mine} here, {server} there)",
                hint="upgrade relevo here: pip install --upgrade relevo",
            )
        return told

    async def close(self) -> None:
        """Hang up."""
        if self._probing is not None:
            self._probing.cancel()
        await self._client.aclose()

    # --- asking ---------------------------------------------------------------------------------------------------

    async def get(self, path: str, **query: Any) -> Any:
        """The answer's JSON."""
        return self._json(await self._asked("GET", path, params=_given(query)))

    async def text(self, url: str) -> str:
        """The text at an absolute path of the server."""
        return (await self._asked("GET", f"{self.url}{url}")).text

    async def post(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        repeatable: bool = True,
        traceparent: str = "",
        tracestate: str = "",
        answer_s: float = ANSWER_S,
    ) -> Any:
        """Post JSON; the answer's JSON. With a `key`, or when it is `repeatable`, it is asked again when the answer got lost."""
        headers = {"content-type": "application/json"}
        if traceparent:
            headers["traceparent"] = traceparent
            if tracestate and tracestate.isascii() and tracestate.isprintable():
                headers["tracestate"] = tracestate
        if key is not None:
            headers["idempotency-key"] = key
        content = msgspec.json.encode({} if body is None else body)
        return self._json(
            await self._asked(
                "POST",
                path,
                headers=headers,
                content=content,
                repeatable=repeatable,
                timeout=httpx.Timeout(answer_s, connect=CONNECT_S),
            )
        )

    async def put(self, path: str, size: int, make: Any) -> None:
        """Put bytes; `make()` gives them as an async iterator, anew for each try."""
        headers = {"content-type": "application/octet-stream", "content-length": str(size)}
        await self._asked("PUT", path, headers=headers, make=make)

    async def _asked(
        self,
        method: str,
        path: str,
        *,
        make: Any = None,
        repeatable: bool = True,
        **given: Any,
    ) -> httpx.Response:
        loop = asyncio.get_running_loop()
        until = loop.time() + BUSY_S
        lost_since: float | None = None
        while True:
            if make is not None:
                given["content"] = make()
            try:
                response = await self._client.request(method, path, **given)
            except httpx.TransportError as error:
                if not self._met:
                    raise self._not_met(error) from error
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                if not (unsent or repeatable):
                    raise NotReached(
                        f"the connection to {self.url} was lost before it answered; look whether it has done it"
                    ) from error
                if lost_since is None:
                    lost_since = loop.time()
                elif loop.time() - lost_since >= self._patience_s:
                    # It is there, and still gives no answer to this.
                    raise NotReached(f"{self.url} gives no answer: {_reason(error)}") from error
                await self.there_again()
                continue
            if response.status_code in _BUSY and loop.time() < until:
                await asyncio.sleep(_retry_after(response))
                continue
            self._check(response)
            self._met = True
            return response

    @asynccontextmanager
    async def stream(
        self, path: str, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an answer as they come. Raises Lost when the connection is, and what `get` raises."""
        request = self._client.build_request("GET", path, params=_given(query), headers=dict(headers or {}))
        try:
            response = await self._client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    await response.aread()
                    if response.status_code in _BUSY:
                        raise Lost(f"{self.url} answers with {response.status_code}")
                    self._check(response)
                    yield _nothing()  # 204: all of it was told before
                else:
                    yield response.aiter_raw()
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise Lost(f"the connection to {self.url} was lost: {_reason(error)}") from error

    async def there_again(self) -> None:
        """Returns when the server answers. Raises NotReached when it does not for PATIENCE_S."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.get_running_loop().create_task(self._probe())
        await asyncio.shield(self._probing)

    async def _probe(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        pause = PAUSE_S
        while True:
            try:
                response = await self._client.get("/server")
                if response.status_code not in _BUSY:
                    return
            except httpx.TransportError as error:
                if loop.time() > until:
                    raise NotReached(
                        f"{self.url} has not answered for {self._patience_s:g} s ({_reason(error)}); what runs there goes on"
                    ) from error
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, pause * 1.5)

    # --- refusals -------------------------------------------------------------------------------------------------

    def _check(self, response: httpx.Response) -> None:
        """Raise what the server refused with."""
        status = response.status_code
        if status < 300:
            return
        problem = _problem(response)
        if 300 <= status < 400:
            target = response.headers.get("location", "elsewhere")
            raise UserError(
                f"{self.url} sends its callers on to {target}", hint="set RELEVO_SERVER to where it leads"
            )
        if problem is None:
            if status in (404, 405):
                raise self._nobody()
            told = f"{self.url} answers with {status} {response.reason_phrase}"
            raise (
                InfrastructureError(told) if status >= 500 else UserError(told, hint="is it a relevo server?")
            )
        detail = problem.detail or problem.title
        if status == 401:
            given = "authorization" in self._client.headers
            raise UserError(
                f"{self.url}: {detail}" if given else f"{self.url} wants a token",
                hint=f"relevo login {self.url}",
            )
        if status == 403:
            raise UserError(f"{self.url}: {detail}", hint=problem.hint)
        if problem.type == BLOBS_MISSING:
            raise BlobsMissing(detail, hint=problem.hint)
        if problem.errors:
            raise WorkflowInvalid(
                Diagnostic(one.file, one.line, one.column, one.message, one.hint, one.severity)
                for one in problem.errors
            )
        if status < 500:
            raise UserError(detail, hint=problem.hint)
        if detail.startswith("damaged: "):
            raise DamagedError(detail.removeprefix("damaged: "), where=self.url)
        raise InfrastructureError(f"{self.url}: {detail}")

    def _json(self, response: httpx.Response) -> Any:
        if not response.content:
            return None
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            raise self._nobody() from None

    def _nobody(self) -> UserError:
        return UserError(
            f"there is no relevo server at {self.url}: somebody else answers there",
            hint="RELEVO_SERVER is the address that `relevo up` prints",
        )

    def _not_met(self, error: httpx.TransportError) -> UserError:
        cause = _cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UserError(
                f"the certificate of {self.url} cannot be trusted: {cause.verify_message}",
                hint="SSL_CERT_FILE=FILE names the authority that signed it",
            )
        if isinstance(cause, ssl.SSLError):
            return UserError(
                f"{self.url} does not speak TLS with us: {cause.reason or cause}",
                hint="is it http:// instead of https://?",
            )
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return UserError(
                f"nobody answers at {self.url}: {_reason(error)}",
                hint="is `relevo up` running there? RELEVO_SERVER is the address that it prints",
            )
        return UserError(
            f"{self.url} does not answer as a server would: {_reason(error)}",
            hint="is it https:// instead of http://?",
        )


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for piece in none:
        yield piece


def _version() -> str:
    from relevo import __version__

    return __version__


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    """A query without what was not given; truth as the API writes it."""
    plain = {True: "true", False: "false"}
    return {
        key: plain[value] if isinstance(value, bool) else value
        for key, value in query.items()
        if value is not None
    }


def _problem(response: httpx.Response) -> _Problem | None:
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        return msgspec.json.decode(response.content[:_PROBLEM_BYTES], type=_Problem)
    except msgspec.DecodeError:
        return None


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(10.0, float(text)) if text.isdigit() else LONGEST_PAUSE_S


def _cause(error: BaseException) -> BaseException:
    """What is at the bottom of it."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return error


def _reason(error: BaseException) -> str:
    cause = _cause(error)
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(error) or type(error).__name__
