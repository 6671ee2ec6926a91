"""The ASGI application: who may ask, how often, and who answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from relevo.blobs.contract import BlobStore
from relevo.core.gcra import Gcra
from relevo.core.measured import HTTP_REQUESTS, HTTP_SECONDS
from relevo.domain.errors import RelevoError
from relevo.orchestrator.api import EngineApi
from relevo.server import access as rules
from relevo.server import problems
from relevo.server.access import Access
from relevo.server.frames import Frames
from relevo.server.http import NO_STORE, Answer, Receive, Request, Send
from relevo.server.hub import Hub
from relevo.server.logs import Logs
from relevo.server.pages import Pages
from relevo.server.problems import Problem, problem_of, retry_after
from relevo.server.routes import Endpoint, Router
from relevo.server.runs import Runs
from relevo.server.state import State
from relevo.server.topics import Following
from relevo.server.uploads import Uploads

#: Clients whose rates are remembered.
CLIENTS: Final = 1_024
#: Methods that are counted by name.
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: Statuses as they are counted, by their first digit; 0: nothing was answered.
CLASSES: Final = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")

_log = logging.getLogger(__name__)


class Limits(Struct, frozen=True):
    """What one client (an address) may ask: requests a second in the long run, and at once; and wrong tokens."""

    rate: float = 10_000.0
    burst: int = 20_000
    wrong_rate: float = 5.0
    wrong_burst: int = 20


class App:
    """See the module."""

    def __init__(
        self,
        api: EngineApi,
        loop: asyncio.AbstractEventLoop,
        access: Access,
        *,
        nowhere: str,
        static: str = "",
        hosts: frozenset[str] = frozenset(),
        limits: Limits | None = None,
        blobs: Callable[[], BlobStore],
    ) -> None:
        """`blobs`: the store of the engine that there is just now; `nowhere`: an empty folder; `static`: that of the page, "": there is none; `hosts`: names it answers to beside
        those of loopback."""
        self.hub = Hub(api, loop)
        self.access = access
        self._loop = loop
        self._hosts = hosts
        self._limits = limits or Limits()
        self._rates: OrderedDict[str, Gcra] = OrderedDict()
        self._wrong: OrderedDict[str, Gcra] = OrderedDict()
        runs = Runs(self.hub, nowhere)
        state = State(self.hub, access)
        self.router = Router(
            [
                *runs.endpoints(),
                *Logs(self.hub, runs).endpoints(),
                *Frames(self.hub, runs).endpoints(),
                *Following(self.hub).endpoints(),
                *Uploads(blobs).endpoints(),
                *state.endpoints(),
            ]
        )
        state.router = self.router
        self._pages = Pages(static)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        begun = self._loop.time()
        told = _Told(send, request)
        route = "other"
        try:
            try:
                endpoint = self._endpoint(request, scope)
                if endpoint is not None:
                    route = endpoint.path
                    answer = await endpoint.handler(request)
                else:
                    route = "page"
                    answer = await self._pages.answer(request)
                if answer.chunked and request.version == "1.0":
                    raise _too_old()
            except Problem as problem:
                if problem.status == 401:
                    self._wrong_of(_address(scope)).allow(self._loop.time())
                answer = _answer(problem)
            except RelevoError as error:
                answer = _answer(problem_of(error))
            HTTP_SECONDS.of[route].record(self._loop.time() - begun)
            await self._send(answer, request, told)
        except Exception:
            # A mistake of ours: the client is told that it is, and not what.
            _log.exception("%s %s failed", request.method, route)
            if request.status:
                raise
            await _answer(Problem(500, "the server failed; its log tells more")).send(request, told)
        finally:
            method = request.method if request.method in METHODS else "other"
            HTTP_REQUESTS.labels(method, route, CLASSES[request.status // 100]).inc()

    async def _send(self, answer: Answer, request: Request, told: _Told) -> None:
        try:
            await answer.send(request, told)
        except RelevoError as error:
            if request.status:
                # It has begun: all that can be said is that it is not whole.
                _log.warning("an answer broke off: %s", error)
                request.connection.transport.abort()
                return
            await _answer(problem_of(error)).send(request, told)

    def _endpoint(self, request: Request, scope: dict[str, Any]) -> Endpoint | None:
        """Who answers, once it is clear that the client may ask; None: the page. Raises Problem."""
        address = _address(scope)
        now_s = self._loop.time()
        rate = _of(self._rates, address, self._limits.rate, self._limits.burst)
        if not rate.allow(now_s):
            raise Problem(429, "too many requests", headers=(retry_after(rate.delay_s(now_s)),))
        rules.check_host(request.host, self._hosts)
        found = self.router.find(request.path)
        if found is None:
            if request.path.startswith("/api/"):
                raise Problem(
                    404, f"there is no {request.path}", hint="GET /api/v1/openapi.json tells what there is"
                )
            if request.method not in ("GET", "HEAD"):
                raise _not_allowed(["GET", "HEAD"])
            return None
        methods, request.path_values = found
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = methods.get(method)
        asks = endpoint is None or not endpoint.open or endpoint.method != "GET"
        if asks and (wrong := self._wrong.get(address)) and (wait_s := wrong.delay_s(now_s)):
            raise Problem(429, "too many wrong tokens", headers=(retry_after(wait_s),))
        if endpoint is None or not endpoint.open:
            rules.check(request, self.access, time.time())
        if endpoint is None:
            raise _not_allowed([*methods, "HEAD"] if "GET" in methods else [*methods])
        return endpoint

    def _wrong_of(self, address: str) -> Gcra:
        return _of(self._wrong, address, self._limits.wrong_rate, self._limits.wrong_burst)


def _address(scope: dict[str, Any]) -> str:
    client = scope["client"]
    return client[0] if client else ""


class _Told:
    """Sends, and tells the request the status."""

    __slots__ = ("_request", "_send")

    def __init__(self, send: Send, request: Request) -> None:
        self._send = send
        self._request = request

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._request.status = message["status"]
        await self._send(message)


def _of(known: OrderedDict[str, Gcra], address: str, rate: float, burst: int) -> Gcra:
    found = known.get(address)
    if found is None:
        found = known[address] = Gcra(rate, burst)
        if len(known) > CLIENTS:
            known.popitem(last=False)
    else:
        known.move_to_end(address)
    return found


def _answer(problem: Problem) -> Answer:
    headers = [(b"content-type", problems.CONTENT_TYPE), NO_STORE, *problem.headers]
    return Answer(problem.status, problem.body(), headers)


def _too_old() -> Problem:
    """An old client, or a proxy that speaks so to us whatever its own clients speak, would take the framing for content."""
    return Problem(
        426,
        "this is sent as it comes, which needs HTTP/1.1: the request was of HTTP/1.0",
        hint="where a proxy asks, let it speak HTTP/1.1 to this server (nginx: proxy_http_version 1.1;)",
        headers=((b"upgrade", b"HTTP/1.1"), (b"connection", b"upgrade, close")),
    )


def _not_allowed(methods: list[str]) -> Problem:
    allowed = ", ".join(methods)
    return Problem(405, f"that takes {allowed}", headers=((b"allow", allowed.encode()),))
