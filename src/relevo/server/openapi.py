"""The OpenAPI 3.1 document, made of the table of routes and of the types that stand in it."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from relevo import __version__
from relevo.server.problems import ProblemDetails
from relevo.server.routes import Endpoint, NoQuery, Said

_NAME: Final = re.compile(r"{(\w+)}")
_REF: Final = "#/components/schemas/{name}"
_PATH_WORDS: Final = {
    "run": "A run's id, a unique beginning of it, or `latest`.",
    "number": "A job's number in its run, from 0.",
    "agent": "An agent, by its name.",
    "name": "An artifact's name.",
    "digest": "BLAKE3 of the bytes, in hex.",
}
#: One event of a stream, as its lines tell it.
_SENT_EVENT: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer"},
    },
}
_PROBLEMS: Final = {
    400: "It cannot be understood.",
    401: "The token is missing or wrong.",
    403: "Not from there, or not under that name.",
    404: "There is no such thing.",
    408: "It did not come in time.",
    409: "The state does not allow it.",
    413: "The body is too large.",
    415: "The body is not of a type that is taken.",
    422: "It is understood, and cannot be done.",
    426: "It is sent as it comes: that needs HTTP/1.1.",
    429: "Too many requests: Retry-After tells when to come again.",
    503: "Not now: Retry-After tells when to come again.",
}


def document(endpoints: list[Endpoint]) -> dict[str, Any]:
    """The document."""
    types = _types(endpoints)
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "relevo",
            "version": __version__,
            "description": "What can be asked of an engine. Times are Unix milliseconds. Errors are problems (RFC 9457).",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "relevo_session"},
            },
        },
    }


def _types(endpoints: list[Endpoint]) -> list[Any]:
    found: dict[Any, None] = {ProblemDetails: None}
    for endpoint in endpoints:
        for said in endpoint.says:
            if said.type not in (None, dict):
                found[said.type] = None
        if endpoint.body is not None:
            found[endpoint.body] = None
    return list(found)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_WORDS[name],
            "schema": {"type": "integer", "minimum": 0} if name == "number" else {"type": "string"},
        }
        for name in _NAME.findall(endpoint.path)
    ]
    parameters += _query(endpoint.query)
    parameters += [
        {"name": name, "in": "header", "description": words, "schema": {"type": "string"}}
        for name, words in endpoint.headers.items()
    ]
    responses: dict[str, Any] = {}
    for said in endpoint.says:
        _add(responses, said)
    always = {429} if endpoint.open else {401, 403, 429}
    for status in sorted({400, *always, *endpoint.problems}):
        responses[str(status)] = {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": {"schema": {"$ref": _REF.format(name="ProblemDetails")}}},
        }
    made: dict[str, Any] = {
        "operationId": f"{endpoint.handler.__self__.__class__.__name__.lower()}_{endpoint.handler.__name__}",  # type: ignore[attr-defined]  # all are methods
        "summary": endpoint.summary,
        "responses": responses,
    }
    if endpoint.words:
        made["description"] = endpoint.words
    if parameters:
        made["parameters"] = parameters
    if endpoint.body is not None:
        made["requestBody"] = {
            "required": _needs(endpoint.body),
            "content": {"application/json": {"schema": {"$ref": _REF.format(name=endpoint.body.__name__)}}},
        }
    if endpoint.open:
        made["security"] = []
    return made


def _needs(body: type[Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(body))


def _add(responses: dict[str, Any], said: Said) -> None:
    response = responses.setdefault(str(said.status), {"description": said.words})
    schema: dict[str, Any]
    if said.type is dict:
        schema = {"type": "object"}
    elif said.type is not None:
        schema = {"$ref": _REF.format(name=said.type.__name__)}
    elif said.media == "text/event-stream":
        schema = _SENT_EVENT
    else:
        schema = {"type": "string"}
    if said.type is not None or said.media != "application/json":
        response.setdefault("content", {})[said.media] = {"schema": schema}
    for name, words in said.headers.items():
        response.setdefault("headers", {})[name] = {"description": words, "schema": {"type": "string"}}


def _query(kind: type[Struct]) -> list[dict[str, Any]]:
    if kind is NoQuery:
        return []
    schema = next(iter(msgspec.json.schema_components([kind], ref_template=_REF)[1].values()))
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": _plain(found),
        }
        for name, found in schema["properties"].items()
    ]


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what may be null may be left out."""
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if not options:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf" and value is not None}
    return {**rest, **options[0]} if len(options) == 1 else {**rest, "anyOf": options}


def endpoints() -> list[Endpoint]:
    """All that a server has, to be told of: none of them can be called."""
    from typing import cast

    from relevo.server.app import App

    nobody = cast(Any, None)
    return App(nobody, nobody, nobody, blobs=nobody, nowhere="").router.endpoints
