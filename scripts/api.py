"""Writes docs/api.md from the OpenAPI document of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from relevo.server.openapi import document, endpoints

PAGE: Final = Path(__file__).parents[1] / "docs" / "api.md"
_REF: Final = "#/components/schemas/"


def api() -> str:
    """The page."""
    told = document(endpoints())
    return "\n".join(_page(told)) + "\n"


def _page(told: dict[str, Any]) -> Iterator[str]:
    yield "# The HTTP API\n"
    yield "Written by `make docs` from the server's own OpenAPI document (`GET /api/v1/openapi.json`). How it is used, with examples,"
    yield "tells [server.md](server.md). Times are Unix milliseconds, sizes bytes. All but what is marked *open* needs the token or a session.\n"
    yield "| | |"
    yield "|---|---|"
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield f"| [`{method.upper()} {path}`](#{operation['operationId']}) | {operation['summary']} |"
    yield ""
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield from _operation(path, method, operation)
    yield "## Types\n"
    for name, schema in sorted(told["components"]["schemas"].items()):
        yield from _type(name, schema)


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f'<a id="{operation["operationId"]}"></a>\n'
    yield f"## {method.upper()} {path}\n"
    yield operation["summary"] + (" *Open.*" if operation.get("security") == [] else "") + "\n"
    parameters = operation.get("parameters", [])
    if parameters:
        yield "| given | in | |"
        yield "|---|---|---|"
        for one in parameters:
            words = one.get("description", "")
            told = f"{_kind(one['schema'])}{_default(one['schema'])}"
            must = " (required)" if one.get("required") and one["in"] == "query" else ""
            yield f"| `{one['name']}`{must} | {one['in']} | {f'{words} ' if words else ''}{told} |"
        yield ""
    body = operation.get("requestBody")
    if body:
        yield f"Body: {_kind(body['content']['application/json']['schema'])}{'' if body['required'] else ', may be left out'}.\n"
    yield "| answer | |"
    yield "|---|---|"
    for status, answer in operation["responses"].items():
        kinds = ", ".join(
            f"`{media}`" if _kind(content["schema"]) in ("text", "object") else _kind(content["schema"])
            for media, content in answer.get("content", {}).items()
            if media != "application/problem+json"
        )
        headers = ", ".join(f"`{name}`" for name in answer.get("headers", {}))
        yield f"| {status} | {answer['description']}{f' {kinds}' if kinds else ''}{f'; {headers}' if headers else ''} |"
    yield ""


def _type(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<a id="{name.lower()}"></a>\n'
    yield f"### {name}\n"
    yield " ".join(schema.get("description", "").split()) + "\n"
    yield "| field | |"
    yield "|---|---|"
    required = schema.get("required", [])
    for field, kind in schema["properties"].items():
        told = _default(kind) if field not in required else ""
        yield f"| `{field}` | {_kind(kind)}{told} |"
    yield ""


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    match schema.get("type"):
        case "array":
            return f"list of {_kind(schema['items'])}" if schema.get("items") else "list"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"map of {_kind(schema['additionalProperties'])}"
        case "object":
            return "object"
        case "string":
            return "text"
        case "boolean":
            return "true or false"
        case "integer":
            return f"number{_bounds(schema)}"
        case other:
            return str(other or "anything")


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is not None and high < 1 << 40:
        return f" from {low:,} to {high:,}" if low is not None else f" up to {high:,}"
    return f" from {low:,}" if low is not None and low > -(1 << 40) else ""


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    if default in (None, "", [], {}):
        return ""
    return f", by default {str(default).lower() if isinstance(default, bool) else f'`{default}`'}"
