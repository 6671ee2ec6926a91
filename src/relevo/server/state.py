"""The server itself, its sessions, and what the engine looks like from inside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import msgspec

from relevo.core.measured import HTTP_FOLLOWERS
from relevo.core.openmetrics import CONTENT_TYPE
from relevo.domain.errors import RelevoError, UserError
from relevo.orchestrator.api import QueueView
from relevo.server import shapes
from relevo.server.access import COOKIE, Access, cookie, from_own_page, session_cookie
from relevo.server.http import NO_STORE, Answer, Request, json
from relevo.server.problems import Problem, not_found, retry_after
from relevo.server.routes import Endpoint, Router, Said

if TYPE_CHECKING:
    from relevo.server.hub import Hub

#: How long the engine may take to say that it is there.
READY_S = 2.0
_PLAIN = (b"content-type", b"text/plain; charset=utf-8")


class State:
    """Handlers. `router` is set once it is made: the document tells of it."""

    router: Router

    def __init__(self, hub: Hub, access: Access) -> None:
        self._hub = hub
        self._api = hub.api
        self._access = access
        self._document: bytes | None = None

    def endpoints(self) -> list[Endpoint]:
        """All but runs and logs."""
        return [
            Endpoint(
                "GET",
                "/api/v1/server",
                self.server,
                "The engine behind this server.",
                (Said(200, "It.", shapes.ServerView),),
            ),
            Endpoint(
                "POST",
                "/api/v1/session",
                self.begin,
                "Exchange the token for a session: a cookie.",
                (Said(204, "The cookie is set.", headers={"Set-Cookie": "the session"}),),
                body=shapes.TokenGiven,
                problems=(400, 401, 403, 413, 415),
                open=True,
            ),
            Endpoint(
                "DELETE",
                "/api/v1/session",
                self.end,
                "End the session.",
                (Said(204, "It has ended.", headers={"Set-Cookie": "empty"}),),
                problems=(403,),
            ),
            Endpoint(
                "GET",
                "/api/v1/workers",
                self.workers,
                "The agents, and what each of them has.",
                (Said(200, "They.", shapes.Workers),),
            ),
            Endpoint(
                "POST",
                "/api/v1/workers/{agent}/drain",
                self.drain,
                "Have an agent take nothing new until it is undrained, whichever engine runs. What it has goes on.",
                (Said(202, "It takes nothing new."),),
                body=shapes.DrainGiven,
                problems=(400, 404, 413, 415),
            ),
            Endpoint(
                "POST",
                "/api/v1/workers/{agent}/undrain",
                self.undrain,
                "Have an agent take jobs again. Without effect when it does.",
                (Said(202, "It takes jobs."),),
                problems=(404,),
            ),
            Endpoint(
                "GET",
                "/api/v1/queue",
                self.queue,
                "The jobs that wait for a place, and why.",
                (Said(200, "They.", QueueView),),
                query=shapes.QueueQuery,
                problems=(400,),
            ),
            Endpoint(
                "GET",
                "/api/v1/actors",
                self.actors,
                "The engine from inside.",
                (Said(200, "Its actors.", shapes.Actors),),
            ),
            Endpoint(
                "GET",
                "/api/v1/openapi.json",
                self.openapi,
                "This document.",
                (Said(200, "OpenAPI 3.1.", dict),),
                open=True,
            ),
            Endpoint(
                "GET",
                "/metrics",
                self.metrics,
                "What the engine's process counts.",
                (Said(200, "OpenMetrics.", None, "application/openmetrics-text"),),
            ),
            Endpoint(
                "GET",
                "/healthz",
                self.healthy,
                "Whether the server lives.",
                (Said(200, "It does.", None, "text/plain"),),
                open=True,
            ),
            Endpoint(
                "GET",
                "/readyz",
                self.ready,
                "Whether an engine takes runs.",
                (Said(200, "One does.", None, "text/plain"),),
                problems=(503,),
                open=True,
            ),
        ]

    async def server(self, request: Request) -> Answer:
        return json(msgspec.convert(await self._api.ping(), shapes.ServerView))

    async def begin(self, request: Request) -> Answer:
        if (request.header(b"origin") or request.header(b"sec-fetch-site")) and not from_own_page(request):
            raise Problem(403, "a session begins on the server's own page")
        given = await request.json(shapes.TokenGiven)
        if not self._access.knows(given.token):
            raise Problem(401, "the token is not the one of this server")
        secret = await asyncio.to_thread(self._access.begin, time.time())
        return Answer(204, b"", [NO_STORE, session_cookie(secret)])

    async def end(self, request: Request) -> Answer:
        secret = cookie(request.header(b"cookie"), COOKIE)
        if secret:
            await asyncio.to_thread(self._access.end, secret)
        return Answer(204, b"", [NO_STORE, session_cookie("", ends=True)])

    async def workers(self, request: Request) -> Answer:
        return json(shapes.Workers(await self._api.workers()))

    async def drain(self, request: Request) -> Answer:
        given = await request.json(shapes.DrainGiven)
        return await self._said(self._api.drain(request.path_values[0], reason=given.reason))

    async def undrain(self, request: Request) -> Answer:
        return await self._said(self._api.undrain(request.path_values[0]))

    async def _said(self, asked: Awaitable[None]) -> Answer:
        try:
            await asked
        except UserError as error:
            raise not_found(error) from None
        return Answer(202, b"", [NO_STORE])

    async def queue(self, request: Request) -> Answer:
        asked = request.query(shapes.QueueQuery)
        return json(await self._api.queue(limit=asked.limit))

    async def actors(self, request: Request) -> Answer:
        return json({"actors": await self._api.actors()})

    async def openapi(self, request: Request) -> Answer:
        if self._document is None:
            from relevo.server.openapi import document

            self._document = msgspec.json.encode(document(self.router.endpoints))
        return Answer(200, self._document, [(b"content-type", b"application/json")])

    async def metrics(self, request: Request) -> Answer:
        HTTP_FOLLOWERS.set(self._hub.followers)
        text = await self._api.metrics()
        return Answer(200, text.encode(), [(b"content-type", CONTENT_TYPE.encode()), NO_STORE])

    async def healthy(self, request: Request) -> Answer:
        return Answer(200, b"ok\n", [_PLAIN, NO_STORE])

    async def ready(self, request: Request) -> Answer:
        try:
            async with asyncio.timeout(READY_S):
                await self._api.ping()
        except (RelevoError, TimeoutError):
            raise Problem(503, "no engine answers", headers=(retry_after(),)) from None
        if self._hub.closing.is_set():
            raise Problem(503, "this server is about to end", headers=(retry_after(),))
        return Answer(200, b"ready\n", [_PLAIN, NO_STORE])
