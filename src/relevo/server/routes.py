"""Which request means what: one table, which the router, the counters and the OpenAPI document read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import Struct

from relevo.server.http import Answer, Request

Handler = Callable[[Request], Awaitable[Answer]]


class NoQuery(Struct):
    """Nothing is asked in the query."""


class Said(NamedTuple):
    """An answer as the document tells it."""

    status: int
    words: str
    type: Any = None  #: of the JSON; None: none
    media: str = "application/json"
    headers: Mapping[str, str] = MappingProxyType({})


class Endpoint(NamedTuple):
    """One method of one path. `{names}` in the path take one segment each; the last may be `{name:path}` and take all."""

    method: str
    path: str
    handler: Handler
    summary: str
    says: tuple[Said, ...]
    query: type[Struct] = NoQuery
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})  #: of the request: name to meaning
    problems: tuple[int, ...] = ()
    open: bool = False  #: for everybody
    words: str = ""


class Router:
    """Finds the endpoint of a path."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints
        self._tree: dict[str | None, Any] = {}
        for endpoint in endpoints:
            node: Any = self._tree
            for part in endpoint.path.strip("/").split("/"):
                node = node.setdefault("{}" if part.startswith("{") else part, {})
            node.setdefault(None, {})[endpoint.method] = endpoint

    def find(self, path: str) -> tuple[dict[str, Endpoint], tuple[str, ...]] | None:
        """The endpoints of a path by method, and what stands in place of its names; None when there is none."""
        node: Any = self._tree
        values: list[str] = []
        for part in path.strip("/").split("/"):
            below = node.get(part)
            if below is None or part == "{}":
                below = node.get("{}")
                if below is None or not part:
                    return None
                values.append(part)
            node = below
        found = node.get(None)
        return None if found is None else (found, tuple(values))
