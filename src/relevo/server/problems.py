"""What is answered when something cannot be done: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct

from relevo.domain.errors import DamagedError, InfrastructureError, RelevoError, UserError
from relevo.orchestrator.api import PartsMissing, SecretsMissing
from relevo.orchestrator.keys import KeyUsed
from relevo.protocol.http_api import BLOBS_MISSING
from relevo.store.contract import FactExists, Fenced, StoreUnavailable
from relevo.workflow.diagnostics import WorkflowInvalid

CONTENT_TYPE: Final = b"application/problem+json"
RETRY_AFTER_S: Final = 2


class WorkflowError(Struct):
    """One remark about one place of a workflow file. Lines and columns count from 1; 0: the file as a whole."""

    file: str
    line: int
    column: int
    severity: str
    message: str
    hint: str | None = None


class ProblemDetails(Struct, omit_defaults=True):
    """Why a request was not done."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    hint: str | None = None
    errors: list[WorkflowError] = []
    secrets: list[str] = []  #: names of those to be given again


class Problem(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        hint: str | None = None,
        kind: str = "about:blank",
        errors: list[WorkflowError] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        title = HTTPStatus(status).phrase
        self.details = ProblemDetails(title, status, detail, kind, hint, errors or [])

    def body(self) -> bytes:
        return msgspec.json.encode(self.details)


def retry_after(seconds: float = RETRY_AFTER_S) -> tuple[bytes, bytes]:
    """The header that says when to ask again; whole seconds, at least one."""
    return (b"retry-after", b"%d" % max(1, -int(-seconds // 1)))


def not_found(error: UserError) -> Problem:
    """Something was named that there is not."""
    return Problem(404, error.message, hint=error.hint, kind="urn:relevo:not-found")


def problem_of(error: RelevoError) -> Problem:
    """The problem that an error of the engine is."""
    match error:
        case WorkflowInvalid():
            errors = [
                WorkflowError(one.path, one.line, one.column, one.severity, one.message, one.hint)
                for one in error.diagnostics
            ]
            first = errors[0].message if errors else "it cannot be read"
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            return Problem(
                422,
                f"the workflow cannot be run: {first}{more}",
                kind="urn:relevo:workflow-invalid",
                errors=errors,
            )
        case PartsMissing():
            return Problem(409, error.message, hint="upload them, and ask again", kind=BLOBS_MISSING)
        case SecretsMissing():
            problem = Problem(422, error.message, hint=error.hint, kind="urn:relevo:secrets-missing")
            problem.details.secrets = list(error.names)
            return problem
        case KeyUsed():
            return Problem(422, error.message, hint=error.hint, kind="urn:relevo:idempotency-key-used")
        case UserError():
            return Problem(422, error.message, hint=error.hint)
        case StoreUnavailable():
            kind = "urn:relevo:no-room" if error.full else "about:blank"
            return Problem(503, str(error), kind=kind, headers=(retry_after(),))
        case Fenced() | FactExists() | InfrastructureError():
            return Problem(503, str(error), headers=(retry_after(),))
        case DamagedError():
            return Problem(
                500,
                f"damaged: {error}",
                hint="`relevo db check` names all damage; other runs are not touched by it",
            )
        case _:
            return Problem(500, str(error))
