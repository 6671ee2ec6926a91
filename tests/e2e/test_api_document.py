"""The OpenAPI document and the server: made-up requests of all kinds, each answer held against the document.

Half of the requests name what there is, so that not all of them end at "there is no such run".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from blake3 import blake3
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.faults.serving import Server
from tests.faults.world import World

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: A stream that never ends is no request to make up.
ENDLESS = {"/api/v1/stream"}
EXAMPLES = 25

WORKFLOW = """
on: push
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - run: echo "::warning::careful"; mkdir out; echo hello > out/a
      - uses: actions/upload-artifact@v4
        with: {name: result, path: out}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with World() as world:
        yield Server(world)


def test_every_operation_answers_as_the_document_says(server: Server) -> None:
    run = server.submit(text=WORKFLOW)[1]
    assert server.ended(run)["status"] == "succeeded"
    schema = schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    real = {"run": run, "agent": "local", "number": 0, "name": "result", "digest": blake3(b"").hexdigest()}
    statuses: dict[str, set[int]] = {}
    for operation in operations:
        if operation.path not in ENDLESS:
            _try(operation, real, server, statuses.setdefault(operation.label, set()))
    # What was tried reached more than the doors.
    for label, seen in statuses.items():
        assert any(status < 400 for status in seen) or "/jobs/{number}/" in label or "session" in label, (
            label,
            seen,
        )


def _try(operation: Any, real: dict[str, Any], server: Server, seen: set[int]) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}

    @given(case=operation.as_strategy(), known=st.booleans())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Any, known: bool) -> None:
        if known:
            for name in case.path_parameters or {}:
                case.path_parameters[name] = real[name]
            if operation.label == "POST /api/v1/runs":
                case.body = {"workflow": {"path": "w.yml", "text": WORKFLOW}}
        response = case.call(headers=headers, timeout=60)
        seen.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    one()
    if all(status >= 400 for status in seen) and operation.method == "get":
        case = operation.Case(
            path_parameters={name: real[name] for name in real if f"{{{name}}}" in operation.path}
        )
        if operation.label.endswith("/search"):
            case.query = {"q": "hello"}
        if operation.label.endswith("/frames"):
            case.query = {"job": "a"}
        response = case.call(headers=headers, timeout=60)
        seen.add(response.status_code)
        case.validate_response(response, checks=CHECKS)
