"""What a command line, a page or a test can ask of an engine, be it in this process or another one.

The engine in this process (`assembly/local_api.py`) and the client of a living engine (`assembly/client.py`) both have this shape.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from msgspec import Struct

from relevo.logs.contract import LogFrame
from relevo.protocol.control import METHODS, Method
from relevo.store.contract import RunRow

#: One public event, JSON-able, the same in `--json` and over any wire. Which kinds there are and what is in them stands in
#: telemetry/catalogue.py, and in docs/telemetry.md.
PublicEvent = dict[str, Any]


class Submission(Struct, frozen=True):
    """What is asked to run."""

    workflow_path: str  #: as the user named it; shown, and part of `github.workflow_ref`
    workflow_text: bytes
    event: str = ""  #: name, or name:type; "": the one that is meant by hand (workflow_dispatch, else push, …), unfiltered
    inputs: dict[str, str] = {}
    env: dict[str, str] = {}
    secrets: dict[str, str] = {}
    jobs: tuple[str, ...] = ()  #: only these jobs and what they need; (): all
    directory: str = ""  #: the working tree, absolute
    committed: bool = False  #: HEAD instead of the working tree
    skip_unmatched: bool = False
    idempotency_key: str | None = None
    keep: bool = False  #: keep workspaces
    traceparent: str = (
        ""  #: the span that it is submitted within (W3C Trace Context); one that is malformed is let pass
    )
    tracestate: str = ""


class EngineApi(Protocol):
    """Everything a user can ask. Unknown runs and jobs raise UserError with what there is instead."""

    async def submit(self, submission: Submission) -> str:
        """Read, check, snapshot and accept; returns the run's id once it is durable. Raises UserError (with all diagnostics)."""

    def events(self, run: str, after: int = 0, *, follow: bool = True) -> AsyncIterator[PublicEvent]:
        """Events of a run after a sequence, then live ones (`follow`), until run.finished (included), or run.held when
        nothing else can go on."""

    def log(
        self, run: str, job: str, *, attempt: int | None = None, start: int = 0, follow: bool = False
    ) -> AsyncIterator[LogFrame]:
        """Log bytes of a job's attempt (None: its last), from an offset; `follow` waits until its end."""

    async def cancel(self, run: str, *, force: bool = False) -> None:
        """Cancel a run. `force`: without waiting for always() steps. Without effect on an ended one."""

    async def retry(
        self,
        run: str,
        *,
        failed: bool = False,
        job: str | None = None,
        secrets: dict[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Retry a finished run as a new one (`failed`: only what did not succeed), or, with `job`, a held job of a live one;
        returns the run's id. Asked twice with the same key, it is one retry."""

    async def fail(self, run: str, *, job: str) -> None:
        """Decide that a held job has failed."""

    async def delivered(self, run: str) -> None:
        """Somebody received its summary: `resume` will not bring it again."""

    async def runs(self, *, live: bool | None = None, limit: int = 50) -> list[RunRow]:
        """Newest first."""

    async def find(self, prefix: str) -> RunRow:
        """A run by its id or a unique beginning of it; `latest`. Raises UserError."""

    async def prune(
        self,
        *,
        keep_days: float | None = None,
        keep_runs: int | None = None,
        max_bytes: int | None = None,
        max_cache_bytes: int | None = None,
        dry: bool = False,
    ) -> dict[str, Any]:
        """Remove old runs, and caches that were not used for long; None: the home's own limits.

        Returns `runs` (ids removed), `bytes` (freed by them), `caches` (removed) and `cache_bytes` (freed by them).
        """

    async def ping(self) -> dict[str, Any]:
        """Who answers: `pid`, `epoch`, `version`, `live` (runs)."""

    async def actors(self) -> list[dict[str, Any]]:
        """The live tree: path, kind, state, mailbox depth, handled, restarts."""

    async def metrics(self) -> str:
        """What the engine's process counts, as OpenMetrics text."""


METHODS.update(
    submit=Method(types={"submission": Submission}),
    events=Method(streams=True),
    log=Method(streams=True, result=LogFrame),
    cancel=Method(),
    retry=Method(),
    fail=Method(),
    delivered=Method(),
    runs=Method(result=list[RunRow]),
    find=Method(result=RunRow),
    actors=Method(),
    metrics=Method(),
    prune=Method(),
    ping=Method(),
)
